"""What every penalty declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, Self

import numpy as np

from partwise._errors import explain

__all__ = ["Penalty"]


class Penalty(ABC):
    """A cost of one factor F of shape (dimension, k), F ≥ 0.

    A row of F belongs to a sample (of W) or a feature (of H), a column to a component.

    Attributes
    ----------
    name : str
        The name in messages.
    separable : {"entries", "rows", "columns", None}
        The cost is a sum over the entries, the rows or the columns of F, or none of them.
    convex : bool
        The cost is a convex function of F ≥ 0.
    smooth : bool
        The cost has a `gradient` at every F ≥ 0.
    shifts : bool
        The penalty can be folded into the quadratic (Gram, Cross) of any rows by `shift`, and
        into (negative, positive) by `slope`: it is linear or quadratic in F, and separable by
        rows. Constraints that all solvers keep anyway declare it too.
    bounded : bool
        `majorized` gives a penalty above it that shifts.
    power : {1, 2}
        The majorizer of the penalty in multiplicative updates is linear, or quadratic, in
        each entry.
    constraint : bool
        The cost is 0 or infinite.
    cone : bool
        value(c F) = c · value(F) for c > 0: the penalty leaves rays from zero as they are.
    stage : {"before", "entries", "after", "alone", None}
        How `prox` goes together with that of non-negativity so that both are exact: it comes
        "before", it is for single "entries" (any order), it comes "after", or it has
        non-negativity in it and stands "alone". None for smooth penalties whose `prox` does not
        go together with it; their gradient does.
    dimension : int or None
        The number of rows of the factor that it is made for, or None for any.
    """

    name: str
    separable: Literal["entries", "rows", "columns"] | None = None
    convex: bool = True
    smooth: bool = False
    shifts: bool = False
    bounded: bool = False
    power: int = 1
    constraint: bool = False
    cone: bool = False
    stage: Literal["before", "entries", "after", "alone"] | None = "alone"
    dimension: int | None = None

    @abstractmethod
    def value(self, F: np.ndarray) -> float:
        """Return the cost, in float64; infinite outside a constraint."""

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        """Return argmin over Z of ½‖Z − F‖² + step · value(Z), with Z ≥ 0 for some.

        A smooth penalty may have none in closed form.
        """
        message = f"{self.name} has a gradient, and no proximal map in closed form."
        raise NotImplementedError(message)

    def entered(self, F: np.ndarray) -> np.ndarray:
        """Return a start F ≥ 0 moved into the constraint."""
        return self.prox(F, 0.0)

    def gradient(self, F: np.ndarray) -> np.ndarray | float:
        """Return the derivative at F ≥ 0 of a smooth penalty."""
        return self.slope(F)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the Gram and cross products of the quadratic plus this penalty."""
        return gram, cross

    def majorized(self, F: np.ndarray) -> Penalty:
        """Return one that shifts: never below this one, and equal at F, up to a constant."""
        return self

    def slope(self, F: np.ndarray) -> np.ndarray | float:
        """Return the derivative at F ≥ 0 of a penalty that shifts, which is ≥ 0."""
        return 0.0

    def free(self) -> np.ndarray | None:
        """Return where entries may move, or None where all may."""
        return None

    def of_any_sign(self) -> Penalty:
        """Return the penalty as it is declared for F of any sign."""
        return self

    def rows(self, index: slice | np.ndarray) -> Penalty:
        """Return the penalty of some rows of the factor, where it is separable by rows."""
        return self

    def rescaled(self, value: float, argument: float) -> Penalty:
        """Return the penalty Z ↦ value · self(argument · Z)."""
        return self

    def __repr__(self) -> str:
        given = (n for n in vars(self) if not n.startswith("_") and not hasattr(Penalty, n))
        shown = (f"{n}={_short(getattr(self, n))}" for n in given if n != "name")
        return f"{type(self).__name__}({', '.join(shown)})"


def _short(value: object) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<array of shape {shape}>"


class Scaled(Penalty):
    """A penalty that is a strength times a function of F of one degree of homogeneity."""

    degree: float = 1.0

    def __init__(self, strength: float) -> None:
        self.strength = checked("strength", strength)

    def rescaled(self, value: float, argument: float) -> Self:
        """Return the penalty Z ↦ value · self(argument · Z)."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.strength = self.strength * value * argument**self.degree
        return other


class ByProx(Penalty):
    """A penalty that is smooth on F ≥ 0 alone, for F of any sign: its value and its prox."""

    def __init__(self, inner: Penalty, stage: Any) -> None:
        self.inner = inner
        self.stage = stage
        self.name, self.separable, self.convex = inner.name, inner.separable, inner.convex
        self.cone, self.dimension = inner.cone, inner.dimension

    def value(self, F: np.ndarray) -> float:
        return self.inner.value(F)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return self.inner.prox(F, step)


def checked(name: str, value: float, low: float = 0.0, high: float = np.inf) -> float:
    """Return a parameter as a float, or raise ValueError where it is out of its range."""
    number = float(value)
    if not low <= number <= high:
        raise ValueError(explain(name, value, f"a number from {low:g} to {high:g}"))
    return number


def chosen(name: str, value: str, options: tuple[str, ...]) -> str:
    """Return a parameter that is one of some words, or raise ValueError."""
    if value not in options:
        raise ValueError(explain(name, repr(value), " or ".join(map(repr, options))))
    return value
