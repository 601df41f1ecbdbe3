"""Shares of the sum of squares that are explained, against whole matrices."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from partwise._threads import one_pool
from partwise.data import as_data
from partwise.estimators._explain import explained


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 7, 130])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("known", [False, True], ids=["", "slopes"])
def test_shares_are_those_of_whole_matrices(store, k, dtype, known):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((700, 90)) < 0.3, rng.random((700, 90)), 0).astype(dtype)
    X[3] = X[:, 5] = 0
    W, H = (rng.random((length, k)).astype(dtype) / k for length in X.shape)
    W64, H64, X64 = (B.astype(np.float64) for B in (W, H, X))
    slopes = W64 @ (H64.T @ H64) - X64 @ H64, H64 @ (W64.T @ W64) - X64.T @ W64
    slopes = tuple(slope.astype(dtype) for slope in slopes) if known else None
    with one_pool():
        found = explained(as_data(store(X)), W, H, slopes)
    rest = np.square(X64 - W64 @ H64.T)
    squares = np.square(X64)
    parts = (np.outer(w, h) for w, h in zip(W64.T, H64.T, strict=True))
    alone = np.array([np.square(X64 - part).sum() for part in parts])
    close = {"rtol": 1e-9} if dtype is np.float64 else {"rtol": 1e-3, "atol": 1e-5}
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis, shares in ((1, found.sample), (0, found.feature)):
            wanted = 1 - rest.sum(axis=axis) / squares.sum(axis=axis)
            there = squares.sum(axis=axis) > 0
            np.testing.assert_allclose(shares[there], wanted[there], **close)
    np.testing.assert_allclose(found.total, 1 - rest.sum() / squares.sum(), **close)
    np.testing.assert_allclose(found.component, 1 - alone / squares.sum(), **close)


def test_nothing_as_large_as_the_factors_is_made():
    """Gram matrices of many rows are summed up as they come."""
    rng = np.random.default_rng(0)
    F, H = rng.random((12_000, 400), np.float32), rng.random((30, 400), np.float32)
    data = as_data(sparse.random_array((12_000, 30), density=0.1, rng=rng, dtype=np.float32))
    slopes = F, H
    tracemalloc.start()
    explained(data, F, H, slopes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * F.nbytes
