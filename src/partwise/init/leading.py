"""The leading singular triplets of data however they are stored."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from partwise import kernels
from partwise.data import Data
from partwise.data.base import even_blocks

__all__ = ["leading"]

# Up to this many rows or columns and entries a full decomposition costs little.
SMALL, WHOLE = 400, 2**21
# Squares of singular values are known to 1e-16 of the largest one: the smallest one wanted has to
# be so much of it, for ten digits of that and six of its vectors.
PRECISE = 1e-6
# Directions looked for beyond the wanted ones, so that those are found precisely.
SPARE = 10


def leading(data: Data, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k leading singular triplets: U (n_samples, k), s (k,), Vᵀ (k, n_features)."""
    if min(data.shape) <= SMALL and data.size <= WHOLE and data.in_memory:
        return _decomposed(data.to_dense().astype(np.float64), k)
    wanted = min(k + SPARE, *data.shape)
    if data.shape[1] <= SMALL:
        V = np.linalg.eigh(_gram(data))[1][:, ::-1][:, :wanted]
    else:
        V = _row_space(data, k, wanted)
    Y = data @ V.astype(data.dtype)
    # Within the space that was found the decomposition is exact.
    turn = np.linalg.eigh(_gram_of_rows(Y))[1][:, ::-1][:, :k]
    U = Y @ turn.astype(Y.dtype)
    s = np.sqrt(kernels.squares_of_columns(U))
    U /= np.where(s > 0, s, 1).astype(U.dtype)
    return U, s, (V @ turn).T


def _decomposed(X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `leading` does, by the squares of X unless they lose one of the triplets."""
    wide = X.shape[1] > X.shape[0]
    narrow = X.T if wide else X
    n = narrow.shape[1]
    if k < n // 2:
        squares, V = eigh(narrow.T @ narrow, subset_by_index=[n - k, n - 1], check_finite=False)
        if squares[0] > PRECISE * squares[-1]:
            s, V = np.sqrt(squares[::-1]), V[:, ::-1]
            U = (narrow @ V) / s
            return (V, s, U.T) if wide else (U, s, V.T)
    u, s, vt = np.linalg.svd(X, full_matrices=False)
    return u[:, :k], s[:k], vt[:k]


def _row_space(data: Data, k: int, wanted: int) -> np.ndarray:
    """Return an orthonormal basis V (n_features, wanted) of nearly the leading row space.

    Subspace iteration with Xᵀ X, from a seed of its own: one pass over X for each of as many
    steps as make it at least as close as scikit-learn's `randomized_svd`.

    Source: Halko, Martinsson & Tropp (2011), SIAM Review 53, algorithm 4.4.
    """
    V = np.random.default_rng(0).standard_normal((data.shape[1], wanted))
    for _ in range(8 if k < 0.1 * min(data.shape) else 5):
        V = np.linalg.qr(data.gram_times(V.astype(data.dtype)).astype(np.float64))[0]
    return V


def _gram(data: Data) -> np.ndarray:
    """Return Xᵀ X in float64; one pass, O(entries · n_features)."""
    total = np.zeros((data.shape[1], data.shape[1]))
    for _, block in data.stream(densify=True):
        total += _gram_of_rows(block.to_dense())
    return total


def _gram_of_rows(rows: np.ndarray) -> np.ndarray:
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for part in even_blocks(len(rows), 2**14):
        double = rows[part].astype(np.float64)
        total += double.T @ double
    return total
