"""What is left of X: residuals, χ² and its degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from partwise import kernels
from partwise._errors import explain
from partwise.data import (
    Listed,
    Observed,
    RowWeighted,
    Stored,
    Weighted,
    as_data,
    known_of_dense,
    listed,
)
from partwise.estimators._units import Unit
from partwise.losses import Frobenius
from partwise.models import Bilinear
from partwise.problem import Problem

__all__ = ["ChiSquare", "degrees_of_freedom", "residuals", "sum_of_squares"]


@dataclass(frozen=True)
class ChiSquare:
    """Weighted sum of squared residuals, and how large noise alone makes it.

    Attributes
    ----------
    value : float
        χ² = Σ weights · (X − W H)², over the known entries.
    dof : int
        Degrees of freedom: known entries less free parameters.
    """

    value: float
    dof: int

    @property
    def reduced(self) -> float:
        """χ² per degree of freedom: about 1 where model and uncertainties are right.

        NaN where there are no degrees of freedom.
        """
        return self.value / self.dof if self.dof > 0 else float("nan")


def residuals(X: Any, W: np.ndarray, parts: np.ndarray, *, stored: bool, scaled: bool) -> Any:
    """Return X − W H at the known entries of checked data, H being ``parts`` (k, n_features).

    A sparse array of the known entries where ``stored``, else a dense one with NaN beside them.
    ``scaled``: times the root of their weights.
    """
    view: Any = listed(X) if stored and isinstance(X, Weighted | Listed) else X
    if isinstance(X, RowWeighted):
        whole, weights = X.X, np.broadcast_to(X.weights[:, None], X.shape)
        view = known_of_dense(whole, weights) if isinstance(whole, np.ndarray) else whole
    if sparse.issparse(view) or isinstance(view, Stored):
        held = "outside memory" if isinstance(view, Stored) else "sparse, with zeros not stored"
        todo = "Take rows of it as a dense array, or chi_square, which needs no such array."
        message = explain("residuals", f"X {held}", "X of which residuals fit in memory", todo)
        raise ValueError(message)
    if not isinstance(view, Weighted | Listed):
        return view - W @ parts
    roots = np.sqrt(view.weights) if scaled else view.weights.dtype.type(1)
    if isinstance(view, Listed):
        model = np.empty_like(view.stored)
        columns = np.ascontiguousarray(parts.T)
        kernels.product_at(view.indptr, view.indices, np.ascontiguousarray(W), columns, model)
        left = view.plain(roots * (view.stored - model)).matrix
        return left if stored else _filled(left)
    left = roots * (view.known() - W @ parts)
    return np.where(view.weights > 0, left, view.dtype.type(np.nan))


def _filled(matrix: Any) -> np.ndarray:
    # Dense, NaN where nothing is stored.
    out = np.full(matrix.shape, np.nan, matrix.dtype)
    rows = np.repeat(np.arange(len(out)), np.diff(matrix.indptr))
    out[rows, matrix.indices] = matrix.data
    return out


def sum_of_squares(X: Any, W: np.ndarray, parts: np.ndarray) -> float:
    """Return Σ weights · (X − W H)² of checked data, in float64, for X of any storage.

    Cost: one pass over X, O(stored entries · k).
    """
    unit = Unit.of(X)
    data, model = as_data(unit.data_in(X)), Bilinear(len(parts))
    factors = unit.factors_in(W, parts)
    problem = Problem(data, model, Frobenius(), factors, {"W": (), "H": ()})
    return float(unit.loss_out(2 * problem.objective(), 2.0))


def degrees_of_freedom(X: Any, W: np.ndarray, parts: np.ndarray, *, held_out: bool) -> int:
    """Return known entries less free parameters, k (n + m − k); k n where H was known.

    n and m are the rows and columns with known entries, k the components that are not zero, of
    which no more count than there are rows or columns.
    """
    k = int(np.count_nonzero(W.any(axis=0) & parts.any(axis=1)))
    rows, columns = X.shape
    known = rows * columns
    if isinstance(X, Observed):
        of_rows, of_columns = X.counts()
        known = int(of_rows.sum())
        rows, columns = int(np.count_nonzero(of_rows)), int(np.count_nonzero(of_columns))
    if held_out:
        return known - min(k, columns) * rows
    k = min(k, rows, columns)
    return known - k * (rows + columns - k)
