"""Kernels that go through X row by row equal their naive twins, at every length of a row."""

import math

import numpy as np
import pytest
from numba import njit
from scipy import sparse
from scipy.special import kl_div

from partwise import kernels, losses
from partwise.kernels._blocks import gather_block, put_block, take_block
from partwise.kernels._lines import fall_logarithmic, fall_reciprocal
from partwise.kernels._logarithm import log
from tests.oracle import naive
from tests.oracle.test_kernels import BETAS, DTYPES, close, some

# Around the lengths at which a vector, a line of vectors, a strip of columns are full.
LENGTHS = [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 130]


@njit
def logs(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = log(x[i])
    return out


def test_logarithm():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 2000)), rng.uniform(0.6, 1.6, 2000), [1.0]])
    np.testing.assert_allclose(logs(x), np.log(x), rtol=3e-16, atol=0)
    # Near 1, where the logarithm is small, to all its digits.
    close_to_one = 1 + rng.uniform(-1e-9, 1e-9, 100)
    wanted = [math.log1p(v - 1) for v in close_to_one]
    np.testing.assert_allclose(logs(close_to_one), wanted, rtol=3e-16)
    assert logs(np.zeros(1))[0] == pytest.approx(math.log(2.2250738585072014e-308))


@njit
def taken(B, p, A, indices, start, count):
    gather_block(B, p, A, indices, start, count)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("k", [3, 8, 9, 16, 20])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_gather_block(dtype, index, k, count):
    rng = np.random.default_rng(0)
    A, indices = rng.random((50, k)).astype(dtype), rng.integers(0, 50, 5 + count).astype(index)
    B = np.full(((k + 7) // 8 * 8, 32), np.nan, dtype)
    taken(B, 16, A, indices, 5, count)
    wanted = np.full_like(B, np.nan)
    wanted[: k if k > 8 else 8, 16:24] = 0
    places = indices[[5 + min(i, count - 1) for i in range(8)]]
    wanted[:k, 16:24] = A[places].T
    np.testing.assert_array_equal(B, wanted)


@njit
def take_eight(B, p, A, indices, start):
    take_block(B, p, A, indices, start)


@njit
def put_eight(B, p, A, indices, start):
    put_block(B, p, A, indices, start)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 3, 7, 8, 9, 16, 20])
def test_blocks_of_eight_rows(dtype, k):
    rng = np.random.default_rng(0)
    A, rows = rng.random((50, k)).astype(dtype), rng.permutation(50)[:20]
    # A row more after the last: nothing may be written there.
    room = np.full((k + 1, 32), np.nan, dtype)
    wanted = room.copy()
    take_eight(room[:k], 16, A, rows, 5)
    wanted[:k, 16:24] = A[rows[5:13]].T
    np.testing.assert_array_equal(room, wanted)
    back, unchanged = rng.random((50, k)).astype(dtype), np.setdiff1d(np.arange(50), rows[5:13])
    before = back.copy()
    put_eight(room[:k], 16, back, rows, 5)
    np.testing.assert_array_equal(back[rows[5:13]], A[rows[5:13]])
    np.testing.assert_array_equal(back[unchanged], before[unchanged])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 9, 15, 50])
def test_sparse_products(dtype, index, k):
    rng = np.random.default_rng(1)
    X = sparse.random_array((40, 90), density=0.2, rng=rng, format="csr", dtype=dtype)
    X.sort_indices()
    indptr, indices = X.indptr.astype(index), X.indices.astype(index)
    H, W = rng.random((90, k)).astype(dtype), rng.random((40, k)).astype(dtype)
    dense = X.toarray().astype(np.float64)
    out = np.full((30, k), np.nan, dtype)
    kernels.sparse_product(indptr[5:36], indices, X.data, H, out)
    close(out, dense[5:35] @ H, dtype)
    out = np.ones((50, k), dtype)
    kernels.add_columns(indptr, indices, X.data, W, 20, out)
    close(out, 1 + (dense.T @ W)[20:70], dtype)


def rows_and_factors(columns, k, dtype, beta, seed=0):
    rng = np.random.default_rng(seed)
    X = np.ceil(4 * rng.random((5, columns))) * (rng.random((5, columns)) < 0.7)
    if beta == 0:
        X += 0.1
    F, A = rng.random((5, k)), rng.random((columns, k))
    F[1, 0] = 0
    A[:, k // 2] *= rng.random(columns) < 0.5
    return X.astype(dtype), F.astype(dtype), A.astype(dtype)


def rational(kernel, sides, F, *how, judge):
    """Sweep over all rows as one piece, not extrapolated; return what they are worth."""
    none, values = F[:0], np.zeros(int(judge))
    memory = none, (none, none), F.dtype.type(0)
    kernel(*sides, F, *how, *memory, np.array([0, len(F)]), values, np.zeros(1, np.int64))
    return values.sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("columns", LENGTHS)
@pytest.mark.parametrize("curve", [0.0, 0.7])
def test_rational_sweeps(dtype, beta, columns, curve):
    k = 9
    X, F, A = rows_and_factors(columns, k, dtype, beta)
    slope = (A.sum(axis=0) if beta == 1 else np.zeros(k, dtype)) + dtype(0.3)
    floor, free = dtype(1e-12), some(5, k)
    wanted = naive.rational_sweep(X, F, A, slope, curve, free, floor, beta)
    how = (slope[None], curve, free, 1, floor)
    found = F.copy()
    cost = rational(kernels.rational_dense, (X,), found, A, *how, beta, judge=True)
    tolerance = 1e-9 if dtype is np.float64 else 2e-3
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    Y = found.astype(np.float64) @ A.T
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = -X * np.log(Y) if beta else X / Y + np.log(Y)
    assert cost == pytest.approx(kept.sum(), rel=1e-9 if dtype is np.float64 else 1e-4)
    unjudged = F.copy()
    assert rational(kernels.rational_dense, (X,), unjudged, A, *how, beta, judge=False) == 0
    np.testing.assert_array_equal(unjudged, found)
    if beta == 1:
        again, rows = F.copy(), sparse.csr_array(X)
        sides = rows.indptr, rows.indices, rows.data
        other = rational(kernels.rational_sparse, sides, again, A, *how, judge=True)
        np.testing.assert_allclose(again, found, rtol=tolerance, atol=tolerance)
        assert other == pytest.approx(cost, rel=1e-9 if dtype is np.float64 else 1e-4)


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(20))
def test_rational_sweeps_lower_the_objective_of_every_row(beta, seed):
    X, F, A = rows_and_factors(40, 6, np.float64, beta, seed)
    F *= 10.0 ** np.random.default_rng(seed).uniform(-3, 3)
    slope = A.sum(axis=0) if beta == 1 else np.zeros(6)

    def objective(F):
        Y = np.maximum(F @ A.T, 1e-300)
        return np.array(
            [
                math.fsum(float(naive.divergence(a, b, beta)) for a, b in zip(*pair, strict=True))
                for pair in zip(X, Y, strict=True)
            ]
        )

    before, none = objective(F), np.empty((0, 6), bool)
    for _ in range(8):
        how = (A, slope[None], 0.0, none, 1, 1e-150, beta)
        rational(kernels.rational_dense, (X,), F, *how, judge=False)
        after = objective(F)
        assert (after <= before * (1 + 1e-12)).all()
        before = after


@pytest.mark.parametrize("curve", [0.0, 0.5])
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_rational_step_that_would_take_away_an_only_support(beta, curve):
    """Only the second component explains the last column, and all others pull it to zero."""
    X = np.array([[1.0, 1.0, 1.0, 1e-3]])
    A = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1e-9 * (beta == 0), 1.0]])
    F = np.array([[300.0, 20.0]])
    slope = A.sum(axis=0) if beta == 1 else np.zeros(2)

    def objective(F):
        Y = F @ A.T
        terms = [naive.divergence(a, b, beta) for a, b in zip(X[0], Y[0], strict=True)]
        return math.fsum(map(float, terms)) + 0.5 * curve * float(np.sum(F**2))

    before = objective(F)
    for _ in range(60):
        none = np.empty((0, 2), bool)
        how = (A, slope[None], curve, none, 1, 1e-150, beta)
        rational(kernels.rational_dense, (X,), F, *how, judge=False)
        after = objective(F)
        assert after <= before * (1 + 1e-12)
        before = after
    assert F[0, 1] > 0


@njit
def fall(values, beta):
    return fall_logarithmic(values) if beta == 1 else fall_reciprocal(values)


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("step", [1e-6, 1e-3, 0.1, 1.0, 20.0])
def test_what_a_row_fell_by_at_least(beta, step):
    rng = np.random.default_rng(0)
    for columns in (8, 40, 104):
        x, old = rng.gamma(1.0, size=(2, columns))
        new = old * np.exp(step * rng.standard_normal(columns))
        exact = x * np.log(new / old) if beta == 1 else x / old - x / new + np.log(old / new)
        values = np.array([x, new, np.zeros(columns), old])
        bound, size = fall(values, beta), np.abs(exact).sum()
        rounding = 1e-15 * (x / old + x / new + x + 1).sum()
        assert bound <= exact.sum() + rounding
        if step < 0.2:
            assert bound >= exact.sum() - size * (3 * step) ** 3 - rounding


NEWTON = {"ccd": (1, 2, False), "one step": (1, 1, False), "newton": (1, 1, True)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", LENGTHS)
@pytest.mark.parametrize("steps", NEWTON.values(), ids=NEWTON)
def test_newton_sweeps(dtype, columns, steps):
    k = 9
    X, F, A = rows_and_factors(columns, k, dtype, 1.0)
    for curve, free in ((0.0, some(5, k)), (0.7, np.empty((0, k), bool))):
        slope, floor = A.sum(axis=0) + dtype(0.3), dtype(1e-12)
        wanted = naive.newton_sweep(X, F, A, slope, curve, free, floor, *steps[1:])
        how = (slope[None], curve, free, steps, floor)
        found = F.copy()
        cost = kernels.newton_dense(X, found, A, *how)
        tolerance = 1e-9 if dtype is np.float64 else 2e-3
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
        y = np.maximum(found.astype(np.float64) @ A.T, floor)
        assert cost == pytest.approx(-np.sum(X * np.log(y)), rel=10 * tolerance)
        again, rows = F.copy(), sparse.csr_array(X)
        other = kernels.newton_sparse(rows.indptr, rows.indices, rows.data, again, A, *how)
        np.testing.assert_allclose(again, found, rtol=tolerance, atol=tolerance)
        assert other == pytest.approx(cost, rel=10 * tolerance)


@pytest.mark.parametrize("curve", [0.0, 0.5])
@pytest.mark.parametrize("steps", NEWTON.values(), ids=NEWTON)
@pytest.mark.parametrize("seed", range(20))
def test_newton_sweeps_lower_the_objective_of_every_row(steps, curve, seed):
    """Also where the step of Newton's method goes past the minimum, near to a pole."""
    X, F, A = rows_and_factors(40, 6, np.float64, 1.0, seed)
    A[:, 1:] *= np.arange(40)[:, None] % 5 > 0
    F *= 10.0 ** np.random.default_rng(seed).uniform(-3, 3)

    def objective():
        Y = np.maximum(F @ A.T, 1e-30)
        return kl_div(X, Y).sum(axis=1) + (3 * F + 0.5 * curve * F**2).sum(axis=1)

    before, none = objective(), np.empty((0, 6), bool)
    for _ in range(8):
        slope = A.sum(axis=0)[None] + 3
        kernels.newton_dense(X, F, A, slope, curve, none, steps, 1e-30)
        after = objective()
        assert (after <= before * (1 + 1e-12)).all()
        before = after


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("columns", LENGTHS)
@pytest.mark.parametrize("turned", [False, True])
def test_parts_and_loss_of_a_product(dtype, beta, columns, turned):
    X, F, A = rows_and_factors(columns, 4, dtype, 0.0)
    floor = dtype(0.2)  # some entries of the model are below it
    if turned:
        X = np.asfortranarray(X)
    Y = np.maximum(F.astype(np.float64) @ A.T, floor)
    wanted = [X * Y ** (beta - 2), Y ** (beta - 1)][: 1 if beta == 1 else 2]
    of_F, of_A = (np.full((len(wanted), *factor.shape), np.nan, dtype) for factor in (F, A))
    alone = np.full_like(of_F, np.nan)
    kernels.product_split(X, F, A, beta, floor, alone, of_A[:0])
    kernels.product_split(X, F, A, beta, floor, of_F, of_A)
    np.testing.assert_array_equal(alone, of_F)
    for part, slope in enumerate(wanted):
        close(of_F[part], slope @ A, dtype)
        close(of_A[part], slope.T @ F, dtype)
    total, scale = kernels.product_loss(X, F, A, beta, floor)
    wanted = np.empty(X.size)
    kernels.beta_values(X.astype(np.float64).ravel(), Y.ravel(), beta, wanted)
    assert total == pytest.approx(wanted.sum(), rel=1e-9 if dtype is np.float64 else 1e-3)
    assert scale >= 0


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5])
def test_quick_total(beta):
    rng = np.random.default_rng(0)
    x, y = rng.gamma(1.0, size=(2, 1001)) + 0.01
    if beta:
        x[:100] = 0
    total, size = kernels.quick_total(x, y, beta)
    assert total == pytest.approx(kernels.beta_total(x, y, beta), rel=1e-13)
    assert size > 0
    if beta in (0.5, 1.5):
        return  # they are one sum
    # The divergence is what it is at y = x, and the parts with and without y.
    loss = losses.as_loss(beta)
    rest = np.sum(y - x * np.log(y)) if beta else np.sum(x / y + np.log(y))
    assert loss.constant(x) + rest == pytest.approx(total, rel=1e-11)


@pytest.mark.parametrize("beta", [0.5, 1.5])
def test_quick_total_of_zeros(beta):
    x, y, careful = np.array([0.0, 2.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.empty(3)
    kernels.beta_values(x, y, beta, careful)
    quick = [kernels.quick_total(x[i : i + 1], y[i : i + 1], beta)[0] for i in range(3)]
    assert quick == pytest.approx(list(careful))
