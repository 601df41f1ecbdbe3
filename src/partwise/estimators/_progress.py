"""What a fit tells while it runs: lines, a progress bar, and the user's callback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from partwise.estimators._units import Unit
from partwise.solvers import Progress

__all__ = ["FitState", "Reporter"]

# Lines of a run at verbose=1, and seconds after which there is one more.
LINES, PATIENCE = 20, 10.0


class FitState:
    """What ``callback`` receives, at the start and after each iteration.

    Attributes
    ----------
    iteration : int
        Iterations done; 0 at the start.
    objective : float
        The penalized objective.
    seconds : float
        Since the start of this run.
    kkt : float
        The scaled KKT residual; computed when asked for, at the cost of an iteration.
    W : ndarray of shape (n_samples, n_components)
        A copy of the current W.
    components : ndarray of shape (n_components, n_features)
        A copy of the current H.
    start : int
        The number of the start, from 0.
    """

    def __init__(self, progress: Progress, unit: Unit, degree: float, start: int) -> None:
        self._progress = progress
        self._unit = unit
        self.iteration = progress.iteration
        self.objective = float(unit.loss_out(progress.objective, degree))
        self.seconds = progress.seconds
        self.start = start

    @property
    def kkt(self) -> float:
        return self._progress.kkt

    @property
    def W(self) -> np.ndarray:
        return self._unit.first_out(self._progress.factors["W"]).copy()

    @property
    def components(self) -> np.ndarray:
        return self._unit.factor_out(self._progress.factors["H"]).T.copy()


class Reporter:
    """Print the progress of one run; silent at verbose=0.

    With rich installed and a terminal, verbose=1 shows a bar with the time left to
    ``max_iter`` or ``max_time``; otherwise a line per interval, and after ten seconds without one.
    """

    def __init__(self, verbose: int, max_iter: int, max_time: float | None, label: str) -> None:
        self.verbose = int(verbose)
        self.max_iter = max_iter
        self.max_time = max_time
        self.label = label
        self.interval = max(1, max_iter // LINES) if self.verbose == 1 else 1
        self.told = 0.0
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Reporter:
        if self.verbose == 1 and sys.stdout.isatty():
            self.bar = _rich_bar()
        if self.bar is not None:
            self.bar.start()
            total = self.max_iter if self.max_time is None else self.max_time
            self.task = self.bar.add_task(self.label, total=total, told="")
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, state: FitState) -> None:
        if self.verbose == 0:
            return
        due = state.iteration % self.interval == 0 or state.seconds - self.told >= PATIENCE
        self.told = state.seconds if due else self.told
        if self.bar is not None:
            done: float = state.iteration
            if self.max_time is not None:
                share = max(state.seconds / self.max_time, state.iteration / self.max_iter)
                done = share * self.max_time
            told = {"told": _told(state)} if due else {}
            self.bar.update(self.task, completed=done, **told)
        elif due:
            print(f"{self.label}: iteration {state.iteration:>5}, {_told(state)}", flush=True)

    def close(self, n_iter: int, reason: str) -> None:
        """Say why the run ended."""
        if self.verbose and self.bar is None:
            print(f"{self.label}: stopped after {n_iter} iterations, {reason}", flush=True)


def _told(state: FitState) -> str:
    return f"objective {state.objective:.8g}, KKT residual {state.kkt:.2e}, {state.seconds:.2f} s"


def _rich_bar() -> Any:
    try:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )


def combined(
    reporter: Reporter,
    callback: Callable[[FitState], object] | None,
    unit: Unit,
    degree: float,
    start: int,
) -> Callable[[Progress], object] | None:
    """Return the solver's callback: report first, then ask the user."""
    if callback is None and reporter.verbose == 0:
        return None

    def told(progress: Progress) -> bool:
        state = FitState(progress, unit, degree, start)
        reporter(state)
        answer = None if callback is None else callback(state)
        return answer is not None and bool(answer)

    return told
