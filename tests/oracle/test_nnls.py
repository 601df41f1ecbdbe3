"""Non-negative quadratic programs: every method against SciPy, and where programs are awkward."""

import warnings

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.exceptions import ConvergenceWarning

from partwise import _threads, kernels, nnls, nnqp
from partwise.estimators.least_squares import EXACT, ITERATIVE
from partwise.kernels import pivoting
from partwise.kernels._descent import LANES
from partwise.kernels.steps import residuals
from tests.oracle import naive
from tests.oracle.test_kernels import DTYPES, LAYOUTS, close, laid_out, some

METHODS = [*EXACT, *ITERATIVE]
NONE = np.empty((0, 0), bool)
ROUNDING = {np.float64: 4e-15, np.float32: 2e-6}


def stop(F):
    return (1e-12 if F.dtype == np.float64 else 1e-6, 0.0, 5000)


SOLVES = {
    "active-set": lambda F, G, C, free: kernels.solve_rows(F, G, C, free, ROUNDING[F.dtype.type]),
    "pivoting": lambda F, G, C, free: kernels.pivot_rows(F, G, C, free, ROUNDING[F.dtype.type]),
    "gradient": lambda F, G, C, free: kernels.projected_gradient(F, G, C, free, stop(F)),
    "nesterov": lambda F, G, C, free: kernels.nesterov(F, G, C, free, stop(F)),
    "admm": lambda F, G, C, free: kernels.alternating_directions(F, G, C, free, stop(F)),
    "greedy": lambda F, G, C, free: kernels.greedy_updates(F, G, C, free, 5000, 0.0),
}


def least_squares(m=40, n=8, p=25, seed=0, noise=0.5):
    """Return A, B whose solutions have about half of their entries at zero."""
    rng = np.random.default_rng(seed)
    A = rng.random((m, n))
    X = rng.random((n, p)) * (rng.random((n, p)) < 0.5)
    return A, A @ X + noise * rng.standard_normal((m, p))


def scipy_columns(A, B):
    return np.stack([optimize.nnls(A, b)[0] for b in B.T], axis=1)


def value(F, G, C):
    return 0.5 * np.sum((F @ G) * F, axis=1) - np.sum(F * C, axis=1)


# --- kernels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SOLVES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_find_the_minimum(method, dtype, layout, masked):
    rng = np.random.default_rng(5)
    A, B = least_squares()
    G, C, F = (Z.astype(dtype) for Z in (A.T @ A, B.T @ A, rng.random((25, 8))))
    free = some(*F.shape) if masked else np.empty((0, 8), bool)
    wanted = naive.solve_rows(F, G, C, free)
    found = F.copy() if layout == "read-only" else laid_out(F.copy(), layout)
    SOLVES[method](found, laid_out(G, layout), laid_out(C, layout), free)
    close(found, wanted, dtype) if dtype is np.float32 else np.testing.assert_allclose(
        found, wanted, atol=1e-8
    )
    if masked:
        np.testing.assert_array_equal(found[~free], F[~free])


def test_passive_systems_are_solved():
    A, B = least_squares(p=21)  # not a multiple of what is solved side by side
    G, C = A.T @ A, B.T @ A
    passive = some(21, 8)
    passive[0], passive[1] = False, True
    found = np.full((21, 8), np.nan)
    order = np.random.default_rng(0).permutation(21)
    kernels.solve_passive(found, G, C, passive, order, 1e-14)
    for i in range(21):
        (P,) = np.nonzero(passive[i])
        wanted = np.zeros(8)
        wanted[P] = np.linalg.solve(G[np.ix_(P, P)], C[i, P])
        np.testing.assert_allclose(found[i], wanted, atol=1e-10)


@pytest.mark.parametrize("masked", [False, True])
def test_clipped_least_squares(masked):
    A, B = least_squares()
    G, C = A.T @ A, B.T @ A
    F = np.random.default_rng(0).random((25, 8))
    free = some(25, 8) if masked else NONE
    found = F.copy()
    kernels.least_squares_rows(found, G, C, free, 1e-14)
    for i in range(25):
        open_ = free[i] if masked else np.ones(8, bool)
        rest = B[:, i] - A[:, ~open_] @ F[i, ~open_]
        wanted = F[i].copy()
        wanted[open_] = np.maximum(np.linalg.lstsq(A[:, open_], rest, rcond=None)[0], 0)
        np.testing.assert_allclose(found[i], wanted, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_greedy_updates_are_the_naive_ones(dtype):
    A, B = least_squares()
    G, C = (Z.astype(dtype) for Z in (A.T @ A, B.T @ A))
    start = np.random.default_rng(1).random((25, 8)).astype(dtype)
    found, wanted = start.copy(), start.astype(np.float64)
    kernels.greedy_updates(found, G, C, np.empty((0, 8), bool), 12, 1e-2)
    for f, c in zip(wanted, C, strict=True):
        first = None
        for _ in range(12):
            best = np.maximum(f - (G @ f - c) / np.diag(G), 0)
            falls = [
                value(f[None], G, c[None])[0]
                - value(np.where(np.arange(8) == j, best, f)[None], G, c[None])[0]
                for j in range(8)
            ]
            j = int(np.argmax(falls))
            first = falls[j] if first is None else first
            if first is not falls[j] and falls[j] <= 1e-2 * first:
                break
            f[j] = best[j]
    close(found, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 2, 7, 24, 29])
def test_residuals_of_rows_side_by_side(k, dtype):
    rng = np.random.default_rng(k)
    width = LANES // np.dtype(dtype).itemsize
    T, R, D = (rng.standard_normal((k, width)).astype(dtype) for _ in range(3))
    G = rng.standard_normal((k, k)).astype(dtype)
    G += G.T
    residuals(T, R, G, D)
    close(D, R - G @ T, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_multiplicative_steps_are_the_naive_ones(dtype, layout, masked, signed):
    A, B = least_squares(p=140)
    G, C, F = A.T @ A, B.T @ A, np.random.default_rng(1).random((140, 8))
    G[0, 1:] *= -0.01 if signed else 1
    G[1:, 0] = G[0, 1:]
    C[3] = -1
    free = some(140, 8) if masked else np.empty((0, 8), bool)
    G, C, F = (Z.astype(dtype) for Z in (G, C, F))
    found = F.copy() if layout == "read-only" else laid_out(F.copy(), layout)
    given = laid_out(G, layout), laid_out(C, layout)
    kernels.multiplicative_steps(found, *given, free, dtype(1e-3), 3, False)
    wanted = F.astype(np.float64)
    for _ in range(3):
        up = np.maximum(C + wanted @ (np.abs(G) - G), 0)
        new = np.maximum(wanted * up / (wanted @ np.abs(G)), dtype(1e-3))
        wanted = np.where(free, new, wanted) if masked else new
    close(found, wanted, dtype)


def test_extrapolated_multiplicative_steps_get_further():
    A, B = least_squares()
    G, C, F = A.T @ A, B.T @ A, np.random.default_rng(1).random((25, 8))
    least = value(scipy_columns(A, B).T, G, C)
    left = []
    for extrapolate in (False, True):
        found = F.copy()
        kernels.multiplicative_steps(found, G, C, np.empty((0, 8), bool), 1e-14, 300, extrapolate)
        left.append(value(found, G, C) - least)
    assert left[1].max() < 0.1 * left[0].max()
    assert (left[1] > -1e-10).all()


@pytest.mark.parametrize("method", ["projected_gradient", "nesterov"])
def test_gradient_steps_never_raise_the_quadratic(method):
    A, B = least_squares(noise=2.0)
    G, C = A.T @ A, B.T @ A
    start = 3 * np.random.default_rng(1).random((25, 8))
    before = value(start, G, C)
    for steps in range(1, 40):
        F = start.copy()
        getattr(kernels, method)(F, G, C, NONE, (0.0, 0.0, steps))
        after = value(F, G, C)
        assert (after <= before + 1e-10 * np.abs(before)).all()
        before = after


@pytest.mark.parametrize("method", ["projected_gradient", "nesterov", "alternating_directions"])
def test_rows_stop_by_themselves(method):
    """What a row does depends on its own residual, and on how that compares to its first."""
    A, B = least_squares()
    G, C, F = A.T @ A, B.T @ A, np.random.default_rng(1).random((25, 8))
    first = kernels.row_residuals(F, G, C, NONE)
    together = F.copy()
    getattr(kernels, method)(together, G, C, NONE, (0.0, 1e-2, 5000))
    last = kernels.row_residuals(together, G, C, NONE)
    assert (last <= 1e-2 * first * (1 + 1e-9)).all()
    assert (last > 0).any()
    for i in (0, 7):
        alone = F[i : i + 1].copy()
        getattr(kernels, method)(alone, G, C[i : i + 1], NONE, (0.0, 1e-2, 5000))
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-9, atol=1e-12)


def test_row_residual_is_the_naive_one():
    A, B = least_squares()
    G, C, F = A.T @ A, B.T @ A, np.random.default_rng(1).random((25, 8))
    F[F < 0.3] = 0
    free = some(25, 8)
    found = kernels.row_residuals(F, G, C, free)
    unit = np.sqrt(np.diag(G))
    for i in range(25):
        slope = G @ F[i] - C[i]
        gaps = [abs(min(F[i, j] * unit[j], slope[j] / unit[j])) for j in range(8) if free[i, j]]
        assert found[i] == pytest.approx(max(gaps) / np.max(np.abs(C[i]) / unit))
    # Nothing is wrong with a row of zeros, and all is where there is no minimum.
    assert kernels.row_residuals(np.zeros((1, 2)), np.eye(2), np.zeros((1, 2)), NONE)[0] == 0
    flat = np.diag([1.0, 0.0])
    assert kernels.row_residuals(np.zeros((1, 2)), flat, np.ones((1, 2)), NONE)[0] == np.inf


# --- awkward programs --------------------------------------------------------------------------


def awkward(kind, seed):
    """Return A, B of a program without a unique or without a regular solution."""
    rng = np.random.default_rng(seed)
    A, B = least_squares(seed=seed, n=6)
    if kind == "duplicate columns":
        A = np.hstack([A, A[:, :3], 2 * A[:, :1]])
    elif kind == "zero columns":
        A[:, [1, 4]] = 0
    elif kind == "dependent columns":
        A = np.hstack([A, A @ rng.random((6, 4))])
    elif kind == "fewer rows than columns":
        A, B = rng.standard_normal((5, 12)), rng.standard_normal((5, 25))
    elif kind == "one column":
        A = A[:, :1] - 0.3
    elif kind == "different scales":
        A = A * 10.0 ** np.arange(-6, 6, 2)
    elif kind == "signed and nearly dependent":
        A = rng.standard_normal((40, 6))
        A[:, 5] = A[:, 0] + 1e-4 * A[:, 5]
    elif kind == "nothing to find":
        B = -A @ rng.random((6, 25))
    return A, B


AWKWARD = [
    "duplicate columns",
    "zero columns",
    "dependent columns",
    "fewer rows than columns",
    "one column",
    "different scales",
    "signed and nearly dependent",
    "nothing to find",
]


@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_awkward_programs_have_the_value_of_scipy(kind, method, scale):
    for seed in range(4):
        A, B = awkward(kind, seed)
        X, rnorm = nnls(scale * A, B, method=method)  # would warn where KKT fails
        assert X.min() >= 0
        wanted = np.linalg.norm(A @ scipy_columns(A, B) - B, axis=0)
        size = np.linalg.norm(B, axis=0)
        np.testing.assert_allclose(rnorm / size, wanted / size, atol=1e-8)
        np.testing.assert_allclose(rnorm, np.linalg.norm(scale * A @ X - B, axis=0), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_slopes_of_zero_at_entries_of_zero(method):
    """SciPy 1.17 misses some of these solutions; they are known: the positive part."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        A = np.linalg.qr(rng.standard_normal((40, 6)))[0]
        truth = rng.integers(-1, 2, (6, 25)) * 1.0
        X = nnls(A, A @ truth, method=method)[0]
        np.testing.assert_allclose(X, np.maximum(truth, 0), atol=1e-8)


@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize("tries", [0, 1])
@pytest.mark.parametrize("exchanges", [0, 1, 5])
def test_the_backup_rule_and_the_way_out_lead_to_the_same(kind, tries, exchanges, monkeypatch):
    monkeypatch.setattr(pivoting, "TRIES", tries)
    monkeypatch.setattr(pivoting, "EXCHANGES", exchanges)
    A, B = awkward(kind, 1)
    found = nnls(A, B)[1]
    np.testing.assert_allclose(found, nnls(A, B, method="active-set")[1], atol=1e-9)


def test_single_exchanges_end_where_whole_blocks_go_in_circles(monkeypatch):
    def solve(tries):
        monkeypatch.setattr(pivoting, "TRIES", tries)
        F = np.zeros((400, 6))
        assert kernels.pivot_rows(F, G, C, np.empty((0, 6), bool), 4e-15) == 0
        return F

    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 6))
    A[:, 3:] += 3 * A[:, :3]  # far from dominated by its diagonal
    G = A.T @ A
    C = rng.standard_normal((400, 6)) * np.sqrt(np.diag(G))
    wanted = solve(0)
    monkeypatch.setattr(pivoting, "solve_rows", None)  # the way out is closed
    np.testing.assert_allclose(solve(3), wanted, atol=1e-8)
    with pytest.raises(TypeError, match="NoneType"):
        solve(10**9)


def test_components_that_enter_in_vain_do_not_end_the_search():
    """Below the rounding a slope promises what the solution cannot show: others are tried."""
    for seed in range(7):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((12, 5))
        near = A + 1e-8 * rng.standard_normal((12, 5))
        A = np.hstack([A, near, 1e-8 * rng.standard_normal((12, 2)) - A[:, :2]])
        A = np.hstack([A, rng.random((12, 3))])
        C = rng.standard_normal((200, 12)) @ A
        assert kernels.solve_rows(np.zeros((200, 15)), A.T @ A, C, NONE, 1e-16) == 0


def test_momentum_is_worth_something():
    """On a program of condition 1e4, where plain steps would take ten thousands."""
    rng = np.random.default_rng(0)
    A = np.linalg.qr(rng.standard_normal((40, 8)))[0] * np.geomspace(1, 1e-2, 8)
    A = A @ np.linalg.qr(rng.standard_normal((8, 8)))[0]
    B = A @ rng.random((8, 20))
    X = nnls(A, B, method="nesterov", max_iter=2000)[0]  # would warn
    np.testing.assert_allclose(X, scipy_columns(A, B), atol=1e-4)


# --- the public functions --------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(40, 8, 25), (200, 30, 60), (9, 1, 5)])
def test_nnls_agrees_with_scipy(method, shape):
    A, B = least_squares(*shape)
    X, rnorm = nnls(A, B, method=method, tol=1e-10)
    wanted = scipy_columns(A, B)
    np.testing.assert_allclose(X, wanted, atol=1e-8 if method in EXACT else 1e-6)
    np.testing.assert_allclose(rnorm, np.linalg.norm(A @ wanted - B, axis=0), rtol=1e-8)


def test_one_right_hand_side_is_called_as_in_scipy():
    A, B = least_squares()
    x, rnorm = nnls(A, B[:, 0])
    wanted, norm = optimize.nnls(A, B[:, 0])
    assert x.shape == (8,)
    assert isinstance(rnorm, float)
    np.testing.assert_allclose(x, wanted, atol=1e-10)
    assert rnorm == pytest.approx(norm)
    np.testing.assert_array_equal(nnls(A.tolist(), B[:, 0].tolist())[0], x)


@pytest.mark.parametrize("method", METHODS)
def test_nnqp_is_nnls_of_products(method):
    A, B = least_squares()
    F = nnqp(A.T @ A, B.T @ A, method=method, tol=1e-10)
    np.testing.assert_allclose(F.T, scipy_columns(A, B), atol=1e-6)
    np.testing.assert_allclose(
        nnqp(A.T @ A, B[:, 3] @ A, method=method, tol=1e-10), F[3], atol=1e-6
    )


@pytest.mark.parametrize("storage", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
def test_sparse_input_is_the_same_problem(storage):
    A, B = least_squares()
    A[A < 0.5] = 0
    wanted, norms = nnls(A, B)
    for left, right in ((storage(A), B), (A, storage(B)), (storage(A), storage(B))):
        X, rnorm = nnls(left, right)
        np.testing.assert_allclose(X, wanted, atol=1e-12)
        np.testing.assert_allclose(rnorm, norms, rtol=1e-12)


def test_float32_stays_and_loses_nothing_on_the_way():
    A, B = (Z.astype(np.float32) for Z in least_squares(200, 30, 20))
    X = nnls(A, B)[0]
    assert X.dtype == np.float32
    wanted = scipy_columns(A.astype(float), B.astype(float))
    np.testing.assert_allclose(X, wanted, atol=1e-6)
    assert nnls(A, B.astype(float))[0].dtype == np.float64
    assert nnqp(A.T @ A, B.T @ A).dtype == np.float32
    assert nnls(np.eye(3, dtype=int), [1, 2, -3])[0].tolist() == [1.0, 2.0, 0.0]


@pytest.mark.parametrize("method", METHODS)
def test_right_hand_sides_do_not_influence_each_other(method):
    A, B = least_squares()
    together = nnls(A, B, method=method)[0]
    for j in (0, 11, 24):
        np.testing.assert_allclose(nnls(A, B[:, j], method=method)[0], together[:, j], atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_scale_does_not_matter(method):
    A, B = least_squares()
    X = nnls(A, B, method=method)[0]
    d = 10.0 ** np.linspace(-6, 6, 8)
    for a, b in ((1e-6, 1.0), (1e6, 1e-9), (1.0, 1e12)):
        found = nnls(a * A * d, b * B, method=method)[0]
        np.testing.assert_allclose(found * d[:, None] * a / b, X, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_threads_do_not_change_a_bit(method, monkeypatch):
    monkeypatch.setattr(_threads, "PIECE", 1e3)
    monkeypatch.setattr(_threads, "ENTRIES", 5)
    A, B = least_squares(p=83)
    alone = nnls(A, B, method=method)[0]
    monkeypatch.setattr(_threads, "_allowance", lambda: 3)
    np.testing.assert_array_equal(nnls(A, B, method=method)[0], alone)


@pytest.mark.parametrize("method", METHODS)
def test_start_helps_and_is_not_modified(method):
    A, B = least_squares()
    X = nnls(A, B)[0]
    kept = X.copy()
    how = {"max_iter": 1} if method in ITERATIVE else {}
    np.testing.assert_allclose(nnls(A, B, method=method, start=X, **how)[0], X, atol=1e-8)
    np.testing.assert_array_equal(X, kept)
    one = nnls(A, B[:, 0], method=method, start=X[:, 0], **how)[0]
    np.testing.assert_allclose(one, X[:, 0], atol=1e-8)
    np.testing.assert_allclose(
        nnqp(A.T @ A, B.T @ A, method=method, start=X.T, **how), X.T, atol=1e-8
    )


@pytest.mark.parametrize("method", ITERATIVE)
def test_too_few_iterations_are_no_secret(method):
    A, B = least_squares()
    with pytest.warns(ConvergenceWarning, match="of 25 right-hand sides did not reach"):
        nnls(A, B, method=method, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnls(A, B, method=method, max_iter=1, tol=0)


def test_an_exact_answer_that_is_none_is_no_secret():
    # A program that has no minimum: it falls for ever along (1, 1).
    with pytest.warns(ConvergenceWarning, match="ill-conditioned"):
        nnqp([[1.0, -1.0], [-1.0, 1.0]], [1.0, 1.0])


def test_what_cannot_be_solved_is_refused():
    A, B = least_squares()
    G, C = A.T @ A, B.T @ A
    for call, words in (
        (lambda: nnls(A, B[:-1]), "39 rows"),
        (lambda: nnls(A[0], B), "shape"),
        (lambda: nnls(A[:, :0], B), "empty"),
        (lambda: nnls(A * np.nan, B), "NaN or infinite"),
        (lambda: nnls(A + 1j, B), "real numbers"),
        (lambda: nnls(A, B, method="simplex"), "one of 'block-pivoting'"),
        (lambda: nnls(A, B, tol=-1), "tol"),
        (lambda: nnls(A, B, max_iter=10), "exact and ends by itself"),
        (lambda: nnls(A, B, method="cd", max_iter=0), "max_iter"),
        (lambda: nnls(A, B, start=np.zeros((25, 8))), r"wanted \(8, 25\)"),
        (lambda: nnls(A, B, start=-np.ones((8, 25))), "negative"),
        (lambda: nnqp(G, C[:, 1:]), "since cross has 7 columns"),
        (lambda: nnqp(G + np.triu(G), C), "not symmetric"),
        (lambda: nnqp(-G, C), "eigenvalue"),
        (lambda: nnqp(np.diag([1.0, 0.0]), [1.0, 1.0]), "falls for ever"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    masked = np.ma.masked_array(A, mask=A > 0.9)
    with pytest.raises(TypeError, match="masked"):
        nnls(masked, B)
