"""The one loop, with the one stopping rule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from partwise import kernels
from partwise._errors import explain
from partwise.kernels.places import WINDOW
from partwise.problem import Problem
from partwise.result import Result
from partwise.solvers.base import Solver, State, Watch
from partwise.solvers.head_start import improve_start

__all__ = ["Progress", "run"]


# An iteration that is never reached.
NEVER = 2**62
# Iterations of a head start at most, and by which share of itself each lowers the objective.
HEAD_START, HARDLY = 16, 0.02


class Progress:
    """What a callback sees after each iteration.

    Attributes
    ----------
    iteration : int
        Iterations done, 0 for the start, of large data with its head start.
    objective : float
        The penalized objective. Where the data miss entries, that of the result may be lower: what
        is left of an iteration is done at its next look at the KKT residual, or at the end.
    seconds : float
        Since the start of the run.
    factors : dict of name to ndarray
        The current factors; copy what you keep.
    """

    def __init__(self, problem: Problem, iteration: int, objective: float, seconds: float) -> None:
        self._problem = problem
        self.iteration = iteration
        self.objective = objective
        self.seconds = seconds

    @property
    def factors(self) -> dict[str, np.ndarray]:
        """The current factors."""
        return self._problem.factors

    @property
    def kkt(self) -> float:
        """The scaled KKT residual; computed on demand, at the cost of one iteration."""
        return self._problem.kkt()


@dataclass
class _Verdict:
    converged: bool
    reason: str
    stalled: bool = False
    # What `Problem.stationarity` returned, where it was asked.
    looked: tuple[float, dict[str, np.ndarray]] | None = None


class _StoppingRule:
    """The scaled KKT residual and the relative decrease of the penalized objective.

    The run has converged when both hold:

    - the scaled KKT residual is at most ``tol``;
    - over the last ten iterations (fewer right after the start) the objective changed by
      at most ``tol`` times itself, or it is below (tol / 10)² times the reference misfit of
      the data, an exact fit for every purpose.

    It has also converged when the objective no longer changes at the precision of the data
    and the residual is at the size of its square root.
    """

    def __init__(self, problem: Problem, tol: float, state: State) -> None:
        self.problem = problem
        self.tol = tol
        self.state = state
        self.rounding = float(np.finfo(problem.data.dtype).eps)
        self.exact = float(np.finfo(np.float64).eps) ** 2 * problem.reference
        self.limits = (tol, self.rounding, (tol / 10) ** 2 * problem.reference, self.exact)
        self.next_check = 0 if tol > 0 else NEVER

    def judge(self, history: list[float]) -> _Verdict | None:
        done = len(history) - 1
        before, now = history[max(0, done - WINDOW)], history[-1]
        if self.tol == 0 or kernels.nothing_new(before, now, done, self.next_check, self.limits):
            return None
        if done >= WINDOW and abs(before - now) <= self.rounding * abs(now):
            reason = "the objective no longer changes at the precision of the data"
            return _Verdict(False, reason, stalled=True)
        if now <= self.exact:
            return _Verdict(True, "the fit is exact")
        looked = self.problem.stationarity()
        if looked[0] <= self.tol:
            reason = f"the KKT residual {looked[0]:.2g} is at most tol={self.tol:g}"
            return _Verdict(True, reason, looked=looked)
        # A check costs about an iteration: look again when there is something new to see.
        self.next_check = done + (WINDOW if done >= WINDOW else 1)
        return None

    def watch(self, history: list[float], max_iter: int, least_fall: float) -> Watch:
        done = len(history) - 1
        last = history[-WINDOW - 1 :]
        return Watch(last, done, max_iter - done, (self.next_check, self.limits, least_fall))


def run(
    problem: Problem,
    solver: Solver,
    *,
    tol: float = 1e-4,
    max_iter: int = 200,
    max_time: float | None = None,
    rng: Any = None,
    callback: Callable[[Progress], object] | None = None,
) -> Result:
    """Run a solver on a problem until it has converged or is told to stop.

    Parameters
    ----------
    problem : Problem
        Its factors are the start and are overwritten.
    tol : float
        The tolerance of the stopping rule; 0 runs all iterations.
    max_iter : int
        Iterations at most.
    max_time : float, optional
        Seconds at most; looked at after each iteration.
    rng : numpy generator, optional
        For solvers that draw.
    callback : callable, optional
        Called with a `Progress` at the start and after each iteration; stops the run by
        returning True.

    Returns
    -------
    Result
    """
    begin = time.perf_counter()
    known: float | None = None
    work = problem.data.nonzeros() * problem.model.n_components if solver.head_start else 0
    if solver.head_start and work >= solver.head_start_from:

        def improve(part: Problem) -> Sequence[float]:
            left = None if max_time is None else max_time - (time.perf_counter() - begin)
            return _descend(
                part, solver, tol=0.0, max_iter=HEAD_START, max_time=left, rng=rng,
                begin=time.perf_counter(), least_fall=HARDLY,
            ).history  # fmt: skip

        known = improve_start(problem, improve)
    path = _descend(
        problem, solver, tol=tol, max_iter=max_iter, max_time=max_time, rng=rng, callback=callback,
        begin=begin, known=known,
    )  # fmt: skip
    history, verdict = path.history, path.verdict
    if problem.told_by_change:
        history[-1] = problem.objective()
    history[-1] = solver.finish(problem, history[-1], tol)
    moved = type(solver).finish is not Solver.finish
    kkt, slopes = (None if moved else verdict.looked) or problem.stationarity()
    # Where nothing changes any more, the residual at the very end decides.
    settled = verdict.stalled and kkt <= max(tol, 10 * path.rounding**0.5)
    return Result(
        factors=problem.factors,
        objective=history[-1],
        objective_history=np.array(history),
        time_history=np.array(path.seconds),
        kkt=kkt,
        n_iter=len(history) - 1,
        converged=verdict.converged or settled,
        stop_reason=verdict.reason,
        solver=solver.name,
        slopes=slopes,
    )


@dataclass
class _Path:
    """The objective at the start and after each iteration, when, and why there are no more."""

    history: list[float]
    seconds: list[float]
    verdict: _Verdict
    rounding: float


def _descend(
    problem: Problem,
    solver: Solver,
    *,
    tol: float,
    max_iter: int,
    max_time: float | None,
    rng: Any,
    begin: float,
    callback: Callable[[Progress], object] | None = None,
    known: float | None = None,
    least_fall: float = 0.0,
) -> _Path:
    # The iterations of `run`, since the time ``begin`` and from a start whose objective may be
    # known. They end where two of them lower the objective by less than twice the share
    # ``least_fall`` of itself. What a solver remembers is let go at the end: it makes room for the
    # last look at large factors.
    with np.errstate(all="ignore"):  # what is out of proportion is refused below
        state = solver.start(problem, rng)
        history = [problem.objective() if known is None else known]
    if not np.isfinite(history[0]):
        raise ValueError(
            explain(
                "the start",
                f"an objective of {history[0]}",
                "a finite one",
                "Start values, penalties or beta_loss are out of all proportion to X.",
            )
        )
    seconds = [time.perf_counter() - begin]
    rule = _StoppingRule(problem, tol, state)
    verdict: _Verdict | None = None

    def told_to_stop() -> bool:
        if callback is None:
            return False
        done = len(history) - 1
        answer = callback(Progress(problem, done, history[-1], seconds[-1]))
        return answer is not None and bool(answer)

    if told_to_stop():
        verdict = _Verdict(False, "stopped by the callback")
    together = callback is None and max_time is None
    while verdict is None:
        several = None
        if together:
            several = solver.steps(problem, state, rule.watch(history, max_iter, least_fall))
        together = several is not None
        if several is None:
            objective = solver.step(problem, state)
            several = [problem.objective() if objective is None else objective]
        now, before = time.perf_counter() - begin, seconds[-1]
        history += several
        share = (now - before) / len(several)
        seconds += [before + share * n for n in range(1, len(several))] + [now]
        if told_to_stop():
            verdict = _Verdict(False, "stopped by the callback")
        elif state.done is not None:
            verdict = _Verdict(True, state.done)
        elif (verdict := rule.judge(history)) is not None:
            break
        elif kernels.hardly_fell(history[-3:][0], history[-1], least_fall):
            verdict = _Verdict(False, "the objective hardly falls any more")
        elif max_time is not None and seconds[-1] >= max_time:
            verdict = _Verdict(False, f"max_time={max_time:g} s is over")
        elif len(history) > max_iter:
            verdict = _Verdict(False, f"max_iter={max_iter} iterations are done")
    return _Path(history, seconds, verdict, rule.rounding)
