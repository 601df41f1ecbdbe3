"""From an estimator's parameters to problems, starts, runs and one outcome."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from partwise._arrays import check_kind, check_start
from partwise._errors import explain
from partwise._threads import one_pool, side_by_side
from partwise.data import Data, Observed, RowWeighted, as_data
from partwise.data.lowrank import compressed
from partwise.estimators._explain import Explained, explained
from partwise.estimators._progress import FitState, Reporter, combined
from partwise.estimators._units import Unit
from partwise.init import complete, draws, make_start
from partwise.losses import as_loss
from partwise.models import Bilinear
from partwise.penalties import Fixed, NonNegative, Penalty, elastic_net
from partwise.problem import Problem
from partwise.result import Result
from partwise.solvers import Solver, as_solver, run

__all__ = [
    "FITTED",
    "Job",
    "Outcome",
    "Start",
    "best_of",
    "bind",
    "both_penalized",
    "check_starts",
    "clear_unknown",
    "fit_all",
    "misfit",
    "seed_of",
    "shares_of",
    "warn_about",
]

# A model with less than this share of the sum of X is no model of X.
NOTHING_LEFT = 1e-3
# The start that is the best of so many random ones after so many iterations of the fit's solver.
BEST_RANDOM = "best-random"
TRIED, SHORT = 5, 5
# The start that is a fit of the projection of X on a few directions, of so many iterations.
COMPRESSED = "compressed"
COARSE = 100
FITTED = BEST_RANDOM, COMPRESSED

Callback = Callable[[FitState], object] | None


@dataclass
class Start:
    """The start values that the user gave, checked: W (n, k) and H (k, m), and fixed masks."""

    n_components: int
    given: dict[str, np.ndarray]
    fixed: dict[str, np.ndarray]


@dataclass
class Outcome:
    """The best of all runs, in the user's unit and orientation."""

    W: np.ndarray
    components: np.ndarray
    n_iter: int
    beta_loss: float
    objective: float
    reconstruction_err: float
    objective_history: np.ndarray
    time_history: np.ndarray
    objectives: np.ndarray
    kkt: float
    converged: bool
    stop_reason: str
    solver: str
    init: str
    seed: int
    explained: Explained
    share: float


# --- starts --------------------------------------------------------------------------------


def check_starts(
    est: Any, X: Any, W: Any, H: Any, fixed_W: Any = None, fixed_H: Any = None
) -> Start:
    """Check what the user gave to start from, and settle the number of components."""
    k = est.n_components
    name = type(est).__name__
    if est.init != "custom":
        if fixed_W is not None or fixed_H is not None:
            message = "fixed_W and fixed_H keep start values: pass W or H, and init='custom'."
            raise ValueError(message)
        if W is not None or H is not None:
            warn(
                "When init!='custom', provided W or H are ignored. Set  init='custom' to use "
                "them as initialization.",
                RuntimeWarning,
            )
        return Start(X.shape[1] if k in (None, "auto") else int(k), {}, {})
    if W is None and H is None:
        raise ValueError(
            explain(
                f"{name} with init='custom'",
                "neither W nor H",
                "start values for W, H or both",
            )
        )
    wanted = None if k == "auto" else X.shape[1] if k is None else int(k)
    given = {}
    if H is not None:
        H = check_start(
            H, (wanted, X.shape[1]), X.dtype, f"{name} (input H)", signed="H" in est._signed
        )
        wanted = len(H)
        given["H"] = H
    if W is not None:
        W = check_start(
            W, (X.shape[0], wanted), X.dtype, f"{name} (input W)", signed="W" in est._signed
        )
        wanted = W.shape[1]
        given["W"] = W
    assert wanted is not None
    fixed = {}
    for key, mask in (("W", fixed_W), ("H", fixed_H)):
        if mask is not None:
            fixed[key] = _check_mask(mask, given.get(key), f"fixed_{key}")
    return Start(wanted, given, fixed)


def _check_mask(mask: Any, start: np.ndarray | None, subject: str) -> np.ndarray:
    mask = np.asarray(mask)
    if start is None:
        message = f"{subject} needs start values to keep: pass {subject[-1]} as well."
        raise ValueError(message)
    if mask.dtype != bool or mask.shape != start.shape:
        raise ValueError(
            explain(
                subject,
                f"dtype {mask.dtype} and shape {mask.shape}",
                f"a boolean array of shape {start.shape}, True where the start value is kept",
            )
        )
    return mask


def _start_of_callable(est: Any, X: Any, n_components: int, seed: int) -> Start:
    """Return what ``init(X, n_components, seed)`` returns, checked, in the dtype of X."""
    subject = f"{type(est).__name__} with init={_name_of(est.init)}"
    found = est.init(X, n_components, seed)
    if not isinstance(found, tuple | list) or len(found) != 2:
        got = (
            f"{type(found).__name__} of length {len(found)}" if hasattr(found, "__len__") else found
        )
        raise TypeError(explain(subject, got, "the pair (W, H)", "End it with: return W, H."))
    shapes = (X.shape[0], n_components), (n_components, X.shape[1])
    given = {}
    for name, F, shape in zip("WH", found, shapes, strict=True):
        which = f"{subject} (returned {name})"
        check_kind(F, which)
        if not sparse.issparse(F):
            F = np.asarray(F)
            if F.dtype.kind not in "fiub":
                raise ValueError(explain(which, f"dtype {F.dtype}", "real numbers"))
            with np.errstate(over="ignore"):  # found below
                F = F.astype(X.dtype, copy=False)
        given[name] = check_start(F, shape, X.dtype, which, signed=name in est._signed)
    return Start(n_components, given, {})


def _name_of(init: Any) -> str:
    return getattr(init, "__name__", type(init).__name__) if callable(init) else str(init)


def seed_of(random_state: Any) -> int:
    """Return an integer that repeats the fit; draws from a generator, never from the global one."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if not isinstance(random_state, Integral) or random_state < 0:
        wanted = "an integer ≥ 0, a generator of NumPy or None"
        raise ValueError(explain("random_state", repr(random_state), wanted))
    return int(random_state)


# --- problems ------------------------------------------------------------------------------


def penalties_of(
    est: Any,
    shape: tuple[int, ...],
    fixed: dict[str, np.ndarray],
    given: dict[str, np.ndarray],
) -> dict[str, tuple[Penalty, ...]]:
    """Return the penalties of both factors, in the user's unit and with H as (n_features, k).

    W: alpha_W · n_features · (l1_ratio ‖W‖₁ + ½ (1 − l1_ratio) ‖W‖²), and H with alpha_H and
    n_samples; then the objects of penalty_W and penalty_H, as they are.
    """
    alpha_H = est.alpha_W if est.alpha_H == "same" else est.alpha_H
    found = {}
    rows = dict(zip(("W", "H"), shape, strict=True))
    for name, strength in (("W", est.alpha_W * shape[1]), ("H", alpha_H * shape[0])):
        terms: list[Penalty] = [NonNegative(), *elastic_net(strength, est.l1_ratio)]
        terms.extend(_objects(est, name, rows[name]))
        if name in fixed:
            mask, values = fixed[name], given[name]
            terms.append(Fixed(mask, values) if name == "W" else Fixed(mask.T, values.T))
        found[name] = tuple(terms)
    return found


def objects_of(est: Any, name: str) -> list[Penalty]:
    """Return what an estimator was given as ``penalty_W`` or ``penalty_H``, as a list."""
    given = getattr(est, f"penalty_{name}", None)
    return [] if given is None else [given] if isinstance(given, Penalty) else list(given)


def both_penalized(est: Any) -> bool:
    """Return whether W and H are, which then are determined by few entries of X, or by none."""
    alpha_H = est.alpha_W if est.alpha_H == "same" else est.alpha_H
    return all(
        strength > 0 or any(not getattr(p, "constraint", True) for p in objects_of(est, name))
        for name, strength in (("W", est.alpha_W), ("H", alpha_H))
    )


def _objects(est: Any, name: str, rows: int) -> list[Penalty]:
    # The penalty objects of a factor with so many rows, checked.
    found = objects_of(est, name)
    for penalty in found:
        if not isinstance(penalty, Penalty):
            todo = "Make one from partwise.penalties, for example penalties.L1(0.1)."
            got = f"{penalty!r} in it"
            raise TypeError(explain(f"penalty_{name}", got, "penalty objects", todo))
        if penalty.dimension not in (None, rows):
            axis = "samples" if name == "W" else "features"
            got = f"{penalty.name} made for {penalty.dimension} {axis}"
            raise ValueError(explain(f"penalty_{name}", got, f"one for the {rows} of X"))
    return found


def bind(
    est: Any,
    data: Data,
    unit: Unit,
    n_components: int,
    factors: dict[str, np.ndarray],
    start: Start | None = None,
) -> Problem:
    """Return the problem of an estimator for data and factors in a unit of their own."""
    loss = as_loss(est.beta_loss).rescaled(unit.entry_in)
    fixed, given = (start.fixed, start.given) if start else ({}, {})
    if unit.scales is not None and "W" in given:
        given = {**given, "W": given["W"] * unit.scales[:, None]}
    scale = unit.cost_in(loss.degree)
    penalties = {
        name: tuple(p if unit.usual else p.rescaled(scale, 2.0**unit.power) for p in terms)
        for name, terms in penalties_of(est, data.shape, fixed, given).items()
    }
    model = est._model(n_components)
    for name, dimension in model.dimensions(data.shape).items():
        if name not in factors:
            factors = {**factors, name: np.zeros((dimension, n_components), data.dtype)}
        for penalty in penalties[name]:
            if penalty.free() is not None:  # solvers leave these entries where they are
                factors = {**factors, name: penalty.prox(factors[name], 0.0)}
    problem: Problem = est._problem(data, model, loss, factors, penalties)
    problem.scales = unit.scales
    return problem


def misfit(est: Any, X: Any, W: np.ndarray, components: np.ndarray) -> float:
    """Return the unpenalized divergence Σ d(X, W H) in the user's unit."""
    unit = Unit.of(X, as_loss(est.beta_loss).degree)
    factors = unit.factors_in(W, components)
    problem = bind(est, as_data(unit.data_in(X)), unit, len(components), factors)
    return float(unit.loss_out(problem.loss_value(), problem.loss.degree))


def shares_of(X: Any, W: np.ndarray, parts: np.ndarray) -> Explained:
    """Return what W times ``parts`` (k, n_features) explains of the squares of checked data."""
    unit = Unit.of(X)
    factors = unit.factors_in(W, parts)
    return explained(as_data(unit.data_in(X)), factors["W"], factors["H"])


def clear_unknown(problem: Problem) -> None:
    """Set rows of factors to zero that no known entry of X says anything about."""
    if isinstance(problem.data, Observed):
        for name, count in zip(problem.model.names, problem.data.counts(), strict=True):
            if name in problem.free and not problem.free_entries(name).shape[0]:
                problem.factors[name][count == 0] = 0


# --- runs ----------------------------------------------------------------------------------


@dataclass
class Job:
    """What all runs of one fit share."""

    est: Any
    X: Any
    start: Start
    make_solver: Callable[[Problem], Solver]
    seed: int
    callback: Callback = None

    def __post_init__(self) -> None:
        self.unit = Unit.of(self.X, as_loss(self.est.beta_loss).degree)
        self.data = as_data(self.unit.data_in(self.X))
        special = not self.data.complete or getattr(self.est, "allow_negative", False)
        # What starts are made from, which are not made for holes.
        self.whole = self.data.filled() if special else self.data

    def rng(self, number: int) -> np.random.Generator:
        """Return the generator of a run; the first draws from the seed alone, as in all fits."""
        return np.random.default_rng(self.seed if number == 0 else [self.seed, number])

    def run(self, number: int) -> tuple[Result, Problem, str]:
        """Do one run."""
        est, rng = self.est, self.rng(number)
        init, factors = self.factors(number, rng)
        problem = self._bind(factors)
        clear_unknown(problem)
        max_time = getattr(est, "max_time", None)
        many = getattr(est, "n_init", 1) > 1
        label = f"{type(est).__name__} start {number}" if many else type(est).__name__
        with Reporter(est.verbose, est.max_iter, max_time, label) as reporter:
            told = combined(reporter, self.callback, self.unit, problem.loss.degree, number)
            result = run(
                problem,
                self.make_solver(problem),
                tol=est.tol,
                max_iter=est.max_iter,
                max_time=max_time,
                rng=rng,
                callback=told,
            )
        clear_unknown(problem)
        if many:  # which would be kept until the last one is done
            result.slopes.clear()
        reporter.close(result.n_iter, result.stop_reason)
        return result, problem, init

    def runs(self) -> list[tuple[Result, Problem, str]]:
        """Do all runs, in threads if asked to."""
        est, count = self.est, getattr(self.est, "n_init", 1)
        if count > 1 and len(self.start.given) == 2:
            raise ValueError(
                explain(
                    "n_init",
                    f"{count} with init='custom', W and H",
                    "n_init=1",
                    "All starts would be the same.",
                )
            )
        return side_by_side(self.run, range(count), getattr(est, "n_jobs", 1))

    def factors(self, number: int, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
        """Return the name of the start of a run and its factors, in the unit of the data."""
        init, k = self.est.init, self.start.n_components
        model = self.est._model(k)
        if callable(init):
            shown = self.X.shown() if isinstance(self.X, Observed) else self.X
            start = _start_of_callable(self.est, shown, k, int(rng.integers(2**31 - 1)))
            return _name_of(init), oriented(start, self.unit)
        if init == "custom":
            given, signed = oriented(self.start, self.unit), self.est._signed
            return init, complete(self.whole, model, given, rng, signed=signed)
        if init not in (None, "random", BEST_RANDOM) and self.est._signed:
            self._check_signs(init)
        if init == BEST_RANDOM:
            return init, self._best_random(model, rng)
        if init == COMPRESSED:
            return init, self._compressed(model, rng)
        if number > 0 and not draws(init):
            init = "random"  # these have no second draw
        return self._make_start(self.whole, model, init, rng)

    def _check_signs(self, init: str) -> None:
        # Most starts are made for X ≥ 0.
        if self.whole.smallest() < 0:
            wanted = "None, 'random', 'best-random', 'custom' or a function"
            raise ValueError(explain("init", f"{init!r} for X with negative entries", wanted))

    def _make_start(
        self, data: Data, model: Bilinear, init: str | None, rng: Any
    ) -> tuple[str, dict[str, np.ndarray]]:
        return make_start(data, model, init, rng, signed=self.est._signed)

    def _bind(self, factors: dict[str, np.ndarray], data: Data | None = None) -> Problem:
        data = self.data if data is None else data
        return bind(self.est, data, self.unit, self.start.n_components, factors, self.start)

    def _compressed(self, model: Bilinear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        # Tepper & Sapiro (2016), IEEE Transactions on Signal Processing 64, with one projection.
        if not as_loss(self.est.beta_loss).quadratic:
            got = f"beta_loss={self.est.beta_loss!r}"
            raise ValueError(
                explain(f"init='{COMPRESSED}'", got, "the squared loss", "Use another start.")
            )
        if not self.data.complete:
            got = "X with missing entries or weights"
            raise ValueError(
                explain(f"init='{COMPRESSED}'", got, "X without", "Use another start.")
            )
        data = compressed(self.data, model.n_components, rng)
        problem = self._bind(self._make_start(data, model, None, rng)[1], data)
        solver, max_time = self.make_solver(problem), getattr(self.est, "max_time", None)
        tol = max(self.est.tol, 1e-6)  # the full data have the last word
        return run(problem, solver, tol=tol, max_iter=COARSE, max_time=max_time, rng=rng).factors

    def _best_random(self, model: Bilinear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        # Vandaele, Gillis, Glineur & Tuyttens (2016), Journal of Global Optimization 65: refine
        # the best of several short runs.
        best: Result | None = None
        max_time = getattr(self.est, "max_time", None)
        for _ in range(TRIED):
            problem = self._bind(self._make_start(self.whole, model, "random", rng)[1])
            solver = self.make_solver(problem)
            found = run(problem, solver, tol=0, max_iter=SHORT, max_time=max_time, rng=rng)
            if best is None or found.objective < best.objective:
                best = found
        assert best is not None
        return best.factors


def oriented(start: Start, unit: Unit) -> dict[str, np.ndarray]:
    """Return the given start values in a unit, with H as (n_features, k)."""
    return {
        name: unit.first_in(F) if name == "W" else unit.factor_in(F.T)
        for name, F in start.given.items()
    }


def fit_all(
    est: Any, X: Any, start: Start, make_solver: Callable[[Problem], Solver], callback: Callback
) -> Outcome:
    """Run all starts, in threads if asked to, and return the best."""
    job = Job(est, X, start, make_solver, seed_of(est.random_state), callback)
    runs = job.runs()
    with one_pool():
        return best_of(runs, job)


def best_of(runs: list[tuple[Result, Problem, str]], job: Job) -> Outcome:
    """Return the outcome of the run with the lowest objective."""
    objectives = np.array([result.objective for result, _, _ in runs])
    return _outcome(runs[int(np.argmin(objectives))], job, objectives)


def default_solver(est: Any) -> Callable[[Problem], Solver]:
    """Return the maker of the solver that an estimator's ``solver`` names."""
    return lambda problem: as_solver(est.solver, problem, shuffle=est.shuffle)


def check_solver(est: Any, X: Any) -> None:
    """Raise if the solver that an estimator names cannot serve its loss and penalties."""
    data = X.data if isinstance(X, RowWeighted) else as_data(X)
    default_solver(est)(bind(est, data, Unit(), 1, {}))


def _slopes_alone(
    result: Result, problem: Problem, product: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    # Those of the squared loss in both sides of the product, if they are known and hold nothing
    # else.
    penalized = not all(p.constraint for obeyed in problem.penalties.values() for p in obeyed)
    if penalized or not problem.quadratic or {*result.slopes} != {"W", "H"}:
        return None
    if product[0] is not problem.factors["W"] or product[1] is not problem.factors["H"]:
        return None
    return result.slopes["W"], result.slopes["H"]


def _outcome(chosen: tuple[Result, Problem, str], job: Job, objectives: np.ndarray) -> Outcome:
    (result, problem, init), unit = chosen, job.unit
    degree = problem.loss.degree
    W, H = problem.factors["W"], problem.factors["H"]
    product = problem.model.as_product(problem.factors)
    assert product is not None
    if unit.scales is None or degree == 2:
        shares = explained(problem.data, *product, _slopes_alone(result, problem, product))
    else:
        shares = shares_of(job.X, unit.first_out(product[0]), unit.factor_out(product[1]).T)
    with np.errstate(over="ignore", under="ignore"):
        error = np.sqrt(2 * max(problem.loss_value(result.objective), 0.0)) * np.exp2(
            unit.power * degree + unit.weight / 2
        )
    return Outcome(
        W=unit.first_out(W),
        components=np.ascontiguousarray(unit.factor_out(H).T),
        n_iter=result.n_iter,
        beta_loss=degree,
        objective=float(unit.loss_out(result.objective, degree)),
        reconstruction_err=float(error),
        objective_history=unit.loss_out(result.objective_history, degree),
        time_history=result.time_history,
        objectives=unit.loss_out(objectives, degree),
        kkt=result.kkt,
        converged=result.converged,
        stop_reason=result.stop_reason,
        solver=result.solver,
        init=init,
        seed=job.seed,
        explained=shares,
        share=problem.model.total(problem.factors) / max(problem.data.sum(), np.finfo(float).tiny)
        if problem.data.sum() > 0 and not problem.signed
        else 1.0,
    )


# --- warnings --------------------------------------------------------------------------------


def warn_about(outcome: Outcome, est: Any, X: Any) -> None:
    """Warn where the outcome is not what the user thinks it is."""
    if est.tol > 0 and not outcome.converged and "callback" not in outcome.stop_reason:
        if outcome.n_iter >= est.max_iter:
            opening = (
                f"Maximum number of iterations {est.max_iter} reached. Increase it to improve "
                "convergence."
            )
        else:
            opening = f"Stopped before convergence: {outcome.stop_reason}."
        warn(
            f"{opening} The scaled KKT residual is {outcome.kkt:.2g} after {outcome.n_iter} "
            f"iterations of solver {outcome.solver!r}, tol={est.tol:g}. Raise max_iter (or "
            "max_time), or accept less with a larger tol.",
            ConvergenceWarning,
        )
    if isinstance(X, Observed):
        _warn_about_unknown(X)
    objects = [getattr(est, name, None) for name in ("penalty_W", "penalty_H")]
    penalized = est.alpha_W or est.alpha_H not in ("same", 0) or any(objects)
    if penalized and outcome.share < NOTHING_LEFT:
        warn(
            "The penalties drove all components to zero, or nearly so. They are scaled: alpha_W "
            f"({est.alpha_W:g}) counts times n_features ({X.shape[1]}), alpha_H "
            f"({est.alpha_H}) times n_samples ({X.shape[0]}); those of penalty_W and penalty_H "
            "are in the scale of the objective. Lower them, by a factor of 10 at a time.",
            UserWarning,
        )


def _warn_about_unknown(X: Any) -> None:
    lost = [int(np.count_nonzero(count == 0)) for count in X.counts()]
    if any(lost):
        warn(
            f"{lost[0]} rows and {lost[1]} columns of X have no known entry. Their rows of W and "
            "columns of components_ are zero, which says nothing about them. Drop them, or "
            "look for what is known of them.",
            UserWarning,
        )


def warn(message: str, category: type[Warning]) -> None:
    """Warn as from the line of the user's code that called the package."""
    frame = inspect.currentframe()
    depth = 0
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in (
        "partwise",
        "sklearn",
        "joblib",
    ):
        frame = frame.f_back
        depth += 1
    warnings.warn(message, category, stacklevel=depth + 1)
