"""The starts by name, and their common last step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.nndsvd import nndsvd, nndsvda, nndsvdar
from partwise.init.random import random, random_acol
from partwise.models import Model

__all__ = ["STARTS", "make_start"]

Start = Callable[[Data, Model, Any], dict[str, np.ndarray]]

STARTS: dict[str, Start] = {
    "random": random,
    "random-acol": random_acol,
    "nndsvd": nndsvd,
    "nndsvda": nndsvda,
    "nndsvdar": nndsvdar,
}


def make_start(
    data: Data, model: Model, init: str | None, rng: Any
) -> tuple[str, dict[str, np.ndarray]]:
    """Return the name of a start and its factors, scaled so that ΣX̂ = ΣX.

    ``init=None`` is 'nndsvda' where k ≤ min(shape) of a matrix, else 'random'.
    """
    if init is None:
        small = len(data.shape) == 2 and model.n_components <= min(data.shape)
        init = "nndsvda" if small else "random"
    if init.startswith("nndsvd") and model.n_components > min(data.shape):
        message = (
            f"init = '{init}' can only be used when n_components <= min(n_samples, n_features): "
            f"got n_components={model.n_components} for X of shape {data.shape}. Use "
            "init='random', or fewer components."
        )
        raise ValueError(message)
    factors = STARTS[init](data, model, rng)
    total = model.total(factors)
    if total > 0:
        scale = (data.sum() / total) ** (1 / len(model.names))
        for F in factors.values():
            F *= F.dtype.type(scale)
    return init, factors
