"""Every compiled kernel equals its naive twin, for every layout and dtype."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import sparse

from partwise import kernels
from partwise.kernels._rest import collector_at_rest
from tests.oracle import naive

DTYPES = [np.float64, np.float32]
LAYOUTS = ["C", "F", "strided", "read-only"]


def laid_out(array, layout):
    """Return the same values in another memory layout."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.zeros((array.shape[0], 2 * array.shape[1]), array.dtype)
        wide[:, ::2] = array
        return wide[:, ::2]
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    return array


def close(found, wanted, dtype):
    tolerance = 1e-10 if dtype == np.float64 else 2e-4
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def program(dtype, rows=70, k=4, seed=0):
    """Return F, G, C of a quadratic, with an empty component and a row without data."""
    rng = np.random.default_rng(seed)
    H, X = rng.random((20, k)), rng.random((rows, 20))
    H[:, 1] = 0
    X[3] = 0
    F = rng.random((rows, k))
    return [np.asarray(A, dtype=dtype) for A in (F, H.T @ H, X @ H - 0.3)]


NONE = np.empty((0, 4), bool)


def some(rows, k, seed=1):
    return np.random.default_rng(seed).random((rows, k)) < 0.7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_inner(dtype, layout):
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal((30, 7)).astype(dtype) for _ in range(2))
    wanted = naive.inner(A, B)
    assert kernels.inner(laid_out(A, layout), laid_out(B, layout)) == pytest.approx(
        wanted, rel=1e-12
    )


def test_inner_accumulates_in_double_precision():
    A = np.full((1, 2**25), 1.0, np.float32)
    assert kernels.inner(A, A) == 2**25


def test_a_change_to_any_file_makes_kernels_on_disk_old():
    """What is written into a kernel may lie in another file: stale ones gave wrong numbers."""
    stamp = kernels.coordinate_sweeps._cache._cache_file._source_stamp
    assert "_lines.py" in {name for name, _, _ in stamp[1]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("masked", [False, True])
def test_coordinate_sweeps(dtype, layout, masked):
    F, G, C = program(dtype)
    free = some(*F.shape) if masked else NONE
    order = np.array([2, 0, 3, 1])
    wanted = naive.coordinate_sweeps(F, G, C, order, free, 3)
    found = F if layout == "read-only" else laid_out(F.copy(), layout)
    G, C = laid_out(G, layout), laid_out(C, layout)
    kernels.coordinate_sweeps(found, G, C, order, free, 3, 0.0)
    close(found, wanted, dtype)


def test_coordinate_sweeps_stop_where_nothing_moves():
    F, G, C = program(np.float64)
    kernels.coordinate_sweeps(F, G, C, np.arange(4), NONE, 5000, 0.0)
    again = F.copy()
    kernels.coordinate_sweeps(again, G, C, np.arange(4), NONE, 1, 0.0)
    np.testing.assert_allclose(again, F, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("masked", [False, True])
def test_solve_rows(dtype, layout, masked):
    rng = np.random.default_rng(5)
    H, X = rng.random((20, 4)), rng.random((40, 20))
    F, G, C = (np.asarray(A, dtype=dtype) for A in (rng.random((40, 4)), H.T @ H, X @ H - 2.0))
    free = some(*F.shape) if masked else NONE
    wanted = naive.solve_rows(F, G, C, free)
    found = F if layout == "read-only" else laid_out(F.copy(), layout)
    kernels.solve_rows(found, laid_out(G, layout), laid_out(C, layout), free, 1e-13)
    close(found, wanted, dtype)


@pytest.mark.parametrize("seed", range(5))
def test_solve_rows_of_a_singular_program(seed):
    """Dependent components have many minimizers: the value is compared, not the point."""
    rng = np.random.default_rng(seed)
    H = rng.random((20, 3))
    H = np.hstack([H, H[:, :2], H @ rng.random((3, 1))])
    G, C = H.T @ H, rng.random((30, 20)) @ H
    found = np.zeros((30, 6))
    kernels.solve_rows(found, G, C, np.empty((0, 6), bool), 1e-13)

    def value(F):
        return 0.5 * np.sum((F @ G) * F, axis=1) - np.sum(F * C, axis=1)

    wanted = naive.solve_rows(np.zeros((30, 6)), G, C, np.empty((0, 6), bool))
    np.testing.assert_allclose(value(found), value(wanted), rtol=1e-9)
    assert found.min() >= 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "powers", [(-1.0, 1.0), (-0.5, 1.0), (0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.0, 3.0)]
)
@pytest.mark.parametrize("penalized", ["", "L1", "L2", "L1 L2"])
def test_multiplicative_update(dtype, layout, powers, penalized):
    rng = np.random.default_rng(2)
    F, up, down, linear, curved = (rng.random((9, 4)).astype(dtype) for _ in range(5))
    up[0], down[1], down[2], up[2] = 0, 0.01, 0, 0
    linear[2] = curved[2] = 0
    slopes = tuple(
        s if name in penalized else np.empty((0, 4), dtype)
        for name, s in (("L1", linear), ("L2", curved))
    )
    free, floor = some(9, 4), np.full(9, 1e-3, dtype)
    wanted = naive.multiplicative_update(F, up, down, slopes, powers, floor, free)
    found = F if layout == "read-only" else laid_out(F.copy(), layout)
    kernels.multiplicative_update(
        found, laid_out(up, layout), laid_out(down, layout), slopes, powers, floor, free
    )
    close(found, wanted, dtype)


@pytest.mark.parametrize("powers", [(-1.0, 1.0), (0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.0, 4.0)])
def test_multiplicative_update_over_many_orders_of_magnitude(powers):
    """Entries at their floor have parts that differ by 1e60; the scalar equation still holds."""
    rng = np.random.default_rng(0)
    up, down, linear, curved = 10.0 ** rng.uniform(-30, 30, (4, 200, 3))
    F, none, floor = np.ones((200, 3)), np.empty((0, 3), bool), np.zeros(200)
    kernels.multiplicative_update(F, up, down, (linear, curved), powers, floor, none)
    p, q = powers
    moved = F > 0
    with np.errstate(divide="ignore"):
        falling = up * F ** (p - 1)
        rising = down * F ** (q - 1) + linear + curved * F
    np.testing.assert_allclose(rising[moved], falling[moved], rtol=1e-9)
    assert np.all(up[~moved] <= linear[~moved])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_product_at(dtype, index):
    rng = np.random.default_rng(3)
    X = sparse.random_array((12, 9), density=0.3, rng=rng, format="csr")
    W, H = rng.random((12, 4)).astype(dtype), rng.random((9, 4)).astype(dtype)
    out = np.empty(X.nnz, dtype)
    kernels.product_at(X.indptr.astype(index), X.indices.astype(index), W, H, out)
    close(out, naive.product_at(X.indptr, X.indices, W, H), dtype)


BETAS = [-1.0, -0.5, 0.0, 1e-7, 0.3, 0.5, 0.9999999, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0]


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_beta_values(beta, dtype):
    rng = np.random.default_rng(4)
    x, y = (rng.gamma(0.5, size=200).astype(dtype) + dtype(1e-3) for _ in range(2))
    if beta > 0:
        x[:20] = 0
    wanted = np.array([float(naive.divergence(a, b, beta)) for a, b in zip(x, y, strict=True)])
    out = np.empty(200)
    kernels.beta_values(x, y, beta, out)
    # The textbook formula itself loses digits where beta is next to 0 or 1.
    tolerance = 1e-9 if min(abs(beta), abs(beta - 1)) > 1e-3 or beta in (0, 1) else 1e-5
    np.testing.assert_allclose(out, wanted, rtol=tolerance, atol=tolerance * 1e-3)
    assert kernels.beta_total(x, y, beta) == pytest.approx(out.sum(), rel=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_beta_values_do_not_cancel(beta):
    """Near y = x the divergence is ½ x^(β−2) (y − x)², to all its digits."""
    x = np.array([0.7, 1.0, 3.0])
    y = x * (1 + 1e-7)
    out = np.empty(3)
    kernels.beta_values(x, y, beta, out)
    np.testing.assert_allclose(out, 0.5 * x ** (beta - 2) * (y - x) ** 2, rtol=1e-6)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_beta_parts(beta, dtype):
    rng = np.random.default_rng(6)
    x, y = (rng.random(50).astype(dtype) + dtype(0.1) for _ in range(2))
    x[:5] = 0
    out = np.empty(50, dtype)
    kernels.beta_negative(x, y, beta, out)
    close(out, x * y.astype(np.float64) ** (beta - 2), dtype)
    kernels.beta_positive(y, beta, out)
    close(out, y.astype(np.float64) ** (beta - 1), dtype)


def test_kernels_work_without_a_writable_cache():
    code = """
import warnings
from numba.core import caching
caching.CacheImpl._locator_classes = []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    import partwise
    # Of all solvers the one with the fewest kernels, which are compiled anew here.
    model = partwise.NMF(1, solver="mu").fit([[1.0, 2.0], [2.0, 4.0]])
assert len(caught) == 1, caught
assert "NUMBA_CACHE_DIR" in str(caught[0].message)
assert model.reconstruction_err_ < 1e-9
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_rests_while_a_kernel_is_made(was_on):
    from numba import njit
    from numba.core import event

    from partwise.kernels import _compile

    seen = []

    class Watch(event.Listener):
        def on_start(self, _):
            seen.append(gc.isenabled())

        def on_end(self, _):
            pass

    kernel = _compile._undisturbed(njit(lambda x: x + 1))
    on = gc.isenabled()
    (gc.enable if was_on else gc.disable)()
    try:
        with event.install_listener("numba:compile", Watch()):
            assert kernel(1) == 2
        assert seen == [False]
        assert gc.isenabled() is was_on
    finally:
        (gc.enable if on else gc.disable)()


def test_the_collector_rests_until_the_last_thread_is_done():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with collector_at_rest():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)

    @collector_at_rest()
    def fails():
        thread.start()
        entered.wait(10)
        raise ZeroDivisionError

    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()
