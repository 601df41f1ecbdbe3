"""The starts by name, and their common last step."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.clusters import kmeans, spherical_kmeans
from partwise.init.complete import revive
from partwise.init.ica import ica
from partwise.init.lowrank import nnsvd_lrc
from partwise.init.nndsvd import nndsvd, nndsvda, nndsvdar
from partwise.init.random import random, random_acol
from partwise.init.signed import random_signed, svd
from partwise.init.spa import spa
from partwise.models import Model

__all__ = ["STARTS", "draws", "make_start"]

Start = Callable[[Data, Model, Any], dict[str, np.ndarray]]

STARTS: dict[str, Start] = {
    "random": random,
    "random-acol": random_acol,
    "nndsvd": nndsvd,
    "nndsvda": nndsvda,
    "nndsvdar": nndsvdar,
    "nnsvd-lrc": nnsvd_lrc,
    "kmeans": kmeans,
    "spherical-kmeans": spherical_kmeans,
    "spa": spa,
    "ica": ica,
}
DETERMINISTIC = {"nndsvd", "nndsvda", "nnsvd-lrc", "spa", "ica"}


def draws(init: str | None) -> bool:
    """Return whether a second start of that name is another one."""
    return init is not None and init not in DETERMINISTIC


def make_start(
    data: Data, model: Model, init: str | None, rng: Any, *, signed: Collection[str] = ()
) -> tuple[str, dict[str, np.ndarray]]:
    """Return the name of a start and its factors, scaled so that ΣX̂ = ΣX.

    ``init=None`` is 'nndsvda' where k ≤ min(shape) of a matrix, else 'random'. Where factors are
    ``signed``, entries of any sign, it is 'svd', and X̂ is not scaled.
    """
    if signed and init in (None, "random"):
        if init is None:
            return "svd", svd(data, model, signed)
        return init, random_signed(data, model, signed, rng)
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
    revive(data, model, factors)
    total = model.total(factors)
    if total > 0 and data.sum() >= 0:
        scale = (data.sum() / total) ** (1 / len(model.names))
        for F in factors.values():
            F *= F.dtype.type(scale)
    return init, factors
