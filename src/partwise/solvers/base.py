"""What every solver declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from partwise.problem import Problem

__all__ = ["Solver", "State", "Watch", "affordable", "not_quadratic", "tied", "unfolded"]

# Work of all updates of a factor but the first over that of its product with X. Gillis & Glineur
# (2012), section 4.
WORTH = 0.5
# An entry of sparse data takes the time of four of dense data, but rows of a factor that wait for
# memory are slow too: counted as two it leads to an objective as early. What is counted is
# entries that are not zero, stored or not, so that the answer does not depend on how X is stored.
SPARSE_ENTRY = 2


@dataclass
class State:
    """What a solver remembers between iterations; each has its own kind.

    ``done`` ends the run as converged; it says why, in words.
    """

    done: str | None = None


@dataclass(frozen=True)
class Watch:
    """What a run looks at: the last objectives, iterations done, how many may come, and
    ``(next check, limits, least fall)`` of `partwise.kernels.nothing_new` and `hardly_fell`.
    """

    last: list[float]
    done: int
    most: int
    rule: tuple[int, tuple[float, float, float, float], float]


class Solver(ABC):
    """A method that lowers the objective of a problem, one iteration at a time.

    Attributes
    ----------
    name : str
        The name in `solver=` and in messages.
    needs : str
        What it asks of a problem, in words.
    monotone : bool
        The penalized objective never rises from one iteration to the next.
    """

    name: str
    needs: str
    monotone: bool = True

    # Whether a start is improved on a sample first, see `partwise.solvers.head_start`, and entries
    # times components from which on it is.
    head_start = False
    head_start_from = np.inf

    @abstractmethod
    def lacks(self, problem: Problem) -> str | None:
        """Return what the problem lacks for this solver, in words, or None."""

    @abstractmethod
    def start(self, problem: Problem, rng: Any) -> State:
        """Return the state before the first iteration; may move the start into the domain."""

    @abstractmethod
    def step(self, problem: Problem, state: Any) -> float | None:
        """Do one iteration on ``problem.factors`` in place.

        Returns the penalized objective there if that is known at no cost, else None.
        """

    def steps(self, problem: Problem, state: Any, watch: Watch) -> list[float] | None:
        """Do several iterations in one call, where what is between calls would be felt.

        Ends where the run has something to look at. Returns the objective after each iteration,
        or None where that is not served: then it is not asked again in this run. The answer has
        the same bits as that of `step`.
        """
        return None

    def finish(self, problem: Problem, objective: float, tol: float) -> float:
        """Do what is left at the end, and return the penalized objective.

        ``tol`` is the tolerance of the run: what met it has to meet it afterwards.
        """
        return objective


def affordable(problem: Problem, name: str, worth: float = WORTH) -> int:
    """Return how many times a factor may be updated for one product with X."""
    once = len(problem.factors[name]) * problem.model.n_components
    work = min(problem.data.size, SPARSE_ENTRY * problem.data.nonzeros())
    return 1 + int(worth * work / once)


def not_quadratic(problem: Problem) -> str | None:
    """Return why Gram and cross products do not tell everything of a factor, or None."""
    if not problem.loss.quadratic:
        return f"the {problem.loss.name} is not quadratic"
    return None if problem.data.complete else "entries of X are missing or have weights"


def tied(problem: Problem) -> str | None:
    """Return which linear or quadratic penalty is more than one of single entries, or None."""
    for name in problem.free:
        for penalty in problem.penalties[name]:
            if penalty.shifts and penalty.separable != "entries":
                return f"the penalty {penalty.name} ties components together"
    return None


def unfolded(problem: Problem, kind: str = "split", *, signed: bool = False) -> str | None:
    """Return which penalty of a factor that moves is no part of the statistics, or None.

    In those of ``kind="normal"`` there is a quadratic above the penalty, where it has one.
    Without ``signed`` a factor that may have any sign is lacking too.
    """
    if problem.signed and not signed:
        return f"{problem.signed[0]} may have any sign"
    for name in problem.free:
        for penalty in problem.penalties[name]:
            if penalty.shifts or (penalty.bounded and kind == "normal"):
                continue
            if penalty.separable in ("entries", "rows"):
                return f"the penalty {penalty.name} of {name} is neither linear nor quadratic"
            return f"the penalty {penalty.name} of {name} ties its rows together"
    return None
