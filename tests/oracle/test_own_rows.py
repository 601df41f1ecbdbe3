"""The kernel of listed rows with Gram matrices of their own against whole matrices."""

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, kernels

TOLERANCE = {"d": 1e-10, "f": 2e-4}


def some_rows(k, dtype, *, columns=40, count=37, index="int32"):
    """Listed rows with weights, some of which know nothing, one of which knows all, and factors."""
    rng = np.random.default_rng(k)
    known = rng.random((count, columns)) < rng.uniform(0, 1, (count, 1)) * min(1, 200 / columns)
    known[[0, 11, count - 1]] = False
    known[5] = True
    X = sparse.csr_array(np.where(known, rng.random(known.shape), 0)).astype(dtype)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    weights = rng.uniform(0.1, 2, X.nnz).astype(dtype)
    F, A = rng.random((count, k)).astype(dtype), rng.random((columns, k)).astype(dtype)
    return X, weights, F, A


def descend(X, weights, F, A, *, repeats=3, shrink=0.0, **given):
    count, k = F.shape
    how = {
        "added": (np.zeros(k, F.dtype), F.dtype.type(0)), "free": np.empty((0, k), bool),
        "before": F[:0], "least": 1e-5, "ends": (0, count), "judged": True,
    } | given  # fmt: skip
    values = np.full(len(how["ends"]) - 1 if how["judged"] else 0, np.nan)
    kernels.descend_listed_rows(
        X.indptr, (X.indices, X.data, weights), A, F, how["added"], how["free"],
        (np.arange(k), repeats, shrink), how["before"], F.dtype.type(0.5), how["least"],
        np.array(how["ends"]), values, np.zeros(1, np.int64),
    )  # fmt: skip
    return values


def naive(X, weights, F, A, slope, curve, free, repeats):
    """One row after the other by `coordinate_sweeps` on its own Gram matrix, in float64."""
    V = sparse.csr_array((weights, X.indices, X.indptr), shape=X.shape).toarray().astype(float)
    X, A = X.toarray().astype(float), A.astype(float)
    found = np.maximum(F.astype(float), 0)
    for x, v, f, there in zip(X, V, found, free, strict=True):
        own = A.T @ (v[:, None] * A) + curve * np.eye(len(f))
        cross = (A.T @ (v * x) - slope)[None]
        kernels.coordinate_sweeps(f[None], own, cross, np.arange(len(f)), there[None], repeats, 0.0)
    return found, 0.5 * np.sum(V * (X - found @ A.T) ** 2, axis=1)


def check(k, dtype, *, columns=40, count=37, index="int32"):
    X, weights, F, A = some_rows(k, dtype, columns=columns, count=count, index=index)
    rng = np.random.default_rng(1)
    free, slope = rng.random(F.shape) < 0.9, rng.uniform(0, 0.1, k).astype(dtype)
    F[:, 0] -= 0.5  # as after an extrapolation
    curve, ends = F.dtype.type(0.3), (0, 13, count)
    wanted, value = naive(X, weights, F, A, slope, curve, free, 3)
    end = descend(X, weights, F, A, added=(slope, curve), free=free, ends=ends)
    rounding = TOLERANCE[np.dtype(dtype).char]
    np.testing.assert_allclose(F, wanted, rtol=rounding, atol=rounding)
    np.testing.assert_allclose(end, [sum(value[:13]), sum(value[13:])], rtol=10 * rounding)


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15, 16, 23, 31, 50])
def test_rows_move_as_the_naive_ones(k, dtype):
    check(k, dtype)


@pytest.mark.parametrize("columns", [1, 7, 9000])
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_few_columns_tables_that_are_far_and_both_kinds_of_numbers(columns, index):
    check(10, "d", columns=columns, index=index)


@pytest.mark.parametrize("count", [14, 16, 32, 33])
def test_rows_that_fill_their_lines_and_rows_that_do_not(count):
    check(6, "d", count=count)
    check(6, "f", count=count)


def test_enough_sweeps_end_at_the_minimum():
    X, weights, F, A = some_rows(6, "d")
    descend(X, weights, F, A, repeats=2000)
    V = sparse.csr_array((weights, X.indices, X.indptr), shape=X.shape).toarray()
    slope = -(V * (X.toarray() - F @ A.T)) @ A
    told = np.diff(X.indptr) > 12
    assert np.abs(np.minimum(F, slope))[told].max() < 1e-9


def test_sweeps_over_a_row_end_when_it_hardly_moves():
    X, weights, F, A = some_rows(6, "d")
    once, few, many = F.copy(), F.copy(), F.copy()
    descend(X, weights, once, A, repeats=1)
    descend(X, weights, few, A, repeats=50, shrink=1.0)
    descend(X, weights, many, A, repeats=50, shrink=0.1)
    np.testing.assert_array_equal(once, few)
    assert np.abs(many - once).max() > 1e-3


def test_a_row_does_not_depend_on_those_beside_it():
    """Neither on when they are done, nor on where pieces end."""
    X, weights, F, A = some_rows(6, "d")
    together, apart = F.copy(), F.copy()
    descend(X, weights, together, A, repeats=9, shrink=0.1)
    descend(X, weights, apart, A, repeats=9, shrink=0.1, ends=tuple(range(len(F) + 1)))
    np.testing.assert_array_equal(together, apart)


def test_the_squares_are_not_asked_for():
    X, weights, F, A = some_rows(6, "d")
    asked = F.copy()
    descend(X, weights, asked, A)
    assert descend(X, weights, F, A, judged=False).size == 0
    np.testing.assert_array_equal(F, asked)


@pytest.mark.parametrize("dtype", ["d", "f"])
def test_where_products_cancel_squares_come_from_entries(dtype):
    X, weights, F, A = some_rows(4, dtype)
    F[0] = 0.5
    rows = np.repeat(np.arange(len(F)), np.diff(X.indptr))
    noise = 1e-9 if dtype == "d" else 1e-4
    model = np.einsum("pl,pl->p", F[rows].astype(float), A[X.indices].astype(float))
    X.data[:] = model * (1 + noise * np.random.default_rng(0).standard_normal(len(model)))
    least = 1e-5 if dtype == "d" else 1e-2
    value = descend(X, weights, F, A, repeats=1, least=least)[0]
    rest = X.data - np.einsum("pl,pl->p", F[rows].astype(float), A[X.indices].astype(float))
    assert value == pytest.approx(0.5 * np.sum(weights * rest**2), rel=1e-6)


def test_rows_without_curvature():
    """What nothing is known of stays, or goes to zero if a penalty pushes it."""
    X, weights, F, A = some_rows(5, "d")
    A[:, 2] = 0
    kept, pushed = F.copy(), F.copy()
    descend(X, weights, kept, A)
    descend(X, weights, pushed, A, added=(np.full(5, 0.1), 0.0))
    np.testing.assert_array_equal(kept[[0, 11, -1]], F[[0, 11, -1]])
    np.testing.assert_array_equal(kept[:, 2], F[:, 2])
    assert not pushed[[0, 11, -1]].any()
    assert not pushed[:, 2].any()


def test_rows_are_extrapolated_along_their_moves():
    X, weights, F, A = some_rows(5, "d")
    plain, before = F.copy(), F - 0.1
    start = before.copy()
    descend(X, weights, plain, A)
    descend(X, weights, F, A, before=before)
    np.testing.assert_array_equal(before, plain)
    np.testing.assert_allclose(F, np.maximum(plain + 0.5 * (plain - start), 0), atol=1e-14)


def test_the_threads_do_not_change_a_bit():
    from threadpoolctl import threadpool_limits

    X = sparse.random_array((900, 700), density=0.02, format="csr", rng=0)
    how = {"init": "random", "random_state": 0, "max_iter": 9, "tol": 0, "unstored": "missing"}
    found = NMF(8, **how).fit(X)
    with threadpool_limits(limits=1):
        alone = NMF(8, **how).fit(X)
    np.testing.assert_array_equal(found.components_, alone.components_)
    np.testing.assert_array_equal(found.objective_history_, alone.objective_history_)
