"""Products of dense matrices by tiles equal those of NumPy, for every shape, layout and machine."""

import os
import subprocess
import sys

import numpy as np
import pytest

from partwise import kernels

SHAPES = [(1, 1), (3, 5), (5, 3), (12, 32), (13, 40), (200, 17), (30, 2100), (2100, 3)]
TOLERANCE = {"f": 1e-5, "d": 1e-12}


def check(shape, k, dtype, order="C"):
    """Compare both orientations of one product."""
    rng = np.random.default_rng(0)
    X = np.asarray(rng.random(shape), dtype, order=order)
    known = X.astype(np.float64)
    right, left = (rng.random((length, k)).astype(dtype) for length in shape[::-1])
    tolerance = TOLERANCE[np.dtype(dtype).char]
    found = np.empty((shape[0], k), dtype)
    kernels.narrow_product(X, right, found)
    np.testing.assert_allclose(found, known @ right, rtol=tolerance)
    if order == "C":
        found = np.empty((shape[1], k), dtype)
        kernels.turned_product(X, left, found, False)
        np.testing.assert_allclose(found, known.T @ left, rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 7, 8, 16, 17, 49, 130])
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles(shape, k, dtype):
    check(shape, k, dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_of_columns_that_follow_each_other(shape):
    check(shape, 5, np.float64, order="F")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("columns", [300, slice(3, 90), slice(None, None, 2)])
def test_a_view_of_any_layout(columns, order, turned):
    rng = np.random.default_rng(1)
    X = np.asarray(rng.random((200, 300)), order=order)
    X = X[:, :columns] if isinstance(columns, int) else X[:, columns]
    X = X.T if turned else X
    A = rng.standard_normal((X.shape[1], 6))
    found = kernels.dense_product(X, A)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, X @ A, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("features", ["+avx,+avx2,+fma", ""])
def test_machines_with_shorter_registers(features, tmp_path):
    """Kernels are cut for the registers at hand; a smaller set of features is a part of them."""
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": features,
    }  # fmt: skip
    program = (
        "from tests.oracle.test_dense_products import SHAPES, check\n"
        "for shape in SHAPES: check(shape, 7, 'd')\n"
        "from tests.oracle.test_row_kernels import test_sparse_products as sparse\n"
        "for dtype in 'df':\n"
        "    for k in (1, 2, 3, 5, 9): sparse(dtype, 'int32', k)\n"
        "from tests.oracle.test_own_rows import check as own\n"
        "for dtype in 'df':\n"
        "    for k in (1, 3, 10): own(k, dtype)\n"
        "from partwise.kernels import _tiles\n"
        "print(_tiles.tile_bytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == (64 if features else 32)


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("k", [1, 3, 16, 17, 50, 101])
def test_gram_matrices_are_formed_by_halves(k, dtype):
    F = np.random.default_rng(0).random((203, k)).astype(dtype)
    found, wanted = kernels.gram(F), F.astype("d").T @ F
    np.testing.assert_allclose(found, wanted, rtol=1e-12 if dtype == "d" else 1e-5)
    np.testing.assert_array_equal(found, found.T)
