"""Laws of missing entries where one Gram matrix serves all rows."""

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, kernels, losses
from partwise.data import Weighted
from partwise.data.weighing import listed
from partwise.estimators._scaled_residuals import RobustProblem
from partwise.kernels import places
from partwise.models import Bilinear
from partwise.penalties import L1, L2
from partwise.problem import Entries, Problem
from partwise.solvers import CoordinateDescent, run
from partwise.solvers.rows import gram_of_all, searched_rows, worth_filling, worth_searching
from tests.laws.test_listed import Own, Shared, naive_ray

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def filled_problem(k, dtype=np.float64, order="C", share=0.9, obeyed=None):
    rng = np.random.default_rng(3)
    X, known = rng.random((90, 70)) @ rng.random((70, 60)), rng.random((90, 60)) < share
    data = Weighted(np.asarray(X * known, dtype, order), np.asarray(known, dtype, order))
    factors = {"W": rng.random((90, k)).astype(dtype), "H": rng.random((60, k)).astype(dtype)}
    return Problem(data, Bilinear(k), losses.Frobenius(), factors, obeyed or {})


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("obeyed", [(), (L1(0.2), L2(0.5))], ids=["", "L1+L2"])
def test_missing_entries_may_be_filled_by_their_model(dtype, order, obeyed):
    """Many components of nearly complete data: one Gram matrix serves all rows."""
    problem = filled_problem(24, dtype, order, obeyed={"W": obeyed, "H": obeyed})
    assert worth_filling(problem.data, 24)
    assert not worth_searching(problem.data, 24)
    start = problem.objective()
    result = run(problem, Shared(), tol=0, max_iter=60)
    history = result.objective_history
    assert history[0] == pytest.approx(start)
    rounding = 1e-9 if dtype is np.float64 else 2e-5
    assert (np.diff(history) <= rounding * history[:-1]).all()
    assert history[-1] == pytest.approx(problem.objective(), rel=1e-9 if rounding < 1e-8 else 1e-4)
    exact = run(filled_problem(24, dtype, order, obeyed={"W": obeyed, "H": obeyed}), Own(),
                tol=0, max_iter=60)  # fmt: skip
    assert history[-1] <= 1.01 * exact.objective


def test_rows_of_few_known_entries_have_quadratics_of_their_own():
    """Of 90 × 60 nothing would be gained; of 600 × 500 half an iteration is."""
    rng = np.random.default_rng(0)
    small, solver = filled_problem(8).data, CoordinateDescent()
    large = Weighted(np.ones((600, 500)), (rng.random((600, 500)) < 0.5).astype(float))
    for data, shared in ((small, False), (large, True)):
        for known in (data, listed(data)):
            factors = {"W": np.ones((known.shape[0], 8)), "H": np.ones((known.shape[1], 8))}
            problem = Problem(known, Bilinear(8), losses.Frobenius(), factors)
            assert solver.start(problem, None).searching == shared


def test_filling_ends_at_a_stationary_point_and_stays_at_one():
    problem = filled_problem(20)
    result = run(problem, Shared(), tol=1e-6, max_iter=3000)
    assert result.converged
    again = run(problem, Shared(), tol=0, max_iter=5)
    assert again.objective == pytest.approx(result.objective, rel=1e-6)
    other = run(problem, Own(), tol=0, max_iter=5)
    assert other.objective == pytest.approx(result.objective, rel=1e-6)


def test_what_is_filled_does_not_depend_on_what_stands_there():
    rng = np.random.default_rng(0)
    X = rng.random((60, 50))
    known = rng.random(X.shape) < 0.95
    found = []
    for value in (np.nan, np.inf, -1.0):
        given = np.where(known, X, value)
        model = NMF(24, solver=Shared(), max_iter=20, tol=0, init="random", random_state=0)
        found.append(model.fit(given, weights=known.astype(float)).components_)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_only_binary_weights_of_nearly_complete_data_are_filled():
    problem = filled_problem(24)
    assert not worth_filling(problem.data, 4)
    assert not worth_filling(filled_problem(24, share=0.25).data, 24)
    double = Weighted(problem.data.array, 2 * problem.data.weights)
    assert not worth_filling(double, 24)
    assert not worth_filling(listed(problem.data), 24)
    for data in (double, listed(problem.data)):
        assert worth_searching(data, 21)  # of 60 entries of a row nine tenths are known
        assert not worth_searching(data, 22)


@pytest.mark.parametrize("weighted", [False, True], ids=["known", "weighted"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (6, 16), (13, 70), (101, 600), (40, 1030)])
@pytest.mark.parametrize("k", [1, 3, 8, 13, 20])
def test_what_is_left_of_known_entries(shape, k, dtype, weighted):
    """Whole tiles, edges, fewer rows than a tile, and columns from the middle of an array."""
    rng = np.random.default_rng(0)
    rows, columns = shape
    X = rng.random((rows, columns + 2)).astype(dtype)[:, 1:-1]
    known = (rng.random((rows, columns + 3)) < 0.6).astype(np.uint8)[:, 2:-1]
    X[known == 0] = 0 if weighted else np.nan  # which is never looked at
    if weighted:
        known = known * rng.random((rows, columns + 3)).astype(dtype)[:, 2:-1]
    W, H = rng.random((rows, k)).astype(dtype), rng.random((columns, k)).astype(dtype)
    left = np.where(known > 0, X - W.astype(float) @ H.T.astype(float), 0)
    weighed = known * left
    along, turned = np.full((rows, k), np.nan, dtype), np.full((columns, k), np.nan, dtype)
    squares = kernels.left_along_rows(X, known, W, H, along, True)
    squares_turned = kernels.left_turned(X, known, W, H, turned, True)
    how = {"rtol": 1e-9, "atol": 1e-11} if dtype is np.float64 else {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(along, weighed @ H, **how)
    np.testing.assert_allclose(turned, weighed.T @ W, **how)
    for found in (squares, squares_turned):
        assert found == pytest.approx(np.sum(weighed * left), rel=how["rtol"])
    assert kernels.left_turned(X, known, W, H, turned, False) == 0
    everything = kernels.squares_left(np.nan_to_num(X), W, H)
    left = np.nan_to_num(X) - W.astype(float) @ H.T.astype(float)
    assert everything == pytest.approx(np.sum(left**2), rel=how["rtol"])
    moved = known * (W.astype(float) @ H.T.astype(float)) ** 2
    along, turned = np.full(rows, np.nan), np.full(columns, np.nan)
    kernels.moved_along_rows(known, W, H, along)
    kernels.moved_turned(known, W, H, turned)
    np.testing.assert_allclose(along, moved.sum(axis=1), rtol=how["rtol"])
    np.testing.assert_allclose(turned, moved.sum(axis=0), rtol=how["rtol"])


@pytest.mark.parametrize("alike", [False, True], ids=["all", "shares"])
@pytest.mark.parametrize("weighted", [False, True], ids=["known", "weighted"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_search_of_dense_rows_is_the_naive_one(dtype, order, weighted, alike):
    """Rows that know nothing among others, penalties, and entries that stay."""
    rng, k = np.random.default_rng(0), 5
    X, V = rng.random((40, 30)), (rng.random((40, 30)) < 0.6).astype(float)
    V[[0, 17]] = 0
    V *= rng.uniform(0.1, 2, V.shape) if weighted else 1
    data = Weighted(np.asarray(X * (V > 0), dtype, order), np.asarray(V, dtype, order))
    A, F = rng.random((30, k)).astype(dtype), rng.random((40, k)).astype(dtype)
    free, slope = rng.random(F.shape) < 0.9, rng.uniform(0, 0.1, (1, k)).astype(dtype)
    entries = Entries(data, A, slope, 0.3)
    shares = data.shares.of_rows(np.dtype(float))[:, 0] if alike else np.ones(40)
    G = gram_of_all(entries, alike=alike)
    known = data.shares.columns / data.shares.mean if alike else np.ones(30)
    own = A.T.astype(float) @ (known[:, None] * A)  # and the curvature of the penalty
    own += 0.3 / (data.shares.mean if alike else 1) * np.eye(k)
    wanted = [
        naive_ray(x, v, A.astype(float), f.astype(float), own, share, (slope[0], 0.3), there)
        for x, v, f, share, there in zip(X, V, F, shares, free, strict=True)
    ]
    how = (free, np.arange(k), (3, 0.0))
    unseen = F.copy()
    value = searched_rows(F, entries, G, *how, alike=alike, judge=True)
    assert searched_rows(unseen, entries, G, *how, alike=alike, judge=False) is None
    np.testing.assert_array_equal(unseen, F)
    rounding = 1e-10 if dtype is np.float64 else 2e-4
    np.testing.assert_allclose(F, wanted, rtol=rounding, atol=rounding)
    left = 0.5 * np.sum(V * (X - F.astype(float) @ A.T.astype(float)) ** 2)
    assert value == pytest.approx(left, rel=10 * rounding)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, s) for s in (1e15, 1e-15, 1e-22, 1e-25)] + [(float, 1e-155), (float, 1e-161)],
)
def test_a_row_of_any_size_falls(dtype, size):
    """Squares of what it moves leave the range of the dtype, the length of its way does not."""
    rng, k = np.random.default_rng(0), 4
    A, F = rng.random((50, k)).astype(dtype), rng.random((60, k)).astype(dtype)
    X, V = (rng.random((60, k)) @ rng.random((k, 50))), (rng.random((60, 50)) < 0.6).astype(dtype)
    X[3] = rng.random(k) @ A.T.astype(float) * size
    F[3] *= dtype(size)
    data = Weighted((X * V).astype(dtype), V)
    entries = Entries(data, A, np.zeros((1, k), dtype), 0.0)
    G, how = gram_of_all(entries, alike=True), (np.empty((0, k), bool), np.arange(k), (3, 0.0))
    left = []
    for _ in range(12):
        searched_rows(F, entries, G, *how, alike=True, judge=False)
        rest = V[3] * (X[3] / size - F[3].astype(float) / size @ A.T.astype(float))
        left.append(np.linalg.norm(rest) / np.linalg.norm(X[3] / size))
    assert (np.diff(left) <= 1e-5).all()
    assert left[-1] < 0.01


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("far", [1e2, 1e10])
@pytest.mark.parametrize("unstored", ["zero", "missing"], ids=["dense", "listed"])
def test_a_start_far_above_the_data_comes_down(unstored, far, dtype):
    """As fast as from the same start at their level, and without a loss of components."""
    rng = np.random.default_rng(0)
    X, known = rng.random((600, 6)) @ rng.random((6, 500)), rng.random((600, 500)) < 0.6
    W, H = rng.random((600, 6)), rng.random((6, 500))
    X = np.where(known, X, np.nan) if unstored == "zero" else sparse.csr_array(X * known)
    ends = []
    for scale in (1, far):
        start = {"W": (scale * W).astype(dtype), "H": (scale * H).astype(dtype)}
        how = {"init": "custom", "tol": 0, "max_iter": 40, "unstored": unstored}
        history = NMF(6, **how).fit(X.astype(dtype), **start).objective_history_
        assert np.isfinite(history).all()
        assert (np.diff(history) <= 1e-5 * history[:-1]).all()
        ends.append(history[-1])
    assert ends[1] <= 10 * ends[0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_pieces_and_threads_do_not_change_a_bit(order):
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    X = np.asarray(rng.random((1500, 700)), order=order)
    X[rng.random(X.shape) < 0.4] = np.nan
    how = {"init": "random", "random_state": 0, "max_iter": 4, "tol": 0}
    found = NMF(20, **how).fit(X)
    with threadpool_limits(limits=1):
        alone = NMF(20, **how).fit(X)
    np.testing.assert_array_equal(found.components_, alone.components_)
    np.testing.assert_array_equal(found.W_, alone.W_)


def holed(k, holes_in):
    """Localized parts; entries are missing at random, more or less by column, or by stretches."""
    rng = np.random.default_rng(1)
    centres = rng.uniform(0, 200, (k, 1))
    X = rng.gamma(1, size=(300, k)) @ np.exp(-(((np.arange(200) - centres) / 15) ** 2))
    known = rng.random(X.shape) < (0.6 if holes_in == "places" else rng.uniform(0.3, 1, 200))
    if holes_in == "stretches":
        first = rng.integers(0, 120, (300, 1))
        known = (np.arange(200) < first) | (np.arange(200) >= first + 80)
    return (X + 0.01 * rng.random(X.shape)) * known, known.astype(float)


@pytest.mark.parametrize("weighted", [False, True], ids=["known", "weighted"])
@pytest.mark.parametrize("holes_in", ["places", "columns", "stretches"])
def test_one_gram_matrix_serves_rows_that_miss_entries_at_random(holes_in, weighted):
    """Where a stretch is missing components are hidden, and rows have matrices of their own."""
    k, rng = 8, np.random.default_rng(0)
    X, weights = holed(k, holes_in)
    if weighted:
        weights *= rng.uniform(0.1, 10, (300, 1)) * rng.uniform(0.5, 1, X.shape)
    data = Weighted(X, weights)
    assert worth_searching(data, k)
    factors = {"W": rng.random((300, k)), "H": rng.random((200, k))}

    def problem():
        own = {name: F.copy() for name, F in factors.items()}
        return Problem(data, Bilinear(k), losses.Frobenius(), own)

    solver = Shared()
    bound = problem()
    state = solver.start(bound, None)
    assert state.searching
    history = [solver.step(bound, state) for _ in range(150)]
    assert (np.diff(history) <= 1e-9 * np.abs(history[:-1])).all()
    assert history[-1] == pytest.approx(bound.objective(), rel=1e-9)
    assert state.searching == (holes_in != "stretches")
    if state.searching:
        exact = run(problem(), Own(), tol=0, max_iter=150)
        assert history[-1] <= 1.1 * exact.objective


def test_weights_may_lie_in_another_order_than_the_data():
    X, weights = holed(8, "places")
    found = [
        NMF(8, solver=Shared(), init="random", random_state=0, tol=0, max_iter=5)
        .fit(np.asarray(X, order=first), weights=np.asarray(weights, order=second))
        .objective_history_
        for first in "CF"
        for second in "CF"
    ]
    for history in found[1:]:
        np.testing.assert_allclose(history, found[0], rtol=1e-9)


def test_a_single_step_moves_both_factors():
    problem = filled_problem(20)
    before = {name: F.copy() for name, F in problem.factors.items()}
    result = run(problem, Shared(), tol=0, max_iter=1)
    assert result.objective == pytest.approx(problem.objective(), rel=1e-12)
    assert all((F != before[name]).any(axis=1).all() for name, F in problem.factors.items())


def test_weights_that_change_in_every_step():
    """Robust weights: a solution that was found under those before is not kept for the next."""
    plain = filled_problem(8)
    X = plain.data.array.copy()
    X[::7, ::5] *= 9
    data = Weighted(X, plain.data.weights)
    problem = RobustProblem(data, plain.model, plain.loss, plain.factors).robust(0.5)
    solver = Shared()
    state = solver.start(problem, None)
    assert state.searching
    history = [problem.objective()]
    for _ in range(40):
        history.append(solver.step(problem, state))
        assert history[-1] == pytest.approx(problem.objective(), rel=1e-9)
    assert (np.diff(history) <= 1e-9 * history[0]).all()


def test_a_step_that_raises_the_objective_is_undone():
    problem, solver = filled_problem(20), Shared()
    state = solver.start(problem, None)
    for _ in range(8):
        assert solver.step(problem, state) == pytest.approx(problem.objective(), rel=1e-9)
    assert state.active
    reached = {name: F.copy() for name, F in problem.factors.items()}
    lowest = state.pace[places.OBJECTIVE]
    state.pace[places.OBJECTIVE] = 0.5 * lowest  # which the next step does not reach
    solver.step(problem, state)
    for name, F in problem.factors.items():
        np.testing.assert_array_equal(F, reached[name])
    state.pace[places.OBJECTIVE] = lowest
    assert solver.step(problem, state) < lowest


def test_shares_that_say_far_too_little_cost_steps_and_no_rise():
    """A column is known where one component lives alone: its share says far too little of it."""
    rng = np.random.default_rng(0)
    W, H, weights = rng.random((90, 8)), rng.random((60, 8)), np.ones((90, 60))
    W[9:, 0] = 0
    X = W @ H.T
    weights[9:, 0] = 0
    H[0, 0] *= 0.9
    data = Weighted(X * weights, weights)
    problem = Problem(data, Bilinear(8), losses.Frobenius(), {"W": W, "H": H})
    assert Shared().start(problem, None).searching
    history = run(problem, Shared(), tol=0, max_iter=20).objective_history
    assert (np.diff(history) <= 1e-12 * history[0]).all()
    assert history[-1] < 1e-12 * history[0]
