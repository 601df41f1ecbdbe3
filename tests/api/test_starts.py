"""The starts, as a fit receives them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, MiniBatchNMF

INITS = ["random", "random-acol", "nndsvd", "nndsvda", "nndsvdar"]
DETERMINISTIC = ["nndsvd", "nndsvda"]
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
            assert F.any()
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


@pytest.mark.parametrize("init", DETERMINISTIC)
def test_the_transpose_swaps_the_factors(init):
    X = data()
    W, H = start(X, init)
    V, G = start(np.ascontiguousarray(X.T), init)
    np.testing.assert_allclose(V, H.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(G, W.T, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 30), (1200, 900)], ids=["small", "large"])
@pytest.mark.parametrize("init", INITS)
def test_dense_equals_sparse(init, shape):
    X = data(shape=shape)
    dense = start(X, init)
    for store in (sparse.csr_array, sparse.csc_matrix):
        for F, G in zip(dense, start(store(X), init), strict=True):
            np.testing.assert_allclose(F, G, rtol=1e-5, atol=1e-7 * F.max())


@pytest.mark.parametrize("init", INITS)
def test_seeds(init):
    X = data()
    one, same, other = start(X, init), start(X, init), start(X, init, seed=1)
    for F, G, D in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(F, G)
        assert np.array_equal(F, D) == (init in DETERMINISTIC)


@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
@pytest.mark.parametrize("init", ["nndsvd", "nndsvda", "nndsvdar"])
def test_more_components_than_singular_vectors(init, shape, Estimator):
    X = data(shape=shape) + 0.1
    with pytest.raises(ValueError, match=r"n_components (<=|≤)"):
        Estimator(6, init=init).fit(X)
    assert start(X, init, 5)[0].shape == (shape[0], 5)
    for fallback in ("random", "random-acol", None):
        assert start(X, fallback, 6)[0].any(axis=0).all()


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


@pytest.mark.parametrize("init", INITS)
def test_rank_deficient_and_zero_data(init):
    ones = np.ones((8, 7))
    for X in (ones, np.outer(np.arange(8.0), np.arange(7.0)), np.zeros((8, 7))):
        for F in start(X, init, 3):
            assert np.isfinite(F).all()
            assert (F >= 0).all()
