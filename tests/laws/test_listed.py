"""Laws of listed entries: a direction that rows have in common, and a length for each."""

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, kernels, losses
from partwise.data import Listed, as_data
from partwise.models import Bilinear
from partwise.penalties import L1, L2
from partwise.problem import Problem
from partwise.solvers import CoordinateDescent, run
from partwise.solvers.rows import worth_searching

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Shared(CoordinateDescent):
    """Rows share a direction however few they are."""

    shared_from = 0


class Own(CoordinateDescent):
    """Every row has a Gram matrix of its own."""

    shared_from = np.inf


def some_rows(columns, k, dtype, density=0.3):
    """Listed rows, three of which know nothing, with weights, and two factors."""
    rng = np.random.default_rng(0)
    density = min(density, 300 / columns)
    X = sparse.random_array((30, columns), density=density, rng=rng, format="lil")
    X[[0, 11, 29]] = 0
    X = X.tocsr().astype(dtype)
    weights = rng.uniform(0.1, 2, X.nnz).astype(dtype)
    F, A = rng.random((30, k)).astype(dtype), rng.random((columns, k)).astype(dtype)
    return X, weights, F, A


def search(X, weights, F, A, G, *, share=0.3, added=None, free=None, before=None, ends=(0, 30)):
    k, dtype = F.shape[1], F.dtype
    values = np.full(len(ends) - 1, np.nan)
    kernels.search_listed_rows(
        X.indptr, (X.indices, X.data, weights), A, F, G, np.full(30, share, dtype),
        added or (np.zeros(k, dtype), dtype.type(0)), np.empty((0, k), bool) if free is None
        else free, (np.arange(k), 3, 0.0), F[:0] if before is None else before, dtype.type(0.5),
        np.array(ends), values, np.zeros(1, np.int64),
    )  # fmt: skip
    return values


def naive_ray(x, v, A, f, G, share, added, free):
    """One row from f to the minimum of its own quadratic on a ray; ``G`` and ``share`` say which.

    In float64; ``added`` is (slope, curve) of penalties.
    """
    slope, curve = added
    own = A.T @ (v[:, None] * A)
    fall = A.T @ (v * (x - A @ f)) - slope - curve * f
    aim = f[None].copy()
    cross = (fall / share + f @ G)[None]
    kernels.coordinate_sweeps(aim, G, cross, np.arange(len(f)), free[None], 3, 0.0)
    step = aim[0] - f
    bend = step @ own @ step + curve * step @ step
    if not fall @ step > 0:
        return f
    falling = step < 0
    room = (f[falling] / -step[falling]).min() if falling.any() else np.inf
    length = min(fall @ step / bend if bend > 0 else np.inf, room)
    return np.maximum(f + (length if length < np.inf else 1) * step, 0)


def naive_search(X, weights, F, A, G, share, slope, curve, free):
    """One row after the other, with whole matrices in float64."""
    V = sparse.csr_array((weights, X.indices, X.indptr), shape=X.shape).toarray().astype(float)
    X, F, A = (np.asarray(B, float) for B in (X.toarray(), F, A))
    rows = zip(X, V, F, free, strict=True)
    found = np.array(
        [naive_ray(x, v, A, f, G, share, (slope, curve), there) for x, v, f, there in rows]
    )
    return found, 0.5 * np.sum(V * (X - found @ A.T) ** 2, axis=1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 10, 15, 20, 30, 33, 50, 70, 130])
@pytest.mark.parametrize("columns", [7, 40, 20_000])
def test_a_search_is_the_naive_one(columns, k, dtype):
    """Few and many components, rows without entries, tables that are near and far."""
    X, weights, F, A = some_rows(columns, k, dtype)
    rng = np.random.default_rng(1)
    free, slope = rng.random(F.shape) < 0.9, rng.uniform(0, 0.1, k).astype(dtype)
    known = X.nnz / np.prod(X.shape)
    G, curve = (known / 0.3 * A.T @ A + np.eye(k)).astype(dtype), dtype(0.3)
    wanted, value = naive_search(X, weights, F, A, G.astype(float), 0.3, slope, curve, free)
    end = search(X, weights, F, A, G, added=(slope, curve), free=free, ends=(0, 13, 30))
    rounding = 1e-10 if dtype is np.float64 else 2e-4
    told = np.diff(X.indptr) > 0  # of others G says far too much, and the length makes up for it
    np.testing.assert_allclose(F[told], wanted[told], rtol=rounding, atol=rounding)
    np.testing.assert_allclose(F[~told], wanted[~told], atol=0.05)
    np.testing.assert_allclose(end, [sum(value[:13]), sum(value[13:])], rtol=10 * rounding)


def test_rows_fall_whatever_the_matrix_is_that_they_share():
    """A matrix far from their own, and far too small or too large, costs time alone."""
    X, weights, F, A = some_rows(40, 5, np.float64)
    rng = np.random.default_rng(2)
    other = rng.random((5, 5))
    for G in (1e-6 * np.eye(5), 1e6 * np.eye(5), other @ other.T, 1e-3 * A.T @ A):
        moved, last = F.copy(), np.inf
        for _ in range(30):
            value = search(X, weights, moved, A, G)[0]
            assert value <= last * (1 + 1e-12)
            last = value
        assert (moved >= 0).all()


def test_a_row_that_knows_nothing_follows_its_penalty():
    X, weights, F, A = some_rows(40, 5, np.float64)
    kept, pushed = F.copy(), F.copy()
    search(X, weights, kept, A, A.T @ A)
    np.testing.assert_array_equal(kept[[0, 11, 29]], F[[0, 11, 29]])
    for _ in range(6):
        search(X, weights, pushed, A, A.T @ A, added=(np.full(5, 0.1), 0.0))
    assert (pushed[[0, 11, 29]] == 0).all()


def test_rows_are_extrapolated_along_their_moves():
    X, weights, F, A = some_rows(40, 5, np.float64)
    plain, before = F.copy(), F - 0.1
    start = before.copy()
    search(X, weights, plain, A, A.T @ A)
    search(X, weights, F, A, A.T @ A, before=before)
    np.testing.assert_array_equal(before, plain)
    np.testing.assert_allclose(F, np.maximum(plain + 0.5 * (plain - start), 0), atol=1e-14)


NOISE = 0.01


def listed_problem(holes_in, *, weighted=False, obeyed=(), dtype=np.float64):
    """Localized parts; entries are known at random, more or less by column, or in stretches."""
    k, rng = 8, np.random.default_rng(1)
    centres = rng.uniform(0, 200, (k, 1))
    X = rng.gamma(1, size=(300, k)) @ np.exp(-(((np.arange(200) - centres) / 15) ** 2))
    known = rng.random(X.shape) < (0.2 if holes_in == "places" else rng.uniform(0.02, 0.5, 200))
    if holes_in == "stretches":
        first = rng.integers(0, 150, (300, 1))
        known = (np.arange(200) >= first) & (np.arange(200) < first + 50)
    rows, columns = known.nonzero()
    values = X[rows, columns] + NOISE * rng.random(len(rows))
    weights = rng.uniform(0.1, 10, len(rows)) if weighted else np.ones(len(rows))
    matrix = sparse.csr_array((values, (rows, columns)), shape=X.shape).astype(dtype)
    data = Listed.of(as_data(matrix), weights.astype(dtype))
    factors = {"W": rng.random((300, k)).astype(dtype), "H": rng.random((200, k)).astype(dtype)}
    penalties = dict.fromkeys(factors, obeyed)
    return Problem(data, Bilinear(k), losses.Frobenius(), factors, penalties)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("obeyed", [(), (L1(0.2), L2(0.5))], ids=["", "L1+L2"])
@pytest.mark.parametrize("weighted", [False, True], ids=["known", "weighted"])
@pytest.mark.parametrize("holes_in", ["places", "columns", "stretches"])
def test_a_search_never_rises_and_ends_at_the_noise_or_where_rows_of_their_own_do(
    holes_in, weighted, obeyed, dtype
):
    """Without penalties minima are many, and which of them is below the other is chance."""
    how = {"weighted": weighted, "obeyed": obeyed, "dtype": dtype}
    problem = listed_problem(holes_in, **how)
    result = run(problem, Shared(), tol=0, max_iter=150)
    history = result.objective_history
    rounding = 1e-9 if dtype is np.float64 else 2e-5
    assert (np.diff(history) <= rounding * history[:-1]).all()
    assert history[-1] == pytest.approx(problem.objective(), rel=rounding)
    if not obeyed:
        assert history[-1] <= 0.5 * problem.data.mass * NOISE**2 / 3
        return
    own = run(listed_problem(holes_in, **how), Own(), tol=0, max_iter=150)
    assert history[-1] <= 1.1 * own.objective


@pytest.mark.parametrize("holes_in", ["places", "columns", "stretches"])
def test_where_a_stretch_is_known_rows_share_no_matrix(holes_in):
    problem, solver = listed_problem(holes_in), Shared()
    state = solver.start(problem, None)
    assert state.searching
    for _ in range(20):
        solver.step(problem, state)
    assert state.searching == (holes_in != "stretches")


def test_rows_that_know_little_share_no_matrix():
    data = listed_problem("places").data  # a fifth of 200 columns and of 300 rows
    assert worth_searching(data, 15)
    assert not worth_searching(data, 16)


def test_a_solution_stays():
    problem = listed_problem("places", obeyed=(L2(0.5),))
    result = run(problem, Own(), tol=1e-7, max_iter=5000)
    assert result.converged
    again = run(problem, Shared(), tol=0, max_iter=5)
    assert again.objective == pytest.approx(result.objective, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_objective_of_an_exact_fit_has_its_digits(dtype):
    """One step leaves almost nothing, and what it leaves is not the difference of two numbers."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(np.outer(rng.random(60) + 0.1, rng.random(50) + 0.1).astype(dtype))
    how = {"init": "random", "random_state": 0, "max_iter": 1, "tol": 0, "unstored": "missing"}
    model = NMF(1, solver=Shared(), **how).fit(X)
    left = X.toarray().astype(float) - model.W_.astype(float) @ model.components_.astype(float)
    assert model.objective_ <= 2 * np.sum(left**2)


def test_only_where_two_factors_move_rows_are_searched():
    data = listed_problem("places").data
    for free in (("W",), ("W", "H")):
        bound = listed_problem("places")
        problem = Problem(data, bound.model, bound.loss, bound.factors, bound.penalties, free=free)
        assert Shared().start(problem, None).searching == (len(free) == 2)


def test_the_threads_do_not_change_a_bit():
    X = sparse.random_array((3000, 900), density=0.2, format="csr", rng=0)
    how = {"init": "random", "random_state": 0, "max_iter": 4, "tol": 0, "unstored": "missing"}
    found = NMF(24, **how).fit(X)
    with one_thread():
        alone = NMF(24, **how).fit(X)
    np.testing.assert_array_equal(found.components_, alone.components_)
    np.testing.assert_array_equal(found.W_, alone.W_)


def one_thread():
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 3, 6, 20, 70])
@pytest.mark.parametrize("solver", [Shared(), Own()], ids=["shared", "own"])
def test_weights_of_which_all_are_one_need_not_be_read(solver, k, dtype):
    found = []
    for read in (False, True):
        X, _, F, A = some_rows(40, k, dtype)
        data = Listed(X, np.ones_like(X.data))
        assert data.binary
        if read:
            data.__dict__["binary"] = data.T.__dict__["binary"] = False
        problem = Problem(data, Bilinear(k), losses.Frobenius(), {"W": F, "H": A})
        found.append(run(problem, solver, tol=0, max_iter=4))
    some, others = found
    np.testing.assert_array_equal(some.factors["W"], others.factors["W"])
    np.testing.assert_array_equal(some.factors["H"], others.factors["H"])
    assert some.objective == others.objective


def test_entries_in_any_order_are_the_same_list():
    rng = np.random.default_rng(0)
    X = sparse.random_array((60, 50), density=0.4, format="coo", rng=rng)
    chosen = rng.permutation(X.nnz)
    rows, columns = X.coords
    mixed = sparse.coo_array((X.data[chosen], (rows[chosen], columns[chosen])), shape=X.shape)
    how = {"init": "random", "random_state": 0, "max_iter": 5, "tol": 0, "unstored": "missing"}
    first, second = (NMF(3, solver=Shared(), **how).fit(Y) for Y in (X.tocsr(), mixed))
    np.testing.assert_array_equal(first.components_, second.components_)
