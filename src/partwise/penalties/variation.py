"""Total variation of components, along a sequence or over an image."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from partwise import kernels
from partwise._errors import explain
from partwise.penalties.base import Scaled, checked

__all__ = ["TotalVariation"]


class TotalVariation(Scaled):
    """strength · Σ abs(f − f′) over neighbours of a component: piecewise constant components.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    shape : tuple of int, optional
        The rows of F are the entries of an array of that shape, in C order: an image
        (height, width), or a volume. Neighbours are those along each axis (anisotropic). None
        is one sequence.
    tol : float
        For more than one axis: the error ‖Z − Z*‖ of `prox`, at most, as a share of what a
        component differs from its mean, in the same norm; not below 1e-6.
    max_iter : int
        For more than one axis: steps of `prox` at most.

    Notes
    -----
    `prox` of a sequence is exact, O(dimension · k). That of an image combines the exact ones of
    its axes by accelerated steps on the dual, until the duality gap, which bounds the error, is
    small enough for each component. It goes with non-negativity exactly, before it.

    Sources: Rudin, Osher & Fatemi (1992), Physica D 60; Johnson (2013), Journal of
    Computational and Graphical Statistics 22 (sequences); Chambolle, Tan & Vaiter (2017),
    Journal of Mathematical Imaging and Vision 59 (axes).
    """

    name = "total variation"
    separable = "columns"
    cone = True
    stage = "before"

    def __init__(
        self,
        strength: float,
        shape: tuple[int, ...] | None = None,
        tol: float = 1e-4,
        max_iter: int = 1000,
    ) -> None:
        super().__init__(strength)
        self.shape = None if shape is None else _checked_shape(shape)
        self.tol = checked("tol", tol)
        self.max_iter = max_iter
        if self.shape is not None:
            self.dimension = int(np.prod(self.shape))

    def _image(self, F: np.ndarray) -> np.ndarray:
        return F.reshape(*(self.shape or (len(F),)), F.shape[1])

    def _variation(self, Z: np.ndarray) -> np.ndarray:
        # Of each component of an image.
        axes = tuple(range(Z.ndim - 1))
        return sum(np.abs(np.diff(Z, axis=axis)).sum(axis=axes, dtype=np.float64) for axis in axes)

    def value(self, F: np.ndarray) -> float:
        return self.strength * float(np.sum(self._variation(self._image(F))))

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        bound = step * self.strength
        if bound == 0:
            return F.copy()
        image = self._image(F)
        if image.ndim == 2:
            return _along(image, 0, bound)
        return self._splitting(image.astype(np.float64), bound).reshape(F.shape).astype(F.dtype)

    def _splitting(self, image: np.ndarray, bound: float) -> np.ndarray:
        # The dual: minimize ½‖image − Σ p_a‖² over p_a in the dual ball of each axis, to which
        # v − prox(v) projects. The first axis is solved for, the others take steps of FISTA,
        # each component with its own momentum.
        axes = tuple(range(image.ndim - 1))
        means = image.mean(axis=axes)
        image = image - means  # so that little cancels
        square = np.square(image).sum(axis=axes)
        count = image.size / len(means)
        level = np.sqrt(square / count)
        # What the gap may be, not below its rounding.
        enough = max(self.tol**2, 1e-12) / 2 * square
        enough = np.maximum(enough, 1e-15 * count**0.5 * bound * (bound + level))
        # Beyond this bound all entries are equal.
        flat = bound >= np.abs(image).sum(axis=axes) / 2
        Z, going = np.where(flat, 0.0, image), np.flatnonzero(~flat)
        state = _Duals.zeros(image[..., going], len(axes) - 1)
        for _ in range(self.max_iter):
            if going.size == 0:
                break
            found = state.step(image[..., going], bound)
            Z[..., going] = found
            # ½‖Z − Z*‖² is at most the duality gap.
            rest = image[..., going] - found
            gap = bound * self._variation(found) - (found * rest).sum(axis=axes)
            left = gap > enough[going]
            going, state = going[left], state.of(left)
        if going.size:
            message = (
                f"The prox of the total variation stopped after max_iter={self.max_iter} steps "
                f"for {going.size} components; increase max_iter or tol (now {self.tol:g})."
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return Z + means


def _checked_shape(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Iterable) else ()
    if not sizes or not all(isinstance(n, Integral) and int(n) >= 1 for n in sizes):
        raise ValueError(explain("shape", repr(shape), "a tuple of integers ≥ 1, as in (19, 19)"))
    return tuple(int(n) for n in sizes)


@dataclass
class _Duals:
    # Of all axes but the first, now and extrapolated, and the numbers of Nesterov's sequence.
    now: list[np.ndarray]
    ahead: list[np.ndarray]
    a: np.ndarray

    @classmethod
    def zeros(cls, image: np.ndarray, count: int) -> _Duals:
        none = [np.zeros_like(image) for _ in range(count)]
        return cls(none, none, np.ones(image.shape[-1]))

    def of(self, left: np.ndarray) -> _Duals:
        now, ahead = ([p[..., left] for p in parts] for parts in (self.now, self.ahead))
        return _Duals(now, ahead, self.a[left])

    def step(self, image: np.ndarray, bound: float) -> np.ndarray:
        rest = image - sum(self.ahead)
        slope = _along(rest, 0, bound)
        moved = []
        for axis, p in enumerate(self.ahead, start=1):
            aim = p + slope / len(self.ahead)
            moved.append(aim - _along(aim, axis, bound))
        following = (1 + np.sqrt(1 + 4 * self.a**2)) / 2
        turned = sum(
            ((y - new) * (new - old)).sum(axis=tuple(range(image.ndim - 1)))
            for y, new, old in zip(self.ahead, moved, self.now, strict=True)
        )
        # Momentum that points uphill is dropped: O'Donoghue & Candès (2015).
        weight = np.where(turned > 0, 0.0, (self.a - 1) / following)
        self.a = np.where(turned > 0, 1.0, following)
        self.ahead = [new + weight * (new - old) for new, old in zip(moved, self.now, strict=True)]
        self.now = moved
        # image − p − Σ moved, where p = rest − slope is that of the first axis.
        return image - (rest - slope) - sum(moved)


def _along(image: np.ndarray, axis: int, bound: float) -> np.ndarray:
    moved = np.moveaxis(image, axis, 0)
    lines = np.ascontiguousarray(moved).reshape(len(moved), -1)
    out = np.empty_like(lines)
    kernels.variation_columns(lines, bound, out)
    return np.moveaxis(out.reshape(moved.shape), 0, axis)
