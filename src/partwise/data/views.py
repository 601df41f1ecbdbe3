"""From an array to the view that suits how it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from partwise.data.base import Data, even_blocks
from partwise.data.blocks import RowBlocks
from partwise.data.dense import Dense
from partwise.data.sparse import Sparse

__all__ = ["as_data", "scaled"]


def scaled(X: Any, power: int, scales: np.ndarray | None = None) -> Any:
    """Return an array or a matrix in compressed rows times two to a power.

    ``scales`` (rows,): and every row times a number of its own; times 0, even NaN is 0. Where
    entries are stored is shared.
    """
    if not sparse.issparse(X):
        values = np.ldexp(X, power)
        return values if scales is None else _times(values, scales[:, None])
    values = np.ldexp(X.data, power)
    if scales is not None:
        _times(values, np.repeat(scales, np.diff(X.indptr)))
    return sparse.csr_array((values, X.indices, X.indptr), shape=X.shape)


def _times(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        values *= scales
    values[scales.reshape(-1) == 0] = 0
    return values


def as_data(X: Any, *, block_rows: int | None = None) -> Data:
    """Return the view of an array, a SciPy sparse matrix of any format, or a view itself.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...), SciPy sparse, or Data
        float32 or float64, finite. Never modified: sparse input that has to be converted
        or whose duplicates have to be summed is copied.
    block_rows : int, optional
        Cut the data into blocks of this many rows.
    """
    if isinstance(X, Data):
        data = X
    elif sparse.issparse(X):
        matrix = X.tocsr()
        if not matrix.has_canonical_format:
            matrix = matrix.copy() if matrix is X else matrix
            matrix.sum_duplicates()
        data = Sparse(matrix)
    else:
        data = Dense(np.asarray(X))
    if block_rows is None:
        return data
    return RowBlocks([data.rows(rows) for rows in even_blocks(data.shape[0], block_rows)])
