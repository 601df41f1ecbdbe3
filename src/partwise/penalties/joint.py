"""The penalties of one factor together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partwise.penalties.base import Penalty
from partwise.penalties.signs import Free, NonNegative

__all__ = [
    "conflict",
    "is_signed",
    "joint_prox",
    "joint_start",
    "prox_residual",
    "sign_settled",
    "slopes_of",
]

ORDER = ("before", "entries", "after", "alone", None)
# Steps at which a point may rest, as shares of the length that suits its slope. On a set that is
# not convex a long step may lead elsewhere, where it is not lower.
STEPS = (0.5, 0.05, 0.005)


def is_signed(penalties: Sequence[Penalty]) -> bool:
    """Return whether a factor may have any sign."""
    return any(isinstance(p, Free) for p in penalties)


def sign_settled(penalties: Sequence[Penalty]) -> tuple[Penalty, ...]:
    """Return the penalties of one factor, without F ≥ 0 where one of them drops it."""
    if not is_signed(penalties):
        return tuple(penalties)
    return tuple(p.of_any_sign() for p in penalties if not isinstance(p, NonNegative))


def conflict(penalties: Sequence[Penalty]) -> str | None:
    """Return why the penalties that are not smooth have no exact joint prox, or None.

    Applied in the order of their stages they have one if at most one is not for single
    entries; one that comes "before" may have the same bounds for all entries beside it, one
    that comes "after" only cones, and one may come before and one after where both are cones
    and the second is a norm of whole components.

    Sources: Friedman, Hastie, Höfling & Tibshirani (2007), Annals of Applied Statistics 1
    (bounds after total variation); Yu (2013), NIPS (norms after cones).
    """
    parts = [p for p in penalties if not p.smooth and not _bound_at_zero(p)]
    for number, second in enumerate(parts):
        if second.stage is None:
            return f"{second.name} is known for F ≥ 0 alone"
        for first in parts[:number]:
            if not (_go_together(first, second) or _go_together(second, first)):
                return f"{first.name} and {second.name} have no proximal map together"
    return None


def _go_together(first: Penalty, second: Penalty) -> bool:
    stages = (first.stage, second.stage)
    if stages == ("before", "entries"):
        return second.dimension is None
    if stages == ("before", "after"):
        whole = first.separable == second.separable == "columns" and second.dimension is None
        return first.cone and second.cone and whole
    if stages == ("entries", "after"):
        return first.cone and second.cone
    return stages == ("entries", "entries")


def _bound_at_zero(penalty: Penalty) -> bool:
    return penalty.stage == "entries" and penalty.cone and penalty.shifts


def _place(penalty: Penalty) -> tuple[int, bool]:
    # Bounds of an entry come after what shrinks it.
    return ORDER.index(penalty.stage), penalty.constraint


def _in_order(penalties: Sequence[Penalty]) -> list[Penalty]:
    parts = sorted((p for p in penalties if not p.smooth), key=_place)
    return parts[-1:] if parts and parts[-1].stage == "alone" else parts


def joint_prox(penalties: Sequence[Penalty], F: np.ndarray, step: float) -> np.ndarray:
    """Return the proximal point of F under all penalties that are not smooth together."""
    for penalty in _in_order(penalties):
        F = penalty.prox(F, step)
    return F


def joint_start(penalties: Sequence[Penalty], F: np.ndarray) -> np.ndarray:
    """Return a start F ≥ 0 moved into all constraints."""
    for penalty in _in_order(penalties):
        F = penalty.entered(F)
    return joint_prox(penalties, F, 0.0)


def prox_residual(
    penalties: Sequence[Penalty], F: np.ndarray, slope: np.ndarray, size: np.ndarray
) -> float:
    """Return how far F is from a fixed point of proximal gradient steps: 0 at a solution.

    ``slope`` is the gradient of all that is smooth, and ``size`` (k,) the root mean squares of
    its positive part in each component. The residual (F − prox(F − t slope, t)) / t is divided
    by the norm of the positive part. The step t is a share of that which suits the scale of F
    and of the slope; the smallest residual of three shares counts.
    """
    wide, F64 = slope.astype(np.float64), F.astype(np.float64)
    means = np.sqrt(np.mean(F64 * F64, axis=0))
    weight = float(means @ size)
    if weight == 0:
        return 0.0 if np.array_equal(joint_prox(penalties, -wide, 1.0), F64) else 1.0
    unit = float(means @ means) / weight
    found = []
    for share in STEPS:
        step = share * unit
        moved = joint_prox(penalties, (F64 - step * wide).astype(F.dtype), step)
        found.append(float(np.linalg.norm(moved - F64)) / step)
    return min(found) / float(np.sqrt(len(F) * np.sum(size * size)))


def slopes_of(F: np.ndarray, penalties: Sequence[Penalty]) -> tuple[np.ndarray, np.ndarray]:
    """Return the slopes of linear and of quadratic penalties at a factor; no rows for none."""
    slopes = [np.empty((0, F.shape[1]), F.dtype) for _ in range(2)]
    for penalty in penalties:
        slope = np.asarray(penalty.slope(F), dtype=F.dtype)
        if slope.any():
            known = slopes[penalty.power - 1]
            slopes[penalty.power - 1] = (known if known.shape[0] else np.zeros_like(F)) + slope
    return slopes[0], slopes[1]
