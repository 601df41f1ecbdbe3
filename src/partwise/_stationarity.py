"""How far one factor is from a stationary point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from partwise import kernels
from partwise._threads import each
from partwise.data.base import small_blocks
from partwise.penalties import Penalty, is_signed, prox_residual

__all__ = ["Look", "column_squares", "factor_residual"]

Size = tuple[float, np.ndarray]
_TINY = 1e-300


class Look:
    """An update that moves nothing, and notes the slopes of all rows that it is shown."""

    def __init__(
        self, factors: dict[str, np.ndarray], names: Sequence[str], *, signed: bool
    ) -> None:
        self.factors = factors
        self.signed = signed
        self.slopes = {name: np.empty_like(factors[name]) for name in names}
        self._sizes: dict[str, dict[int, Size]] = {name: {} for name in names}

    def __call__(self, name: str, rows: slice, F: np.ndarray, split: Any, free: np.ndarray) -> None:
        """Note the slopes of some rows, and how large their positive part is."""
        positive = split.positive
        self.slopes[name][rows] = positive - split.negative
        sizes = column_squares(np.abs(positive) if self.signed else positive)
        self._sizes[name][rows.start] = sizes

    def residual(self, name: str, free: np.ndarray, obeyed: Sequence[Penalty]) -> float:
        """Return the `factor_residual` of one factor."""
        sizes = [found for _, found in sorted(self._sizes[name].items())]  # the same sums each time
        return factor_residual(self.factors[name], self.slopes[name], sizes, free, obeyed)


def column_squares(values: np.ndarray) -> Size:
    """Return the largest entry, and the sums of squares of the columns in units of it.

    Squares of huge slopes would overflow.
    """
    size = max(float(values.max(initial=0)), _TINY)
    return size, kernels.squares_of_columns(_over(values, size))


def factor_residual(
    F: np.ndarray,
    slope: np.ndarray,
    sizes: Sequence[Size],
    free: np.ndarray,
    obeyed: Sequence[Penalty],
) -> float:
    """Return the residual of one factor, as `partwise.problem.Problem.stationarity` has it.

    ``sizes`` are `column_squares` of the positive part of the gradient, of consecutive rows;
    entries where ``free`` is False do not count.
    """
    pieces = small_blocks(F)
    # Only ratios matter.
    size = max(max(largest for largest, _ in sizes), _TINY)
    squares = sum(part * (largest / size) ** 2 for largest, part in sizes)
    p = np.sqrt(squares / len(F))
    if not all(penalty.shifts for penalty in obeyed):
        smooth = sum(q.gradient(F) for q in obeyed if q.smooth and not q.shifts)
        return prox_residual(obeyed, F, slope + smooth, size * p)
    f = np.sqrt(sum(each(lambda i: kernels.squares_of_columns(F[i]), pieces)) / len(F))
    # An empty component has no size of its own: it is judged at the size of the others.
    f = np.where(f > 0, f, f.max(initial=0.0))
    scale = np.sqrt(len(F) * np.sum((f * p) ** 2))
    if scale == 0:
        return 0.0 if not np.any(slope < 0) else 1.0
    step = np.divide(f, p, out=np.zeros_like(f), where=p > 0)
    lowest = -np.inf if is_signed(obeyed) else 0.0

    def square(i: slice) -> float:
        residual = (F[i] - np.maximum(lowest, F[i] - _over(slope[i], size) * step)) * p
        moves = residual * free[i] if free.shape[0] else residual
        return float(np.einsum("ij,ij->", moves, moves))

    return float(np.sqrt(sum(each(square, pieces))) / scale)


def _over(values: np.ndarray, size: float) -> np.ndarray:
    return values.astype(np.float64, copy=False) / size
