"""Entries that keep a known value."""

from __future__ import annotations

import copy

import numpy as np

from partwise._errors import explain
from partwise.penalties.base import Penalty

__all__ = ["Fixed"]


class Fixed(Penalty):
    """F = values where mask is True: known or partly known profiles.

    Parameters
    ----------
    mask : boolean array of shape (dimension, k)
        Of the shape of the factor: a row is a sample (of W) or a feature (of H).
    values : array of that shape
        Finite where the mask is True; others are not looked at.
    """

    name = "fixed entries"
    constraint = True
    separable = "entries"
    shifts = True  # every solver leaves them alone
    stage = "entries"

    def __init__(self, mask: np.ndarray, values: np.ndarray) -> None:
        mask, values = np.asarray(mask), np.asarray(values)
        if mask.dtype != bool or mask.ndim != 2:
            got = f"dtype {mask.dtype} and shape {mask.shape}"
            raise ValueError(explain("mask", got, "a boolean array of shape (dimension, k)"))
        if values.shape != mask.shape or values.dtype.kind not in "fiub":
            got = f"dtype {values.dtype} and shape {values.shape}"
            raise ValueError(explain("values", got, f"real numbers of shape {mask.shape}"))
        if not np.isfinite(values[mask]).all():
            raise ValueError(explain("values", "NaN or inf where mask is True", "finite numbers"))
        self.mask = mask
        self.values = values if values.dtype.kind == "f" else values.astype(np.float64)
        self.dimension = len(mask)

    def value(self, F: np.ndarray) -> float:
        wanted = self.values[self.mask].astype(F.dtype)
        return 0.0 if np.array_equal(F[self.mask], wanted) else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        if F.shape != self.mask.shape:
            got, wanted = f"a mask of shape {self.mask.shape}", f"that of the factor, {F.shape}"
            raise ValueError(explain("Fixed", got, wanted))
        return np.where(self.mask, self.values.astype(F.dtype), F)

    def free(self) -> np.ndarray:
        return ~self.mask

    def rows(self, index: slice | np.ndarray) -> Fixed:
        return self._with(self.mask[index], self.values[index])

    def rescaled(self, value: float, argument: float) -> Fixed:
        return self._with(self.mask, self.values / self.values.dtype.type(argument))

    def _with(self, mask: np.ndarray, values: np.ndarray) -> Fixed:
        other = copy.copy(self)
        other.mask, other.values, other.dimension = mask, values, len(mask)
        return other
