"""Non-negative double singular value decomposition."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.data.base import even_blocks
from partwise.models import Model

__all__ = ["nndsvd", "nndsvda", "nndsvdar"]

# Up to this many rows or columns a full decomposition of dense data costs little.
SMALL = 400
# Directions looked for beyond the wanted ones, so that those are found precisely.
SPARE = 10


def nndsvd(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Start from the positive or negative parts of the leading singular vectors.

    Singular triplet (s, u, v): of (u⁺, v⁺) and (u⁻, v⁻) the pair with the larger product
    of norms m, as √(s m) u / ‖u‖ and √(s m) v / ‖v‖. Deterministic: what is drawn inside a
    decomposition of large data has a seed of its own. k ≤ min(n_samples, n_features).
    Cost O(stored entries · k) for large data.

    Source: Boutsidis & Gallopoulos (2008), Pattern Recognition 41, section 2.
    """
    k = model.n_components
    u, s, vt = _leading(data, k)
    W = np.zeros((data.shape[0], k), data.dtype)
    H = np.zeros((data.shape[1], k), data.dtype)
    for j in range(k):
        best: Any = 0.0
        pair = None
        for sign in (1.0, -1.0):
            left, right = np.maximum(sign * u[:, j], 0), np.maximum(sign * vt[j], 0)
            norms = np.linalg.norm(left), np.linalg.norm(right)
            if norms[0] * norms[1] > best:
                best, pair = norms[0] * norms[1], (left / norms[0], right / norms[1])
        if pair is not None:
            scale = np.sqrt(s[j] * best)
            W[:, j], H[:, j] = scale * pair[0], scale * pair[1]
    # What a decomposition leaves at rounding level is zero.
    for F in (W, H):
        F[F < 1e-7 * F.max(initial=0.0)] = 0
    return {"W": W, "H": H}


def nndsvda(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """`nndsvd` with zeros filled with √(mean(X) / k), the size of a flat model's entries.

    The fill scales as the factors do, with √X; filling with mean(X) itself, as is common,
    swamps the start when X is large.
    """
    factors = nndsvd(data, model, rng)
    level = np.sqrt(max(data.mean, 0.0) / model.n_components)
    for F in factors.values():
        F[F == 0] = level
    return factors


def nndsvdar(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """`nndsvd` with zeros filled uniformly from [0, √(mean(X) / k) / 100)."""
    factors = nndsvd(data, model, rng)
    level = np.sqrt(max(data.mean, 0.0) / model.n_components) / 100
    for F in factors.values():
        zeros = F == 0
        F[zeros] = level * rng.uniform(size=int(zeros.sum()))
    return factors


def _leading(data: Data, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k leading singular triplets: U (n_samples, k), s (k,), Vᵀ (k, n_features)."""
    if min(data.shape) <= SMALL and data.in_memory:
        u, s, vt = np.linalg.svd(data.to_dense().astype(np.float64), full_matrices=False)
        return u[:, :k], s[:k], vt[:k]
    wanted = min(k + SPARE, *data.shape)
    if data.shape[1] <= SMALL:
        V = np.linalg.eigh(_gram(data))[1][:, ::-1][:, :wanted]
    else:
        V = _row_space(data, k, wanted)
    Y = data @ V.astype(data.dtype)
    # Within the space that was found the decomposition is exact.
    turn = np.linalg.eigh(_gram_of_rows(Y))[1][:, ::-1][:, :k]
    U = Y @ turn.astype(Y.dtype)
    s = np.sqrt(np.einsum("ij,ij->j", U, U, dtype=np.float64))
    U /= np.where(s > 0, s, 1).astype(U.dtype)
    return U, s, (V @ turn).T


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
