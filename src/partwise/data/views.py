"""From an array to the view that suits how it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from partwise.data.base import Data, even_blocks
from partwise.data.blocks import RowBlocks
from partwise.data.dense import Dense
from partwise.data.sparse import Sparse

__all__ = ["as_data"]


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
