"""Ratings as a problem: from where they are counted, biases as two components more, and scales."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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


def _numbers_of_ratings(data: Any, name: str) -> np.ndarray:
    # How many ratings, or what sum of weights, each user (W) or each item (H) has, in float64.
    own, others = data.shape if name == "W" else data.shape[::-1]
    if data.complete:
        return np.full(own, float(others))
    return np.asarray(others * (data.shares.rows if name == "W" else data.shares.columns))


@dataclass(frozen=True)
class Layout:
    """The columns of both factors: the bias of users, that of items, and the components.

    The bias of users is a component whose entries of H are held at ``constant``, that of items one
    whose entries of W are. ½ α of the squares of what moves is then ½ α / constant² of those
    of the biases.

    Where the penalty of a row grows with its number of ratings, its entries are those of the user
    times the root of that number over the mean one, so that all rows of the problem have the same
    penalty; ratings are multiplied by the roots of their user and item, and weights divided by
    their squares.

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
    means : dict of str to float
        Mean numbers of ratings, of the factors whose penalty grows with them.
    roots : dict of str to ndarray
        Of their rows.
    """

    n_components: int
    alpha: float
    constant: float
    signed: bool
    means: dict[str, float] = field(default_factory=dict)
    roots: dict[str, np.ndarray] = field(default_factory=dict)

    def growing(self, names: str, data: Any) -> Layout:
        """Return the layout in which the penalties of some factors grow with ratings."""
        found = self
        for name in names:
            mean = float(_numbers_of_ratings(data, name).mean())
            found = replace(found, means={**found.means, name: mean}).for_rows(name, data)
        return found

    def for_rows(self, name: str, data: Any) -> Layout:
        """Return the layout for a factor with the rows of other ratings."""
        if name not in self.means:
            return self
        count = _numbers_of_ratings(data, name)
        share = np.where(count > 0, count / self.means[name], 1.0)
        return replace(self, roots={**self.roots, name: np.sqrt(share)})

    def scaled(self, data: Any) -> Data:
        """Return ratings and weights as the problem has them."""
        if all((root == 1).all() for root in self.roots.values()):
            return data
        if data.complete:
            data = Weighted(data.array, np.ones_like(data.array))
        rows, columns = (root.astype(data.dtype) for root in self._roots_of(data.shape))
        if data.is_sparse:
            roots = np.repeat(rows, np.diff(data.indptr)) * columns[data.indices]
            return Listed.of(data.plain(data.stored * roots), data.weights / roots**2)
        roots = np.multiply.outer(rows, columns)
        return Weighted(data.array * roots, data.weights / roots**2)

    def _roots_of(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        lengths = zip("WH", shape, strict=True)
        return [self.roots.get(name, np.ones(length)) for name, length in lengths]

    def _root(self, name: str, F: np.ndarray) -> np.ndarray:
        # As a column beside a factor; 1 where its penalty does not grow.
        one = F.dtype.type(1)
        return self.roots[name].astype(F.dtype)[:, None] if name in self.roots else one

    @property
    def extra(self) -> int:
        """The number of columns before the components."""
        return 2 if self.constant else 0

    def full(self, name: str, biases: np.ndarray, F: np.ndarray) -> np.ndarray:
        """Return a factor (rows, k) with its columns for biases, C-ordered."""
        root = self._root(name, F)
        if not self.constant:
            return np.array(root * F, order="C")
        own = [biases / self.constant, np.full(len(F), self.constant)]
        columns = own if name == "W" else own[::-1]
        return np.ascontiguousarray(root * np.column_stack([*columns, F]).astype(F.dtype))

    def parts(self, name: str, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the biases and the (rows, k) factor of what `full` returned."""
        full = full / self._root(name, full)
        if not self.constant:
            return np.zeros(len(full), full.dtype), full
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
            found.append(Fixed(held, self._root(name, F) * np.full_like(F, self.constant)))
        return tuple(found)

    def cost_of_constants(self, shape: tuple[int, ...]) -> float:
        """Return what the objective has too much for so many users and items."""
        squares = sum(float(root @ root) for root in self._roots_of(shape))
        return 0.5 * self.alpha * self.constant**2 * squares

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
