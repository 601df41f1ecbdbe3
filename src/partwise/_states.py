"""Fitted estimators as plain text and arrays: parameters, and what a fit has left in them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.impute import MissingIndicator

from partwise import estimators
from partwise._errors import explain
from partwise._parts import described, rebuilt
from partwise.estimators._explain import Explained
from partwise.estimators._ratings import Layout
from partwise.estimators._runs import Outcome
from partwise.estimators._scaled_residuals import Measured
from partwise.estimators._units import Unit
from partwise.losses import Loss
from partwise.penalties import Penalty

__all__ = [
    "MODELS",
    "NOT_FINITE",
    "described_parameters",
    "described_state",
    "plain",
    "rebuilt_parameters",
    "rebuilt_state",
]

MODELS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        estimators.NMF,
        estimators.MiniBatchNMF,
        estimators.NMFImputer,
        estimators.NonSmoothNMF,
        estimators.PositiveMatrixFactorization,
        estimators.Recommender,
        estimators.SequentialNMF,
    )
}
RECORDS = {cls.__name__: cls for cls in (Explained, Layout, Measured, Outcome, Unit)}
# Parameters that may be objects, and what they are.
PARTS = {"beta_loss": "loss", "penalty_W": "penalty", "penalty_H": "penalty"}
NOT_FINITE = ("inf", "-inf", "nan")
# Of the statistics of batches nothing is kept.
FORGOTTEN = ("_memory",)


# ---------------------------------------------------------------- parameters


def plain(value: Any) -> Any:
    """Return the value as JSON has it: infinite and undefined numbers become text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def described_parameters(
    parameters: Mapping[str, Any], arrays: dict[str, np.ndarray], place: str = ""
) -> tuple[dict[str, Any], dict[str, str]]:
    """Divide parameters into those that JSON can hold and the text of the others.

    Arrays of losses and penalties are put into ``arrays``, with names that begin with ``place``.
    """
    kept: dict[str, Any] = {}
    unsaved: dict[str, str] = {}
    for name, value in parameters.items():
        if name in PARTS and isinstance(value, list | tuple | Loss | Penalty):
            kept[name] = _described(name, value, arrays, place)
            continue
        found = plain(float(value) if name == "beta_loss" and isinstance(value, Real) else value)
        items = found if isinstance(found, list) and name not in PARTS else [found]
        if all(item is None or isinstance(item, bool | int | float | str) for item in items):
            kept[name] = found
        else:
            unsaved[name] = repr(value)
    return kept, unsaved


def _described(name: str, value: Any, arrays: dict[str, np.ndarray], place: str) -> Any:
    kind = PARTS[name]
    if isinstance(value, list | tuple):
        places = (f"{place}{name}.{number}" for number in range(len(value)))
        return [
            described(kind, part, where, arrays) for part, where in zip(value, places, strict=True)
        ]
    return described(kind, value, f"{place}{name}", arrays)


def rebuilt_parameters(
    found: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the parameters that `described_parameters` returned."""
    return {name: _rebuilt(name, value, arrays) for name, value in found.items()}


def _rebuilt(name: str, value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_rebuilt(name, part, arrays) for part in value]
    if isinstance(value, dict):
        return rebuilt(PARTS[name], value, arrays)
    return float(value) if value in NOT_FINITE else value


# ---------------------------------------------------------------- what a fit has left


def described_state(
    model: BaseEstimator,
    arrays: dict[str, np.ndarray],
    place: str = "",
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Return the attributes of a fitted model but its parameters, as JSON has them.

    Their arrays are put into ``arrays``, each once, with names that begin with ``place``.
    """
    left_out = {*model.get_params(deep=False), *without, *FORGOTTEN}
    ours = (name for name in vars(model) if name[0] == "_" or name[-1] == "_")
    kept = {name: getattr(model, name) for name in ours if name not in left_out}
    return {name: _state(value, f"{place}{name}", arrays) for name, value in kept.items()}


def rebuilt_state(found: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the attributes that `described_state` returned."""
    return {name: _restored(value, arrays) for name, value in found.items()}


def _state(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    # Numbers, text and lists are what they are, all others a dict with one key that says what.
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    if isinstance(value, np.ndarray):
        return {"array": _place_of(value, place, arrays)}
    if sparse.issparse(value):
        parts = (value.data, value.indices, value.indptr)
        places = [_place_of(part, f"{place}.{n}", arrays) for n, part in enumerate(parts)]
        return {"rows": places, "shape": list(value.shape)}
    if isinstance(value, MissingIndicator):
        return {"indicator": value.features_.tolist(), "features": value.n_features_in_}
    if isinstance(value, BaseEstimator) and type(value).__name__ in MODELS:
        kept, unsaved = described_parameters(value.get_params(deep=False), arrays, f"{place}.")
        state = described_state(value, arrays, f"{place}.")
        name = type(value).__name__
        return {"model": name, "parameters": kept, "unsaved": unsaved, "state": state}
    return _group(value, place, arrays)


def _group(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    # Several values of which each may be anything.
    named: Mapping[Any, Any] | None = value if isinstance(value, dict) else None
    if is_dataclass(value) and type(value).__name__ in RECORDS:
        named = {field.name: getattr(value, field.name) for field in fields(value)}
    if named is not None:
        found = {name: _state(one, f"{place}.{name}", arrays) for name, one in named.items()}
        return {"named": found, "record": None if named is value else type(value).__name__}
    if isinstance(value, list | tuple):
        many = [_state(one, f"{place}.{number}", arrays) for number, one in enumerate(value)]
        return {"tuple": many} if isinstance(value, tuple) else many
    wanted = "numbers, text, arrays and groups of these"
    raise TypeError(explain(f"save_model, {place}", type(value).__name__, wanted))


def _place_of(value: np.ndarray, place: str, arrays: dict[str, np.ndarray]) -> str:
    for name, known in arrays.items():
        if known is value:
            return name
    arrays[place] = value.astype(np.str_) if value.dtype == object else value
    return place


def _restored(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_restored(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if "number" in value:
        return float(value["number"])
    if "array" in value:
        array = arrays[value["array"]]
        return array.astype(object) if array.dtype.kind == "U" else array
    if "rows" in value:
        parts = tuple(arrays[place] for place in value["rows"])
        return sparse.csr_array(parts, shape=tuple(value["shape"]))
    if "tuple" in value:
        return tuple(_restored(one, arrays) for one in value["tuple"])
    if "named" in value:
        found = {name: _restored(one, arrays) for name, one in value["named"].items()}
        return found if value["record"] is None else RECORDS[value["record"]](**found)
    if "indicator" in value:
        example = np.zeros((1, value["features"]))
        example[:, value["indicator"]] = np.nan
        return MissingIndicator(error_on_new=False).fit(example)
    model = MODELS[value["model"]](**rebuilt_parameters(value["parameters"], arrays))
    vars(model).update(rebuilt_state(value["state"], arrays))
    return model
