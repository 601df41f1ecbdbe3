"""From entries and their weights to the view that says which of them are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from partwise._arrays import check_kind
from partwise._errors import explain
from partwise.data.observed import Listed, Weighted
from partwise.data.views import as_data

__all__ = ["checked_weights", "known_of_dense", "known_of_sparse", "listed"]


def checked_weights(
    weights: Any, shape: tuple[int, ...], dtype: np.dtype, subject: str = "weights"
) -> Any:
    """Return weights ≥ 0 of all entries of X, in its dtype; ValueError for others.

    Parameters
    ----------
    weights : array-like or sparse, of the shape of X, or of its rows alone
        Sparse stay sparse.
    shape, dtype
        Those of X.
    subject : str
        Their name in messages.
    """
    is_sparse = sparse.issparse(weights)
    weights = _real(weights, dtype, subject)
    if not is_sparse and weights.shape in ((shape[0],), (shape[0], 1)):
        weights = np.broadcast_to(weights.reshape(-1, 1), shape)
    if weights.shape != tuple(shape):
        wanted = f"the shape of X, {tuple(shape)}, or one weight for each of its rows"
        raise ValueError(explain(subject, f"shape {weights.shape}", wanted))
    values = weights.data if is_sparse else weights
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not (low >= 0 and np.isfinite(high)):
        todo = "An entry is missing where its weight is 0; for an uncertainty s use 1 / s**2."
        got = f"entries from {low:g} to {high:g}"
        raise ValueError(explain(subject, got, "finite numbers ≥ 0", todo))
    return weights


def _real(weights: Any, dtype: np.dtype, subject: str) -> Any:
    # Numbers of a dtype that holds them, in compressed rows if they are sparse.
    check_kind(weights, subject)
    given = sparse.csr_array(weights) if sparse.issparse(weights) else np.asarray(weights)
    check_kind(given, subject)
    if given.dtype.kind == "c":
        raise ValueError(explain(subject, "complex numbers", "real ones"))
    if given.dtype == dtype:
        return given
    wide = given.astype(np.float64)
    with np.errstate(over="ignore"):  # found below
        narrow = wide.astype(dtype, copy=False)
    before, after = (part.data if sparse.issparse(part) else part for part in (wide, narrow))
    if np.any((before != 0) & (after == 0)) or np.any(np.isfinite(before) & np.isinf(after)):
        sizes = np.abs(before[before != 0])
        got = f"sizes from {sizes.min():g} to {sizes.max():g}"
        todo = "Multiply all by one number, or pass X in float64."
        raise ValueError(explain(subject, got, f"what {dtype}, the dtype of X, can hold", todo))
    return narrow


def known_of_dense(X: np.ndarray, weights: Any) -> Weighted:
    """Return the view of dense X, NaN where it is missing, with checked weights or None."""
    if weights is None:
        weights = np.where(np.isnan(X), X.dtype.type(0), X.dtype.type(1))
    else:
        weights = weights.toarray() if sparse.issparse(weights) else weights
        if np.isnan(X.min(initial=0)):
            weights = np.where(np.isnan(X), 0, weights)
    return Weighted(np.where(weights > 0, X, 0), weights)


def known_of_sparse(X: Any, weights: Any, unstored: str) -> Weighted | Listed:
    """Return the view of X in compressed rows with checked weights, or None for 'missing'.

    With ``unstored='zero'`` the known entries are those with weights, of which the ones that X does
    not store are zeros; for dense weights the view is dense.
    """
    data: Any = as_data(X)
    if unstored == "zero":
        if not sparse.issparse(weights):  # a stored NaN stays, to be refused
            return Weighted(np.where(weights > 0, data.to_dense(), 0), weights)
        pattern = weights.copy()
        pattern.sum_duplicates()
        rows, columns = pattern.nonzero()
        known, values = (_looked_up(part, rows, columns) for part in (data.matrix, pattern))
        return _in_rows(rows, columns, known, values, X.shape)
    rows = np.repeat(np.arange(X.shape[0]), np.diff(data.indptr))
    columns, known = data.indices, data.stored
    if weights is None:
        values = np.ones_like(known)
    elif sparse.issparse(weights):
        values = _looked_up(weights, rows, columns)
    else:
        values = weights[rows, columns]
    chosen = (values > 0) & ~np.isnan(known)
    return _in_rows(rows[chosen], columns[chosen], known[chosen], values[chosen], X.shape)


def _looked_up(matrix: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    # SciPy answers no places with a matrix.
    return np.asarray(matrix[rows, columns]) if len(rows) else np.empty(0, matrix.dtype)


def _in_rows(
    rows: np.ndarray, columns: np.ndarray, known: np.ndarray, weights: np.ndarray, shape: Any
) -> Listed:
    # Entries by row, and by column within each.
    counts = np.bincount(rows, minlength=shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    order: Any = slice(None)
    behind = (rows[1:] == rows[:-1]) & (columns[1:] <= columns[:-1])
    if behind.any() or (rows[1:] < rows[:-1]).any():
        order = np.lexsort((columns, rows))
    kind = np.int64 if max(shape) > 2**31 - 1 else np.int32
    part = (known[order], columns[order].astype(kind), indptr.astype(kind))
    if len(known) > np.iinfo(kind).max:
        part = (known[order], columns[order].astype(np.int64), indptr)
    matrix = sparse.csr_array(part, shape=shape)
    matrix.has_canonical_format = True
    return Listed(matrix, np.ascontiguousarray(weights[order]))


def listed(view: Weighted | Listed) -> Listed:
    """Return the same data as a list of their known entries."""
    if isinstance(view, Listed):
        return view
    return _in_rows(*view.entries(), view.shape)
