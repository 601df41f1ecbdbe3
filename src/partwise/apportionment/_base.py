"""What a fitted model brings to its error estimates, and how factors are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils.validation import check_is_fitted

from partwise._errors import explain
from partwise.apportionment._profiled import Place, ProfiledQ
from partwise.estimators import PositiveMatrixFactorization
from partwise.estimators._scaled_residuals import Measured, downweighted

__all__ = [
    "Base",
    "checked_levels",
    "checked_model",
    "correlations",
    "frame",
    "labels",
    "matched",
    "refuse_below_zero",
]


class Base:
    """The data of a model in units of their uncertainties, without what is not known at all.

    Outliers of a robust fit keep the weights that they have in the model: from here on Q is a sum
    of squares.
    """

    def __init__(self, model: Any, subject: str) -> None:
        self.model = checked_model(model, subject)
        self.measured: Measured = model._measured_of_fit
        known = self.measured.known
        self.rows, self.columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
        self.units = self.measured.units()[self.columns].astype(np.float64)
        z = model.scaled_residuals_[np.ix_(self.rows, self.columns)]
        part = self.measured.rows(self.rows)
        values, known = (a[:, self.columns] for a in (part.values, part.known))
        self.X = values.astype(np.float64) / self.units
        self.V = np.where(known, (self.units / part.uncertainty[:, self.columns]) ** 2, 0.0)
        if model.robust:
            self.V = np.where(known, self.V * downweighted(z, model.outlier_distance), 0.0)
        self.W = model.W_[self.rows].astype(np.float64)
        self.H = model.components_[:, self.columns].astype(np.float64) / self.units

    def half_q(self) -> float:
        """Return half of Q of the model as it is."""
        rest = self.X - self.W @ self.H
        return 0.5 * float(np.sum(self.V * rest * rest))

    def refined(self, tol: float) -> Place:
        """Return the minimum of Q near the model."""
        surface = ProfiledQ(self.X, self.V)
        return surface.minimize(surface.at(self.H, self.W), tol=tol)

    def profiles(self, place: Place) -> np.ndarray:
        """Return profiles (p, n_features) in the unit of X, for contributions with mean 1."""
        H = np.zeros(self.model.components_.shape)
        H[:, self.columns] = place.H * place.W.mean(axis=0)[:, None] * self.units
        return H


def checked_model(model: Any, subject: str) -> PositiveMatrixFactorization:
    """Return a fitted model with contributions ≥ 0."""
    if not isinstance(model, PositiveMatrixFactorization):
        got = type(model).__name__
        raise TypeError(explain(subject, got, "a fitted PositiveMatrixFactorization"))
    check_is_fitted(model, "components_")
    return model


def refuse_below_zero(model: PositiveMatrixFactorization, subject: str) -> None:
    """Raise where contributions may be negative, which steps on the profiles do not serve."""
    if model.lowest_contribution < 0:
        got = f"a model with lowest_contribution={model.lowest_contribution:g}"
        todo = "Fit it with 0, or use bootstrap."
        raise ValueError(explain(subject, got, "lowest_contribution=0", todo))


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


def frame(table: list[dict[str, Any]]) -> Any:
    """Return a table as a pandas DataFrame."""
    try:
        import pandas
    except ImportError as error:
        todo = 'Run: pip install "partwise[files]", or use table(), which has the same rows.'
        message = explain("to_frame", "no pandas", "pandas 2.2 or later", todo)
        raise ImportError(message) from error
    return pandas.DataFrame(table)
