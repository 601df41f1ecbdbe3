"""A start of which a part is given, or of which a part is missing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.random import random
from partwise.init.signed import random_signed
from partwise.models import Model

__all__ = ["complete", "revive"]


def complete(
    data: Data,
    model: Model,
    given: dict[str, np.ndarray],
    rng: Any,
    *,
    signed: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Return the given factors as they are, and random ones, scaled to them, for the rest."""
    missing = [name for name in model.names if name not in given]
    if not missing:
        return {name: given[name].copy() for name in model.names}
    factors = random_signed(data, model, signed, rng) if signed else random(data, model, rng)
    for name, values in given.items():
        factors[name] = values.copy()
    total = 0.0 if signed else model.total(factors)
    if total > 0:
        scale = (data.sum() / total) ** (1 / len(missing))
        for name in missing:
            factors[name] *= factors[name].dtype.type(scale)
    return factors


def revive(data: Data, model: Model, factors: dict[str, np.ndarray]) -> None:
    """Fill columns of zeros in place with random entries, a hundredth of the size of others.

    Many starts find fewer components than are wanted where X has a lower rank, fewer distinct
    rows or fewer columns, and from a component of zeros no solver can leave. The draw has a
    seed of its own, so that starts that do not draw stay the same.
    """
    rng = np.random.default_rng(0)
    flat = (max(data.mean, 0.0) / model.n_components) ** (1 / len(model.names))
    for F in factors.values():
        empty = ~F.any(axis=0)
        if empty.any():
            level = (float(F.mean(dtype=np.float64)) or flat) / 100
            F[:, empty] = level * np.abs(rng.standard_normal((len(F), int(empty.sum()))))
