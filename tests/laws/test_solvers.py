"""Laws of every solver on every problem that it declares it can serve."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import NMF, _threads, init, kernels, losses, penalties
from partwise._errors import UnsupportedCombinationError
from partwise.data import as_data
from partwise.init import make_start
from partwise.kernels import places
from partwise.models import CP, Bilinear
from partwise.problem import Problem
from partwise.solvers import (
    SOLVERS,
    CoordinateDescent,
    MiniBatch,
    Solver,
    State,
    as_solver,
    loop,
    project_rows,
    run,
)
from tests.laws.declared import (
    ALL_SOLVERS,
    LOSSES,
    MAJORIZED,
    PENALTIES,
    SHAPES,
    any_dtype,
    any_loss,
    any_model,
    any_penalties,
    any_solver,
    any_storage,
    draw_data,
    label,
    make_problem,
    seeds,
    serves,
    stored,
)
from tests.oracle import naive

# Relative rise that rounding may cause; the objective is summed in float64 either way, but
# float32 factors carry seven digits.
RISE = {np.float64: 1e-9, np.float32: 2e-5}


def draw_problem(loss, model, dtype, obeyed, seed, storage="dense", start="random"):
    X = draw_data(SHAPES[model], seed, loss, dtype)
    return make_problem(X, loss, model, obeyed, storage, seed, start)


def law_objective_never_rises(problem, solver, seed=0, iterations=25):
    """The penalized objective of a monotone solver falls or stays, and so does the result's."""
    dtype = problem.data.dtype.type
    result = run(problem, solver, tol=0, max_iter=iterations, rng=np.random.default_rng(seed))
    history = result.objective_history
    assert np.isfinite(history).all()
    assert (np.diff(history) <= RISE[dtype] * np.abs(history[:-1])).all(), np.diff(history)
    # The value on record is the objective of the factors that are returned.
    assert problem.objective() == pytest.approx(
        result.objective, rel=1e-6 if dtype is np.float64 else 1e-3, abs=1e-9
    )
    for name, factor in result.factors.items():
        assert factor.dtype == dtype
        assert np.isfinite(factor).all()
        assert name in problem.signed or factor.min() >= 0
    return result


@given(
    loss=any_loss,
    name=any_solver,
    model=any_model,
    dtype=any_dtype,
    obeyed=any_penalties,
    storage=any_storage,
    seed=seeds,
)
def test_objective_never_rises(loss, name, model, dtype, obeyed, storage, seed):
    storage = storage if len(SHAPES[model]) == 2 else "dense"
    problem = draw_problem(loss, model, dtype, obeyed, seed, storage)
    solver = ALL_SOLVERS[name]
    if serves(solver, problem) and solver.monotone:
        law_objective_never_rises(problem, solver, seed)


EVERY_PENALTY = {"plain": (), "L1": (penalties.L1(0.2),), "L2": (penalties.L2(0.5),)}
PAIRS = [
    pytest.param(name, model, loss, obeyed, id=f"{name} {model} {label(loss)} {penalty}")
    for model in sorted(SHAPES)
    for loss in LOSSES
    for penalty, obeyed in EVERY_PENALTY.items()
    for problem in [draw_problem(loss, model, np.float64, obeyed, seed=1)]
    for name in sorted(SOLVERS)
    if ALL_SOLVERS[name].monotone and serves(ALL_SOLVERS[name], problem)
]


@pytest.mark.parametrize(("name", "model", "loss", "obeyed"), PAIRS)
def test_objective_never_rises_for_each_declared_pair(name, model, loss, obeyed):
    """The same law, not left to the draw: every loss meets every solver, model and penalty."""
    problem = draw_problem(loss, model, np.float64, obeyed, seed=1)
    law_objective_never_rises(problem, ALL_SOLVERS[name], iterations=40)


@pytest.mark.parametrize("obeyed", [(), (penalties.L1(0.4),), (penalties.L2(0.4),)], ids=label)
@pytest.mark.parametrize("loss", MAJORIZED, ids=label)
def test_update_is_the_minimum_of_the_majorizer(loss, obeyed):
    """F (negative / positive)^γ with the γ of Févotte & Idier (2011), table 2, or its equation."""
    problem = make_problem(draw_data((13, 9), 0, zeros=0) + 0.1, loss, obeyed=obeyed)
    problem.free = ("W",)
    before, split = problem.factors["W"].copy(), problem.split("W")
    ALL_SOLVERS["mu"].step(problem, ALL_SOLVERS["mu"].start(problem, None))
    ratio = problem.factors["W"] / before
    p, q = loss.powers
    linear, curved = (s if s.shape[0] else 0.0 for s in split.slopes)
    slope = -split.negative * ratio ** (p - 1) + split.loss_positive * ratio ** (q - 1)
    slope += linear + curved * ratio
    moving = ratio > 1e-10
    np.testing.assert_allclose(slope[moving] / split.negative[moving], 0, atol=1e-10)
    assert np.all(slope[~moving] >= 0)
    if not obeyed and isinstance(loss, losses.Beta):
        beta = loss.degree
        gamma = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0
        np.testing.assert_allclose(ratio, (split.negative / split.positive) ** gamma)


@pytest.mark.parametrize("storage", ["dense", "csr", "blocks", "cp"])
@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_split_is_the_gradient_of_the_objective(loss, storage):
    """Of every factor, along a direction, whichever way X is held and cut."""
    model, storage = ("cp", "dense") if storage == "cp" else ("bilinear", storage)
    X = draw_data(SHAPES[model], 4, loss, zeros=0) + 0.1
    problem = make_problem(X, loss, model, storage=storage, seed=4)
    rng = np.random.default_rng(4)
    for name, F in problem.factors.items():
        F += 0.1
        split, way, middle = problem.split(name), rng.standard_normal(F.shape), F.copy()
        ends = []
        for step in (1e-5, -1e-5):
            F[...] = middle + step * way
            ends.append(problem.objective())
        F[...] = middle
        slope = np.sum((split.positive - split.negative) * way)
        size = np.sum((split.positive + split.negative) * np.abs(way))
        assert abs(slope - (ends[0] - ends[1]) / 2e-5) <= 1e-6 * size


@given(seed=seeds)
def test_kkt_residual_is_the_naive_one(seed):
    rng = np.random.default_rng(seed)
    problem = make_problem(draw_data((13, 9), seed), losses.Frobenius(), seed=seed)
    wanted = naive.kkt(problem.data.to_dense(), problem.factors["W"], problem.factors["H"])
    assert problem.kkt() == pytest.approx(wanted, rel=1e-9)
    assert 0.02 < wanted < 5
    # It does not change when the scale moves between the factors, or with that of the loss.
    d = rng.uniform(0.1, 10, 3)
    problem.factors = {"W": problem.factors["W"] * d, "H": problem.factors["H"] / d}
    assert problem.kkt() == pytest.approx(wanted, rel=1e-9)


def law_reaches_a_stationary_point(problem, solver, tol, iterations):
    result = run(problem, solver, tol=tol, max_iter=iterations, rng=np.random.default_rng(0))
    assert result.converged, (result.kkt, result.stop_reason)
    assert result.kkt <= 2 * tol
    return result


# Those that see each factor as a quadratic program, and end at a stationary point.
QUADRATIC = [
    name
    for name, solver in ALL_SOLVERS.items()
    if solver.monotone
    and serves(solver, draw_problem(losses.Frobenius(), "bilinear", np.float64, (), 0))
    and not serves(solver, draw_problem(losses.KullbackLeibler(), "bilinear", np.float64, (), 0))
]


@pytest.mark.parametrize(
    "obeyed", [(), (penalties.L1(0.2),), (penalties.L2(0.5),)], ids=["plain", "L1", "L2"]
)
@pytest.mark.parametrize("model", ["bilinear", "non-smooth", "cp"])
def test_every_solver_of_quadratics_ends_at_the_same_stationary_point(model, obeyed):
    """From one start, whose valley has one bottom: the model to 1e-6."""
    assert {"cd", "hals", "anls-as", "anls-bpp", "nenmf", "pg", "gcd", "mu-lin"} <= set(QUADRATIC)
    ends = {}
    for name in [*QUADRATIC, "pgd", "admm"]:
        problem = draw_problem(losses.Frobenius(), model, np.float64, obeyed, seed=3)
        law_reaches_a_stationary_point(problem, ALL_SOLVERS[name], 3e-8, 20_000)
        ends[name] = problem.model.forward(problem.factors)
    for name, end in ends.items():
        error = np.abs(end - ends["cd"]).max()
        assert error <= 1e-6 * ends["cd"].max(), (name, error)


# Coordinate descent on the Kullback–Leibler divergence.
COUNTS = ["rational", "ccd", "newton", "newton-mu"]


@pytest.mark.parametrize(
    "obeyed", [(), (penalties.L1(0.2),), (penalties.L2(0.5),)], ids=["plain", "L1", "L2"]
)
@pytest.mark.parametrize("storage", ["dense", "csr"])
def test_every_solver_of_counts_ends_at_the_same_stationary_point(storage, obeyed):
    """From one start, whose valley has one bottom: the model to 1e-6."""
    ends = {}
    for name in COUNTS:
        X = draw_data(SHAPES["bilinear"], 3, zeros=0) + 0.1
        problem = make_problem(X, losses.KullbackLeibler(), "bilinear", obeyed, storage, seed=3)
        law_reaches_a_stationary_point(problem, ALL_SOLVERS[name], 3e-8, 20_000)
        ends[name] = problem.model.forward(problem.factors)
    for name, end in ends.items():
        error = np.abs(end - ends["rational"]).max()
        assert error <= 1e-6 * ends["rational"].max(), (name, error)


@pytest.mark.parametrize("obeyed", [(), (penalties.L1(0.2), penalties.L2(0.5))], ids=["plain", "L"])
def test_mirror_descent_ends_there_too(obeyed):
    """With H known and a solution inside: it nears zeros too slowly for that."""
    rng = np.random.default_rng(0)
    W, H = rng.random((13, 3)) + 1, rng.random((9, 3)) + np.eye(9, 3)
    X = W @ H.T * rng.uniform(0.95, 1.05, (13, 9))
    ends = {}
    for name in ("ccd", "mirror"):
        problem = make_problem(X, losses.KullbackLeibler(), obeyed=obeyed, seed=1)
        problem.factors["H"][...] = H
        problem.free = ("W",)
        law_reaches_a_stationary_point(problem, ALL_SOLVERS[name], 3e-8, 20_000)
        ends[name] = problem.factors["W"]
    np.testing.assert_allclose(ends["mirror"], ends["ccd"], atol=1e-6 * ends["ccd"].max())


def test_clipping_least_squares_is_not_solving_them():
    """'als' says that it is not monotone, and its end is not reported as converged."""
    problem = draw_problem(losses.Frobenius(), "bilinear", np.float64, (), seed=3)
    result = run(problem, ALL_SOLVERS["als"], tol=1e-6, max_iter=500)
    assert not ALL_SOLVERS["als"].monotone
    assert np.diff(result.objective_history).max() > 1e-6 * result.objective
    assert result.kkt > 1e-3
    assert not result.converged


def test_clipped_least_squares_find_an_exact_factorization():
    """Where no entry has to be clipped at the solution it is one of the method's too."""
    rng = np.random.default_rng(0)
    W, H = rng.random((30, 3)) + 0.1, rng.random((20, 3)) + 0.1
    data, model = as_data(W @ H.T), Bilinear(3)
    factors = init.make_start(data, model, "random", rng)[1]
    result = run(Problem(data, model, losses.Frobenius(), factors), ALL_SOLVERS["als"], tol=1e-6)
    assert result.converged
    assert result.objective < 1e-12 * np.sum((W @ H.T) ** 2)


@pytest.mark.parametrize("name", sorted(QUADRATIC))
def test_a_component_that_explains_nothing_comes_back(name):
    """H has a column of zeros, W has not: the next update of H finds the component again."""
    problem = draw_problem(losses.Frobenius(), "bilinear", np.float64, (), seed=3)
    problem.factors["H"][:, 1] = 0
    result = run(problem, ALL_SOLVERS[name], tol=0, max_iter=20, rng=np.random.default_rng(0))
    assert problem.factors["H"][:, 1].max() > 0
    assert problem.factors["W"][:, 1].max() > 0
    law_objective_never_rises(problem, ALL_SOLVERS[name])
    assert result.objective < 0.99 * result.objective_history[1]


@pytest.mark.parametrize("loss", MAJORIZED, ids=label)
@pytest.mark.parametrize("model", ["bilinear", "non-smooth", "cp"])
def test_kkt_residual_vanishes_under_multiplicative_updates(loss, model):
    """They crawl: towards a zero like 1/t. The residual must fall, and keep falling."""
    X = draw_data(SHAPES[model], 3, loss, zeros=0) + 0.1
    residuals = []
    for iterations in (20, 2000):
        problem = make_problem(X, loss, model, seed=3)
        residuals.append(run(problem, ALL_SOLVERS["mu"], tol=0, max_iter=iterations).kkt)
    assert residuals[1] < 1e-2
    assert residuals[1] < 0.2 * residuals[0]


@pytest.mark.parametrize("name", ["mu", "pgd", *QUADRATIC])
def test_restart_at_a_stationary_point_stops_at_once(name):
    X = draw_data((13, 9), 3, zeros=0) + 0.1
    problem = make_problem(X, losses.Frobenius())
    how = {"tol": 1e-4, "max_iter": 20_000, "rng": np.random.default_rng(0)}
    first = run(problem, ALL_SOLVERS[name], **how)
    assert first.converged
    again = run(problem, ALL_SOLVERS[name], **how)
    assert again.converged
    assert again.n_iter <= 2


@given(loss=any_loss, name=any_solver, dtype=any_dtype, seed=seeds)
def test_no_nan_whatever_is_empty(loss, name, dtype, seed):
    """Zero rows, zero columns, all zero, k above min(shape): finite factors in their set."""
    solver = ALL_SOLVERS[name]
    shapes = [(1, 4), (5, 2), (6, 7)]
    for shape in shapes:
        rng = np.random.default_rng(seed)
        X = rng.random(shape).astype(dtype) * (rng.random(shape) < 0.5)
        if loss.needs_positive_data:
            X += dtype(0.1)
        for Z in (X,) if loss.needs_positive_data else (X, np.zeros_like(X)):
            problem = make_problem(Z, loss, seed=seed)
            if serves(solver, problem):
                result = run(problem, solver, tol=1e-4, max_iter=15, rng=rng)
                for factor in result.factors.values():
                    assert np.isfinite(factor).all()
                    assert factor.min() >= 0
                assert np.isfinite(result.objective)


@pytest.mark.parametrize("name", ["mu", "minibatch", "als", "pgd", *QUADRATIC])
@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_zero_row_gets_a_zero_row(name, beta):
    X = draw_data((13, 9), 0, zeros=0)
    X[4] = 0
    problem = make_problem(X, losses.as_loss(beta), start="random")
    solver = ALL_SOLVERS[name]
    if serves(solver, problem):
        result = run(problem, solver, max_iter=300, rng=np.random.default_rng(0))
        reconstruction = result.factors["W"][4] @ result.factors["H"].T
        assert reconstruction.max() <= 1e-6 * X.max()


@given(loss=any_loss, name=any_solver, model=any_model, dtype=any_dtype, seed=seeds, data=st.data())
def test_fixed_entries_stay_to_the_bit(loss, name, model, dtype, seed, data):
    problem = draw_problem(loss, model, dtype, (), seed)
    rng = np.random.default_rng(seed)
    held = {}
    obeyed = {}
    for factor in problem.model.names:
        values = problem.factors[factor].copy()
        mask = rng.random(values.shape) < 0.4
        held[factor] = mask, values
        obeyed[factor] = (penalties.NonNegative(), penalties.Fixed(mask, values))
    problem.penalties = obeyed
    solver = ALL_SOLVERS[name]
    if not serves(solver, problem):
        return
    result = run(problem, solver, tol=0, max_iter=10, rng=rng)
    for factor, (mask, values) in held.items():
        np.testing.assert_array_equal(result.factors[factor][mask], values[mask])
    if solver.monotone:
        history = result.objective_history
        assert (np.diff(history) <= RISE[dtype] * np.abs(history[:-1])).all()


@given(loss=any_loss, name=any_solver, obeyed=any_penalties, storage=any_storage, seed=seeds)
def test_storage_does_not_matter(loss, name, obeyed, storage, seed):
    solver = ALL_SOLVERS[name]
    results = []
    for view in ("dense", storage):
        problem = draw_problem(loss, "bilinear", np.float64, obeyed, seed, view)
        if not serves(solver, problem):
            return
        results.append(run(problem, solver, tol=0, max_iter=15, rng=np.random.default_rng(0)))
    for factor in ("W", "H"):
        wanted = results[0].factors[factor]
        np.testing.assert_allclose(
            results[1].factors[factor], wanted, rtol=1e-6, atol=1e-7 * wanted.max()
        )
    np.testing.assert_allclose(
        results[1].objective_history, results[0].objective_history, rtol=1e-8
    )


OTHERS = [loss for loss in LOSSES if loss.powers is None]


def law_scale(loss, solver, start, c, seed):
    """fit(c·X) does the same iterations and gives √c-scaled factors."""
    X = draw_data((13, 9), seed, loss)
    one = make_problem(X, loss, start=start)
    other = make_problem(c * X, loss.rescaled(c), start=start)
    first = run(one, solver, max_iter=60, rng=np.random.default_rng(0))
    second = run(other, solver, max_iter=60, rng=np.random.default_rng(0))
    assert second.n_iter == first.n_iter
    for factor in ("W", "H"):
        wanted = np.sqrt(c) * first.factors[factor]
        np.testing.assert_allclose(
            second.factors[factor], wanted, rtol=1e-6, atol=1e-6 * wanted.max()
        )
    assert second.kkt == pytest.approx(first.kkt, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("c", [1e-12, 1e-6, 1e3, 1e12])
@pytest.mark.parametrize("start", sorted(init.STARTS))
@pytest.mark.parametrize("name", ["mu", "minibatch", *QUADRATIC])
def test_scale_of_the_data_does_not_matter(c, start, name):
    for loss in LOSSES:
        problem = make_problem(np.ones((13, 9)), loss)
        if serves(ALL_SOLVERS[name], problem):
            law_scale(loss, ALL_SOLVERS[name], start, c, seed=5)


@pytest.mark.parametrize("c", [1e-12, 1e3])
@pytest.mark.parametrize("start", ["random", "nndsvd"])
@pytest.mark.parametrize("loss", [losses.Frobenius(), losses.KullbackLeibler(), *OTHERS], ids=label)
def test_scale_of_the_data_does_not_matter_to_proximal_steps(c, start, loss):
    law_scale(loss, ALL_SOLVERS["pgd"], start, c, seed=5)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("model", ["bilinear", "non-smooth", "cp"])
@pytest.mark.parametrize("loss", [losses.Frobenius(), losses.KullbackLeibler()], ids=label)
def test_objective_never_rises_with_any_penalty(penalty, model, loss):
    """Every penalty meets a solver, in every factor; the residual says how far it got."""
    problem = draw_problem(loss, model, np.float64, (penalty,), seed=2)
    if problem.signed and not loss.quadratic:
        with pytest.raises(UnsupportedCombinationError, match="may have any sign"):
            as_solver("auto", problem)
        return
    law_objective_never_rises(problem, as_solver("auto", problem), iterations=40)


@pytest.mark.parametrize("penalty", [p for p in PENALTIES if p.convex or p.smooth], ids=repr)
def test_residual_vanishes_with_any_penalty(penalty):
    """Where it is no matter of luck: without constraints that are not convex."""
    obeyed = (penalty, penalties.L2(0.1))
    problem = draw_problem(losses.Frobenius(), "bilinear", np.float64, obeyed, seed=2)
    solver = as_solver("auto", problem)
    law_reaches_a_stationary_point(problem, solver, 1e-5, 20_000)
    again = run(problem, as_solver("auto", problem), tol=1e-4, max_iter=100)
    assert again.converged
    assert again.n_iter <= 10


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_admm_obeys_every_constraint_and_ends_where_it_should(penalty):
    """At any time, though its objective may rise; at a stationary point if all is convex."""
    problem = draw_problem(losses.Frobenius(), "bilinear", np.float64, (penalty,), seed=2)
    solver = ALL_SOLVERS["admm"]
    if solver.lacks(problem) is not None:
        assert penalty.smooth
        return
    obeyed = []
    run(problem, solver, tol=0, max_iter=20, callback=lambda at: obeyed.append(at.objective))
    assert len(obeyed) == 21
    assert np.isfinite(obeyed).all()  # infinite outside of a constraint
    assert all(F.min() >= 0 for F in problem.factors.values()) or problem.signed
    assert problem.objective() == pytest.approx(obeyed[-1])
    if penalty.convex:
        convex = (penalty, penalties.L2(0.1))
        problem = draw_problem(losses.Frobenius(), "bilinear", np.float64, convex, seed=2)
        law_reaches_a_stationary_point(problem, solver, 1e-5, 20_000)


@given(loss=any_loss, name=st.sampled_from(["mu", *QUADRATIC]), seed=seeds)
def test_order_of_rows_and_columns_does_not_matter(loss, name, seed):
    solver = ALL_SOLVERS[name]
    X = draw_data((13, 9), seed, loss)
    plain = make_problem(X, loss, seed=seed)
    if not serves(solver, plain):
        return
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(13), rng.permutation(9)
    moved = make_problem(X[np.ix_(rows, columns)], loss, seed=seed)
    moved.factors = {"W": plain.factors["W"][rows].copy(), "H": plain.factors["H"][columns].copy()}
    first = run(plain, solver, tol=0, max_iter=8, rng=np.random.default_rng(seed))
    second = run(moved, solver, tol=0, max_iter=8, rng=np.random.default_rng(seed))
    np.testing.assert_allclose(second.objective, first.objective, rtol=1e-6)
    for factor, order in (("W", rows), ("H", columns)):
        wanted = first.factors[factor][order]
        np.testing.assert_allclose(
            second.factors[factor], wanted, rtol=1e-5, atol=1e-7 * wanted.max()
        )


@pytest.mark.parametrize("loss", [d for d in LOSSES if not d.rowwise], ids=label)
def test_transposing_swaps_the_factors(loss):
    """At convergence: the update order differs, so the paths do."""
    rng = np.random.default_rng(0)
    W, H = rng.gamma(0.5, size=(30, 2)) + 0.01, rng.gamma(0.5, size=(20, 2)) + 0.01
    X = W @ H.T
    ends = []
    for Z in (X, X.T.copy()):
        data, model = as_data(Z), Bilinear(2)
        factors = init.make_start(data, model, "nndsvda", None)[1]
        bounds = {name: (penalties.Box(0, 5.0),) for name in ("W", "H")}
        problem = Problem(data, model, loss, factors, bounds if loss.largest < np.inf else {})
        run(problem, as_solver("auto", problem), tol=1e-7, max_iter=3000)
        ends.append(model.forward(problem.factors))
    np.testing.assert_allclose(ends[0], ends[1].T, atol=2e-2 * X.max())


@pytest.mark.parametrize("seed", range(5))
def test_unique_answer_comes_back(seed):
    """Separable in both factors, hence unique up to order and scale (Donoho & Stodden 2003)."""
    rng = np.random.default_rng(seed)
    W = np.vstack([np.eye(4), rng.random((30, 4)) * (rng.random((30, 4)) < 0.5)])
    H = np.hstack([np.eye(4), rng.random((4, 20)) * (rng.random((4, 20)) < 0.5)])
    data, model = as_data(W @ H), Bilinear(4)
    best = None
    for start in range(5):
        factors = init.make_start(data, model, "random", np.random.default_rng(start))[1]
        result = run(
            Problem(data, model, losses.Frobenius(), factors),
            ALL_SOLVERS["cd"],
            tol=1e-9,
            max_iter=3000,
        )
        best = result if best is None or result.objective < best.objective else best
    found = best.factors["H"] / np.linalg.norm(best.factors["H"], axis=0)
    cosine = (H / np.linalg.norm(H, axis=1, keepdims=True)) @ found
    assert cosine.max(axis=1).min() > 0.9999
    assert sorted(cosine.argmax(axis=1)) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_cp_recovers_planted_factors(seed):
    """CP is unique under Kruskal's condition: factor match score above 0.999."""
    rng = np.random.default_rng(seed)
    truth = [rng.random((20, 4)) * (rng.random((20, 4)) < 0.5) for _ in range(3)]
    X = np.einsum("ir,jr,lr->ijl", *truth)
    data, model = as_data(X), CP(4)
    best = None
    for start in range(4):
        factors = init.make_start(data, model, "random", np.random.default_rng(start))[1]
        problem = Problem(data, model, losses.Frobenius(), factors)
        result = run(problem, ALL_SOLVERS["cd"], tol=1e-8, max_iter=1000)
        best = result if best is None or result.objective < best.objective else best
    score = np.ones((4, 4))
    for F, found in zip(truth, best.factors.values(), strict=True):
        score *= (F / np.linalg.norm(F, axis=0)).T @ (found / np.linalg.norm(found, axis=0))
    assert score.max(axis=1).min() > 0.999


@given(loss=any_loss, seed=seeds, storage=any_storage)
def test_rows_are_projected_alone(loss, seed, storage):
    rng = np.random.default_rng(seed)
    X = draw_data((13, 9), seed, loss)
    H = rng.random((9, 3)) + 0.05
    tol, updates = 1e-5, 5000

    def project(Z, view):
        factors = {"W": np.zeros((len(Z), 3)), "H": H}
        problem = Problem(stored(Z, view), Bilinear(3), loss, factors, free=("W",))
        before = H.copy()
        undone = project_rows(problem, tol=tol, max_iter=updates)
        # Multiplicative updates creep towards a zero; a row may take more than that.
        assert undone == 0 if loss.quadratic else undone <= 2
        np.testing.assert_array_equal(H, before)
        return problem

    together = project(X, storage)
    W = together.factors["W"]
    assert W.min() >= 0
    for i in (0, 2, 7):
        alone = project(X[i : i + 1], "dense").factors["W"]
        np.testing.assert_allclose(alone[0], W[i], rtol=1e-6, atol=1e-9)
    if loss.quadratic:
        assert together.kkt() < 1e-10


def test_a_forbidden_pair_says_what_is_missing():
    problem = make_problem(np.ones((5, 4)), losses.KullbackLeibler())
    with pytest.raises(UnsupportedCombinationError) as error:
        as_solver("cd", problem)
    for words in ("'cd' needs the squared", "not quadratic", "'mu'", "solver='auto'"):
        assert words in str(error.value)
    tensor = draw_problem(losses.Frobenius(), "cp", np.float64, (), 0)
    with pytest.raises(UnsupportedCombinationError, match="CP has 3 factors"):
        as_solver(MiniBatch(), tensor)


def test_the_loop_stops_when_told():
    def fresh():
        return make_problem(draw_data((13, 9), 0), losses.Frobenius())

    seen = []
    result = run(
        fresh(),
        ALL_SOLVERS["cd"],
        tol=0,
        callback=lambda s: seen.append(s.iteration) or s.iteration == 3,
    )
    assert seen == [0, 1, 2, 3]
    assert result.stop_reason == "stopped by the callback"
    assert not result.converged
    result = run(fresh(), ALL_SOLVERS["cd"], tol=0, max_time=1e-9)
    assert (result.n_iter, result.converged) == (1, False)
    assert "max_time" in result.stop_reason
    result = run(fresh(), ALL_SOLVERS["cd"], tol=0, max_iter=7)
    assert result.n_iter == 7
    assert len(result.objective_history) == len(result.time_history) == 8
    assert (np.diff(result.time_history) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("shape", "k", "noise", "tol"),
    [
        ((100, 50), 5, 0.1, 1e-6),
        ((50, 70), 1, 0.1, 1e-4),
        ((64, 64), 17, 0.0, 0.0),  # close fits, whose objective is not known from products
        ((7, 5), 3, 0.0, 1e-3),
        ((1, 9), 1, 0.1, 1e-4),
        ((1100, 500), 33, 0.3, 1e-4),  # several pieces of both factors
        ((150, 3000), 50, 0.3, 1e-4),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_iterations_in_one_call_are_those_of_single_steps(
    shape, k, noise, tol, threads, order, dtype, monkeypatch
):
    monkeypatch.setattr(_threads, "_allowance", lambda: threads)
    rng = np.random.default_rng(1)
    X = rng.random((shape[0], k)) @ rng.random((k, shape[1])) + noise * rng.random(shape)
    data = as_data(np.asarray(X, dtype, order))
    found = []
    for callback in (None, lambda progress: None):
        model = Bilinear(k)
        factors = make_start(data, model, "random", np.random.default_rng(0))[1]
        problem = Problem(data, model, losses.Frobenius(), factors=factors)
        with _threads.one_pool():
            most = 130 if data.size < 10_000 else 23
            together = run(problem, ALL_SOLVERS["cd"], tol=tol, max_iter=most, callback=callback)
        found.append(together)
    one, other = found
    for name, F in one.factors.items():
        np.testing.assert_array_equal(F, other.factors[name])
    np.testing.assert_array_equal(one.objective_history, other.objective_history)
    assert (one.kkt, one.stop_reason) == (other.kkt, other.stop_reason)
    assert (np.diff(one.time_history) >= 0).all()


def test_small_problems_are_served_by_several_iterations_in_one_call(monkeypatch):
    calls = []
    right = CoordinateDescent.steps
    monkeypatch.setattr(
        CoordinateDescent, "steps", lambda *given: calls.append(found := right(*given)) or found
    )
    NMF(5, max_iter=1000).fit(np.random.default_rng(0).random((60, 40)))
    assert None not in calls
    assert max(map(len, calls)) > 2


def test_a_head_start_in_one_call_ends_where_single_steps_end(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.random((3500, 2)) @ rng.random((2, 400)) + 0.5 * rng.random((3500, 400))
    ends, right = [], loop.improve_start
    monkeypatch.setattr(
        loop,
        "improve_start",
        lambda problem, improve: right(
            problem, lambda part: ends.append(len(found := improve(part))) or found
        ),
    )
    one = NMF(12, max_iter=3, tol=0, random_state=0).fit(X)
    monkeypatch.setattr(CoordinateDescent, "steps", lambda *_: None)
    other = NMF(12, max_iter=3, tol=0, random_state=0).fit(X)
    assert ends[0] == ends[1] < loop.HEAD_START
    np.testing.assert_array_equal(one.W_, other.W_)


def test_a_thread_that_fails_does_not_leave_others_waiting(monkeypatch):
    right = kernels.descend_dense

    def wrong(*how):
        if threading.current_thread().name == "partwise":
            raise MemoryError("of one thread")
        right(*how)

    monkeypatch.setattr(kernels, "descend_dense", wrong)
    monkeypatch.setattr(_threads, "_allowance", lambda: 3)
    X = np.random.default_rng(0).random((1500, 600))
    with pytest.raises(MemoryError, match="of one thread"):
        NMF(30, max_iter=50).fit(X)


def test_a_step_that_raises_the_objective_is_told():
    class Wrong(CoordinateDescent):
        def step(self, problem, state):
            objective = super().step(problem, state)
            if state.pace[places.ITERATION] != 3:
                return objective
            problem.factors["W"] *= 2.0
            return state.judge(problem, problem.objective())

        def steps(self, *given):
            return None

    problem = draw_problem(losses.Frobenius(), "bilinear", np.float64, (), seed=1)
    history = run(problem, Wrong(), tol=0, max_iter=6).objective_history
    assert (np.diff(history) > 0).sum() == 1


def test_default_table_prefers_the_faster():
    quadratic = make_problem(np.ones((5, 4)), losses.Frobenius())
    assert as_solver("auto", quadratic).name == "cd"
    kullback = make_problem(np.ones((5, 4)), losses.KullbackLeibler())
    assert as_solver("auto", kullback).name == "rational"
    blocks = make_problem(np.ones((9, 4)), losses.KullbackLeibler(), storage="blocks")
    assert as_solver("auto", blocks).name == "amu"
    mine = ALL_SOLVERS["hals"]
    assert as_solver(mine, quadratic) is mine
    assert all(isinstance(make(), Solver) for make in SOLVERS.values())


def test_every_eleventh_iteration_of_newton_mu_is_multiplicative():
    X = draw_data((30, 20), 0, losses.KullbackLeibler(), zeros=0.2)

    def ended(name, iterations):
        problem = make_problem(X, losses.KullbackLeibler())
        return run(problem, SOLVERS[name](), tol=0, max_iter=iterations).factors["W"]

    np.testing.assert_allclose(ended("newton-mu", 10), ended("newton", 10), rtol=1e-9)
    assert not np.allclose(ended("newton-mu", 11), ended("newton", 11), rtol=1e-6)


class Idle(Solver):
    """One that does nothing."""

    name, needs = "idle", "nothing"

    def lacks(self, problem):
        return None

    def start(self, problem, rng):
        return State()

    def step(self, problem, state):
        return None


def test_a_standstill_far_from_a_stationary_point_is_no_convergence():
    X = draw_data((30, 20), 0)
    problem = make_problem(X, losses.Frobenius())
    result = run(problem, Idle(), tol=1e-4, max_iter=50)
    assert "no longer changes" in result.stop_reason
    assert result.kkt > 1e-2
    assert not result.converged
