"""Coordinate descent for the squared loss: HALS, accelerated and extrapolated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from partwise import kernels
from partwise._remainder import CANCELLATION
from partwise._threads import each, held, spans
from partwise.data import Dense, Sparse
from partwise.kernels.places import ENDED, GATE, OPEN, WINDOW
from partwise.problem import Entries, Normal, Problem
from partwise.solvers.base import Solver, Watch, affordable, not_quadratic, tied, unfolded
from partwise.solvers.momentum import Momentum, only_signs
from partwise.solvers.rows import (
    OWN,
    alike,
    gram_of_all,
    in_pieces,
    observed_rows,
    own_rows,
    search_rows,
    searched_rows,
    worth_filling,
    worth_searching,
)
from partwise.solvers.signed import solve_signed

__all__ = ["CoordinateDescent"]

# The first iterations are single sweeps, not extrapolated: far from a solution, solving for
# one factor to the end can drive a penalized component to zero, from where no coordinate
# leads back.
PLAIN, PLAIN_PENALIZED = 3, 5

# Multiplications of entries of X by those of a factor, that is entries times k, that several
# iterations may do in one call: what takes some tenth of a second.
TOGETHER = 1e9
# A start so many times above the mean of the data is far.
FAR = 16


class CoordinateDescent(Solver):
    """Cyclic coordinate descent on ``½‖X − X̂‖²`` plus L1 and L2 penalties.

    One iteration updates every factor by up to ``repeats`` sweeps over its entries, each
    an exact minimization (HALS), then extrapolates it along its last move; the first three
    iterations, with penalties five, are single sweeps. A step after which the objective is
    higher is undone and taken again without extrapolation, so the objective never rises. When
    all other factors are known, the remaining one is found exactly. A factor that may have any sign
    is found exactly in every iteration; where entries of X are missing or have weights it is swept
    over, and extrapolated if quadratic penalties hold the scale of all factors. Where many entries
    are known, with holes or weights that say the same of all components, sweeps by one Gram matrix
    for all rows give the direction of a row, and its own entries how far it goes; a start that is
    more than 16 times above such data is brought to their mean first, if no penalty forbids it.

    The factors are updated in the order of the model. But large dense data with few components are
    read once for both: rows of the factor of the longer side move, and what the other one needs is
    summed up from them while their part of X is in the cache.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration, at most, and no more than half the work of its
        product with X is worth; over rows of listed entries five.
    shrink : float
        Sweeps over a row end when its change is at most this part of that of the first.
    extrapolate : bool
        False gives accelerated HALS; with ``repeats=1`` plain HALS.
    shuffle : bool
        Update the components in random order.
    head_start : bool
        Of large dense data, improve a start that is far from any solution on a sample of its rows,
        or of its columns if there are more, before the first iteration.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O(repeats · (n_samples + n_features) · k²). A head start takes some five of them, and saves more
    than half of those to a given objective. Where entries are missing or have weights, three
    products for each factor, or two visits of every entry that is listed, or one visit and
    O(listed entries · k²) for rows with Gram matrices of their own.

    Sources: Cichocki & Phan (2009), IEICE E92-A (HALS); Gillis & Glineur (2012), Neural
    Computation 24 (repeats); Ang & Gillis (2019), Neural Computation 31 (extrapolation);
    for more than two factors Ang, Cohen, Hien & Gillis (2020), arXiv:2001.04321.
    """

    name = "cd"
    # Known entries times components from which on rows with missing entries may share a direction:
    # with fewer nothing is gained that is felt, and its kernels take seconds to compile, once.
    shared_from: float = 2**19
    head_start_from = 1.6e7
    needs = "the squared (Frobenius) loss with penalties that are linear or quadratic"

    def __init__(
        self,
        repeats: int = 10,
        shrink: float = 0.1,
        *,
        extrapolate: bool = True,
        shuffle: bool = False,
        head_start: bool = True,
    ) -> None:
        self.repeats = repeats
        self.shrink = shrink
        self.extrapolate = extrapolate
        self.shuffle = shuffle
        self.head_start = head_start

    def lacks(self, problem: Problem) -> str | None:
        if problem.quadratic:
            return unfolded(problem, "normal", signed=True)
        if not problem.loss.quadratic:
            return not_quadratic(problem)
        if len(problem.model.names) != 2:
            return "entries of X are missing or have weights, and the model is not bilinear"
        return tied(problem) or unfolded(problem, signed=True)

    def start(self, problem: Problem, rng: Any) -> _State:
        penalized = any(
            np.any(penalty.slope(problem.factors[name]))
            for name, obeyed in problem.penalties.items()
            for penalty in obeyed
        )
        state = _State(plain=PLAIN_PENALIZED if penalized else PLAIN, rng=rng)
        problem.lead_by_long_side()
        if self.extrapolate and (problem.quadratic or not problem.signed or _held(problem)):
            moving = len(problem.free) > 1 and not problem.signed
            worth = moving and self._may_share(problem)
            state.searching = worth and worth_searching(problem.data, problem.model.n_components)
            if state.searching and only_signs(problem):
                _bring_down(problem)
            state.prepare(problem)
        return state

    def _may_share(self, problem: Problem) -> bool:
        data: Any = problem.data
        if problem.quadratic:
            return False
        known = data.evidence * data.size  # if all were known equally well
        return bool(known * problem.model.n_components >= self.shared_from)

    def step(self, problem: Problem, state: _State) -> float:
        order = np.arange(problem.model.n_components)
        if state.searching and state.iteration % WINDOW == state.plain:
            state.searching = _alike(problem)
        if self.shuffle:
            order = state.rng.permutation(order)
        sweeps = _Sweeps(self, problem, state, order, plain=state.early)
        state.begin(problem)
        objective = problem.sweep(sweeps, "normal" if problem.quadratic else "entries")
        return state.judge(problem, problem.objective() if objective is None else objective)

    def steps(self, problem: Problem, state: Momentum, watch: Watch) -> list[float] | None:
        k = problem.model.n_components
        most = min(watch.most, int(TOGETHER / (problem.data.size * k)), 100)
        product = problem.model.as_product(problem.factors)
        plain = problem.quadratic and only_signs(problem) and not (problem.signed or self.shuffle)
        if most < 2 or product is None or not plain or state.idle:
            return None
        data: Any = problem.data
        (W, H), (first, last) = product, problem.free
        rows = kernels.along_rows(data.array, H) if isinstance(data, Dense) else None
        if rows is None or W is not problem.factors[first] or H is not problem.factors[last]:
            return None
        led: list[Any] = [problem.led_by(name, "normal") for name in problem.free]
        pieces = [turned.data.spans(k) for turned in led]
        if problem.rows_at_once(first) or not _few(pieces, W, H):
            return None
        history = np.array([*watch.last, *[0.0] * most])
        repeats = tuple(min(self.repeats, affordable(problem, name)) for name in problem.free)
        squares = 0.5 * data.sum_of_squares(), CANCELLATION[H.dtype.char]
        memory = *state.memory(first, W), state.kept
        done, moved = _by_tickets(
            pieces, *rows, (W, H), memory, np.arange(k), repeats, self.shrink, state.pace, squares,
            history, watch.done, watch.rule,
        )  # fmt: skip
        found: list[float] = history[len(watch.last) :][:done].tolist()
        if moved:
            found.append(state.judge(problem, problem.objective_from(last, moved, "normal")))
        return found


def _few(pieces: list[list[slice]], W: np.ndarray, H: np.ndarray) -> bool:
    # Whether Gram matrices come about as in single steps: W's by pieces, H's as a whole.
    k, of_w = W.shape[1], len(pieces[0])
    whole = [len(spans(len(F), 2.0 * k**2)) == 1 for F in (W, H)]
    return whole[1] and (of_w * k < len(W) or (of_w == 1 and whole[0]))


def _by_tickets(pieces: list[list[slice]], *how: Any) -> tuple[int, float]:
    # Iterations in all threads, see `kernels.descend_dense`. One that cannot go on ends those of
    # the others, which would wait for it.
    (W, _), k = how[2], how[2][0].shape[1]
    counts = [len(cut) for cut in pieces]
    ends = tuple(np.array([0, *(piece.stop for piece in cut)]) for cut in pieces)
    gate, found = np.zeros(GATE, np.int64), np.zeros(2)
    gate[OPEN] = 1
    shared = (
        np.empty((2, k, k), W.dtype), np.empty((counts[0], k, k), W.dtype), np.empty(counts[1]),
        found, gate,
    )  # fmt: skip

    def work(_: int) -> None:
        try:
            kernels.descend_dense(*how, ends, *shared)
        except BaseException:
            gate[ENDED] = 1
            raise

    each(work, range(min(held(), max(counts))))
    return int(found[0]), float(found[1])


def _held(problem: Problem) -> bool:
    # Whether penalties hold the scale of every factor: extrapolated along with entries of any
    # sign it would drift on and on.
    k, dtype = problem.model.n_components, problem.data.dtype
    none = Normal(np.zeros((k, k), dtype), np.zeros((1, k), dtype))
    return all(np.all(np.diag(problem.penalized(name, none).gram) > 0) for name in problem.free)


def _bring_down(problem: Problem) -> None:
    # A start far above the data, to their mean: on the way down from there rays end where the first
    # entry of a row is zero, and components would be lost. Never to a higher objective.
    product = problem.model.as_product(problem.factors)
    assert product is not None
    data: Any = problem.data
    level = float(np.sum(product[0] * data.weigh(product[1]), dtype=np.float64))
    wanted = data.mean * data.mass
    if not 0 < wanted < level / FAR:
        return
    F, before = problem.factors[problem.free[-1]], problem.objective()
    kept = F.copy()
    F *= F.dtype.type(wanted / level)
    if not problem.objective() <= before:
        F[...] = kept


def _alike(problem: Problem) -> bool:
    # Whether what is known of rows and of columns says the same of all components.
    product = problem.model.as_product(problem.factors)
    assert product is not None
    data: Any = problem.data
    return alike(data, product[1]) and alike(data.T, product[0])


@dataclass
class _State(Momentum):
    searching: bool = False  # rows with missing entries share a direction


@dataclass
class _Sweeps:
    """The update of one iteration, for rows of a factor or for all of them in one call."""

    solver: CoordinateDescent
    problem: Problem
    state: _State
    order: np.ndarray
    plain: bool
    # Of each factor, from the others at its turn.
    grams: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """The only factor that moves is solved for to the end."""
        problem = self.problem
        if len(problem.free) > 1:
            return False
        return all(penalty.convex for penalty in problem.penalties[problem.free[0]])

    @cached_property
    def filled(self) -> bool:
        """One Gram matrix serves all rows of dense data, though they are not alike."""
        if self.exact or not self.solver._may_share(self.problem):
            return False
        return worth_filling(self.problem.data, len(self.order))

    def limits(self, name: str) -> tuple[int, float]:
        """Return the sweeps over a row, at most, and the change after which they end."""
        repeats = min(self.solver.repeats, affordable(self.problem, name))
        return 1 if self.plain else repeats, self.solver.shrink

    def __call__(
        self, name: str, rows: slice, F: np.ndarray, normal: Any, free: np.ndarray
    ) -> float | None:
        self.state.leave(name, rows, F)
        if isinstance(normal, Entries):
            return self._entry_by_entry(name, rows, F, normal, free)
        if name in self.problem.signed:
            solve_signed(F, normal.gram, normal.cross, free)
            self.state.follow(name, rows, F)
            return None
        np.maximum(F, 0, out=F)
        if self.exact:
            tolerance = 16 * float(np.finfo(F.dtype).eps)
            kernels.solve_rows(F, normal.gram, normal.cross, free, tolerance)
            return None
        how = (self.order, free, *self.limits(name))
        kernels.coordinate_sweeps(F, normal.gram, normal.cross, *how)
        self.state.follow(name, rows, F)
        return None

    def _entry_by_entry(
        self, name: str, rows: slice, F: np.ndarray, entries: Entries, free: np.ndarray
    ) -> float | None:
        # Every row has a quadratic of its own, that of its known entries.
        signed = name in self.problem.signed
        if not signed:
            np.maximum(F, 0, out=F)
        how = (free, self.order, self.limits(name))
        value: float | None
        if signed or not (self.state.searching or self.filled):
            value = observed_rows(F, entries, *how, exact=self.exact, signed=signed)[0]
        else:
            alike, judge = self.state.searching, name == self.problem.free[-1]
            if name not in self.grams:  # threads that begin together form it side by side
                self.grams[name] = gram_of_all(entries, alike=alike)
            value = searched_rows(F, entries, self.grams[name], *how, alike=alike, judge=judge)
        self.state.follow(name, rows, F)
        return value

    def whole(
        self,
        name: str,
        led: Problem,
        normal: Any,
        free: np.ndarray,
        pieces: list[slice],
        *,
        judge: bool,
        sums: np.ndarray | None = None,
        height: int = 0,
    ) -> np.ndarray | None:
        """Move all rows, or return None where that is not served.

        Returns the quadratic of each piece, of none unless ``judge`` asks for it, or half the
        squares that are left of known entries. A `Normal` has the Gram matrix, and in its cross
        products only what penalties add. ``sums`` (pieces, k, k) gets the Gram matrix of each piece
        of moved rows; one of (pieces, columns + k, k) their cross products above it, ``height``
        rows of X being looked at twice at a time.
        """
        product = led.model.as_product(led.factors)
        if product is None or self.exact or name in self.problem.signed:
            return None
        if isinstance(normal, Entries):
            return self._listed(name, product[0], normal, free, pieces, judge=judge)
        F, A = product
        data: Any = led.data
        before = self.state.memory(name, F)
        sums = np.empty((0, 0, 0), F.dtype) if sums is None else sums
        how: tuple[Any, ...] = (
            A, F, normal.gram, normal.cross[0], free, self.order, self.limits(name), before,
            F.dtype.type(self.state.active),
        )  # fmt: skip
        if isinstance(data, Sparse):
            sides = [data.indptr, data.indices, data.stored]
            sweep = kernels.sweep_sparse_rows
        elif isinstance(data, Dense) and (rows := kernels.along_rows(data.array, A)) is not None:
            sides, sweep = list(rows), kernels.sweep_dense_rows
            how = (*how, height)
        else:
            return None
        return in_pieces(sweep, (*sides, *how, sums), pieces, np.empty(len(pieces) if judge else 0))

    def _listed(
        self,
        name: str,
        F: np.ndarray,
        entries: Entries,
        free: np.ndarray,
        pieces: list[slice],
        *,
        judge: bool,
    ) -> np.ndarray | None:
        state = self.state
        if not self.problem.data.is_sparse:
            return None
        if not state.searching and len(self.order) > OWN:
            return None
        how = (free, self.order, self.limits(name))
        state.leave(name, slice(None), F)
        rest = (state.solved.get(name, F[:0]), state.active, pieces)
        if state.searching:
            return search_rows(F, entries, how, *rest)
        return own_rows(F, entries, how, *rest, judge=judge)
