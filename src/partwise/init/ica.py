"""Non-negative independent components."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.leading import leading
from partwise.init.solve import balanced, weights
from partwise.models import Model

__all__ = ["ica"]

ITERATIONS = 100
# The search ends when a step lowers the negative part by less than this share of it.
GAIN = 1e-3
# Directions with less than this share of the largest variance are left out.
FLAT = 1e-10


def ica(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Rotate the k leading directions of X so that W is as non-negative as it can be.

    Non-negative independent component analysis: the rows of X in their leading directions are
    whitened, without taking away their mean, and turned to the least sum of squares of
    negative entries; if columns of W are independent and come close to zero, this finds them
    up to order and scale. Negative entries are then dropped, and H is fitted to W.
    Deterministic. Cost that of `nndsvd`, and O(n_samples · k²) for each of up to 100 steps.

    Source: Kitamura & Ono (2016), IWAENC; the rotation: Plumbley (2003), IEEE Transactions on
    Neural Networks 14.
    """
    k = model.n_components
    u, s, _ = leading(data, min(k, *data.shape))
    whitened = _whitened(u.astype(np.float64) * s)
    W = np.zeros((data.shape[0], k), data.dtype)
    W[:, : whitened.shape[1]] = np.maximum(_rotated(whitened), 0)
    return balanced(W, weights(data.T, W))


def _whitened(Y: np.ndarray) -> np.ndarray:
    """Return rows with covariance one and their mean, in as many columns as vary."""
    shifted = Y - Y.mean(axis=0)
    variances, axes = np.linalg.eigh(shifted.T @ shifted / len(Y))
    kept = variances > FLAT * np.square(Y).sum(axis=1).mean()
    Z = Y @ (axes[:, kept] / np.sqrt(variances[kept]))
    return Z * np.where(Z.sum(axis=0) < 0, -1.0, 1.0)


def _rotated(Z: np.ndarray) -> np.ndarray:
    """Return Z Q, Q the rotation that leaves the least negative part ½ Σ min(Z Q, 0)².

    Steps go along geodesics against the slope, their length by doubling and halving.
    """
    from scipy.linalg import expm

    step = 1.0
    negative = np.minimum(Z, 0)
    cost = 0.5 * float(np.square(negative).sum()) / len(Z)
    for _ in range(ITERATIONS):
        slope = negative.T @ Z / len(Z)
        turn = slope - slope.T
        size = 0.5 * float(np.square(turn).sum())
        before = cost
        while step * step * size > 1e-20:
            moved = Z @ expm(step * turn)
            negative = np.minimum(moved, 0)
            cost = 0.5 * float(np.square(negative).sum()) / len(Z)
            if cost <= before - 1e-4 * step * size:
                break
            step /= 2
        else:
            return Z
        Z, step = moved, 2 * step
        if before - cost <= GAIN * before:
            return Z
    return Z
