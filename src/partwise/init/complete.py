"""A start of which the user gave only a part."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.random import random
from partwise.models import Model

__all__ = ["complete"]


def complete(
    data: Data, model: Model, given: dict[str, np.ndarray], rng: Any
) -> dict[str, np.ndarray]:
    """Return the given factors as they are, and random ones, scaled to them, for the rest."""
    factors = random(data, model, rng)
    for name, values in given.items():
        factors[name] = values.copy()
    missing = [name for name in model.names if name not in given]
    total = model.total(factors) if missing else 0.0
    if total > 0:
        scale = (data.sum() / total) ** (1 / len(missing))
        for name in missing:
            factors[name] *= factors[name].dtype.type(scale)
    return factors
