"""The starts, as a fit receives them."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, MiniBatchNMF
from partwise._threads import one_pool
from partwise.data import Stored, as_data, open_reader
from partwise.init import STARTS, draws, make_start, random_acol
from partwise.models import Bilinear

INITS = [*STARTS, "best-random", "compressed"]
SCALED = list(STARTS)  # to the sum of X; the best of short runs is as the solver left it
DETERMINISTIC = ["nndsvd", "nndsvda", "nnsvd-lrc", "spa", "ica"]
SINGULAR = ["nndsvd", "nndsvda", "nndsvdar"]
K = 4


def data(seed=0, shape=(40, 30)):
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.7, size=(shape[0], K)) @ rng.gamma(0.7, size=(K, shape[1]))
    return np.where(rng.uniform(size=shape) < 0.3, 0, X + 0.05 * rng.uniform(size=shape))


def start(X, init, k=K, seed=0, Estimator=NMF):
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = Estimator(k, init=init, random_state=seed)
        model.fit(X, callback=lambda s: seen.append((s.W, s.components)) or True)
    assert model.init_ == (init or model.init_)
    return seen[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 4, 30])
@pytest.mark.parametrize("init", INITS)
def test_non_negative_finite_of_the_right_shape_dtype_and_size(init, k, dtype):
    X = data().astype(dtype)
    for Estimator in (NMF, MiniBatchNMF):
        W, H = start(X, init, k, Estimator=Estimator)
        assert W.shape == (40, k)
        assert H.shape == (k, 30)
        for F in (W, H):
            assert F.dtype == dtype
            assert np.isfinite(F).all()
            assert (F >= 0).all()
            assert F.any(axis=int(F is H)).all()  # of every component
        if init in SCALED:
            assert (W @ H).sum() == pytest.approx(X.sum(), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 2.0**-60, 2.0**10, 1e12, 1e300])
@pytest.mark.parametrize("init", INITS)
def test_scale_equivariant(init, scale):
    X = data()
    for F, G in zip(start(X, init), start(scale * X, init), strict=True):
        np.testing.assert_allclose(
            G, np.sqrt(scale) * F, rtol=1e-9, atol=1e-9 * np.sqrt(scale) * F.max()
        )


@pytest.mark.parametrize("init", DETERMINISTIC)
def test_permutation_equivariant(init):
    X = data()
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(40), rng.permutation(30)
    W, H = start(X, init)
    V, G = start(X[rows][:, columns], init)
    np.testing.assert_allclose(V, W[rows], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(G, H[:, columns], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("init", ["nndsvd", "nndsvda"])
def test_the_transpose_swaps_the_factors(init):
    X = data()
    W, H = start(X, init)
    V, G = start(np.ascontiguousarray(X.T), init)
    np.testing.assert_allclose(V, H.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(G, W.T, rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="module", params=[(40, 30), (1200, 900)], ids=["small", "large"])
def stores(request, tmp_path_factory):
    """One matrix, dense and in every other storage."""
    X = data(shape=request.param)
    path = tmp_path_factory.mktemp("stored") / "X.npy"
    np.save(path, X)
    on_disk = Stored(open_reader(path))
    on_disk.block_bytes = X.nbytes // 5
    others = {
        "csr": as_data(sparse.csr_array(X)),
        "csc": as_data(sparse.csc_matrix(X)),
        "columns first": as_data(np.asfortranarray(X)),
        "blocks": as_data(X, block_rows=7 if len(X) < 100 else 130),
        "disk": on_disk,
    }
    with one_pool():  # as in a fit
        yield as_data(X), others


@pytest.mark.parametrize("k", [1, K])
@pytest.mark.parametrize("init", SCALED)
def test_the_storage_does_not_matter(init, k, stores):
    dense, others = stores
    _, wanted = make_start(dense, Bilinear(k), init, np.random.default_rng(0))
    for storage, other in others.items():
        _, found = make_start(other, Bilinear(k), init, np.random.default_rng(0))
        for name, F in wanted.items():
            np.testing.assert_allclose(
                found[name], F, rtol=1e-5, atol=1e-7 * F.max(), err_msg=storage
            )


@pytest.mark.parametrize("init", INITS)
def test_dense_equals_sparse(init):
    X = data()
    dense = start(X, init)
    for store in (sparse.csr_array, sparse.csc_matrix):
        for F, G in zip(dense, start(store(X), init), strict=True):
            np.testing.assert_allclose(F, G, rtol=1e-5, atol=1e-7 * F.max())


def test_nothing_of_the_size_of_x_is_made_of_sparse_data():
    """20,000 × 20,000 entries are 3,200 MB, and the factors 1 MB."""
    rng = np.random.default_rng(0)
    at = rng.integers(0, 20_000, (2, 40_000))
    X = as_data(sparse.csr_array((rng.random(40_000), at), shape=(20_000, 20_000)))
    for init in SCALED:
        tracemalloc.start()
        make_start(X, Bilinear(3), init, np.random.default_rng(0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6, init


@pytest.mark.parametrize("init", INITS)
def test_seeds(init):
    X = data()
    one, same, other = start(X, init), start(X, init), start(X, init, seed=1)
    for F, G, D in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(F, G)
        assert np.array_equal(F, D) == (init in DETERMINISTIC)
    assert draws(init) == (init not in DETERMINISTIC)


@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
@pytest.mark.parametrize("init", SINGULAR)
def test_more_components_than_singular_vectors(init, shape, Estimator):
    X = data(shape=shape) + 0.1
    with pytest.raises(ValueError, match=r"n_components (<=|≤)"):
        Estimator(6, init=init).fit(X)
    assert start(X, init, 5)[0].shape == (shape[0], 5)
    for other in (None, *(name for name in INITS if name not in SINGULAR)):
        W, H = start(X, other, 6, Estimator=Estimator)
        assert W.any(axis=0).all()
        assert H.any(axis=1).all()


def test_default_is_nndsvda_or_random():
    for X, k, name in ((data(), 30, "nndsvda"), (data(), 31, "random")):
        assert NMF(k, tol=0, max_iter=1).fit(X).init_ == name


@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_random_acol_averages_columns_and_rows_of_the_data(scale):
    X = data() * scale
    W, H = start(X, "random-acol")
    for F, parts in ((W.T, X.T), (H, X)):
        for component in F:
            # A mean of columns is, up to the common scale, in their convex hull: as
            # non-negative weights, whose sum is the same for every component.
            weights, left = nnls(np.vstack([parts.T, np.zeros(len(parts))]), np.r_[component, 0.0])
            assert left <= 1e-7 * np.linalg.norm(component)
            assert weights.sum() > 0
    hull = np.vstack([X, np.ones(30) * X.mean()])
    weight_sums = [
        nnls(hull, np.r_[w, X.mean() * w.sum() / X.sum(axis=0).mean()])[0].sum() for w in W.T
    ]
    assert np.ptp(weight_sums) < 0.6 * np.mean(weight_sums)
    assert start(X, "random-acol", 1)[0].std() > 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_components_that_are_not_found_are_drawn_small(dtype):
    """Rounding is no component, however the decomposition distributes it."""
    X = np.outer(np.sqrt(np.arange(1.0, 201)), np.sqrt(np.arange(3.0, 153))).astype(dtype)
    _, factors = make_start(as_data(X), Bilinear(4), "nndsvd", None)
    for F in factors.values():
        assert F[:, 1:].all()
        level = np.abs(F[:, 1:]).mean() / F.mean()
        assert 0.005 < level < 0.05


@pytest.mark.parametrize(("size", "count"), [(100, 20), (30, 10)])
def test_random_acol_averages_twenty_at_most(size, count):
    factors = random_acol(as_data(np.eye(size)), Bilinear(3), np.random.default_rng(0))
    for F in factors.values():
        assert np.count_nonzero(F, axis=0).tolist() == [count] * 3
        np.testing.assert_allclose(F[F > 0], 1 / count)


@pytest.mark.parametrize("init", ["random", "random-acol"])
@pytest.mark.parametrize("shape", [(40, 30), (12, 9), (6, 5)])
def test_components_of_a_random_start_differ(init, shape):
    # Equal components stay equal under multiplicative updates: the rank is lost.
    X = data(shape=shape) + 0.01
    W, H = start(X, init, 3)
    for F in (W.T, H):
        F = F / np.linalg.norm(F, axis=1, keepdims=True)
        assert (F @ F.T)[np.triu_indices(3, 1)].max() < 1 - 1e-6


@pytest.mark.parametrize("init", ["nndsvda", "nndsvdar"])
def test_filled_starts_have_no_zeros_and_keep_nndsvd_elsewhere(init):
    X = data()
    plain, filled = start(X, "nndsvd"), start(X, init)
    for F, G in zip(plain, filled, strict=True):
        assert (F == 0).any()
        assert (G[F == 0] > 0).all()
        ratio = G[F > 0] / F[F > 0]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_nndsvd_is_a_good_rank_one_model_of_positive_data():
    X = data() + 0.1
    W, H = start(X, "nndsvd", 1)
    u, s, vt = np.linalg.svd(X)
    best = s[0] * np.abs(np.outer(u[:, 0], vt[0]))
    np.testing.assert_allclose(W @ H / (W @ H).sum(), best / best.sum(), rtol=1e-8)


DEGENERATE = {
    "constant": np.ones((8, 7)),
    "rank one": np.outer(np.arange(8.0), np.arange(7.0)),
    "two rows, repeated": np.repeat([[1.0, 2, 0, 0, 1, 0, 0], [0, 0, 3, 1, 0, 0, 5]], 4, axis=0),
    "one entry": np.eye(8, 7) * (np.arange(8) == 3)[:, None],
    "zero rows and columns": data(shape=(8, 7)) * np.outer(np.arange(8) > 2, np.arange(7) > 1),
    "zero": np.zeros((8, 7)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("init", INITS)
def test_degenerate_data(init, case, dtype):
    X = DEGENERATE[case].astype(dtype)
    W, H = start(X, init, 3)
    for F in (W, H):
        assert np.isfinite(F).all()
        assert (F >= 0).all()
    if not X.any():
        return
    if init in SCALED:
        assert (W @ H).sum() == pytest.approx(X.sum(), rel=1e-4)
        # No component is lost, and no two are equal, from where some solvers never leave.
        # Averages of a few rows can be zero, or all the same.
        assert H.any(axis=1).all()
        assert W.any(axis=0).all()
        if init != "random-acol":
            W, H = (F / np.linalg.norm(F, axis=1, keepdims=True) for F in (W.T, H))
            assert ((W @ W.T) * (H @ H.T))[np.triu_indices(3, 1)].max() < 1 - 1e-6


@pytest.mark.parametrize("init", SINGULAR)
def test_more_components_than_the_rank_of_the_data_are_used(init):
    """Two nested hexagons: rank 3, and exact with four components, but not with three."""
    row = np.array([1.0, 3, 5, 5, 3, 1])
    X = np.array([np.roll(row, shift) for shift in range(6)])
    assert np.linalg.matrix_rank(X) == 3
    model = NMF(4, init=init, random_state=0, max_iter=2000, tol=0).fit(X)
    assert model.reconstruction_err_ < 1e-6 * np.linalg.norm(X)
    assert NMF(3, init=init, max_iter=2000, tol=0).fit(X).reconstruction_err_ > 1


# ---------------------------------------------------------------- planted truth


def separable(seed, noise=0.0, k=5, shape=(60, 25)):
    """Rows that are mixtures of k pure rows, which are among them in random places."""
    rng = np.random.default_rng(seed)
    H = rng.gamma(0.5, size=(k, shape[1])) + 1e-3
    W = rng.dirichlet(np.full(k, 0.7), size=shape[0])
    pure = rng.choice(shape[0], k, replace=False)
    W[pure] = np.eye(k)
    X = rng.uniform(0.1, 10, size=(shape[0], 1)) * (W @ H)
    return X * (1 + noise * rng.uniform(-1, 1, size=X.shape)), pure


def cosines(A, B):
    """Return the cosines of the rows of A with those of B, matched one to one."""
    A, B = (F / np.linalg.norm(F, axis=1, keepdims=True) for F in (A, B))
    rows, columns = linear_sum_assignment(-(A @ B.T))
    return (A @ B.T)[rows, columns]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(5))
def test_spa_finds_the_pure_rows(seed, dtype):
    X, pure = separable(seed)
    W, H = start(X.astype(dtype), "spa", 5)
    assert cosines(H, X[pure]).min() > 1 - 1e-6
    assert np.linalg.norm(X - W @ H) < 1e-2 * np.linalg.norm(X)
    noisy, pure = separable(seed, noise=1e-3)
    assert cosines(start(noisy, "spa", 5)[1], noisy[pure]).min() > 1 - 1e-6


def plain_spa(X, k):
    """The algorithm as it is in the paper: project all rows, once per component."""
    R = X / X.sum(axis=1, keepdims=True)
    found = []
    for _ in range(k):
        found.append(int(np.square(R).sum(axis=1).argmax()))
        u = R[found[-1]] / np.linalg.norm(R[found[-1]])
        R = R - np.outer(R @ u, u)
    return found


@pytest.mark.parametrize("shape", [(30, 40), (900, 60)])
def test_spa_takes_the_rows_that_projecting_all_rows_takes(shape):
    for seed in range(5):
        X = np.random.default_rng(seed).gamma(1.0, size=shape)
        _, H = start(X, "spa", 12)
        rows = X[plain_spa(X, 12)]
        cosine = np.sum(H * rows, axis=1) / np.linalg.norm(H, axis=1) / np.linalg.norm(rows, axis=1)
        np.testing.assert_allclose(cosine, 1, atol=1e-12)


@pytest.mark.parametrize("init", ["kmeans", "spherical-kmeans"])
def test_clusters_come_back(init):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        centres = 10.0 * rng.permutation(np.eye(6, 20) + np.eye(6, 20, k=7)) + 0.2
        labels = np.r_[np.arange(6), rng.integers(6, size=200)]
        X = centres[labels] * rng.uniform(0.9, 1.1, size=(206, 20))
        means = np.array([X[labels == j].mean(axis=0) for j in range(6)])
        if init == "spherical-kmeans":
            X *= rng.uniform(0.05, 20, size=(206, 1))  # lengths that hide the clusters
            unit = X / np.linalg.norm(X, axis=1, keepdims=True)
            means = np.array([unit[labels == j].mean(axis=0) for j in range(6)])
        _, H = start(X, init, 6, seed=seed)
        assert cosines(H, means).min() > 1 - 1e-12


def test_components_that_are_independent_and_close_to_zero_come_back():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        W = rng.gamma(0.5, size=(3000, 4))
        H = rng.uniform(size=(4, 12))
        found, _ = start(W @ H, "ica", 4)
        assert cosines(found.T, W.T).min() > 0.99
        assert cosines(start(W @ H, "nndsvd", 4)[0].T, W.T).min() < 0.95


def test_low_rank_correction_is_closer_than_the_singular_vectors():
    errors = []
    for seed in range(10):
        X = data(seed)
        for init in ("nnsvd-lrc", "nndsvd", "nndsvda", "random"):
            W, H = start(X, init, 6)
            errors.append(np.linalg.norm(X - W @ H) / np.linalg.norm(X))
    lrc, *others = np.mean(np.reshape(errors, (10, 4)), axis=0)
    assert lrc < 0.95 * min(others)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_both_parts_of_singular_vectors_are_exact_where_the_rank_is_two(k):
    """X = Σ of two triplets; |u₁||v₁| and both parts of the second, fitted to X itself."""
    X = np.block([[np.full((6, 4), 2.0), np.zeros((6, 5))], [np.zeros((3, 4)), np.ones((3, 5))]])
    W, H = start(X, "nnsvd-lrc", k)
    assert np.linalg.norm(X - W @ H) < 0.2 * np.linalg.norm(X)


@pytest.mark.parametrize("seed", range(5))
def test_a_component_of_nndsvd_is_the_best_of_rank_one_of_the_positive_part(seed):
    """[u vᵀ]₊ = u⁺ v⁺ᵀ + u⁻ v⁻ᵀ has these two singular triplets, of which the larger is taken."""
    X = data(seed)
    W, H = start(X, "nndsvd", 6)
    u, _, vt = np.linalg.svd(X)
    for j in range(6):
        positive = np.maximum(np.outer(u[:, j], vt[j]), 0)
        left, sizes, right = np.linalg.svd(positive)
        if j:
            assert sizes[1] > 1e-3
        assert (sizes[2:] < 1e-12).all()
        best = np.abs(np.outer(left[:, 0], right[0]))
        found = np.outer(W[:, j], H[j])
        np.testing.assert_allclose(found / found.sum(), best / best.sum(), atol=1e-9)


# ---------------------------------------------------------------- in a fit


def test_the_best_of_short_runs_is_no_worse_than_one():
    X = data()
    for params in ({}, {"beta_loss": 1}, {"alpha_W": 0.01, "l1_ratio": 0.5}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            best, one, same = (
                NMF(6, init=init, random_state=3, tol=0, max_iter=5, **params).fit(X)
                for init in ("best-random", "random", "best-random")
            )
        # Its first draw is that of "random".
        assert best.objective_history_[0] <= one.objective_ * (1 + 1e-12)
        assert best.init_ == "best-random"
        np.testing.assert_array_equal(best.components_, same.components_)
    assert len(start(X, "best-random", Estimator=MiniBatchNMF)[0]) == 40
    assert MiniBatchNMF(3, init="best-random", random_state=0).partial_fit(X).components_.any()


@pytest.mark.parametrize("init", DETERMINISTIC)
def test_further_starts_are_random_where_the_first_does_not_draw(init):
    X = data()
    many = NMF(6, init=init, n_init=3, random_state=0, max_iter=20, tol=1e-1).fit(X)
    assert len(set(many.objectives_)) == 3
    assert many.objectives_[0] == NMF(6, init=init, max_iter=20, tol=1e-1).fit(X).objective_


@pytest.mark.parametrize("beta", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("init", [init for init in INITS if init != "random"])
def test_zeros_of_a_start_do_not_lock(init, beta):
    """At the end of multiplicative updates no entry is zero along which the objective falls."""
    if init == "compressed" and beta != 2:
        with pytest.raises(ValueError, match="squared loss"):
            NMF(6, init=init, beta_loss=beta).fit(data() + 0.01)
        return
    X = data() + (0.01 if beta < 1 else 0.0)
    params = {"solver": "mu", "beta_loss": beta, "tol": 0, "max_iter": 400}
    found = NMF(6, init=init, random_state=0, **params).fit(X)
    W, H = found.W_, found.components_
    model = np.maximum(W @ H, 1e-12)
    negative, positive = X * model ** (beta - 2), model ** (beta - 1)
    for F, falling in (
        (W, (negative @ H.T) / (positive @ H.T)),
        (H, (W.T @ negative) / (W.T @ positive)),
    ):
        assert falling[F == 0].max(initial=0.0) < 1.1
    best = NMF(6, init="random", n_init=5, random_state=0, **params).fit(X)
    assert found.objective_ <= 1.15 * best.objective_


# ---------------------------------------------------------------- a callable


def ones(X, n_components, random_state):
    return np.ones((X.shape[0], n_components)), np.ones((n_components, X.shape[1]))


@pytest.mark.parametrize("scale", [1.0, 1e200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array])
def test_a_callable_makes_the_start(store, dtype, scale):
    if dtype == np.float32 and scale > 1:
        return
    X = store((scale * data()).astype(dtype))
    seen, seeds = [], []

    def mine(given, n_components, random_state):
        seen.append(given)
        seeds.append(random_state)
        rng = np.random.default_rng(random_state)
        return rng.random((40, n_components)), rng.random((n_components, 30))

    for Estimator in (NMF, MiniBatchNMF):
        model = Estimator(K, init=mine, random_state=0, max_iter=3, tol=0)
        first = []
        model.fit(X, callback=lambda s, first=first: first.append((s.W, s.components)) and False)
        assert model.init_ == "mine"
        rng = np.random.default_rng(seeds[-1])
        W, H = rng.random((40, K)).astype(dtype), rng.random((K, 30)).astype(dtype)
        np.testing.assert_array_equal(first[0][0], W)  # as they are
        np.testing.assert_array_equal(first[0][1], H)
        assert model.components_.dtype == dtype
    assert sparse.issparse(seen[0]) == sparse.issparse(X)
    assert (abs(seen[0] - X)).max() == 0
    assert len(set(seeds)) == 1
    NMF(K, init=mine, n_init=3, random_state=0, max_iter=3, tol=0).fit(X)
    assert len(set(seeds)) == 3
    MiniBatchNMF(K, init=mine, random_state=0).partial_fit(X)


def test_what_a_callable_returns_is_not_modified():
    kept = ones(data(), K, 0)
    copies = [F.copy() for F in kept]
    NMF(K, init=lambda *_: kept, max_iter=5, tol=0).fit(data())
    for F, G in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(F, G)


WRONG = {
    "one array": (lambda W, H: W, TypeError, "length 40; wanted the pair"),
    "nothing": (lambda W, H: None, TypeError, "got None; wanted the pair"),
    "three": (lambda W, H: (W, H, 1), TypeError, "length 3; wanted the pair"),
    "H turned": (lambda W, H: (W, H.T), ValueError, r"returned H\). Expected 4, but got 30"),
    "rows": (lambda W, H: (W[1:], H), ValueError, r"returned W\). Expected 40, but got 39"),
    "flat": (lambda W, H: (W[:, 0], H), ValueError, "1 dimensions; wanted a 2-dim"),
    "negative": (lambda W, H: (-W, H), ValueError, r"Negative values .*returned W"),
    "nan": (lambda W, H: (W, H * np.nan), ValueError, r"returned H\) contains NaN"),
    "zero": (lambda W, H: (0 * W, H), ValueError, "full of zeros"),
    "complex": (lambda W, H: (W + 1j, H), ValueError, "dtype complex128; wanted real"),
    "text": (lambda W, H: (W.astype(str), H), ValueError, "wanted numbers"),
    "sparse": (lambda W, H: (sparse.csr_array(W), H), TypeError, "is sparse"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_callable_that_returns_something_else_is_told_so(case):
    change, error, text = WRONG[case]

    def mine(X, n_components, random_state):
        return change(*ones(X, n_components, random_state))

    for Estimator in (NMF, MiniBatchNMF):
        with pytest.raises(error, match=text) as caught:
            Estimator(K, init=mine).fit(data())
        assert "init=mine" in str(caught.value)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'spherical-kmeans'"):
        NMF(K, init="nica").fit(data())


def test_a_fit_of_compressed_data_is_worth_many_iterations():
    """Rank 20 plus noise, after Erichson et al. (2018), section 4: five looks at all of X."""
    rng = np.random.default_rng(0)
    X = rng.random((500, 20)) @ rng.random((20, 400)) + 1e-3 * rng.random((500, 400))
    params = {"random_state": 0, "tol": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = NMF(20, max_iter=60, **params).fit(X)
        short = NMF(20, init="compressed", max_iter=5, **params).fit(X)
    assert short.reconstruction_err_ <= 1.02 * whole.reconstruction_err_
