"""Solvers side by side: each from the same starts, by iterations and by seconds."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain
from partwise._tables import Grouped, aligned
from partwise._threads import one_pool
from partwise.data import as_data
from partwise.estimators import NMF, _runs
from partwise.init import draws
from partwise.problem import Problem
from partwise.result import Result
from partwise.solvers import SOLVERS, Solver, as_solver, run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "SolverRun", "compare"]

# How near to the best objective: by name in tables, and as a share of it.
WITHIN = {"1%": 1e-2, "0.1%": 1e-3, "0.01%": 1e-4}
# Iterations before anything is timed. Methods that extrapolate do so from the seventh on, with
# penalties: all that they use is compiled by then.
WARM = 8


@dataclass(frozen=True)
class SolverRun:
    """One run of a comparison.

    Attributes
    ----------
    solver : str
        The label of the solver.
    seed : int
        The seed of the start, which it shares with the runs of all other solvers.
    objective_history, time_history : ndarray of shape (n_iter + 1,)
        The penalized objective, and seconds, at the start and after each iteration.
    excess_history : ndarray of shape (n_iter + 1,)
        How far the objective is above the lowest that any solver saw for this seed, relative to
        that one.
    kkt : float
        The scaled KKT residual at the end.
    n_iter : int
        Iterations done.
    converged : bool
        Whether the stopping rule held.
    stop_reason : str
        Why the run ended, in words.
    """

    solver: str
    seed: int
    objective_history: np.ndarray
    time_history: np.ndarray
    excess_history: np.ndarray
    kkt: float
    n_iter: int
    converged: bool
    stop_reason: str

    def reached(self, share: float) -> tuple[float, float]:
        """Return the seconds and iterations to an excess of at most ``share``, or infinities.

        Parameters
        ----------
        share : float
            The excess, such as 0.01 for one per cent.

        Returns
        -------
        (float, float)
        """
        near = np.flatnonzero(self.excess_history <= share)
        if not near.size:
            return np.inf, np.inf
        return float(self.time_history[near[0]]), float(near[0])


@dataclass(frozen=True, repr=False)
class Comparison(Grouped):
    """What `compare` found; printed, it is a table.

    Attributes
    ----------
    runs : tuple of SolverRun
        Every run, with its histories.
    solvers : tuple of str
        The labels of the solvers.
    seeds : tuple of int
        The seeds of the starts.
    init : str
        The start.
    draws : bool
        Whether the start draws; else all seeds have the same one.
    n_components : int
        The number of components.
    shape : (int, int)
        The shape of X.
    dtype : str
        The precision.
    beta_loss : float
        β as a number.
    left_out : dict of str to str
        The solvers that cannot serve the problem, and why, where all that can were asked for.
    """

    runs: tuple[SolverRun, ...]
    solvers: tuple[str, ...]
    seeds: tuple[int, ...]
    init: str
    draws: bool
    n_components: int
    shape: tuple[int, int]
    dtype: str
    beta_loss: float
    left_out: dict[str, str]

    def table(self, by: str = "run") -> list[dict[str, Any]]:
        """Return the numbers as a list of rows.

        Parameters
        ----------
        by : {"run", "solver"}, default="run"
            One row for each run, or for each solver the medians over its runs; there
            ``converged`` is the number of runs that did.

        Returns
        -------
        list of dict
            The final ``objective`` and its ``excess``, the relative distance from the lowest
            objective that any solver saw for the seed; ``seconds_to_1%`` and
            ``iterations_to_1%``, also 0.1% and 0.01%, until the excess is at most that, ∞
            where it never was; the ``seconds`` and ``n_iter`` of the whole run, the final
            ``kkt``, ``converged`` and ``stop_reason``.
        """
        if by not in ("run", "solver"):
            raise ValueError(explain("by", repr(by), "'run' or 'solver'"))
        if by == "run":
            return [{"solver": r.solver, "seed": r.seed, **_numbers(r)} for r in self.runs]
        return [self._summary(label) for label in self.solvers]

    def _summary(self, label: str) -> dict[str, Any]:
        rows = [_numbers(r) for r in self.runs if r.solver == label]
        converged = sum(row.pop("converged") for row in rows)
        # Where some did not converge, why those ended counts.
        unlucky = [r for r in self.runs if r.solver == label and not r.converged]
        told = unlucky or [r for r in self.runs if r.solver == label]
        reasons = Counter(r.stop_reason for r in told)
        for row in rows:
            del row["stop_reason"]
        return {
            "solver": label,
            "runs": len(rows),
            **{key: float(np.median([row[key] for row in rows])) for key in rows[0]},
            "converged": converged,
            "stop_reason": reasons.most_common(1)[0][0],
        }

    def plot(self) -> Figure:
        """Draw the excess against seconds and against iterations.

        Returns
        -------
        matplotlib.figure.Figure
            What `partwise.plots.plot_comparison` makes.
        """
        from partwise.plots import plot_comparison

        return plot_comparison(self)

    def __repr__(self) -> str:
        rows = self.table("solver")
        shown = ", ".join(map(str, self.seeds[:8])) + (", …" if len(self.seeds) > 8 else "")
        many = len(self.seeds) > 1
        lines = [
            f"X {self.shape[0]} × {self.shape[1]} {self.dtype}, {self.n_components} components, "
            f"β = {self.beta_loss:g}, init={self.init!r}",
            f"equal starts, {'medians over the seeds' if many else 'seed'} {shown}"
            f"{', whose starts are the same' if many and not self.draws else ''}",
            "",
            *aligned([_HEAD, *map(_cells, rows)]),
            "",
            "excess: over the lowest objective that any solver saw from the same start, relative",
            "to …: seconds (iterations) until the excess is at most that",
        ]
        unfinished = [row for row in rows if row["converged"] < row["runs"]]
        for reason in dict.fromkeys(row["stop_reason"] for row in unfinished):
            names = [row["solver"] for row in unfinished if row["stop_reason"] == reason]
            lines.append(f"not converged: {', '.join(names)}: {reason}")
        if self.left_out:
            lines.append(f"cannot serve: {', '.join(self.left_out)} (left_out says why)")
        return "\n".join(lines)


def _numbers(r: SolverRun) -> dict[str, Any]:
    reached = {name: r.reached(share) for name, share in WITHIN.items()}
    return {
        "objective": float(r.objective_history[-1]),
        "excess": float(r.excess_history[-1]),
        **{f"seconds_to_{name}": seconds for name, (seconds, _) in reached.items()},
        **{f"iterations_to_{name}": count for name, (_, count) in reached.items()},
        "seconds": float(r.time_history[-1]),
        "n_iter": r.n_iter,
        "kkt": r.kkt,
        "converged": r.converged,
        "stop_reason": r.stop_reason,
    }


_HEAD = ["solver", "objective", "excess", *(f"to {name}" for name in WITHIN), "all", "KKT",
         "converged"]  # fmt: skip


def _cells(row: dict[str, Any]) -> list[str]:
    def spent(seconds: float, count: float) -> str:
        return f"{seconds:.3g} s ({count:g})" if np.isfinite(count) else "never"

    return [
        row["solver"],
        f"{row['objective']:.7g}",
        f"{row['excess']:.1e}",
        *(spent(row[f"seconds_to_{name}"], row[f"iterations_to_{name}"]) for name in WITHIN),
        spent(row["seconds"], row["n_iter"]),
        f"{row['kkt']:.1e}",
        f"{row['converged']} of {row['runs']}",
    ]


# --- the runs ------------------------------------------------------------------------------


def compare(
    X: Any,
    n_components: int,
    *,
    solvers: Iterable[str | Solver] | Mapping[str, str | Solver] | None = None,
    seeds: int | Sequence[int] = 3,
    init: str | Callable[..., Any] | None = "random",
    beta_loss: float | str = "frobenius",
    tol: float = 1e-4,
    max_iter: int = 1000,
    max_time: float | None = None,
    alpha_W: float = 0.0,
    alpha_H: float | str = "same",
    l1_ratio: float = 0.0,
    penalty_W: Any = None,
    penalty_H: Any = None,
    verbose: int = 0,
) -> Comparison:
    """Run solvers from the same starts, with the objective of `NMF`, and tell how they go down.

    For each seed one start is made, that of ``NMF(init=init, random_state=seed)``, and every
    solver begins with a copy of it. Only the work of the solver is timed, as in
    ``time_history_`` of `NMF`, after a few iterations that compile what it needs; the order of
    the solvers changes from seed to seed.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As for `NMF`; never modified.
    n_components : int
        Number of components k.
    solvers : iterable of str or Solver, mapping of label to either, or None, default=None
        Names as in `NMF`, and objects, which are labelled by their names. None takes all
        that can serve the problem; ``left_out`` of the result says which cannot.
    seeds : int or sequence of int, default=3
        The seeds of the starts, or their number: n are 0 to n − 1. Of a start that does not
        draw, such as "nndsvda", they repeat the times.
    init : str, callable or None, default="random"
        As for `NMF`, except "custom"; a function that returns W and H does the same.
    beta_loss, tol, alpha_W, alpha_H, l1_ratio, penalty_W, penalty_H
        As for `NMF`.
    max_iter : int, default=1000
        Iterations of each run at most.
    max_time : float or None, default=None
        Seconds of each run at most.
    verbose : int, default=0
        1 prints a line after each run; nothing is printed during one, where it would be timed.

    Returns
    -------
    Comparison
        A table when printed; its `Comparison.plot` draws the curves.

    Raises
    ------
    UnsupportedCombinationError
        A solver that was asked for cannot serve the problem.

    See Also
    --------
    NMF : One fit, whose objective and penalties these are.

    Notes
    -----
    Cost: one fit with each solver for each seed, and eight iterations of each to compile.
    Memory: one start and one fit at a time, and the histories.

    Excess is relative to the lowest objective of the seed; where that is next to nothing, as in
    an exact fit, to the rounding error (eps of the dtype) of ½‖X‖², for other losses of the
    misfit of the mean of X. Solvers end in different stationary points; one that never comes
    within 0.01 % may have converged to another. Some move a start into their domain before their
    first iteration, which is timed: multiplicative updates lift zeros, 'pgd' enters constraints.
    What a solver does after its last iteration is in its last objective and not in its seconds.
    Numbers other than seconds are the same in every run, unless ``max_time`` ends one.

    Examples
    --------
    >>> from partwise import compare
    >>> X = [[1, 1, 0], [2, 2, 0], [0, 0, 3], [1, 1, 3]]
    >>> found = compare(X, 2, solvers=["cd", "mu"], seeds=2)
    >>> [row["solver"] for row in found.table("solver")]
    ['cd', 'mu']
    """
    est = NMF(
        n_components, init=init, beta_loss=beta_loss, tol=tol, max_iter=max_iter,
        max_time=max_time, alpha_W=alpha_W, alpha_H=alpha_H, l1_ratio=l1_ratio,
        penalty_W=penalty_W, penalty_H=penalty_H, verbose=verbose,
    )  # fmt: skip
    est._validate_params()
    numbers, labelled = _seeds(seeds), None if solvers is None else _labelled(solvers)
    if init == "custom":
        todo = "Return W and H from a function: init=lambda X, n_components, random_state: (W, H)."
        raise ValueError(explain("compare", "init='custom'", "a start that it can make", todo))
    bench = _Bench(est, est._check_data(X, reset=True))
    return bench.compared(*bench.chosen(labelled), numbers)


def _seeds(seeds: Any) -> tuple[int, ...]:
    wanted = "a number of seeds ≥ 1, or different integers ≥ 0"
    listed = range(int(seeds)) if isinstance(seeds, Integral) else seeds
    try:
        found = list(listed)
    except TypeError:
        raise TypeError(explain("seeds", repr(seeds), wanted)) from None
    whole = all(isinstance(s, Integral) and int(s) >= 0 for s in found)
    if isinstance(seeds, bool) or not found or not whole or len(set(found)) < len(found):
        raise ValueError(explain("seeds", repr(seeds), wanted))
    return tuple(map(int, found))


def _labelled(solvers: Any) -> dict[str, str | Solver]:
    if isinstance(solvers, str | Solver):
        todo = "Put it in brackets: [...]."
        raise TypeError(explain("solvers", repr(solvers), "several of them", todo))
    if isinstance(solvers, Mapping):
        pairs = [(str(label), solver) for label, solver in solvers.items()]
    else:
        listed = list(solvers)
        pairs = [(getattr(solver, "name", solver), solver) for solver in listed]
    for _, solver in pairs:
        if not isinstance(solver, Solver) and solver not in ("auto", *SOLVERS):
            wanted = f"Solver objects, or names among 'auto', {', '.join(map(repr, SOLVERS))}"
            raise ValueError(explain("solvers", f"{solver!r} in it", wanted))
    labels = [label for label, _ in pairs]
    if not labels or len(set(labels)) < len(labels):
        got = f"the labels {labels}" if labels else "none"
        todo = "Name them yourself: solvers={'label': solver, ...}."
        raise ValueError(explain("solvers", got, "one or more with different labels", todo))
    return dict(pairs)


class _Bench:
    """One problem, on which solvers run."""

    def __init__(self, est: NMF, X: Any) -> None:
        start = _runs.check_starts(est, X, None, None)
        self.est = est
        self.job = _runs.Job(est, X, start, _runs.default_solver(est), seed=0)
        self.values = self.job.unit.data_in(X)
        self.reference = self.problem({}).reference

    def problem(self, factors: Mapping[str, np.ndarray]) -> Problem:
        # Data of its own: what one solver keeps of X, such as its transpose, is not at hand for
        # the next one.
        job, data = self.job, as_data(self.values)
        own = {name: F.copy() for name, F in factors.items()}
        return _runs.bind(self.est, data, job.unit, job.start.n_components, own, job.start)

    def chosen(
        self, labelled: dict[str, str | Solver] | None
    ) -> tuple[dict[str, str | Solver], dict[str, str]]:
        """Return the solvers to run, and why others cannot."""
        problem = self.problem({})
        if labelled is not None:
            for solver in labelled.values():
                as_solver(solver, problem)
            return labelled, {}
        able: dict[str, str | Solver] = {}
        left_out = {}
        for name, make in SOLVERS.items():
            solver = make()
            missing = solver.lacks(problem)
            if missing is None:
                able[name] = name
            else:
                left_out[name] = f"needs {solver.needs}, and {missing}"
        if not able:
            as_solver("auto", problem)  # raises, and says what is missing
        return able, left_out

    def compared(
        self, solvers: dict[str, str | Solver], left_out: dict[str, str], seeds: tuple[int, ...]
    ) -> Comparison:
        """Run every solver from every start."""
        est, job, labels = self.est, self.job, list(solvers)
        runs: list[SolverRun] = []
        with one_pool():
            for turn, seed in enumerate(seeds):
                rng = np.random.default_rng(seed)
                init, factors = job.factors(0, rng)
                if turn == 0:
                    self.warm(solvers.values(), factors, rng)
                results = {}
                for label in labels[turn % len(labels) :] + labels[: turn % len(labels)]:
                    results[label] = self.run(solvers[label], factors, rng)
                    self.tell(label, seed, results[label])
                runs.extend(self.judged({label: results[label] for label in labels}, seed))
        return Comparison(
            runs=tuple(runs),
            solvers=tuple(labels),
            seeds=seeds,
            init=init,
            draws=callable(est.init) or draws(init),
            n_components=job.start.n_components,
            shape=(int(job.X.shape[0]), int(job.X.shape[1])),
            dtype=str(job.X.dtype),
            beta_loss=est._degree,
            left_out=left_out,
        )

    def warm(
        self, solvers: Iterable[str | Solver], factors: Mapping[str, np.ndarray], rng: Any
    ) -> None:
        """Compile what the solvers use."""
        one = np.ones(1, self.job.X.dtype)
        self.problem({}).loss.total(one, one)  # the sum that close fits need
        for solver in solvers:
            self.run(solver, factors, rng, tol=0.0, max_iter=min(WARM, self.est.max_iter))

    def run(
        self, solver: str | Solver, factors: Mapping[str, np.ndarray], rng: Any, **other: Any
    ) -> Result:
        """Run one solver from a copy of a start, and of what draws, as in a fit of its own."""
        est, problem = self.est, self.problem(factors)
        rule = {"tol": est.tol, "max_iter": est.max_iter, "max_time": est.max_time, **other}
        result = run(problem, as_solver(solver, problem), rng=copy.deepcopy(rng), **rule)
        return replace(result, factors={}, slopes={})

    def judged(self, results: Mapping[str, Result], seed: int) -> Iterator[SolverRun]:
        """Yield the runs from one start, held against the best of them."""
        lowest = min(float(np.nanmin(r.objective_history)) for r in results.values())
        rounding = float(np.finfo(self.job.X.dtype).eps) * self.reference
        scale = max(abs(lowest), rounding) or 1.0
        for label, r in results.items():
            yield SolverRun(
                solver=label,
                seed=seed,
                objective_history=self.job.unit.loss_out(r.objective_history, self.est._degree),
                time_history=r.time_history,
                excess_history=(r.objective_history - lowest) / scale,
                kkt=r.kkt,
                n_iter=r.n_iter,
                converged=r.converged,
                stop_reason=r.stop_reason,
            )

    def tell(self, label: str, seed: int, result: Result) -> None:
        """Print how a run ended."""
        if self.est.verbose:
            objective = self.job.unit.loss_out(result.objective, self.est._degree)
            print(
                f"compare: {label!r}, seed {seed}: objective {objective:.8g}, KKT residual "
                f"{result.kkt:.2e}, {result.time_history[-1]:.2f} s, {result.n_iter} iterations, "
                f"{result.stop_reason}",
                flush=True,
            )
