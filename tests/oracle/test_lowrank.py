"""The projection of X on a few random directions."""

import numpy as np
import pytest
from scipy import sparse

from partwise.data import as_data
from partwise.data.lowrank import LowRank, compressed


def data_of_rank(rank, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (rng.random((60, rank)) @ rng.random((rank, 40))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_array])
def test_data_of_low_rank_are_kept(form, dtype):
    X = data_of_rank(3, dtype)
    found = compressed(as_data(form(X)), 3, np.random.default_rng(1))
    tolerance = {"rtol": 1e-4 if dtype == np.float32 else 1e-11}
    assert found.dtype == dtype
    np.testing.assert_allclose(found.to_dense(), X, **tolerance)
    A, B = np.ones((40, 2), dtype), np.ones((60, 2), dtype)
    np.testing.assert_allclose(found @ A, X @ A, **tolerance)
    np.testing.assert_allclose(found.led_by(1) @ B, X.T @ B, **tolerance)
    np.testing.assert_allclose(found.rows(slice(5, 9)).to_dense(), X[5:9], **tolerance)
    rows, columns = found.square_sums()
    np.testing.assert_allclose(rows, (X**2).sum(axis=1), **tolerance)
    np.testing.assert_allclose(columns, (X**2).sum(axis=0), **tolerance)
    assert found.sum() == pytest.approx(X.sum(dtype=np.float64), rel=1e-5)
    assert found.sum_of_squares() == pytest.approx(np.square(X, dtype=float).sum(), rel=1e-5)


def test_the_error_is_near_that_of_the_best_projection():
    rng = np.random.default_rng(0)
    X = data_of_rank(5) + 0.1 * rng.random((60, 40))
    found = compressed(as_data(X), 5, np.random.default_rng(1))  # 25 directions
    rest = np.linalg.norm(found.to_dense() - X)
    best = np.linalg.norm(np.linalg.svd(X)[1][25:])
    assert best <= rest <= 1.2 * best


def test_no_more_directions_than_there_are():
    X = data_of_rank(3)[:4]
    found = compressed(as_data(X), 4, np.random.default_rng(1))
    np.testing.assert_allclose(found.to_dense(), X, rtol=1e-12)


def test_distance_without_cancellation():
    rng = np.random.default_rng(0)
    W, H = rng.random((60, 3)), rng.random((40, 3))
    found = LowRank(W, H)
    assert found.half_distance(W, H) < 1e-30 * found.sum_of_squares()
    moved = W * (1 + 1e-9 * rng.random(W.shape))
    wanted = 0.5 * np.sum(((moved - W) @ H.T) ** 2)
    assert found.half_distance(moved, H) == pytest.approx(wanted, rel=1e-5)
