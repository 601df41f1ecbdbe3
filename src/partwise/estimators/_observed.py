"""From X with missing entries or weights to the view that says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from partwise._arrays import check_entries, check_kind
from partwise._errors import explain
from partwise.data import (
    Listed,
    MemoryReader,
    Reader,
    RowWeighted,
    Stored,
    StoredObserved,
    Weighted,
    checked_weights,
    known_of_dense,
    known_of_sparse,
    listed,
    open_reader,
    scaled,
)

__all__ = ["observe"]

# Of a dense matrix with a smaller share of known entries only these are visited.
FEW = 0.2


def observe(
    X: Any, weights: Any, *, unstored: str, subject: str, signed: bool, scalable: bool = False
) -> Any:
    """Return X as it is where every entry is known and counts once, else the view of it.

    Parameters
    ----------
    X : ndarray, SciPy sparse array in compressed rows, or Stored
        NaN is missing in a dense array, and in a sparse one whose unstored entries are.
    weights : array-like or sparse, of the shape of X, or of its rows alone; or None
        Each ≥ 0; 0, and what is not stored, is missing. Or a source of such outside memory.
    unstored : {"zero", "missing"}
        What entries are that sparse X does not store.
    subject : str
        The name of X in messages.
    signed : bool
        Known entries may be negative.
    scalable : bool
        The weight of a row may be told by the scale of that row.

    Raises
    ------
    ValueError
        Weights of another shape, negative or not finite; known entries that are infinite or
        not allowed to be negative; nothing is known.
    """
    reader = None if weights is None else _reader(weights, X.shape)
    rows = _weights_of_rows(reader, X)
    if rows is not None and not rows.any():
        raise _nothing_known(subject)
    if rows is not None and rows.min() == 0:
        # What stands in rows that do not count may be anything.
        counted = (rows > 0).astype(X.dtype)
        X = X.scaled_rows(counted) if isinstance(X, Stored) else scaled(X, 0, counted)
    by_rows = reader is None or rows is not None
    if by_rows and _is_whole(X, unstored, subject, signed):
        if rows is None or rows.min() == 1 == rows.max():
            return X
        if scalable:
            return RowWeighted(X, rows)
    if rows is not None and sparse.issparse(X) and unstored == "zero":
        X = Stored(MemoryReader(X))  # dense, a block at a time
    if isinstance(X, Stored):
        return _observe_stored(X, reader, unstored, subject, signed)
    return _observe_held(X, reader, unstored, subject, signed)


def _is_whole(X: Any, unstored: str, subject: str, signed: bool) -> bool:
    # Whether every entry is known; ValueError for what no entry may be.
    in_rows = X.reader.is_sparse if isinstance(X, Stored) else sparse.issparse(X)
    if in_rows and unstored == "missing":
        return False
    if isinstance(X, Stored):
        return X.check(subject, signed=signed, missing=True)
    return check_entries(X, subject, signed=signed, missing=not in_rows)


def _reader(weights: Any, shape: tuple[int, ...]) -> Reader:
    check_kind(weights, "weights")
    reader = open_reader(weights, "weights")
    if reader is None:
        weights = sparse.csr_array(weights) if sparse.issparse(weights) else np.asarray(weights)
        reader = MemoryReader(weights)
    if tuple(reader.shape) not in (tuple(shape), (shape[0],), (shape[0], 1)):
        wanted = f"the shape of X, {tuple(shape)}, or one weight for each of its rows"
        raise ValueError(explain("weights", f"shape {tuple(reader.shape)}", wanted))
    return reader


def _weights_of_rows(reader: Reader | None, X: Any) -> np.ndarray | None:
    # One for each, in the dtype of X, or None where every entry has its own.
    if reader is None or reader.is_sparse or len(reader.shape) == len(X.shape) != reader.shape:
        return None
    rows = reader.read(0, reader.shape[0])
    return np.asarray(checked_weights(rows, (X.shape[0], 1), X.dtype)[:, 0])


def _observe_held(X: Any, reader: Reader | None, unstored: str, subject: str, signed: bool) -> Any:
    weights = None if reader is None else reader.read(0, X.shape[0])
    if weights is not None:
        weights = checked_weights(weights, X.shape, X.dtype)
    in_rows = sparse.issparse(X)
    known = known_of_sparse(X, weights, unstored) if in_rows else known_of_dense(X, weights)
    view: Weighted | Listed = known
    if view.mass == 0:
        raise _nothing_known(subject)
    if isinstance(view, Listed):
        check_entries(view.matrix, subject, signed=signed)
        return view
    check_entries(view.array, subject, signed=signed)
    if view.weights.min() == 1 == view.weights.max():
        return X
    return listed(view) if np.count_nonzero(view.weights) < FEW * view.size else view


def _observe_stored(
    X: Stored, reader: Reader | None, unstored: str, subject: str, signed: bool
) -> Stored:
    view = StoredObserved(X.reader, reader, unstored=unstored)
    view.check(subject, signed=signed)
    if view.mass == 0:
        raise _nothing_known(subject)
    if view.plain:
        return X
    few = view.counts()[0].sum() < FEW * view.size and not X.reader.is_sparse
    return view.listed() if few else view


def _nothing_known(subject: str) -> ValueError:
    todo = "Look at the file that X or its weights came from."
    return ValueError(explain(subject, "no known entry", "at least one", todo))
