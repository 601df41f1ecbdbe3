"""Extrapolation of alternating updates, with a return wherever the objective rose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise._remainder import CANCELLATION
from partwise._threads import each, spans
from partwise.kernels import places
from partwise.problem import Problem
from partwise.solvers.base import State

__all__ = ["Momentum", "only_signs"]

# The first weight. Ang & Gillis (2019), section 3.4; the other rules are in `kernels.pace`.
BETA = 0.5


def only_signs(problem: Problem) -> bool:
    """Return whether columns of any factor may be multiplied by any number > 0, at no cost."""
    return all(
        p.constraint and p.cone and p.separable == "entries" and p.free() is None
        for obeyed in problem.penalties.values()
        for p in obeyed
    )


def _sizes(F: np.ndarray) -> np.ndarray:
    sizes = kernels.sums_of_columns(F)
    return np.where(sizes > 0, sizes, 1.0)


@dataclass
class Momentum(State):
    """The extrapolation of all factors along their last moves, and where to return to.

    A step after which the objective is higher is undone, and the next one is taken without
    extrapolation, so that the objective never rises.

    Parameters
    ----------
    plain : int
        The first iterations, which are not extrapolated.
    positive : bool
        A factor is extrapolated towards zero by its ratio, so that it stays positive. Else
        the last factor may turn negative before it is updated, and others are projected.
    steadied : bool
        The scale of the first factor against that of the last is not extrapolated.

    Notes
    -----
    Memory: one copy of the last factor, and two of the others.

    Source: Ang & Gillis (2019), Neural Computation 31, algorithm 1 and section 3.4; for more
    than two factors Ang, Cohen, Hien & Gillis (2020), arXiv:2001.04321.
    """

    plain: int = 3
    positive: bool = False
    steadied: bool = False
    rng: Any = None
    # What the rules go by, see `partwise.kernels.places`.
    pace: np.ndarray = field(default_factory=lambda: np.zeros(places.SIZE))
    signed: tuple[str, ...] = ()
    # Of all factors but the last: where to return to, and the last solution before it was
    # extrapolated. The last factor is extrapolated at the beginning of a step, so that one
    # array serves both: its previous solution between steps, where to return to within one.
    accepted: dict[str, np.ndarray] = field(default_factory=dict)
    solved: dict[str, np.ndarray] = field(default_factory=dict)
    kept: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.pace[[places.WEIGHT, places.BEFORE, places.BOUND]] = BETA, BETA, 1.0
        self.pace[places.PLAIN], self.pace[places.OBJECTIVE] = self.plain, np.inf

    @property
    def active(self) -> float:
        """The weight of the extrapolation in this iteration; 0 for none."""
        return float(self.pace[places.ACTIVE])

    @property
    def early(self) -> bool:
        """The next iteration is one of the first, which are not extrapolated."""
        return bool(self.pace[places.ITERATION] < self.plain)

    @property
    def iteration(self) -> int:
        """Iterations that were begun."""
        return int(self.pace[places.ITERATION])

    @property
    def idle(self) -> bool:
        """Nothing is extrapolated in this run."""
        return not self.accepted

    def prepare(self, problem: Problem) -> None:
        """Make room for what is remembered, for more than one factor that moves."""
        eps = float(np.finfo(problem.data.dtype).eps)
        self.pace[places.SLACK] = 10 * eps / CANCELLATION[problem.data.dtype.char]
        self.signed = problem.signed
        if len(problem.free) > 1:
            *others, last = problem.free
            self.accepted = {name: problem.factors[name].copy() for name in others}
            self.solved = {name: problem.factors[name].copy() for name in others}
            self.kept = problem.factors[last].copy()
            self.steadied = self.steadied and only_signs(problem)

    def begin(self, problem: Problem) -> None:
        """Extrapolate the last factor, which enters the updates of the others."""
        if self.steadied and self.kept is not None:
            self._steady(problem)
        kernels.set_out(self.pace)
        if self.idle:
            self.pace[places.ACTIVE] = 0
            return
        F, kept = problem.factors[problem.free[-1]], self.kept
        assert kept is not None

        def piece(rows: slice) -> None:
            self._extrapolate(F[rows], kept[rows], project=False)

        each(piece, spans(len(F), 100.0 * F.shape[1]))

    def _steady(self, problem: Problem) -> None:
        # Where nothing holds the scale of one factor against that of the other, what once moved
        # it would move it on and on: moves are seen without the part in which components of two
        # factors move against each other.
        assert self.kept is not None
        first, last = problem.free[0], problem.free[-1]
        before = self.solved[first], self.kept
        moves = [
            _sizes(problem.factors[name]) / _sizes(F)
            for name, F in zip((first, last), before, strict=True)
        ]
        part = np.sqrt(moves[0] / moves[1])
        before[0][...] *= part
        before[1][...] /= part

    def leave(self, name: str, rows: slice, F: np.ndarray) -> None:
        """Remember rows of another factor, which are about to be updated."""
        if name in self.accepted:
            self.accepted[name][rows] = F

    def memory(
        self, name: str, F: np.ndarray, rows: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `leave` and `follow` write to for rows F, for kernels that do both.

        Arrays of no rows for a factor that is not extrapolated after its update.
        """
        if name not in self.accepted:
            return F[:0], F[:0]
        return self.accepted[name][rows], self.solved[name][rows]

    def follow(self, name: str, rows: slice, F: np.ndarray) -> None:
        """Extrapolate rows of another factor, which were just updated."""
        if name in self.solved:
            project = not self.positive and name not in self.signed
            self._extrapolate(F, self.solved[name][rows], project=project)

    def _extrapolate(self, F: np.ndarray, before: np.ndarray, *, project: bool) -> None:
        if self.active:
            how = (F.dtype.type(self.active), self.positive, project)
            kernels.extrapolate(F.reshape(-1), before.reshape(-1), *how)
        else:
            before[...] = F

    def judge(self, problem: Problem, objective: float) -> float:
        """Keep the step or undo it, and return the objective."""
        if self.idle:
            return objective
        if kernels.settle(self.pace, objective):
            for name, place in self.accepted.items():
                problem.factors[name][...] = place
                self.solved[name][...] = place
            problem.factors[problem.free[-1]][...] = self.kept
        return float(self.pace[places.OBJECTIVE])
