"""A penalty of the user's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partwise._errors import explain
from partwise.penalties.base import Penalty, chosen

__all__ = ["Prox"]


class Prox(Penalty):
    """A penalty given by two functions, its value and its proximal map.

    Parameters
    ----------
    value : callable
        ``value(F)`` returns the cost of F (dimension, k) as a number; infinite outside a
        constraint.
    prox : callable
        ``prox(F, step)`` returns argmin over Z of ½‖Z − F‖² + step · value(Z), of F's shape.
    stage : {"alone", "before", "entries", "after"}
        How it goes with Z ≥ 0. "alone": the minimum that ``prox`` returns is over Z ≥ 0. Else
        over all Z, and clipping comes after it ("before"), in any order ("entries"), or before
        it ("after"); clipping has to be exact there.
    separable : {"entries", "rows", "columns", None}
        The cost is a sum over these.
    name : str
        The name in messages.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.penalties import Prox
    >>> few = Prox(np.count_nonzero, lambda F, t: np.where(F > np.sqrt(2 * t), F, 0))
    >>> few.prox(np.array([[2.0, 1.0, -3.0]]), 1.0)
    array([[2., 0., 0.]])
    """

    convex = False  # it is not known

    def __init__(
        self,
        value: Callable[[np.ndarray], float],
        prox: Callable[[np.ndarray, float], Any],
        *,
        stage: Any = "alone",
        separable: Any = None,
        name: str = "the user's prox",
    ) -> None:
        for word, function in (("value", value), ("prox", prox)):
            if not callable(function):
                raise TypeError(explain(word, repr(function), "a function of a factor"))
        chosen("stage", stage, ("before", "entries", "after", "alone"))
        self._value = value
        self._prox = prox
        self.stage = stage
        self.separable = separable
        self.name = name
        self._scales = (1.0, 1.0)

    def value(self, F: np.ndarray) -> float:
        value, argument = self._scales
        return value * float(self._value(F if argument == 1 else F * F.dtype.type(argument)))

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        value, argument = self._scales
        scale = F.dtype.type(argument)
        Z = np.asarray(self._prox(F * scale, step * value * argument**2), dtype=F.dtype)
        if Z.shape != F.shape:
            got, wanted = f"an array of shape {Z.shape} from prox", f"one of F's shape, {F.shape}"
            raise ValueError(explain(self.name, got, wanted))
        return np.ascontiguousarray(Z / scale)

    def rescaled(self, value: float, argument: float) -> Prox:
        other = Prox(
            self._value, self._prox, stage=self.stage, separable=self.separable, name=self.name
        )
        other._scales = (self._scales[0] * value, self._scales[1] * argument)
        return other
