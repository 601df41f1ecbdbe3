"""Random starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.models import Model

__all__ = ["random", "random_acol"]

# Rows or columns of X that are averaged into one component.
AVERAGED = 20


def random(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Draw |N(0, 1)| entries, scaled so that the model has the mean of X; any model.

    Cost O((n_samples + n_features) · k).
    """
    level = (max(data.mean, 0.0) / model.n_components) ** (1 / len(model.names))
    factors = {}
    for name, dimension in model.dimensions(data.shape).items():
        draw = np.abs(rng.standard_normal((dimension, model.n_components)))
        factors[name] = (level * draw).astype(data.dtype)
    return factors


def random_acol(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Average random columns of X into columns of W, and random rows of X into rows of H.

    Cost O((n_samples + n_features) · k · 20), a product of X with two sparse matrices.
    Source: Albright, Cox, Duling, Langville & Meyer (2006), NCSU technical report 81706.
    """
    rows, columns = data.shape
    k = model.n_components
    chosen = _averages(columns, k, data.dtype, rng), _averages(rows, k, data.dtype, rng)
    return {
        "W": np.ascontiguousarray(data @ chosen[0]),
        "H": np.ascontiguousarray(data.T @ chosen[1]),
    }


def _averages(length: int, k: int, dtype: np.dtype, rng: Any) -> np.ndarray:
    # Fewer where there are few, or all components would be the mean of all rows.
    count = min(AVERAGED, max(1, length // k))
    weights = np.zeros((length, k), dtype)
    for j in range(k):
        weights[rng.permutation(length)[:count], j] = 1 / count
    return weights
