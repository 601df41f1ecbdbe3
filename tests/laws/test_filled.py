"""Laws of missing entries where one Gram matrix serves all rows."""

import numpy as np
import pytest

from partwise import NMF, kernels, losses
from partwise.data import Weighted
from partwise.data.weighing import listed
from partwise.estimators._scaled_residuals import RobustProblem
from partwise.kernels import places
from partwise.models import Bilinear
from partwise.penalties import L1, L2
from partwise.problem import Problem
from partwise.solvers import CoordinateDescent, run
from partwise.solvers.rows import worth_filling

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
    assert worth_filling(problem.data, 24, bold=False)
    start = problem.objective()
    result = run(problem, CoordinateDescent(), tol=0, max_iter=60)
    history = result.objective_history
    assert history[0] == pytest.approx(start)
    rounding = 1e-9 if dtype is np.float64 else 2e-5
    assert (np.diff(history) <= rounding * history[:-1]).all()
    assert history[-1] == pytest.approx(problem.objective(), rel=1e-9 if rounding < 1e-8 else 1e-4)
    exact = run(filled_problem(24, dtype, order, obeyed={"W": obeyed, "H": obeyed}), Unfilled(),
                tol=0, max_iter=60)  # fmt: skip
    assert history[-1] <= 1.01 * exact.objective


class Unfilled(CoordinateDescent):
    fill = False


def test_filling_ends_at_a_stationary_point_and_stays_at_one():
    problem = filled_problem(20)
    result = run(problem, CoordinateDescent(), tol=1e-6, max_iter=3000)
    assert result.converged
    again = run(problem, CoordinateDescent(), tol=0, max_iter=5)
    assert again.objective == pytest.approx(result.objective, rel=1e-6)
    other = run(problem, Unfilled(), tol=0, max_iter=5)
    assert other.objective == pytest.approx(result.objective, rel=1e-6)


def test_what_is_filled_does_not_depend_on_what_stands_there():
    rng = np.random.default_rng(0)
    X = rng.random((60, 50))
    known = rng.random(X.shape) < 0.95
    found = []
    for value in (np.nan, np.inf, -1.0):
        given = np.where(known, X, value)
        model = NMF(24, max_iter=20, tol=0, init="random", random_state=0)
        found.append(model.fit(given, weights=known.astype(float)).components_)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_only_binary_weights_of_nearly_complete_data_are_filled():
    problem = filled_problem(24)
    assert not worth_filling(problem.data, 4, bold=False)
    assert not worth_filling(filled_problem(24, share=0.25).data, 24, bold=False)
    assert not worth_filling(filled_problem(24, share=0.9).data, 24, bold=True)  # too few of a row
    double = Weighted(problem.data.array, 2 * problem.data.weights)
    assert not worth_filling(double, 24, bold=False)
    assert worth_filling(double, 12, bold=True)
    assert not worth_filling(listed(problem.data), 8, bold=True)


@pytest.mark.parametrize("weighted", [False, True], ids=["known", "weighted"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (6, 16), (13, 70), (101, 600), (40, 1030)])
@pytest.mark.parametrize("k", [1, 3, 20])
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
    assert worth_filling(data, k, bold=True)
    factors = {"W": rng.random((300, k)), "H": rng.random((200, k))}

    def problem():
        own = {name: F.copy() for name, F in factors.items()}
        return Problem(data, Bilinear(k), losses.Frobenius(), own)

    solver = CoordinateDescent()
    bound = problem()
    state = solver.start(bound, None)
    assert state.bold
    history = [solver.step(bound, state) for _ in range(150)]
    assert (np.diff(history) <= 1e-9 * np.abs(history[:-1])).all()
    assert history[-1] == pytest.approx(bound.objective(), rel=1e-9)
    assert bool(state.bold) == (holes_in != "stretches")
    if state.bold:
        exact = run(problem(), Unfilled(), tol=0, max_iter=150)
        assert history[-1] <= 1.1 * exact.objective


def test_weights_may_lie_in_another_order_than_the_data():
    X, weights = holed(8, "places")
    found = [
        NMF(8, init="random", random_state=0, tol=0, max_iter=5)
        .fit(np.asarray(X, order=first), weights=np.asarray(weights, order=second))
        .objective_history_
        for first in "CF"
        for second in "CF"
    ]
    for history in found[1:]:
        np.testing.assert_allclose(history, found[0], rtol=1e-9)


@pytest.mark.parametrize("ahead", [False, True], ids=["judged after", "judged ahead"])
def test_a_bold_step_that_raises_the_objective_is_undone(ahead):
    """And later ones are less bold, until none is; extrapolation rests for an iteration."""
    problem = filled_problem(4)
    solver = CoordinateDescent()
    state = solver.start(problem, None)
    state.bold = 1
    state.begin(problem)
    first = state.judge(problem, 2.0)
    before = {name: F.copy() for name, F in problem.factors.items()}
    seen = []
    while state.bold:
        seen.append(state.bold)
        state.begin(problem, ahead=ahead)
        problem.factors["W"] += 1
        last = state.ahead if ahead else problem.factors["H"]
        last += 1
        assert state.judge(problem, 3.0) == first == 2.0
        assert state.ahead is None
        for name, F in problem.factors.items():
            np.testing.assert_array_equal(F, before[name])
    assert seen == [1, 1.5, 2.25, 3.375]


def test_a_single_step_moves_both_factors():
    problem = filled_problem(20)
    before = {name: F.copy() for name, F in problem.factors.items()}
    result = run(problem, CoordinateDescent(), tol=0, max_iter=1)
    assert result.objective == pytest.approx(problem.objective(), rel=1e-12)
    assert all((F != before[name]).any(axis=1).all() for name, F in problem.factors.items())


def test_weights_that_change_in_every_step():
    """Robust weights: a solution that was found under those before is not kept for the next."""
    plain = filled_problem(8)
    X = plain.data.array.copy()
    X[::7, ::5] *= 9
    data = Weighted(X, plain.data.weights)
    problem = RobustProblem(data, plain.model, plain.loss, plain.factors).robust(0.5)
    solver = CoordinateDescent()
    state = solver.start(problem, None)
    assert state.bold
    history = [problem.objective()]
    for _ in range(40):
        history.append(solver.step(problem, state))
        assert state.ahead is None
        assert history[-1] == pytest.approx(problem.objective(), rel=1e-9)
    assert (np.diff(history) <= 1e-9 * history[0]).all()


def test_after_a_step_that_is_undone_the_solution_of_the_one_before_is_not_lost():
    """A step is judged before the last factor moves; where to is the beginning of the next."""
    problem, solver = filled_problem(20), CoordinateDescent()
    state = solver.start(problem, None)
    for _ in range(8):
        assert solver.step(problem, state) == pytest.approx(problem.objective(), rel=1e-9)
    assert state.active
    reached = {name: F.copy() for name, F in problem.factors.items()}
    solution, lowest = state.ahead.copy(), state.pace[places.OBJECTIVE]
    state.pace[places.OBJECTIVE] = 0.9 * lowest  # which the next step does not reach
    solver.step(problem, state)
    for name, F in problem.factors.items():
        np.testing.assert_array_equal(F, reached[name])
    state.pace[places.OBJECTIVE] = lowest
    assert solver.step(problem, state) < lowest
    np.testing.assert_array_equal(problem.factors["H"], solution)


def test_the_last_solution_is_taken_up_at_the_end_if_it_is_lower():
    problem, solver = filled_problem(20), CoordinateDescent()
    state = solver.start(problem, None)
    for _ in range(8):
        objective = solver.step(problem, state)
    before, ahead = problem.factors["H"].copy(), state.ahead.copy()
    moved = state.take_up(problem, objective)
    assert moved < objective
    assert moved == pytest.approx(problem.objective(), rel=1e-12)
    np.testing.assert_array_equal(problem.factors["H"], ahead)
    assert state.take_up(problem, moved) == moved
    assert solver.step(problem, state) <= moved
    kept = problem.factors["H"].copy()
    state.ahead *= 2
    now = state.pace[places.OBJECTIVE]
    assert state.take_up(problem, now) == now
    np.testing.assert_array_equal(problem.factors["H"], kept)
    assert (before != kept).any()


def test_the_first_step_may_be_undone_as_well():
    """A column is known where one component lives alone: its share says far too little of it."""
    rng = np.random.default_rng(0)
    W, H, weights = rng.random((90, 8)), rng.random((60, 8)), np.ones((90, 60))
    W[9:, 0] = 0
    X = W @ H.T
    weights[9:, 0] = 0
    H[0, 0] *= 0.9
    data = Weighted(X * weights, weights)
    problem = Problem(data, Bilinear(8), losses.Frobenius(), {"W": W, "H": H})
    assert CoordinateDescent().start(problem, None).bold
    history = run(problem, CoordinateDescent(), tol=0, max_iter=20).objective_history
    assert (np.diff(history) <= 1e-12 * history[0]).all()
    assert history[-1] < 1e-12 * history[0]
