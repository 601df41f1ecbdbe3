"""Data with an uncertainty for every entry: conventions, scaled residuals, and sums of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from partwise import kernels
from partwise._errors import explain
from partwise.data import Weighted
from partwise.problem import Problem

__all__ = [
    "Measured",
    "RobustProblem",
    "columns_of",
    "costs",
    "downweighted",
    "q_expected",
    "q_values",
    "solve_contributions",
]


@dataclass
class Measured:
    """Data and uncertainties after all conventions.

    ``values`` are zero where ``known`` is False, uncertainties are one there.
    """

    values: np.ndarray
    uncertainty: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, uncertainty: Any, subject: str) -> Measured:
        """Return dense X, with NaN where it is missing, and its checked uncertainties."""
        S = np.ones_like(X) if uncertainty is None else np.asarray(uncertainty, X.dtype)
        if S.shape != X.shape:
            got, wanted = f"shape {S.shape}", f"that of X, {X.shape}"
            raise ValueError(explain(f"{subject}: uncertainty", got, wanted))
        known = ~(np.isnan(X) | np.isnan(S))
        bad = known & ~((S > 0) & np.isfinite(S))
        if bad.any():
            i, j = (int(place) for place in np.argwhere(bad)[0])
            got = f"{int(bad.sum())} that are not positive numbers, the first {S[i, j]:g} at {i, j}"
            todo = "Set the entry of X, or its uncertainty, to NaN where it is missing."
            raise ValueError(explain(f"{subject}: uncertainty", got, "numbers > 0", todo))
        if not known.any():
            raise ValueError(explain(subject, "no known entry", "at least one"))
        return cls(np.where(known, X, 0), np.where(known, S, 1), known)

    def medians(self) -> np.ndarray:
        """Return the median of the known entries of each column, NaN where there are none."""
        columns = zip(self.values.T, self.known.T, strict=True)
        found = [np.median(x[known]) if known.any() else np.nan for x, known in columns]
        return np.array(found, self.values.dtype)

    def filled(self, medians: np.ndarray, subject: str) -> Measured:
        """Return the data with medians, and four times these as uncertainty, for what is missing.

        Columns whose median is NaN are left as they are.
        """
        holes = ~self.known & ~np.isnan(medians)
        flat = holes.any(axis=0) & ~(medians > 0)
        if flat.any():
            j = int(np.argmax(flat))
            got = f"column {j} with missing entries and the median {medians[j]:g}"
            todo = "Its uncertainty would not be positive: use missing='exclude'."
            raise ValueError(explain(f"{subject}: missing='median'", got, "medians > 0", todo))
        values = np.where(holes, medians, self.values)
        uncertainty = np.where(holes, 4 * medians, self.uncertainty)
        return Measured(values, uncertainty, self.known | holes)

    def widened(self, share: float, weak: np.ndarray, bad: np.ndarray) -> Measured:
        """Return the data with an error of a share of every value added, and columns put aside.

        Three times the uncertainty for columns that are ``weak``, nothing known of ``bad`` ones.
        """
        S = self.uncertainty
        wide = np.hypot(S, S.dtype.type(share) * self.values) if share else S
        wide = np.where(weak, 3 * wide, wide)
        known = self.known & ~bad
        return Measured(np.where(known, self.values, 0), np.where(known, wide, 1), known)

    def rows(self, index: Any) -> Measured:
        """Return some rows, which may be repeated."""
        return Measured(self.values[index], self.uncertainty[index], self.known[index])

    def units(self) -> np.ndarray:
        """Return a power of two for each column, of the size of its uncertainties."""
        columns = zip(self.uncertainty.T, self.known.T, strict=True)
        sizes = [np.median(s[known]) if known.any() else 1.0 for s, known in columns]
        return np.exp2(np.round(np.log2(sizes))).astype(self.values.dtype)

    def weighted(self, units: np.ndarray) -> Weighted:
        """Return the view of the data over ``units``, with weights 1 / uncertainty²."""
        weights = np.where(self.known, (units / self.uncertainty) ** 2, 0)
        return Weighted(self.values / units, weights.astype(self.values.dtype, copy=False))

    def scaled_residuals(self, model: np.ndarray) -> np.ndarray:
        """Return (X − model) / uncertainty in float64, NaN where X is not known."""
        rest = self.values.astype(np.float64) - model
        return np.where(self.known, rest / self.uncertainty, np.nan)


def downweighted(z: np.ndarray, distance: float) -> np.ndarray:
    """Return the factor min(1, distance / |z|) of the weights of scaled residuals z."""
    with np.errstate(divide="ignore"):
        return np.minimum(1.0, distance / np.abs(z))


def costs(z: np.ndarray, distance: float) -> np.ndarray:
    """Return z², or beyond a distance α of zero α (2 |z| − α), of scaled residuals z."""
    sizes = np.abs(z)
    near = np.minimum(sizes, distance)
    return near * (2 * sizes - near)


def q_values(z: np.ndarray, distance: float) -> tuple[float, float]:
    """Return Q(true) = Σ z² and Q(robust) = Σ z² min(1, distance / |z|) of scaled residuals."""
    squares = np.square(z)
    robust = np.where(np.abs(z) > distance, distance * np.abs(z), squares)
    return float(np.nansum(squares)), float(np.nansum(robust))


def q_expected(known: np.ndarray, weak: np.ndarray, n_components: int) -> float:
    """Return the known entries of columns that are not weak less the entries of both factors.

    Rows and columns without a known entry have no entries of the factors.
    """
    rows, columns = known.any(axis=1).sum(), known.any(axis=0).sum()
    return float(known[:, ~weak].sum() - n_components * (rows + columns))


def columns_of(given: Any, names: Sequence[str] | None, count: int, subject: str) -> np.ndarray:
    """Return a mask of the columns that are given by name or by number."""
    mask = np.zeros(count, np.bool_)
    listed = [] if given is None else [given] if isinstance(given, str) else list(given)
    for one in listed:
        if isinstance(one, str):
            known = [] if names is None else list(names)
            if one not in known:
                wanted = "one of the names of the columns of X" if known else "a column's number"
                todo = "" if known else "X has no names; pass a DataFrame to use them."
                raise ValueError(explain(subject, repr(one), wanted, todo))
            mask[known.index(one)] = True
        elif isinstance(one, (int, np.integer)) and -count <= one < count:
            mask[one] = True
        else:
            raise ValueError(explain(subject, repr(one), f"a name, or a number below {count}"))
    return mask


def solve_contributions(
    X: np.ndarray, V: np.ndarray, H: np.ndarray, W: np.ndarray, slope: np.ndarray | None = None
) -> tuple[float, int]:
    """Minimize ½ Σ V (X − W H)² + Σ W slope over W ≥ 0, each row exactly, in place.

    ``slope`` (k,), zero by default, is that of every row. Rows start from the W that is given.
    Returns half the weighted squares that are left, and how many rows were not solved.
    """
    k = len(H)
    slope = np.zeros(k, H.dtype) if slope is None else slope
    free, order = np.empty((0, k), np.bool_), np.arange(k)
    tolerance = 16 * float(np.finfo(H.dtype).eps)
    how = (slope, H.dtype.type(0), free, order, (1, 0.0, 0.0), tolerance)
    found = kernels.observed_dense(X, V, np.ascontiguousarray(H.T), W, *how)
    return float(found[0]), int(found[1])


class RobustProblem(Problem):
    """Minimize Huber's loss of scaled residuals by a weighted squared loss above it.

    With z the residual times the root of its weight, ``Σ ρ(z)`` with ρ(z) = ½ z² up to a
    ``distance`` α and α (|z| − ½ α) beyond. Before every sweep the weights of all entries are
    multiplied by min(1, α / |z|): the squared loss with these is above Σ ρ, but for a constant,
    and touches it at the current factors, so that what lowers the one lowers the other.

    Source: Huber (1981), Robust Statistics, section 7.8 (modified weights); the same weights in
    Paatero (1997), Chemometrics and Intelligent Laboratory Systems 37, section 5.
    """

    distance: float = np.inf

    def robust(self, distance: float) -> RobustProblem:
        """Set the distance, and return the problem."""
        self.distance, self.given = distance, self.data
        return self

    def _scaled(self) -> np.ndarray:
        given: Any = self.given
        rest = given.array - self.model.forward(self.factors)
        return np.sqrt(given.weights) * rest

    def reweigh(self) -> None:
        """Let the squared loss touch Huber's at the current factors."""
        given: Any = self.given
        weights = given.weights * downweighted(self._scaled(), self.distance)
        self.data = Weighted(given.array, weights.astype(self.data.dtype, copy=False))
        self.__dict__.pop("_turned", None)

    def sweep(self, update: Any, kind: str) -> float | None:
        self.reweigh()
        value = super().sweep(update, kind)
        return None if value is None else self.objective()

    def objective(self, known: Any = None) -> float:
        z = np.abs(self._scaled()).astype(np.float64)
        near = np.minimum(z, self.distance)
        return float(np.sum(near * (z - near / 2)))
