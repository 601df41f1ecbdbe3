"""Proximal maps equal what slow, general methods find on short vectors."""

import itertools

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize, nnls

from partwise import penalties as P

STEPS = [0.05, 0.6, 4.0]
# Entries that are negative, zero, tied, constant, alone; and some at random.
VECTORS = [
    [0.0, 0.0, 0.0, 0.0],
    [1.0, 1.0, 1.0, 1.0],
    [-1.0, -1.0, -1.0],
    [2.0, 2.0, 1.0, 1.0, -1.0],
    [3.0],
    [-2.0],
    [0.0, 5.0],
    *(np.random.default_rng(seed).standard_normal(3 + seed % 5).round(2) for seed in range(20)),
]
cases = pytest.mark.parametrize("f", VECTORS, ids=lambda f: ",".join(f"{v:g}" for v in f))


def subsets(n):
    for size in range(1, n + 1):
        yield from (list(chosen) for chosen in itertools.combinations(range(n), size))


def column(penalty, f, step=1.0):
    """Return the proximal point of a column; the same from single precision, to its digits."""
    F = np.array(f, dtype=float)[:, None]
    found = penalty.prox(F, step)
    single = penalty.prox(F.astype(np.float32), step)
    assert single.dtype == np.float32
    cost = 0.5 * np.sum((found - F) ** 2)
    assert 0.5 * np.sum((single - F) ** 2) == pytest.approx(cost, abs=1e-5)
    return found[:, 0]


def row(penalty, f, step=1.0):
    return penalty.prox(np.array(f, dtype=float)[None, :], step)[0]


def bounded(A, b, low, high):
    return lsq_linear(A, b, (low, high), method="bvls", tol=1e-15, max_iter=1000).x


def differences(shape):
    """Return the matrix of all differences of neighbours of an array of a shape."""
    index = np.arange(np.prod(shape)).reshape(shape)
    pairs = [
        (a, b)
        for axis in range(len(shape))
        for a, b in zip(
            np.delete(index, -1, axis).ravel(), np.delete(index, 0, axis).ravel(), strict=True
        )
    ]
    D = np.zeros((len(pairs), index.size))
    for k, (a, b) in enumerate(pairs):
        D[k, a], D[k, b] = -1, 1
    return D


def naive_variation(f, shape, bound):
    # From the dual: f − Dᵀu, with u in a box.
    D = differences(shape)
    f = np.asarray(f, dtype=float)
    if len(D) == 0:
        return f
    return f - D.T @ bounded(D.T, f, -bound, bound)


@cases
@pytest.mark.parametrize("step", STEPS)
def test_total_variation(f, step):
    found = column(P.TotalVariation(0.5), f, step)
    np.testing.assert_allclose(found, naive_variation(f, (len(f),), 0.5 * step), atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (4, 2), (2, 2, 3)])
@pytest.mark.parametrize("step", STEPS)
def test_total_variation_of_images(shape, step):
    F = np.random.default_rng(0).standard_normal((np.prod(shape), 3))
    F[:, 2] = 1.0
    penalty = P.TotalVariation(0.3, shape=shape)
    found = penalty.prox(F, step)
    for j in range(3):
        wanted = naive_variation(F[:, j], shape, 0.3 * step)
        error = np.linalg.norm(found[:, j] - wanted)
        assert error <= 1e-4 * np.linalg.norm(F[:, j] - F[:, j].mean()) + 1e-9
    moved = np.abs(differences(shape) @ F).sum()
    assert penalty.value(F) == pytest.approx(0.3 * moved)


def test_total_variation_says_where_it_stops_early():
    F = np.random.default_rng(0).standard_normal((400, 1))
    with pytest.warns(RuntimeWarning, match="max_iter=3 steps for 1 components"):
        P.TotalVariation(0.3, shape=(20, 20), max_iter=3).prox(F, 1.0)


def naive_simplex(f, total):
    best = None
    for chosen in subsets(len(f)):
        z = np.zeros(len(f))
        z[chosen] = f[chosen] - (f[chosen].sum() - total) / len(chosen)
        if z.min() >= -1e-12 and (best is None or np.sum((z - f) ** 2) < np.sum((best - f) ** 2)):
            best = z
    return best


@cases
@pytest.mark.parametrize("total", [1.0, 3.5])
def test_simplex(f, total):
    f = np.asarray(f)
    np.testing.assert_allclose(row(P.Simplex(total), f), naive_simplex(f, total), atol=1e-12)
    found = column(P.Simplex(total, each="component"), f)
    np.testing.assert_allclose(found, naive_simplex(f, total), atol=1e-12)
    inside = np.maximum(f, 0)
    wanted = inside if inside.sum() <= total else naive_simplex(f, total)
    np.testing.assert_allclose(row(P.Simplex(total, at_most=True), f), wanted, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1000, 100_000])
def test_sums_of_long_components_are_kept(n, dtype):
    drawn = np.random.default_rng(0)
    for F in (drawn.gamma(0.5, size=(n, 2)), drawn.standard_normal((n, 2)), np.ones((n, 2))):
        for penalty in (P.Simplex(3.0, each="component"), P.Hoyer(0.4), P.Hoyer(0.9, norm=2.0)):
            assert penalty.value(penalty.prox(F.astype(dtype), 1.0)) == 0
            assert penalty.value(penalty.entered(np.abs(F).astype(dtype))) == 0


def naive_sparse_direction(f, ratio):
    # On every support: the point of the sphere and of the plane of sums that is nearest to f.
    best, most = None, -np.inf
    for chosen in subsets(len(f)):
        m = len(chosen)
        rest = f[chosen] - f[chosen].mean()
        if m < ratio**2 - 1e-12:
            continue
        if np.linalg.norm(rest) < 1e-12:  # any direction in the plane is as good
            rest = np.eye(m)[0] - 1 / m
        size = np.linalg.norm(rest)
        u = np.zeros(len(f))
        u[chosen] = ratio / m
        if size > 0:
            share = 1 - ratio**2 / m
            u[chosen] += np.sqrt(share if share > 1e-12 else 0) * rest / size
        if u.min() >= -1e-9 and u @ f > most + 1e-13:
            best, most = u, u @ f
    return best


@cases
@pytest.mark.parametrize("sparseness", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_hoyer(f, sparseness):
    f = np.asarray(f)
    root = np.sqrt(len(f))
    direction = naive_sparse_direction(f, root - sparseness * (root - 1))
    wanted = max(direction @ f, 0) * direction
    found = column(P.Hoyer(sparseness), f)
    # Ties have several nearest points: their distances are equal. Equal entries are found to
    # half of the digits of their sparseness, since that has its minimum there.
    near = 1e-10 if sparseness else 1e-6
    assert np.sum((found - f) ** 2) == pytest.approx(np.sum((wanted - f) ** 2), abs=near)
    assert P.Hoyer(sparseness).value(found[:, None]) == 0
    np.testing.assert_allclose(row(P.Hoyer(sparseness, each="row"), f), found, atol=1e-12)
    unit = column(P.Hoyer(sparseness, norm=2.0), f)
    assert np.linalg.norm(unit) == pytest.approx(2)
    assert unit @ f == pytest.approx(2 * direction @ f, abs=near)


@pytest.mark.parametrize("sparseness", [0.1, 0.5, 0.9])
def test_hoyer_reaches_the_sparseness_of_long_vectors(sparseness):
    F = np.random.default_rng(0).standard_normal((100, 200))
    Z = P.Hoyer(sparseness).prox(F, 1.0)
    ratio = Z.sum(axis=0) / np.linalg.norm(Z, axis=0)
    np.testing.assert_allclose((10 - ratio) / 9, sparseness, atol=1e-10)
    assert Z.min() >= 0


def rising(n):
    return np.tril(np.ones((n, n)))


@cases
def test_monotone(f):
    n = len(f)
    low = np.r_[-np.inf, np.zeros(n - 1)]
    wanted = rising(n) @ bounded(rising(n), f, low, np.inf)
    np.testing.assert_allclose(column(P.Monotone(), f), wanted, atol=1e-9)
    wanted = rising(n) @ bounded(rising(n), np.asarray(f)[::-1], low, np.inf)
    np.testing.assert_allclose(column(P.Monotone(increasing=False), f), wanted[::-1], atol=1e-9)


@cases
def test_unimodal(f):
    n, f = len(f), np.asarray(f)
    errors = []
    for mode in range(n + 1):
        # Rising up to the mode, falling from it on: sums of increments ≥ 0.
        left = nnls(rising(mode), f[:mode])[1] if mode else 0.0
        right = nnls(rising(n - mode)[::-1], f[mode:])[1] if mode < n else 0.0
        errors.append(left**2 + right**2)
    found = column(P.Unimodal(), f)
    assert P.Unimodal().value(found[:, None]) == 0
    assert np.sum((found - f) ** 2) == pytest.approx(min(errors), abs=1e-12)


@cases
@pytest.mark.parametrize("step", STEPS)
def test_squared_l1_and_orthogonality(f, step):
    n, f = len(f), np.asarray(f)
    wanted = nnls(np.vstack([np.eye(n), np.sqrt(0.5 * step) * np.ones((1, n))]), np.r_[f, 0])[0]
    found = row(P.SquaredL1(0.5), np.maximum(f, 0), step)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    # One system per support; the best of those that are not negative.
    slope = 0.5 * step
    costs = {(): 0.0}
    for chosen in subsets(n):
        A = np.eye(len(chosen)) * (1 - slope) + slope
        if abs(np.linalg.det(A)) > 1e-12:
            z = np.linalg.solve(A, f[chosen])
            if z.min() >= 0:
                costs[tuple(chosen)] = 0.5 * z @ A @ z - z @ f[chosen]
    z = row(P.Orthogonal(0.5), f, step)
    cost = 0.5 * ((1 - slope) * z @ z + slope * z.sum() ** 2) - z @ f
    assert z.min() >= 0
    assert cost == pytest.approx(min(costs.values()), abs=1e-12)


@cases
@pytest.mark.parametrize("step", STEPS)
def test_smoothness_graph_and_labels_are_linear_systems(f, step):
    n, f = len(f), np.asarray(f)
    for order in (1, 2):
        D = np.diff(np.eye(n), n=order, axis=0)
        wanted = np.linalg.solve(np.eye(n) + 0.5 * step * D.T @ D, f)
        np.testing.assert_allclose(column(P.Smooth(0.5, order), f, step), wanted, atol=1e-10)
    A = np.triu(np.random.default_rng(1).random((n, n)), 1)
    L = np.diag((A + A.T).sum(axis=0)) - A - A.T
    graph = P.Graph(0.5, A + A.T)
    assert graph.value(f[:, None]) == pytest.approx(0.25 * f @ L @ f, abs=1e-12)
    wanted = np.linalg.solve(np.eye(n) + 0.5 * step * L, f)
    np.testing.assert_allclose(column(graph, f, step), wanted, atol=1e-10)
    labels = np.arange(n) % 3 - 1
    same = (labels[:, None] == labels) & (labels >= 0)
    weights = np.where(same, 1 / np.maximum(same.sum(axis=1), 1), 0)
    one, other = P.Labels(0.5, labels), P.Graph(0.5, weights)
    assert one.value(f[:, None]) == pytest.approx(other.value(f[:, None]), abs=1e-12)
    np.testing.assert_allclose(column(one, f, step), column(other, f, step), atol=1e-10)


def test_labels_may_be_unknown():
    labels = np.array(["a", None, "a", "b", "b", None], dtype=object)
    penalty = P.Labels(1.0, labels)
    F = np.arange(6.0)[:, None]
    assert penalty.value(F) == 0.5 * (2 * 1.0 + 2 * 0.25)
    np.testing.assert_array_equal(penalty.gradient(F)[:, 0], [-1, 0, 1, -0.5, 0.5, 0])
    assert P.Labels(1.0, [np.nan, -1, np.nan]).value(np.ones((3, 2))) == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", STEPS)
def test_norms_of_groups_and_volume_beat_a_general_minimizer(seed, step):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((4, 2))
    for penalty in (
        P.GroupLasso(0.7),
        P.GroupLasso(0.7, each="row"),
        P.GroupLasso(0.7, groups=[0, 1, 0, 1]),
        P.MinVolume(0.7, delta=0.2),
    ):

        def cost(z, penalty=penalty):
            Z = z.reshape(F.shape)
            return 0.5 * np.sum((Z - F) ** 2) + step * penalty.value(Z)

        found = penalty.prox(F, step)
        starts = (F, 0.1 * F, 1e-3 * F, rng.standard_normal(F.shape))
        slow = min(minimize(cost, start.ravel(), method="BFGS").fun for start in starts)
        assert cost(found.ravel()) <= slow + 1e-9
        assert cost(found.ravel()) >= 0.98 * slow  # which got close, so it says something


@pytest.mark.parametrize("seed", range(5))
def test_majorizer_of_the_volume_touches_and_lies_above(seed):
    rng = np.random.default_rng(seed)
    penalty = P.MinVolume(0.7, delta=0.2)
    F = rng.random((5, 3))
    M = penalty.majorizer(F)
    np.testing.assert_allclose(F @ M, penalty.gradient(F))
    for _ in range(50):
        Z = F + rng.standard_normal(F.shape) * 10.0 ** rng.integers(-3, 2)
        above = penalty.value(F) + 0.5 * np.trace(M @ (Z.T @ Z - F.T @ F))
        assert penalty.value(Z) <= above + 1e-12


def test_one_per_row_keeps_the_best_entry():
    F = np.array([[1.0, 2.0, -5.0], [-1.0, -2.0, -3.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    wanted = [[0, 2, 0], [0, 0, 0], [2, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(P.OnePerRow().prox(F, 1.0), wanted)


def test_decorrelation_is_zero_for_orthogonal_columns_alone():
    apart = np.array([[1.0, 0], [2, 0], [0, 3]])
    assert P.Decorrelated(2.0).value(apart) == pytest.approx(0, abs=1e-12)
    f = np.array([[1.0, 1], [2, 1]])
    cosine = 3 / np.sqrt(10)
    assert P.Decorrelated(2.0, 1e-12).value(f) == pytest.approx(-np.log(1 - cosine**2))
    assert P.Decorrelated(2.0, 1e-12).value(7 * f) == pytest.approx(-np.log(1 - cosine**2))


def test_parameters_out_of_range_are_refused():
    for make in (
        lambda: P.L1(-1),
        lambda: P.Hoyer(1.5),
        lambda: P.Hoyer(0.5, each="column"),
        lambda: P.Box(2, 1),
        lambda: P.Simplex(-1),
        lambda: P.Smooth(1, order=3),
        lambda: P.Graph(1, [[0, -1], [0, 0]]),
        lambda: P.Graph(1, [[0, 1]]),
        lambda: P.GroupLasso(1, each="row", groups=[0, 1]),
        lambda: P.MinVolume(1, delta=0),
        lambda: P.Prox(np.sum, np.maximum, stage="later"),
    ):
        with pytest.raises(ValueError, match="wanted"):
            make()
