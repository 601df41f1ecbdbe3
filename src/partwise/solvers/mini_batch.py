"""Online updates: a few rows at a time, statistics of old rows slowly forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise.penalties import slopes_of
from partwise.problem import Normal, Problem, Quadratics, Split
from partwise.solvers.base import Solver, State, tied, unfolded
from partwise.solvers.multiplicative import lift_zeros, move
from partwise.solvers.project import first_alone, project_rows
from partwise.solvers.rows import observed_rows

__all__ = ["Memory", "MiniBatch"]

# Sweeps over a factor for the squared loss, at most, and the change after which they end.
SWEEPS = 10, 0.1


@dataclass
class Memory(State):
    """The blended statistics of the rows seen so far.

    Attributes
    ----------
    rows : float
        The number of rows that the statistics stand for.
    quadratic : Normal, Quadratics or None
        That of H, for the squared loss: of data that are known everywhere, or not.
    falling, rising : ndarray or None
        The coefficients of the two powers of the majorizer, for other losses.
    steps : int
        Batches seen.
    """

    rows: float = 0.0
    quadratic: Normal | Quadratics | None = None
    falling: np.ndarray | None = None
    rising: np.ndarray | None = None
    steps: int = 0
    costs: dict[int, float] = field(default_factory=dict)
    lowest: float = np.inf
    without_gain: int = 0


class MiniBatch(Solver):
    """Alternate between the rows of W of a batch and H, whose statistics are blended.

    For each batch its rows of W are updated with H fixed; the statistics of all batches
    enter those of H with weights that fall by ``forget_factor`` per pass over the data,
    and H is updated from the blend: by coordinate descent for the squared loss, by the
    majorizer's own minimum for other losses. One iteration is one pass over the data.

    Parameters
    ----------
    batch_size : int
        Rows per batch.
    forget_factor : float in [0, 1]
        What is left of a statistic after one pass over the data.
    fresh_restarts : bool
        Solve for the rows of W of each batch anew instead of updating them.
    fresh_restarts_max_iter : int
        Updates per row at most, when solving anew.
    max_no_improvement : int or None
        Stop after so many batches in a row that did not lower the cost of the last pass.

    Notes
    -----
    Cost per iteration: that of the batch solvers; memory O(batch_size · k + n_features · k).
    Not monotone.

    Sources: Mairal, Bach, Ponce & Sapiro (2010), JMLR 11 (squared loss); Lefèvre, Bach &
    Févotte (2011), WASPAA, section 3 (majorizers of past batches).
    """

    name = "minibatch"
    needs = (
        "a bilinear model, a loss with a majorizer, and penalties that are linear or quadratic in "
        "each row of a factor"
    )
    monotone = False

    def __init__(
        self,
        batch_size: int = 1024,
        forget_factor: float = 0.7,
        *,
        fresh_restarts: bool = False,
        fresh_restarts_max_iter: int = 30,
        max_no_improvement: int | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.forget_factor = forget_factor
        self.fresh_restarts = fresh_restarts
        self.fresh_restarts_max_iter = fresh_restarts_max_iter
        self.max_no_improvement = max_no_improvement

    def lacks(self, problem: Problem) -> str | None:
        if len(problem.model.names) != 2:
            return (
                f"the model {type(problem.model).__name__} has {len(problem.model.names)} factors"
            )
        if problem.loss.powers is None:
            return f"no majorizer is known for the {problem.loss.name}"
        if problem.loss.quadratic and not problem.data.complete:
            return tied(problem) or unfolded(problem)
        return unfolded(problem)

    def start(self, problem: Problem, rng: Any) -> Memory:
        if not problem.loss.quadratic:
            lift_zeros(problem)
        return Memory()

    def step(self, problem: Problem, state: Memory) -> None:
        total = problem.data.shape[0]
        size = min(self.batch_size, total)
        # One batch that is the whole data makes every older statistic obsolete.
        keep = 0.0 if size == total else self.forget_factor ** (size / total)
        for rows, data in problem.data.stream(height=size):
            part = problem.rows(rows, data)
            # Penalties of H belong to all rows; a batch carries its share of them.
            share = part.data.shape[0] / total
            last = part.model.names[1]
            obeyed = tuple(p.rescaled(share, 1.0) for p in part.penalties[last])
            part.penalties = {**part.penalties, last: obeyed}
            cost = self.learn(part, state, keep, fresh=self.fresh_restarts)
            if self._stalled(state, rows.start, cost):
                state.done = (
                    f"the cost of a pass did not fall for max_no_improvement="
                    f"{self.max_no_improvement} batches"
                )
                return

    def learn(self, part: Problem, state: Memory, keep: float, *, fresh: bool) -> float:
        """Learn from one batch, and return its cost before H moved.

        ``part`` holds the rows of the batch, its W (overwritten), and H (updated in place);
        ``keep`` is what is left of the statistics of earlier batches.
        """
        last = part.model.names[1]
        self._update_rows(part, fresh)
        state.steps += 1
        seen = part.data.shape[0]
        state.rows = keep * state.rows + seen
        # Penalties of H count per row of X, as many rows as the statistics stand for.
        obeyed = tuple(p.rescaled(state.rows / seen, 1.0) for p in part.penalties[last])
        F, free = part.factors[last], part.free_entries(last)
        if part.loss.quadratic:
            # What rows have added together stays a quadratic of H, or one of each of its rows.
            plain = part.statistics(last, "normal" if part.quadratic else "quadratics")
            state.quadratic = _blended(state.quadratic, plain, keep)
            cost = part.objective((last, part.penalized(last, plain)))
            _sweeps(last, slice(None), F, part.penalized(last, state.quadratic, obeyed), free)
            return cost
        cost = part.objective() if self.max_no_improvement is not None else 0.0
        self._majorize(part, state, keep, obeyed)
        return cost

    def _update_rows(self, part: Problem, fresh: bool) -> None:
        first = part.model.names[0]
        F, free = part.factors[first], part.free_entries(first)
        if fresh:
            project_rows(part, tol=1e-4, max_iter=self.fresh_restarts_max_iter)
        elif part.quadratic:
            _sweeps(first, slice(None), F, part.normal(first), free)
        elif part.loss.quadratic:
            first_alone(part).sweep(_sweeps, "entries")
        else:
            floor = np.full(len(F), np.finfo(F.dtype).eps * part.level, F.dtype)
            assert part.loss.powers is not None
            move(F, part.split(first), part.loss.powers, floor, free)

    @staticmethod
    def _majorize(part: Problem, state: Memory, keep: float, obeyed: tuple[Any, ...]) -> None:
        # Each batch left a majorizer −N h^p / p + P h^q / q of its cost; they add up.
        last = part.model.names[1]
        F = part.factors[last]
        floor = np.finfo(F.dtype).eps * part.level
        if floor == 0 or not F.any():
            return  # nothing to learn from, or nothing that can grow
        H = np.maximum(F.astype(np.float64), floor)
        assert part.loss.powers is not None
        p, q = part.loss.powers
        plain = part.statistics(last, "split")
        falling = H ** (1.0 - p) * plain.negative
        rising = H ** (1.0 - q) * plain.loss_positive
        state.falling = falling if state.falling is None else keep * state.falling + falling
        state.rising = rising if state.rising is None else keep * state.rising + rising
        # At the current H the blend has the gradient of all batches, and the same minimum.
        slopes = slopes_of(F, obeyed)
        blend = Split(H ** (p - 1.0) * state.falling, H ** (q - 1.0) * state.rising, slopes)
        move(F, blend, (p, q), np.full(len(F), floor, F.dtype), part.free_entries(last))

    def _stalled(self, state: Memory, batch: int, cost: float) -> bool:
        if self.max_no_improvement is None:
            return False
        # The cost of one pass, of which one batch is renewed at a time: batches differ more
        # from each other than each does from itself one pass earlier.
        first_pass = batch not in state.costs
        state.costs[batch] = cost
        smoothed = sum(state.costs.values())
        if first_pass or smoothed < state.lowest:
            state.lowest, state.without_gain = smoothed, 0
        else:
            state.without_gain += 1
        return state.without_gain >= self.max_no_improvement

    def finish(self, problem: Problem, objective: float, tol: float) -> float:
        """Solve for all rows of W once more, from the final H."""
        first = problem.model.names[0]
        if first in problem.free:
            project_rows(problem, tol=1e-4, max_iter=10 * self.fresh_restarts_max_iter)
        return problem.objective()


def _sweeps(name: str, rows: slice, F: np.ndarray, given: Any, free: np.ndarray) -> float | None:
    # Over rows of a factor, for the squared loss.
    order = np.arange(F.shape[1])
    if not isinstance(given, Normal):
        return observed_rows(F, given, free, order, SWEEPS, exact=False)[0]
    kernels.coordinate_sweeps(F, given.gram, given.cross, order, free, *SWEEPS)
    return None


def _blended(old: Any, new: Any, keep: float) -> Any:
    # The quadratic of earlier batches, of which something is left, and that of a new one. Where
    # some batches are known everywhere and others are not, that of each row of H is kept.
    if old is None:
        return new
    if type(old) is not type(new):
        old, new = (
            Quadratics.of_all(one) if isinstance(one, Normal) else one for one in (old, new)
        )
    return old.times(keep).plus(new)
