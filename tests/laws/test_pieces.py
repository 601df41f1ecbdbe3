"""How the work is cut, and among how many threads it is shared, does not change the answer."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from partwise import NMF, _statistics, _threads, kernels, losses, penalties
from partwise.data import Listed, Weighted, as_data, dense, listed
from partwise.data import sparse as sparse_views
from partwise.init import make_start
from partwise.models import Bilinear
from partwise.problem import Problem
from partwise.solvers import CoordinateDescent, MiniBatch, run
from partwise.solvers.coordinate_descent import _Sweeps
from tests.laws.declared import ALL_SOLVERS, LOSSES, label, serves

SHAPE, K = (230, 170), 9
# Batches that are cut into pieces themselves, and few of them.
SOLVERS_HERE = ALL_SOLVERS | {"minibatch": MiniBatch(batch_size=60)}


def problem_of(loss, storage, obeyed=()):
    rng = np.random.default_rng(0)
    X = np.ceil(9 * rng.random(SHAPE)) * (rng.random(SHAPE) < 0.4)
    if loss.needs_positive_data:
        X += 0.1
    data = as_data(
        {"dense": X, "fortran": np.asfortranarray(X), "csr": sparse.csr_array(X)}[storage]
    )
    model = Bilinear(K)
    _, factors = make_start(data, model, "random", rng)
    each = {name: (penalties.NonNegative(), *obeyed) for name in model.names}
    return Problem(data, model, loss, factors, each)


def factors_after(problem, solver, iterations=4):
    result = run(problem, solver, tol=0, max_iter=iterations, rng=np.random.default_rng(0))
    return np.concatenate([F.ravel() for F in result.factors.values()]), result.objective_history


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(_threads, "PIECE", 1e4)
    monkeypatch.setattr(_threads, "ENTRIES", 20)  # some ten pieces
    monkeypatch.setattr(sparse_views, "SPARSE_PIECE", 1e4)


CASES = [
    pytest.param(loss, name, storage, id=f"{label(loss)} {name} {storage}")
    for loss in LOSSES
    for name in sorted(SOLVERS_HERE)
    for storage in ("dense", "fortran", "csr")
    if serves(SOLVERS_HERE[name], problem_of(loss, storage))
]


@pytest.mark.parametrize(("loss", "name", "storage"), CASES)
def test_pieces_do_not_change_the_answer(loss, name, storage, small_pieces, monkeypatch):
    solver = SOLVERS_HERE[name]
    in_pieces, history = factors_after(problem_of(loss, storage, (penalties.L1(0.1),)), solver)
    monkeypatch.setattr(_threads, "PIECE", 1e30)
    monkeypatch.setattr(sparse_views, "SPARSE_PIECE", 1e30)
    at_once, other = factors_after(problem_of(loss, storage, (penalties.L1(0.1),)), solver)
    np.testing.assert_allclose(history, other, rtol=1e-9)
    np.testing.assert_allclose(in_pieces, at_once, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("loss", "name", "storage"), CASES)
def test_threads_do_not_change_a_bit(loss, name, storage, small_pieces, monkeypatch):
    solver = SOLVERS_HERE[name]
    alone, _ = factors_after(problem_of(loss, storage), solver)
    monkeypatch.setattr(_threads, "_allowance", lambda: 3)
    with _threads.one_pool():
        assert _threads.held() == 3
        shared, _ = factors_after(problem_of(loss, storage), solver)
    np.testing.assert_array_equal(alone, shared)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_sparse_data_are_not_copied(dtype, monkeypatch):
    """Beyond what memory allows the products with Xᵀ go through X itself."""
    found = []
    for allowed in (1e8, -1e12):
        monkeypatch.setattr(sparse_views, "COPY", allowed)
        monkeypatch.setattr(sparse_views, "SPARSE_PIECE", 1e4)
        problem = problem_of(losses.Frobenius(), "csr")
        problem.data = as_data(problem.data.matrix.astype(dtype))
        problem.factors = {name: F.astype(dtype) for name, F in problem.factors.items()}
        found.append(factors_after(problem, ALL_SOLVERS["cd"])[1])
        assert ("_transposed" in problem.data.__dict__) == (allowed > 0)
    np.testing.assert_allclose(*found, rtol=1e-10 if dtype is np.float64 else 1e-4)


# --- the pool itself -----------------------------------------------------------------------


def test_each_keeps_the_order_and_passes_errors_on(monkeypatch):
    monkeypatch.setattr(_threads, "_allowance", lambda: 4)
    with _threads.one_pool():
        assert _threads.each(lambda n: n * n, range(100)) == [n * n for n in range(100)]

        def wait(n):
            time.sleep(0.002)
            return threading.current_thread().name

        names = set(_threads.each(wait, range(40)))
        assert any(name.startswith("partwise") for name in names)
        nested = _threads.each(lambda n: _threads.each(lambda m: m + n, range(3)), range(3))
        assert nested == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]

        def fail(n):
            if n == 7:
                raise OverflowError(str(n))

        with pytest.raises(OverflowError, match="7"):
            _threads.each(fail, range(20))


def test_values_in_turns_are_those_of_each_and_few_at_a_time():
    """Sums over pieces are as large as a factor: of many pieces they would be larger than X."""
    done = []

    def square(n):
        done.append(n)
        return n * n

    for place, value in enumerate(_threads.in_turns(square, range(100), 7)):
        assert value == place * place
        assert len(done) <= place + 7
    assert place == 99
    assert list(_threads.in_turns(square, range(0), 7)) == []


@pytest.mark.parametrize("storage", ["dense", "listed", "csr"])
def test_sums_over_whole_samples_are_few_at_a_time(storage, monkeypatch):
    monkeypatch.setattr(dense, "PIECE", 4 * SHAPE[1])
    monkeypatch.setattr(sparse_views, "DENSE_PIECE", SHAPE[1])
    problem = problem_of(losses.L21(), "csr" if storage == "csr" else "dense")
    if storage != "csr":
        X = problem.data.array
        problem.data = Weighted(X, (X > 0).astype(float))
    if storage == "listed":
        problem.data = listed(problem.data)
        monkeypatch.setattr(Listed, "piece", 1.0)
    alive = []
    right = Problem._split_block

    def counted(part, name):
        found = right(part, name)
        alive.append(weakref.ref(found))
        assert sum(split() is not None for split in alive) <= _threads.PIECES + 2
        return found

    monkeypatch.setattr(Problem, "_split_block", counted)
    split = problem.split("H")
    assert len(alive) > (_threads.PIECES if storage != "listed" else 8)
    monkeypatch.setattr(Problem, "_pieces", lambda self, kind: [slice(0, len(self.factors["W"]))])
    at_once = problem.split("H")
    np.testing.assert_allclose(split.negative, at_once.negative, rtol=1e-12)
    np.testing.assert_allclose(split.positive, at_once.positive, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("storage", ["dense", "fortran"])
@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.5, 1.0, 1.5, 3.0])
def test_one_look_at_both_factors_is_that_at_each(beta, storage, dtype, small_pieces, monkeypatch):
    problem = problem_of(losses.Beta(beta), storage, (penalties.L1(0.3),))
    problem.data = as_data(problem.data.array.astype(dtype))
    problem.factors = {name: F.astype(dtype) for name, F in problem.factors.items()}
    looks, right = [], losses.Beta.splits

    def counted(loss, X, F, A, floor):
        looks.append(X.shape)
        return right(loss, X, F, A, floor)

    monkeypatch.setattr(losses.Beta, "splits", counted)
    together, slopes = problem.stationarity()
    assert len(looks) > 2
    assert sum(rows for rows, _ in looks) == SHAPE[0 if storage == "dense" else 1]
    with threadpool_limits(1):
        assert problem.stationarity()[0] == together
    done = len(looks)
    problem.free = ("W",)
    assert set(problem.stationarity()[1]) == {"W"}
    problem.free = ("W", "H")
    monkeypatch.setattr(_statistics, "ROOM", 0)
    at_each, wanted = problem.stationarity()
    assert len(looks) == done
    rounding = 1e-12 if dtype is np.float64 else 1e-5
    assert together == pytest.approx(at_each, rel=rounding)
    for name, slope in slopes.items():
        size = np.abs(wanted[name]).max()
        np.testing.assert_allclose(slope, wanted[name], rtol=0, atol=rounding * size)


def blas_threads():
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


def test_a_limit_set_by_the_user_is_kept():
    with threadpool_limits(1, user_api="blas"), _threads.one_pool():
        assert _threads.held() == 1
    assert _threads.held() == 1


def test_blas_has_its_threads_back_after_fits_side_by_side():
    X = np.random.default_rng(0).random((60, 40))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        for _ in range(5):
            fits = [
                threading.Thread(
                    target=NMF(3, n_init=3, n_jobs=2, tol=0, max_iter=5).fit, args=(X,)
                )
                for _ in range(3)
            ]
            for fit in fits:
                fit.start()
            for fit in fits:
                fit.join()
            assert blas_threads() == before


def test_threads_sleep_and_wake_up(monkeypatch):
    """A moment after its last job a thread sleeps; later ones still reach it."""
    monkeypatch.setattr(_threads, "_allowance", lambda: 3)
    with _threads.one_pool():
        for pause in (0, 0.05, 0, 0.2, 0):
            time.sleep(pause)
            assert _threads.each(lambda n: n + 1, range(50)) == list(range(1, 51))


@pytest.mark.parametrize("storage", ["dense", "fortran", "csr"])
def test_a_whole_factor_at_once_is_piece_by_piece(storage):
    """Both ways of one iteration of coordinate descent give the same factors and value."""
    ends = []
    for whole in (True, False):
        problem = problem_of(losses.Frobenius(), storage, (penalties.L1(0.2),))
        solver = CoordinateDescent()
        state = solver.start(problem, None)
        with pytest.MonkeyPatch.context() as patch:
            if not whole:
                patch.setattr(_Sweeps, "whole", lambda *_, **__: None)
            objectives = [solver.step(problem, state) for _ in range(8)]
        ends.append((objectives, problem.factors))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-12)
    for name, factor in ends[0][1].items():
        np.testing.assert_allclose(factor, ends[1][1][name], rtol=1e-10, atol=1e-12)


@pytest.fixture
def calls(monkeypatch):
    """How many pieces each call of the kernel summed up products for; 0 where X is read twice."""
    seen, sweep = [], kernels.sweep_dense_rows
    # The last arguments: sums, ends, values, counter.
    monkeypatch.setattr(
        kernels, "sweep_dense_rows", lambda *how: seen.append(len(how[-4])) or sweep(*how)
    )
    return seen


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(1500, 40), (40, 1500), (703, 300)])
def test_one_pass_over_x_does_what_two_do(shape, order, dtype, monkeypatch, calls):
    """Rows that are looked at twice while they are in the cache give the same factors."""
    rng = np.random.default_rng(3)
    X = (rng.random((shape[0], 4)) @ rng.random((4, shape[1])) + 0.1 * rng.random(shape)).astype(
        dtype, order=order
    )
    starts = {name: rng.random((n, 5)).astype(dtype) for name, n in zip("WH", shape, strict=True)}
    obeyed = {
        name: (penalties.NonNegative(), penalties.L1(0.2), penalties.Fixed(F > 0.9, F))
        for name, F in starts.items()
    }
    monkeypatch.setattr(dense, "TWICE", 2**17 if shape[1] < 300 else 2**20)
    ends = []
    for outside in (0, np.inf):
        monkeypatch.setattr(dense, "OUTSIDE", 0)
        factors = {name: F.copy() for name, F in starts.items()}
        problem = Problem(as_data(X), Bilinear(5), losses.Frobenius(), factors, obeyed)
        solver = CoordinateDescent()
        state = solver.start(problem, None)
        assert problem.free[0] == ("W" if shape[0] > shape[1] else "H")
        monkeypatch.setattr(dense, "OUTSIDE", outside)
        calls.clear()
        objectives = [solver.step(problem, state) for _ in range(8)]
        assert (min(calls) > 0) == (outside == 0)
        np.testing.assert_allclose(objectives[-1], problem.objective(), rtol=1e-5)
        ends.append((objectives, factors))
    digits = 1e-10 if dtype == np.float64 else 2e-4
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=digits)
    for name, factor in ends[0][1].items():
        np.testing.assert_allclose(factor, ends[1][1][name], rtol=50 * digits, atol=50 * digits)


def test_one_pass_reads_x_once(monkeypatch, calls):
    """An iteration is one look at X, for the factor of the longer side first."""
    monkeypatch.setattr(dense, "OUTSIDE", 0)
    X = np.random.default_rng(0).random((30, 2000))
    factors = {name: np.ones((n, 3)) for name, n in zip("WH", X.shape, strict=True)}
    problem = Problem(as_data(X), Bilinear(3), losses.Frobenius(), factors)
    solver = CoordinateDescent(extrapolate=False)
    state = solver.start(problem, None)
    monkeypatch.setattr(dense.Dense, "__matmul__", None)
    solver.step(problem, state)
    assert problem.free == ("H", "W")
    assert len(calls) == 1


def test_a_block_is_gone_after_its_turn():
    """Problems of blocks do not refer to themselves: memory would grow until they are found."""
    problem = problem_of(losses.Frobenius(), "dense")
    gc.disable()
    try:
        part = problem.rows(slice(0, 50))
        part.sweep(lambda *_: None, "normal")
        seen = weakref.ref(part)
        del part
        assert seen() is None
    finally:
        gc.enable()


def test_threads_let_go_of_what_they_worked_on(monkeypatch):
    monkeypatch.setattr(_threads, "_allowance", lambda: 3)

    class Held:
        pass

    held = Held()
    seen = weakref.ref(held)
    with _threads.one_pool():
        _threads.each(lambda n, held=held: (n, held), range(20))
    del held
    gc.collect()
    assert seen() is None
