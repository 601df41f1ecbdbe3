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
    k = model.n_components
    u, s, vt = leading(data, k)
    W = np.zeros((data.shape[0], k), data.dtype)
    H = np.zeros((data.shape[1], k), data.dtype)
    rounding = max(data.shape) * float(np.finfo(data.dtype).eps) * s[0]
    for j in range(int(np.count_nonzero(s > rounding))):
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
    factors = {"W": W, "H": H}
    revive(data, model, factors)
    return factors


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
