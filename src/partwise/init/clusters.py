"""Starts from clusters of the rows of X."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.solve import balanced, weights
from partwise.models import Model

__all__ = ["kmeans", "spherical_kmeans"]

PASSES = 10
# Rows among which the first centres are looked for: so many per component, and at least.
SEEDED, FEWEST = 10, 300


def kmeans(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Take the centres of k clusters of rows as components, and fit W to them.

    At most ten rounds of Lloyd's algorithm, one pass over X each, from centres that k-means++
    finds among 10 k rows (at least 300). Draws. Cost O(stored entries · k) per round.

    Source: Xue, Tong, Chen & Chen (2008), WCICA; k-means++: Arthur & Vassilvitskii (2007),
    SODA.
    """
    return _start(data, model, rng, spherical=False)


def spherical_kmeans(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Take the mean directions of k clusters of rows as components, and fit W to them.

    As `kmeans`, with rows scaled to norm one and clusters by cosine, so that long and short
    rows, such as documents, count alike.

    Source: Wild, Curry & Dougherty (2004), Pattern Recognition 37; clusters by cosine:
    Dhillon & Modha (2001), Machine Learning 42.
    """
    return _start(data, model, rng, spherical=True)


def _start(data: Data, model: Model, rng: Any, *, spherical: bool) -> dict[str, np.ndarray]:
    H = np.zeros((data.shape[1], model.n_components), data.dtype)
    norms = np.sqrt(data.square_sums()[0])
    if norms.any():
        centres = _first_centres(data, norms, model.n_components, rng, spherical)
        H[:, : centres.shape[1]] = _settled(data, norms, centres, spherical)
    return balanced(weights(data, H), H)


def _first_centres(data: Data, norms: np.ndarray, k: int, rng: Any, spherical: bool) -> np.ndarray:
    """Return up to k rows far from each other as columns (n_features, k)."""
    from sklearn.cluster import kmeans_plusplus

    filled = np.flatnonzero(norms)
    count = min(len(filled), max(SEEDED * k, FEWEST))
    chosen = np.sort(rng.choice(filled, count, replace=False))
    part: Any = data.rows(chosen)
    rows = part.matrix if part.is_sparse else part.to_dense()
    if spherical:
        scale = (1 / norms[chosen]).astype(data.dtype)[:, None]
        rows = rows.multiply(scale).tocsr() if part.is_sparse else rows * scale
    seed = int(rng.integers(2**31 - 1))
    _, found = kmeans_plusplus(rows, min(k, count), random_state=seed)
    picked = rows[found]
    return (picked.toarray() if part.is_sparse else picked).T.astype(np.float64)


def _settled(data: Data, norms: np.ndarray, centres: np.ndarray, spherical: bool) -> np.ndarray:
    """Return the centres (n_features, k) after some rounds; an empty cluster keeps its own."""
    labels = np.full(len(norms), -1)
    weight = 1 / np.where(norms > 0, norms, 1.0) if spherical else np.ones(len(norms))
    for _ in range(PASSES):
        size = np.square(centres).sum(axis=0)
        sums, counts, moved = np.zeros_like(centres), np.zeros(len(size)), False
        for rows, block in data.stream():
            closeness = block @ centres.astype(data.dtype)
            best = (closeness - (0 if spherical else size / 2)).argmax(axis=1)
            member = np.zeros(closeness.shape, data.dtype)
            member[np.arange(len(best)), best] = weight[rows]
            sums += block.T @ member
            counts += np.bincount(best, norms[rows] > 0, minlength=len(size))
            moved = moved or bool((best != labels[rows]).any())
            labels[rows] = best
        if not moved:
            break
        if spherical:
            counts = np.sqrt(np.square(sums).sum(axis=0))
        centres = np.where(counts > 0, sums / np.where(counts > 0, counts, 1.0), centres)
    return centres
