"""What a fitted model brings to its error estimates, and how factors are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils.validation import check_is_fitted

from partwise._errors import explain
from partwise.apportionment._profiled import Place, ProfiledQ, Pull, Tilt
from partwise.apportionment._profiled_below_zero import ProfiledBelowZero
from partwise.estimators import PositiveMatrixFactorization
from partwise.estimators._scaled_residuals import Measured, downweighted

__all__ = [
    "Base",
    "checked_levels",
    "checked_model",
    "correlations",
    "labels",
    "matched",
]


class Base:
    """The data of a model in units of their uncertainties, without what is not known at all.

    Outliers of a robust fit keep the weights that they have in the model: from here on Q is a sum
    of squares.
    """

    def __init__(self, model: Any, measured: Measured, W: np.ndarray, H: np.ndarray) -> None:
        self.model = model
        whole: Measured = model._measured_of_fit
        self.rows = np.flatnonzero(measured.known.any(axis=1))
        self.columns = np.flatnonzero(whole.known.any(axis=0))
        self.units = whole.units()[self.columns].astype(np.float64)
        place = np.ix_(self.rows, self.columns)
        known = measured.known[place]
        self.X = measured.values[place].astype(np.float64) / self.units
        self.V = np.where(known, (self.units / measured.uncertainty[place]) ** 2, 0.0)
        self.W = W[self.rows].astype(np.float64)
        self.H = H[:, self.columns].astype(np.float64) / self.units
        self.depth = -float(model.lowest_contribution)
        means = self.W.mean(axis=0)
        #: Factors, from 1 on, that contribute nothing.
        self.empty = (np.flatnonzero(~((means > 0) & self.H.any(axis=1))) + 1).tolist()
        if self.depth > 0:
            means = np.where(means > 0, means, 1.0)
            self.W, self.H = self.W / means, self.H * means[:, None]
        if model.robust:
            z = np.sqrt(self.V) * (self.X - self.W @ self.H)
            self.V = self.V * downweighted(z, model.outlier_distance)

    @classmethod
    def of(cls, model: Any, subject: str) -> Base:
        """Return the data of a fitted model."""
        checked_model(model, subject)
        found = cls(model, model._measured_of_fit, model.W_, model.components_)
        if found.depth > 0 and found.empty:
            got = f"factor {found.empty[0]} without contributions or profile"
            wanted = "factors that contribute, where contributions are bounded by their means"
            raise ValueError(explain(subject, got, wanted, "Fit the model with fewer factors."))
        return found

    def surface(self, tilt: Tilt | None = None, pull: Pull | None = None) -> ProfiledQ:
        """Return Q as a function of profiles, with contributions as low as the model lets them."""
        if self.depth > 0:
            return ProfiledBelowZero(self.X, self.V, tilt, pull, depth=self.depth)
        return ProfiledQ(self.X, self.V, tilt, pull)

    def half_q(self) -> float:
        """Return half of Q of the model as it is."""
        rest = self.X - self.W @ self.H
        return 0.5 * float(np.sum(self.V * rest * rest))

    def refined(self, tol: float) -> Place:
        """Return the minimum of Q near the model."""
        surface = self.surface()
        return surface.minimize(surface.at(self.H, self.W), tol=tol)

    def profiles(self, place: Place) -> np.ndarray:
        """Return profiles (p, n_features) in the unit of X, for contributions with mean 1."""
        H = np.zeros(self.model.components_.shape)
        H[:, self.columns] = place.H * place.W.mean(axis=0)[:, None] * self.units
        return H


def checked_model(model: Any, subject: str) -> PositiveMatrixFactorization:
    """Return a fitted model."""
    if not isinstance(model, PositiveMatrixFactorization):
        got = type(model).__name__
        raise TypeError(explain(subject, got, "a fitted PositiveMatrixFactorization"))
    check_is_fitted(model, "components_")
    return model


def checked_levels(dq_max: Any) -> np.ndarray:
    """Return rises of Q, in rising order."""
    levels = np.unique(np.asarray(dq_max, np.float64))
    if levels.size == 0 or not (levels[0] > 0 and np.isfinite(levels[-1])):
        raise ValueError(explain("dq_max", repr(dq_max), "numbers > 0"))
    return levels


def labels(model: PositiveMatrixFactorization) -> list[Any]:
    """Return the names of species, or their numbers."""
    names = getattr(model, "feature_names_in_", range(model.components_.shape[1]))
    return [str(name) if isinstance(name, str) else int(name) for name in names]


def correlations(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the correlations of the columns of two arrays, zero for columns that are constant."""

    def standard(A: np.ndarray) -> np.ndarray:
        centred = A - A.mean(axis=0)
        size = np.sqrt(np.square(centred).sum(axis=0))
        return np.divide(centred, size, out=np.zeros_like(centred), where=size > 0)

    return np.asarray(standard(ours).T @ standard(theirs))


def matched(likeness: np.ndarray) -> np.ndarray:
    """Return for each column the row that belongs to it, each row once, of the largest sum."""
    rows, columns = linear_sum_assignment(-likeness)
    return np.asarray(rows[np.argsort(columns)])
