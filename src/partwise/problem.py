"""The waist: data, model, loss and penalties bound together, and what a solver may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from partwise import kernels
from partwise._errors import explain
from partwise.data import Data
from partwise.data.base import even_blocks
from partwise.losses import Loss
from partwise.models import Model
from partwise.penalties import NonNegative, Penalty

__all__ = ["Normal", "Problem", "Split"]

# Below this share of ½‖X‖² the value from Gram products has lost too many digits, and the
# residual is formed block by block instead.
_CANCELLATION = {"f": 1e-2, "d": 1e-5}
# Model entries count as at least this share of the mean of X in a loss that divides by them.
_SMALLEST_MODEL = {"f": 1e-12, "d": 1e-30}
_TINY = 1e-300


@dataclass
class Normal:
    """The quadratic ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` of one factor F: G ``gram``, C ``cross``."""

    gram: np.ndarray
    cross: np.ndarray

    def plus(self, other: Normal) -> Normal:
        """Return the sum of the quadratics of two blocks of rows."""
        return Normal(self.gram + other.gram, self.cross + other.cross)

    def times(self, weight: float) -> Normal:
        """Return the quadratic times a weight."""
        return Normal(
            self.gram.dtype.type(weight) * self.gram,
            self.cross.dtype.type(weight) * self.cross,
        )


@dataclass
class Split:
    """The two non-negative parts of the gradient ``positive − negative`` of one factor.

    ``slopes`` holds what penalties that are linear, and quadratic, in the factor add to
    the positive part; arrays without rows stand for nothing.
    """

    negative: np.ndarray
    loss_positive: np.ndarray
    slopes: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def positive(self) -> np.ndarray:
        """The positive part, penalties included."""
        total = self.loss_positive
        for slope in self.slopes or ():
            if slope.shape[0]:
                total = total + slope
        return total

    def plus(self, other: Split) -> Split:
        """Return the sum of the gradients of two blocks of rows."""
        positive = self.loss_positive + other.loss_positive
        return Split(self.negative + other.negative, positive)


Statistics = Normal | Split
Update = Callable[[str, slice, np.ndarray, Any, np.ndarray], None]


@dataclass
class Problem:
    """Minimize ``Σ d(X, X̂) + Σ penalties`` over factors F ≥ 0 of shape (dimension, k).

    Parameters
    ----------
    data, model, loss
        One of each room.
    factors : dict of name to ndarray
        The current factors, C-contiguous, of the data's dtype. Solvers write into them.
    penalties : mapping of name to sequence of Penalty
        What each factor must obey, non-negativity included.
    free : tuple of str, optional
        The factors that are to be found; the others are known. All, unless said.
    """

    data: Data
    model: Model
    loss: Loss
    factors: dict[str, np.ndarray]
    penalties: Mapping[str, Sequence[Penalty]] = field(default_factory=dict)
    free: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.free = self.free or self.model.names
        self.penalties = {
            name: tuple(self.penalties.get(name, (NonNegative(),))) for name in self.model.names
        }
        self.check_domain()

    def check_domain(self) -> None:
        """Raise ValueError where the data leave the domain of the loss."""
        if self.loss.needs_positive_data and self.data.smallest() <= 0:
            raise ValueError(
                explain(
                    f"the {self.loss.name}",
                    "X with zeros, where it is infinite (beta_loss <= 0 and X contains zeros)",
                    "entries > 0",
                    "Use beta_loss > 0, or drop the zero entries; adding a constant to X "
                    "changes the answer.",
                )
            )

    # --- scales that make every tolerance relative -------------------------------------

    @cached_property
    def floor(self) -> float:
        """The smallest model entry that the loss is evaluated at."""
        return max(
            _SMALLEST_MODEL[self.data.dtype.char] * self.data.mean,
            _TINY_OF[self.data.dtype.char],
        )

    @cached_property
    def level(self) -> float:
        """The size of the entries of a flat model with the mean of X."""
        return (max(self.data.mean, 0.0) / self.model.n_components) ** (1 / len(self.model.names))

    @cached_property
    def reference(self) -> float:
        """The cost of a model that knows only the mean of X, plus that of the mean itself.

        For the Frobenius loss ½‖X‖². It gives misfits a scale that does not depend on the
        start.
        """
        if self.loss.quadratic:
            return 0.5 * self.data.sum_of_squares()
        mean = self.data.mean
        if mean <= 0:
            return 0.0
        total = 0.5 * self.data.size * mean**self.loss.degree
        for _, block in self.data.stream():
            values = block.stored if block.is_sparse else block.to_dense()  # type: ignore[attr-defined]
            total += self.loss.total(values, np.full_like(values, mean))
            zeros = block.size - values.size
            if zeros:
                at_zero = self.loss.total(np.zeros(1, values.dtype), np.full(1, mean, values.dtype))
                total += zeros * at_zero
        return float(total) if np.isfinite(total) else 0.0

    # --- pieces of X -------------------------------------------------------------------

    def rows(self, index: slice | np.ndarray, data: Data | None = None) -> Problem:
        """Return the problem of some rows of X, which shares all other factors with this one.

        ``data``: the view of these rows, where the caller has it.
        """
        first = self.model.names[0]
        part = Problem.__new__(Problem)
        part.data = self.data.rows(index) if data is None else data
        part.model, part.loss, part.free = self.model, self.loss, self.free
        part.factors = {**self.factors, first: self.factors[first][index]}
        obeyed = tuple(penalty.rows(index) for penalty in self.penalties[first])
        part.penalties = {**self.penalties, first: obeyed}
        part.__dict__.update(floor=self.floor, level=self.level)
        return part

    def free_entries(self, name: str) -> np.ndarray:
        """Return where entries of a factor may move; an array of no rows: everywhere."""
        masks = [mask for p in self.penalties[name] if (mask := p.free()) is not None]
        if not masks:
            return np.empty((0, self.model.n_components), np.bool_)
        return np.ascontiguousarray(np.logical_and.reduce(masks))

    def _model_values(self) -> np.ndarray:
        values = self.model.forward(self.factors)
        return np.maximum(values, values.dtype.type(self.floor), out=values)

    def _model_values_at_stored(self) -> np.ndarray:
        values = self.model.at(self.data, self.factors)
        return np.maximum(values, values.dtype.type(self.floor), out=values)

    @property
    def _visits_stored_only(self) -> bool:
        return self.data.is_sparse and self.loss.flat_positive is not None

    # --- what a solver asks ------------------------------------------------------------

    def normal(self, name: str) -> Normal:
        """Return the Gram and cross products of one factor, penalties included.

        Cost: one product with X, O(stored entries · k).
        """
        return self.penalized(name, self._plain_normal(name))  # type: ignore[return-value]

    def split(self, name: str) -> Split:
        """Return the two parts of the gradient of one factor, penalties included.

        Cost: two or three products of the size of X, O(entries · k); stored entries only
        where the loss allows it.
        """
        return self.penalized(name, self._plain_split(name))  # type: ignore[return-value]

    def statistics(self, name: str, kind: str) -> Statistics:
        """Return `normal` or `split` of one factor without its penalties."""
        return self._plain_normal(name) if kind == "normal" else self._plain_split(name)

    def sweep(self, update: Update, kind: str) -> tuple[str, Statistics]:
        """Update every free factor once, and read X as few times as the model allows.

        Parameters
        ----------
        update : callable
            ``update(name, rows, F, statistics, free)`` changes the rows F of a factor in
            place; the statistics are those of these rows, penalties included.
        kind : {"normal", "split"}
            The statistics that the update needs.

        Returns
        -------
        name, statistics
            Those of the last factor, from before its update.
        """
        first = self.model.names[0]
        remaining = list(self.free)
        ahead: Statistics | None = None
        if first in remaining and len(remaining) > 1:
            ahead = self._sweep_rows(update, kind, remaining[1])
            remaining = remaining[1:]
        for name in remaining:
            plain = self.statistics(name, kind) if ahead is None else ahead
            ahead = None
            last = name, self.penalized(name, plain)
            rows = slice(0, len(self.factors[name]))
            update(name, rows, self.factors[name], last[1], self.free_entries(name))
        return last

    def _sweep_rows(self, update: Update, kind: str, then: str) -> Statistics:
        # One pass over X: rows of the first factor move, and what the second one needs is
        # summed up from the fresh rows while their block of X is still at hand.
        first = self.model.names[0]
        gram = self.model.gram(self.factors, first) if kind == "normal" else None
        total: Statistics | None = None
        densify = kind == "split" and not self.loss.quadratic and self.loss.flat_positive is None
        for rows, data in self.data.stream(densify=densify):
            part = self.rows(rows, data)
            if kind == "normal":
                plain: Statistics = part._plain_normal(first, gram)
            else:
                plain = part._plain_split(first)
            stats = part.penalized(first, plain)
            update(first, rows, part.factors[first], stats, part.free_entries(first))
            fresh = part._plain_normal(then) if kind == "normal" else part._plain_split(then)
            total = fresh if total is None else total.plus(fresh)  # type: ignore[arg-type]
        assert total is not None
        return total

    def prox(self, name: str, step: float) -> np.ndarray:
        """Return the proximal point of one factor under all its penalties, in their order."""
        F = self.factors[name]
        for penalty in self.penalties[name]:
            F = penalty.prox(F, step)
        return F

    def objective(self, known: tuple[str, Normal] | None = None) -> float:
        """Return the penalized objective, in float64.

        ``known``: the name of a factor and its `normal`, penalties included, at the current
        values of all other factors; then no pass over X is needed, unless the fit is so
        close that the Gram products cancel.
        """
        if not self.loss.quadratic:
            return self._loss_by_blocks() + self._penalty_value(self.model.names)
        name = self.free[-1] if known is None else known[0]
        normal = self.normal(name) if known is None else known[1]
        F = self.factors[name]
        square = self.data.sum_of_squares()
        value = (
            0.5 * square + 0.5 * kernels.inner(F @ normal.gram, F) - kernels.inner(F, normal.cross)
        )
        own = self._penalty_value((name,))
        if value - own < _CANCELLATION[self.data.dtype.char] * 0.5 * square:
            value = self._loss_by_blocks() + own
        return value + self._penalty_value([o for o in self.model.names if o != name])

    def loss_value(self, objective: float | None = None) -> float:
        """Return the misfit alone, Σ d(X, X̂), in float64; from the objective if it is known."""
        objective = self.objective() if objective is None else objective
        return objective - self._penalty_value(self.model.names)

    def kkt(self) -> float:
        """Return the norm of the KKT residual: 0 at a stationary point, about 1 far from it.

        For each factor F with gradient ``g = positive − negative``, component j has the
        root mean squares f_j of F[:, j] and p_j of positive[:, j]. The residual
        ``r = F − max(0, F − g f_j / p_j)``, in the unit p_j of the objective's slope, is
        divided by ‖f_j p_j‖. The largest over the free factors is returned. It does not
        change with the scale of X, of the loss, or between the factors.
        """
        seen = {
            name: Split(np.empty_like(self.factors[name]), np.empty_like(self.factors[name]))
            for name in self.free
        }

        def look(name: str, rows: slice, F: np.ndarray, split: Split, free: np.ndarray) -> None:
            seen[name].negative[rows] = split.negative
            seen[name].loss_positive[rows] = split.positive

        self.sweep(look, "split")  # one pass over X for all factors
        return max(
            _kkt_of(self.factors[name], seen[name], self.free_entries(name)) for name in self.free
        )

    # --- how -----------------------------------------------------------------------------

    def penalized(
        self, name: str, plain: Statistics, obeyed: Sequence[Penalty] | None = None
    ) -> Statistics:
        """Return statistics of a factor with its penalties, or others, folded in."""
        obeyed = self.penalties[name] if obeyed is None else obeyed
        if isinstance(plain, Normal):
            gram, cross = plain.gram, plain.cross
            for penalty in obeyed:
                gram, cross = penalty.shift(gram, cross)
            return Normal(gram, cross)
        slopes = self.penalty_slopes(name, obeyed)
        return Split(plain.negative, plain.loss_positive, slopes)

    def penalty_slopes(self, name: str, obeyed: Sequence[Penalty]) -> tuple[np.ndarray, np.ndarray]:
        """Return the slopes of linear and of quadratic penalties at a factor."""
        F = self.factors[name]
        slopes = [np.empty((0, F.shape[1]), F.dtype) for _ in range(2)]
        for penalty in obeyed:
            slope = np.asarray(penalty.slope(F), dtype=F.dtype)
            if slope.any():
                known = slopes[penalty.power - 1]
                slopes[penalty.power - 1] = (known if known.shape[0] else np.zeros_like(F)) + slope
        return slopes[0], slopes[1]

    def _penalty_value(self, names: Sequence[str]) -> float:
        return sum(p.value(self.factors[name]) for name in names for p in self.penalties[name])

    def _plain_normal(self, name: str, gram: np.ndarray | None = None) -> Normal:
        if gram is None:
            gram = self.model.gram(self.factors, name)
        return Normal(gram, self.model.adjoint(self.data, self.factors, name))

    def _plain_split(self, name: str) -> Split:
        if self.loss.quadratic:
            normal = self._plain_normal(name)
            return Split(
                np.maximum(normal.cross, 0), np.maximum(self.factors[name] @ normal.gram, 0)
            )
        if self._visits_stored_only:
            return self._split_at_stored(name)
        first, total = self.model.names[0], None
        parts = []
        for rows, data in self.data.stream(densify=self.loss.flat_positive is None):
            part = self.rows(rows, data)._split_block(name)
            if name == first:
                parts.append(part)
            else:
                total = part if total is None else total.plus(part)
        if name != first:
            assert total is not None
            return total
        return Split(
            np.concatenate([part.negative for part in parts]),
            np.concatenate([part.loss_positive for part in parts]),
        )

    def _split_at_stored(self, name: str) -> Split:
        data: Any = self.data
        weights = data.like(self.loss.negative(data.stored, self._model_values_at_stored()))
        negative = self.model.adjoint(weights, self.factors, name)
        return Split(negative, self._flat_positive(name, negative))

    def _flat_positive(self, name: str, like: np.ndarray) -> np.ndarray:
        assert self.loss.flat_positive is not None
        row = self.loss.flat_positive * self.model.adjoint_of_ones(self.factors, name)
        return np.broadcast_to(row.astype(like.dtype), like.shape).copy()

    def _split_block(self, name: str) -> Split:
        if self._visits_stored_only:
            return self._split_at_stored(name)
        x, y = self.data.to_dense(), self._model_values()
        negative = self.model.adjoint(self.loss.negative(x, y), self.factors, name)
        if self.loss.flat_positive is not None:
            return Split(negative, self._flat_positive(name, negative))
        return Split(negative, self.model.adjoint(self.loss.positive(x, y), self.factors, name))

    def _loss_by_blocks(self) -> float:
        if self._visits_stored_only:
            return self._loss_at_stored()
        total = 0.0
        for rows, data in self.data.stream(densify=self.loss.flat_positive is None):
            total += self.rows(rows, data)._loss_of_block()
        return total

    def _loss_of_block(self) -> float:
        if self._visits_stored_only:
            return self._loss_at_stored()
        if self.loss.quadratic:  # only asked for where digits are short
            double = {name: F.astype(np.float64) for name, F in self.factors.items()}
            return self.loss.total(self.data.to_dense(), self.model.forward(double))
        return self.loss.total(self.data.to_dense(), self._model_values())

    def _loss_at_stored(self) -> float:
        # d(0, y) is proportional to y: the whole of X̂ through column sums, minus the part
        # at stored entries, where the true cost is taken instead.
        data: Any = self.data
        flat = self.loss.flat_positive
        assert flat is not None
        y = self._model_values_at_stored()
        at_stored = self.loss.total(data.stored, y) - flat * y.sum(dtype=np.float64)
        return float(at_stored + flat * self.model.total(self.factors))


_TINY_OF = {"f": 1e-30, "d": _TINY}


def _kkt_of(F: np.ndarray, split: Split, free: np.ndarray) -> float:
    pieces = list(even_blocks(len(F), 2**14))  # so that nothing in float64 is as large as F
    positive, negative = split.positive, split.negative
    # Only ratios matter, and squares of huge slopes would overflow.
    size = max(float(positive.max(initial=0)), float(negative.max(initial=0)), _TINY)
    f = np.sqrt(sum(np.square(F[i], dtype=np.float64).sum(axis=0) for i in pieces) / len(F))
    p = np.sqrt(sum(np.square(_over(positive[i], size)).sum(axis=0) for i in pieces) / len(F))
    # An empty component has no size of its own: it is judged at the size of the others.
    f = np.where(f > 0, f, f.max(initial=0.0))
    scale = np.sqrt(len(F) * np.sum((f * p) ** 2))
    if scale == 0:
        return 0.0 if not np.any(negative > 0) else 1.0
    step = np.divide(f, p, out=np.zeros_like(f), where=p > 0)
    total = 0.0
    for i in pieces:
        slope = _over(positive[i], size) - _over(negative[i], size)
        residual = (F[i] - np.maximum(0.0, F[i] - slope * step)) * p
        total += float(np.sum(np.square(residual * free[i] if free.shape[0] else residual)))
    return float(np.sqrt(total) / scale)


def _over(values: np.ndarray, size: float) -> np.ndarray:
    return values.astype(np.float64) / size
