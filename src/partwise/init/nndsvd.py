"""Non-negative double singular value decomposition."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.complete import revive
from partwise.init.leading import leading
from partwise.models import Model

__all__ = ["nndsvd", "nndsvda", "nndsvdar"]


def nndsvd(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Start from the positive or negative parts of the leading singular vectors.

    Singular triplet (s, u, v): of (u⁺, v⁺) and (u⁻, v⁻) the pair with the larger product
    of norms m, as √(s m) u / ‖u‖ and √(s m) v / ‖v‖. Deterministic: what is drawn inside a
    decomposition of large data has a seed of its own. k ≤ min(n_samples, n_features).
    Cost O(stored entries · k) for large data.

    Source: Boutsidis & Gallopoulos (2008), Pattern Recognition 41, section 2.
    """
    u, s, vt = leading(data, model.n_components)
    sides = u, vt.T
    # Of the positive and the negative parts, the product of the norms of both sides.
    plus, minus = (
        np.prod([_norms(np.maximum(sign * side, 0)) for side in sides], axis=0) for sign in (1, -1)
    )
    signs = np.where(minus > plus, -1, 1)
    # Vectors of singular values at rounding level are any vectors: those columns stay zero.
    rounding = max(data.shape) * float(np.finfo(data.dtype).eps) * s[0]
    squares = np.where(s > rounding, s, 0) * np.maximum(plus, minus)
    W, H = (_scaled(np.maximum(signs * side, 0), squares, data) for side in sides)
    # What a decomposition leaves at rounding level is zero.
    for F in (W, H):
        F[F < 1e-7 * F.max(initial=0.0)] = 0
    factors = {"W": W, "H": H}
    revive(data, model, factors)
    return factors


def _norms(F: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("ij,ij->j", F, F)
    return np.sqrt(squares)


def _scaled(F: np.ndarray, squares: np.ndarray, data: Data) -> np.ndarray:
    """Return F with columns of these squared norms, where they are not zero, in data's dtype."""
    norms = _norms(F)
    return (F * (np.sqrt(squares) / np.where(norms > 0, norms, 1))).astype(data.dtype, order="C")


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
