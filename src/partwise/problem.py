"""The waist: data, model, loss and penalties bound together, and what a solver may ask."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from partwise._domain import check_domain, constant_of, reference_cost, smallest_model
from partwise._remainder import CANCELLATION, CANCELLATION_OF_CHANGE, half_squares_left
from partwise._stationarity import Look
from partwise._statistics import Entries, Normal, Quadratics, Split, Statistics, splits_of_both
from partwise._statistics import halves_of_quadratic as halves
from partwise._threads import PIECES, each, even_spans, in_turns, spans
from partwise.data import Data
from partwise.losses import Loss
from partwise.models import Model
from partwise.penalties import (
    NonNegative,
    Penalty,
    is_signed,
    joint_prox,
    sign_settled,
    slopes_of,
)

__all__ = ["Entries", "Normal", "Problem", "Quadratics", "Split"]

# An update may return the objective of its rows, as far as it depends on them, if it knows.
Update = Callable[[str, slice, np.ndarray, Any, np.ndarray], float | None]


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
    scales : ndarray, optional
        Rows of the first factor are compared with each other after division by these.
    """

    data: Data
    model: Model
    loss: Loss
    factors: dict[str, np.ndarray]
    penalties: Mapping[str, Sequence[Penalty]] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    scales: np.ndarray | None = None

    # So little is left of X that Gram products do not tell it.
    _close = False

    def __post_init__(self) -> None:
        self.free = self.free or self.model.names
        self.penalties = {
            name: sign_settled(self.penalties.get(name, (NonNegative(),)))
            for name in self.model.names
        }
        check_domain(self.data, self.loss)

    @property
    def quadratic(self) -> bool:
        """Whether Gram and cross products tell everything of a factor."""
        return self.loss.quadratic and self.data.complete

    @property
    def signed(self) -> tuple[str, ...]:
        """The factors whose entries may have any sign."""
        return tuple(name for name, obeyed in self.penalties.items() if is_signed(obeyed))

    # --- scales that make every tolerance relative -------------------------------------

    @cached_property
    def floor(self) -> float:
        """The smallest model entry that the loss is evaluated at."""
        return smallest_model(self.data)

    @cached_property
    def level(self) -> float:
        """The size of the entries of a flat model with the mean of X."""
        return (max(self.data.mean, 0.0) / self.model.n_components) ** (1 / len(self.model.names))

    @cached_property
    def reference(self) -> float:
        """What gives misfits a scale that does not depend on the start, ½‖X‖² for squares."""
        return reference_cost(self.data, self.loss, lambda: self._constant)

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
        return self._from_floor(self.model.forward(self.factors))

    def _model_values_at_stored(self) -> np.ndarray:
        return self._from_floor(self.model.at(self.data, self.factors))

    def _from_floor(self, values: np.ndarray) -> np.ndarray:
        # In place; a loss that divides by nothing sees the model as it is.
        if self.loss.quadratic:
            return values
        return np.maximum(values, values.dtype.type(self.floor), out=values)

    @property
    def _visits_stored_only(self) -> bool:
        flat = self.loss.flat_positive is not None
        return self.data.is_sparse and (flat or not self.data.complete)

    def _by_products(self, kind: str) -> bool:
        return kind == "normal" or (kind == "split" and self.quadratic)

    def _looks_at_zeros(self, kind: str) -> bool:
        # Whether entries that are not stored are looked at one by one.
        visited = self.loss.flat_positive is None and self.data.complete
        return visited and not self._by_products(kind)

    # --- what a solver asks ------------------------------------------------------------

    def normal(self, name: str) -> Normal:
        """Return the Gram and cross products of one factor, penalties included.

        Cost: one product with X, O(stored entries · k).
        """
        return self.penalized(name, self.statistics(name, "normal"))

    def split(self, name: str) -> Split:
        """Return the two parts of the gradient of one factor, penalties included.

        Cost: two or three products of the size of X, O(entries · k); stored entries only
        where the loss allows it.
        """
        return self.penalized(name, self.statistics(name, "split"))

    def statistics(self, name: str, kind: str) -> Any:
        """Return `normal` or `split` of one factor without its penalties."""
        led = self.led_by(name, kind)
        if led is None:
            return self._summed_up(name, kind)
        shared = led._shared(kind)

        def piece(rows: slice) -> Any:
            return led.rows(rows)._plain(kind, shared)

        parts = each(piece, led._pieces(kind))
        return parts[0].joined(parts)

    def sweep(self, update: Update, kind: str) -> float | None:
        """Update every free factor once.

        A factor is updated in pieces of its rows, side by side: the statistics of a piece
        are formed and used while its part of X is at hand. Data that only come in blocks of
        rows are read once for the first two factors, others once for each.

        Parameters
        ----------
        update : callable
            ``update(name, rows, F, statistics, free)`` changes the rows F of a factor in
            place; the statistics are those of these rows, penalties included. One with a method
            ``whole(name, led, normal, free, pieces, judge=…, …)`` is asked for all rows first.
        kind : {"normal", "split", "entries"}
            The statistics that the update needs.

        Returns
        -------
        float or None
            The penalized objective afterwards, if that is known without another pass over X.
        """
        above = self._majorized() if kind == "normal" else self
        if above is not self:
            value, self._close = above.sweep(update, kind), above._close
            excess = above._penalty_value(self.free) - self._penalty_value(self.free)
            return None if value is None else value - excess
        remaining = list(self.free)
        ahead: Any = None
        known: float | None = None
        in_blocks = self.data.led_by(0) is None and remaining[0] == self.model.names[0]
        if in_blocks and (len(remaining) > 1 or kind == "entries"):
            if kind == "normal" and self.told_by_change:
                return self._sweep_close_blocks(update, remaining[1])
            known, ahead = self._sweep_blocks(update, kind, *remaining[1:2])
            remaining = remaining[1:]
        for name, then in itertools.zip_longest(remaining, remaining[1:]):
            known, ahead = self._move(name, update, kind, ahead, judge=then is None, then=then)
        return None if known is None else self.objective_from(self.free[-1], known, kind)

    def _majorized(self) -> Problem:
        # With quadratics above penalties that have them, touching at the current factors.
        found = {
            name: tuple(p.majorized(self.factors[name]) if p.bounded else p for p in obeyed)
            for name, obeyed in self.penalties.items()
            if name in self.free and any(p.bounded for p in obeyed)
        }
        if not found:
            return self
        self._turned, self._cut  # noqa: B018, which are shared
        above = copy.copy(self)
        above.penalties = {**self.penalties, **found}
        return above

    def _move(
        self,
        name: str,
        update: Update,
        kind: str,
        plain: Any = None,
        *,
        judge: bool = False,
        then: str | None = None,
    ) -> tuple[float | None, Any]:
        # Update one factor; ``plain`` are its statistics, or their Gram matrix, if known already;
        # ``judge``: return the part of the objective that depends on it, if that is known. Also
        # returns what is known of the factor that moves ``then``.
        shared, plain = (plain, None) if isinstance(plain, np.ndarray) else (None, plain)
        led: Any = self.led_by(name, kind)
        if plain is None and led is None:
            plain = self._summed_up(name, "quadratics" if kind == "entries" else kind)
        F, obeyed, free = self.factors[name], self.penalties[name], self.free_entries(name)
        if plain is None:
            shared, pieces = led._shared(kind) if shared is None else shared, led._pieces(kind)
            whole = getattr(update, "whole", None) if kind in ("normal", "entries") else None
            if whole is not None:
                moved = self._move_whole(name, whole, kind, shared, judge=judge, then=then)
                if moved is not None:
                    return moved
        else:
            pieces = spans(len(F), 20.0 * F.shape[1] ** 2)

        def piece(rows: slice) -> float | None:
            if plain is None:
                part = led.rows(rows) if len(pieces) > 1 else led
                stats = part.penalized(name, part._plain(kind, shared))
            else:
                own = [penalty.rows(rows) for penalty in obeyed]
                stats = self.penalized(name, plain.rows(rows), own, F[rows])
            open_ = free[rows] if free.shape[0] else free
            value = update(name, rows, F[rows], stats, open_)
            return stats.value(F[rows]) if judge and isinstance(stats, Normal) else value

        values = each(piece, pieces)
        return None if None in values else float(sum(values)), None  # type: ignore[arg-type]

    def _move_whole(
        self, name: str, whole: Any, kind: str, shared: Any, *, judge: bool, then: str | None
    ) -> tuple[float, Any] | None:
        # As `_move`, for all rows in one call. What the factor that moves then needs is summed up
        # from the fresh rows: its Gram matrix, and its cross products where that spares a pass.
        led: Any = self.led_by(name, kind)
        (dimension, k), dtype = self.factors[name].shape, self.factors[name].dtype
        height = self.rows_at_once(name) if then and kind == "normal" else 0
        pieces = led._pieces(kind)
        if height:
            pieces = even_spans(dimension, min(PIECES, dimension // height))
        few = self.model.plain and len(pieces) * k < dimension  # or sums are large
        above = len(self.factors[then]) if then and height else 0
        counted = then is not None and kind == "normal" and (few or height > 0)
        sums = np.empty((len(pieces), above + k, k), dtype) if counted else None
        known = Normal(shared, np.zeros((1, k), dtype)) if kind == "normal" else None
        how = (self.penalized(name, known or led._plain(kind, shared)), self.free_entries(name))
        worth = whole(name, led, *how, pieces, judge=judge, sums=sums, height=height)
        if worth is None or sums is None:
            return None if worth is None else (float(sum(worth)), None)
        total: Any = sum(sums)  # in their order, which NumPy would change for k = 1
        return float(sum(worth)), Normal(total[above:], total[:above]) if height else total

    def objective_from(self, name: str, moved: float, kind: str, *, swept: bool = True) -> float:
        """Return the penalized objective, from the part of it that depends on one factor.

        ``kind`` is that of the statistics which that part was formed with; ``swept``: factors come
        from a sweep. No pass over X, unless so little is left of large numbers that rounding shows.
        """
        own = self._penalty_value((name,), swept=swept)
        rest = [other for other in self.model.names if other != name]
        others = self._penalty_value(rest, swept=swept)
        if kind == "normal":
            square = 0.5 * self.data.sum_of_squares()
            beside = sum(p.value(self.factors[name]) for p in self.penalties[name] if not p.shifts)
            value = square + moved + beside
            self._close = value - own < CANCELLATION[self.data.dtype.char] * square
            return (self._loss_by_blocks() + own if self._close else value) + others
        if self.loss.quadratic:
            direct = not self.data.is_sparse and self.data.led_by(0) is not None  # nothing cancels
            square = 0.0 if direct else 0.5 * self.data.sum_of_squares()
            if moved < CANCELLATION[self.data.dtype.char] * square:
                moved = self._loss_by_blocks()
            return moved + own + others
        flat = 0.0  # of data that are not complete it is in what moved
        if self.data.complete and self.loss.flat_positive is not None:
            flat = self.loss.flat_positive * self.model.total(self.factors)
        value = moved + flat + self._constant
        size = abs(moved) + flat + abs(self._constant)
        if value < CANCELLATION[self.data.dtype.char] * size:
            value = self._loss_by_blocks()
        return value + own + others

    @cached_property
    def _constant(self) -> float:
        return constant_of(self.data, self.loss)

    def _sweep_blocks(
        self, update: Update, kind: str, then: str | None = None, *, close: bool = False
    ) -> tuple[float | None, Statistics | None]:
        # One pass over X: rows of the first factor move, and what the second one needs, if any, is
        # summed up from the fresh rows while their block of X is still at hand. Also returns what
        # is known of the objective; or, if ``close``, half the squares left before that one moves.
        first, needed = self.model.names[0], "quadratics" if kind == "entries" else kind
        total: Any = None
        values: list[float | None] = []
        for rows, data in self.data.stream(densify=self._looks_at_zeros(kind)):
            part = self.rows(rows, data)

            def shifted(name: str, inside: slice, *rest: Any, start: int = rows.start) -> Any:
                place = slice(start + inside.start, start + inside.stop)
                return update(name, place, *rest)

            value = part._move(first, shifted, kind)[0]
            values.append(part._loss_by_blocks() if close else value)
            if then is not None:
                fresh = part.statistics(then, needed)
                total = fresh if total is None else total.plus(fresh)
        return None if None in values else float(sum(values)), total  # type: ignore[arg-type]

    @property
    def told_by_change(self) -> bool:
        """A sweep's objective is rounded to 1e-4 in float32, lest files be read twice for it."""
        if not self._close or self.signed or len(self.free) != 2:
            return False
        return self.data.led_by(0) is None

    def _sweep_close_blocks(self, update: Update, then: str) -> float:
        # As `sweep`; the objective from what is left before the last factor moves, and its change.
        found: Any = self._sweep_blocks(update, "normal", then, close=True)
        (left, normal), before = found, self.factors[then].copy()
        self._move(then, update, "normal", normal)
        change, size = normal.change(before, self.factors[then])
        value, kind = left + change, self.data.dtype.char
        if value < CANCELLATION_OF_CHANGE[kind] * size:
            value = self._loss_by_blocks()
        self._close = value < 0.5 * CANCELLATION[kind] * self.data.sum_of_squares()
        return float(value) + self._penalty_value(self.model.names, swept=True)

    def lead_by_long_side(self) -> None:
        """Let the factor of the longer side move first, where X need be read only once then."""
        first = max(self.free, key=lambda name: len(self.factors[name]))
        if first != self.free[0] and self.rows_at_once(first):
            self.free = (first, *(name for name in self.free if name != first))

    def rows_at_once(self, name: str) -> int:
        """Return how many rows of X to look at twice at a time as that factor moves, or 0."""
        whole = self.quadratic and not (self.data.is_sparse or self.signed)
        if not (whole and self.model.plain and len(self.free) == 2):
            return 0
        led = self.led_by(name, "normal")
        return 0 if led is None else led.data.rows_at_once(self.model.n_components)

    def prox(self, name: str, step: float, F: np.ndarray) -> np.ndarray:
        """Return the proximal point of F under those penalties of a factor that are not smooth."""
        return joint_prox(self.penalties[name], F, step)

    def objective(self, known: tuple[str, Normal] | None = None) -> float:
        """Return the penalized objective, in float64.

        ``known``: the name of a factor and its `normal`, penalties included, at the current
        values of all other factors; then no pass over X is needed, unless the fit is so
        close that the Gram products cancel.
        """
        if not self.quadratic or (self._close and known is None):
            return self._loss_by_blocks() + self._penalty_value(self.model.names)
        shortest = min(self.free, key=lambda name: len(self.factors[name]))
        name, normal = known or (shortest, self.normal(shortest))
        value = normal.value(self.factors[name])
        return self.objective_from(name, value, "normal", swept=False)

    def loss_value(self, objective: float | None = None) -> float:
        """Return the misfit alone, Σ d(X, X̂), in float64; from the objective if it is known."""
        objective = self.objective() if objective is None else objective
        return objective - self._penalty_value(self.model.names)

    def kkt(self) -> float:
        """Return the norm of the KKT residual, see `stationarity`."""
        return self.stationarity()[0]

    def stationarity(self) -> tuple[float, dict[str, np.ndarray]]:
        """Return the norm of the KKT residual, and the slopes of the objective that it is from.

        The norm is 0 at a stationary point, about 1 far from it.

        For each factor F with gradient ``g = positive − negative``, component j has the
        root mean squares f_j of F[:, j] and p_j of positive[:, j]. The residual
        ``r = F − max(0, F − g f_j / p_j)``, in the unit p_j of the objective's slope, is
        divided by ‖f_j p_j‖. The largest over the free factors is returned. It does not
        change with the scale of X, of the loss, or between the factors. With penalties that
        are no part of `split` it is `partwise.penalties.prox_residual`.
        """
        look = Look(self.factors, self.free, signed=bool(self.signed))
        two = self.model.plain and len(self.free) == 2
        product = self.model.as_product(self.factors) if two else None
        both = product and splits_of_both(self.data, self.loss, product, self.floor)
        if both:
            for name, split in zip(self.model.names, both, strict=True):
                self._move(name, look, "split", split)
        else:
            self.sweep(look, "split")
        left = [look.residual(n, self.free_entries(n), self.penalties[n]) for n in self.free]
        return max(left), look.slopes

    # --- how -----------------------------------------------------------------------------

    def penalized(
        self,
        name: str,
        plain: Any,
        obeyed: Sequence[Penalty] | None = None,
        F: np.ndarray | None = None,
    ) -> Any:
        """Return statistics of a factor with its penalties, or others, folded in."""
        obeyed = self.penalties[name] if obeyed is None else obeyed
        if not isinstance(plain, Split):
            return plain.penalized(obeyed)
        slopes = slopes_of(self.factors[name] if F is None else F, obeyed)
        return Split(plain.negative, plain.loss_positive, slopes)

    def led_by(self, name: str, kind: str) -> Problem | None:
        """Return the same problem with one factor first, or None where X only comes in rows."""
        axis, products = self.model.names.index(name), self._by_products(kind)
        k = self.model.n_components if products else 0
        if axis == 0:
            # Not kept: with a reference to itself a block would outlive its turn.
            return None if self.data.led_by(0, k) is None else self
        if (name, products) not in self._turned:
            data: Any = None if self.loss.rowwise else self.data.led_by(axis, k)
            turned = None if data is None else Problem.__new__(Problem)
            if turned is not None:
                turned.data, turned.model, turned.loss = data, self.model.led_by(name), self.loss
                turned.free = self.free
                turned.__dict__.update(floor=self.floor, level=self.level)
            self._turned[name, products] = turned
        found = self._turned[name, products]
        if found is not None:
            found.factors, found.penalties = self.factors, self.penalties
        return found

    @cached_property
    def _turned(self) -> dict[tuple[str, bool], Problem | None]:
        return {}

    @cached_property
    def _cut(self) -> dict[str, list[slice]]:
        return {}

    def _pieces(self, kind: str) -> list[slice]:
        if kind not in self._cut:
            self._cut[kind] = self._cut_for(kind)
        return self._cut[kind]

    def _cut_for(self, kind: str) -> list[slice]:
        # A model that is a product is never formed; others, and dense views of sparse rows, are.
        product = self.model.as_product(self.factors) is not None
        plain = self.data.complete and not self.data.is_sparse
        formed = self.loss.quadratic or not plain or not product
        if self._by_products(kind):
            return self.data.spans(self.model.n_components)
        densify = kind in ("split", "loss") and not self._visits_stored_only
        # Rows of their own products, or divisions, take longer than what is done for others.
        slow = self.data.is_sparse if self.loss.quadratic else not self.data.is_sparse
        work = 100 if kind == "entries" and slow else 20
        return self.data.spans(work * self.model.n_components, densify=densify and formed)

    def _shared(self, kind: str) -> Any:
        # What all pieces of rows of the first factor have in common.
        first = self.model.names[0]
        if self._by_products(kind):
            return self.model.gram(self.factors, first)
        if kind == "entries" and not self.loss.flat_positive:
            return np.zeros((1, self.model.n_components), self.factors[first].dtype)
        if kind == "entries" or (kind == "split" and self.loss.flat_positive is not None):
            return self.loss.flat_positive * self.model.adjoint_of_ones(self.factors, first)
        return None

    def _plain(self, kind: str, shared: Any) -> Any:
        # The statistics of the first factor, or of the rows of it that are here.
        first = self.model.names[0]
        if kind == "quadratics":
            product = self.model.as_product(self.factors)
            assert product is not None
            return Quadratics.of(self.data, product[1])
        if kind == "entries":
            design: Any = self.model.as_product(self.factors)
            data: Any = self.data
            if data.complete or self.loss.quadratic:
                return Entries(data, design[1], shared, 0.0)
            slopes = self.loss.flat_positive * data.weigh(design[1])
            return Entries(data.weighed(), design[1], slopes, 0.0, slopes)
        if kind == "split" and not self.quadratic:
            return self._split_block(first, shared)
        normal = Normal(shared, self.model.adjoint(self.data, self.factors, first))
        if kind == "normal":
            return normal
        return Split(*halves(normal.cross, self.factors[first] @ normal.gram))

    def _summed_up(self, name: str, kind: str) -> Any:
        # The statistics of data that come in blocks of rows: joined for the first factor,
        # summed up for the others. Or of whole rows at hand that a loss does not let be cut.
        if self.data.led_by(0) is not None:
            parts = in_turns(lambda rows: self.rows(rows)._split_block(name), self._pieces(kind))
        else:
            stream = self.data.stream(densify=self._looks_at_zeros(kind))
            parts = (self.rows(rows, data).statistics(name, kind) for rows, data in stream)
        if name == self.model.names[0]:
            found = list(parts)
            return found[0].joined(found)
        total = next(parts)
        for part in parts:
            total = total.plus(part)
        return total

    def _penalty_value(self, names: Sequence[str], *, swept: bool = False) -> float:
        # After a sweep, which keeps factors ≥ 0, nobody looks for entries that are not.
        pairs = [(p, self.factors[name]) for name in names for p in self.penalties[name]]
        return sum(p.value(F) for p, F in pairs if not (swept and type(p) is NonNegative))

    def _split_at_stored(self, name: str, flat: np.ndarray) -> Split:
        data: Any = self.data
        x, y = data.stored, self._model_values_at_stored()
        if not data.complete:
            return self._adjoint_split(x, y, data.weights, name, data.plain)
        negative = self.model.adjoint(data.like(self.loss.negative(x, y)), self.factors, name)
        return Split.flat(negative, flat)

    def _adjoint_split(
        self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, name: str, as_data: Any
    ) -> Split:
        data: Any = self.data
        if self.loss.quadratic:  # both parts ≥ 0 also where x is not
            parts: Any = (weights * part for part in halves(x, y))
        else:
            parts = self.loss.weighted_slopes(x, y, weights, data.starts)
        negative, positive = (
            self.model.adjoint(as_data(part), self.factors, name) for part in parts
        )
        return Split(negative, positive)

    def _split_block(self, name: str, flat: Any = None) -> Split:
        # ``flat``: every row of the positive part, where that is one.
        if self._visits_stored_only:
            return self._split_at_stored(name, flat)
        if not self.data.complete:
            x, y, weights = self._known_and_model()
            return self._adjoint_split(x, y, weights, name, np.asarray)
        product = self.model.as_product(self.factors)
        if product is not None:
            parts = self.loss.split(self.data.strided(), *product, self.floor)
            if parts is not None:
                negative, positive = parts
                if positive is None:
                    return Split.flat(negative, flat)
                return Split(negative, positive)
        x, y = self.data.to_dense(), self._model_values()
        negative = self.model.adjoint(self.loss.negative(x, y), self.factors, name)
        if self.loss.flat_positive is not None:
            return Split.flat(negative, flat)
        return Split(negative, self.model.adjoint(self.loss.positive(x, y), self.factors, name))

    def _loss_by_blocks(self) -> float:
        product = self.model.as_product(self.factors) if self.quadratic else None
        known = None if product is None else self.data.half_distance(*product)
        if known is not None:
            return known
        total, flat = 0.0, self.loss.flat_positive
        for rows, data in self.data.stream(densify=self._looks_at_zeros("loss")):
            part = self.rows(rows, data)
            if flat is not None and part._visits_stored_only and data.complete:
                total += flat * part.model.total(part.factors)

            def piece(inside: slice, part: Problem = part) -> float:
                return part.rows(inside)._loss_of_block()

            total += sum(each(piece, part._pieces("loss")))
        return total

    def _loss_of_block(self) -> float:
        data: Any = self.data
        if not data.complete:
            return self.loss.weighted_total(*self._known_and_model(), data.starts)
        if self._visits_stored_only:
            return self._loss_at_stored()
        if self.loss.quadratic:
            return half_squares_left(self.data.to_dense(), self.model, self.factors)
        x, product = self.data.strided(), self.model.as_product(self.factors)
        total = None if product is None else self.loss.total_of(x, *product, self.floor)
        if total is None:
            total = self.loss.total(self.data.to_dense(), self._model_values())
        return total

    def _known_and_model(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Values, their model, and weights; where nothing is known the value is the model.
        data: Any = self.data
        if data.is_sparse:
            return data.stored, self._model_values_at_stored(), data.weights
        y = self._model_values()
        return np.where(data.weights > 0, data.array, y), y, data.weights

    def _loss_at_stored(self) -> float:
        # d(0, y) is proportional to y: from the whole of X̂, through column sums, the part at stored
        # entries is taken away, and the true cost there put in its place.
        data: Any = self.data
        flat = self.loss.flat_positive
        assert flat is not None
        y = self._model_values_at_stored()
        return float(self.loss.total(data.stored, y) - flat * y.sum(dtype=np.float64))
