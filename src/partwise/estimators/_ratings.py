"""Ratings as a problem: from which value they are counted, and biases as two more components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from partwise.data import Data, Listed, Weighted, as_data
from partwise.losses import Frobenius
from partwise.models import Bilinear
from partwise.penalties import L2, Fixed, Free, NonNegative, Penalty
from partwise.problem import Problem

__all__ = ["Layout", "counted_from", "known_ratings"]

# Products of factors at the start, beside the spread of the ratings.
SMALL = 0.1


def known_ratings(data: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return user, item, rating and weight of every known rating, user by user."""
    if data.complete:
        data = Weighted(data.array, np.ones_like(data.array))
    found: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] = data.entries()
    return found


def counted_from(data: Any, base: float) -> Data:
    """Return the view of the same known entries, less ``base``."""
    base = data.dtype.type(base)
    if data.complete:
        return as_data(data.array - base)
    if data.is_sparse:
        return Listed.of(data.plain(data.stored - base), data.weights)
    return Weighted(np.where(data.weights > 0, data.array - base, 0), data.weights)


@dataclass(frozen=True)
class Layout:
    """The columns of both factors: the bias of users, that of items, and the components.

    The bias of users is a component whose entries of H are held at ``constant``, that of items one
    whose entries of W are. ½ α of the squares of what moves is then ½ α / constant² of those
    of the biases.

    Parameters
    ----------
    n_components : int
        k, without biases.
    alpha : float
        α, of the objective.
    constant : float
        What is held; 0 for no biases.
    signed : bool
        Entries may have any sign.
    """

    n_components: int
    alpha: float
    constant: float
    signed: bool

    @property
    def extra(self) -> int:
        """The number of columns before the components."""
        return 2 if self.constant else 0

    def full(self, name: str, biases: np.ndarray, F: np.ndarray) -> np.ndarray:
        """Return a factor (rows, k) with its columns for biases, C-ordered."""
        if not self.constant:
            return np.array(F, order="C")
        own = [biases / self.constant, np.full(len(F), self.constant)]
        columns = own if name == "W" else own[::-1]
        return np.ascontiguousarray(np.column_stack([*columns, F]).astype(F.dtype))

    def parts(self, name: str, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the biases and the (rows, k) factor of what `full` returned."""
        if not self.constant:
            return np.zeros(len(full), full.dtype), full.copy()
        column = full[:, 0 if name == "W" else 1]
        return column * full.dtype.type(self.constant), full[:, 2:].copy()

    def problem(self, data: Data, factors: dict[str, np.ndarray]) -> Problem:
        """Return the problem for ratings and factors with their columns for biases."""
        model = Bilinear(self.n_components + self.extra)
        obeyed = {name: self._penalties(name, F) for name, F in factors.items()}
        return Problem(data, model, Frobenius(), factors, obeyed)

    def _penalties(self, name: str, F: np.ndarray) -> tuple[Penalty, ...]:
        found: list[Penalty] = [Free() if self.signed else NonNegative()]
        if self.alpha:
            found.append(L2(self.alpha))
        if self.constant:
            held = np.zeros(F.shape, bool)
            held[:, 1 if name == "W" else 0] = True
            found.append(Fixed(held, np.full_like(F, self.constant)))
        return tuple(found)

    @property
    def cost_of_constants(self) -> float:
        """What the objective has too much for each user and each item."""
        return 0.5 * self.alpha * self.constant**2

    def start(self, data: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw factors; biases start at zero, and components small beside them.

        Without biases components ≥ 0 have all of the mean rating to make up.
        """
        k = self.n_components
        size = (data.sum_of_squares() / max(data.mass, 1e-300)) ** 0.5
        share = SMALL if self.signed or self.constant else 1.0
        factors = {}
        for name, rows in zip("WH", data.shape, strict=True):
            draw = rng.standard_normal((rows, k))
            scale = (share * size / (k**0.5 if self.signed else k)) ** 0.5
            F = scale * (draw if self.signed else np.abs(draw))
            factors[name] = self.full(name, np.zeros(rows), F.astype(data.dtype))
        return factors
