"""A small default fit beside scikit-learn's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.decomposition

import partwise
from benchmarks.data import planted
from benchmarks.peers import quiet
from benchmarks.report import Table, number, spread

SHAPE = (100, 50)
COMPONENTS = 5
# Data: what is added to what was planted, with mean 1, by its share.
DATA = {"nearly exact": 0.1, "noisy": 3.0}
HEAD = ["data", "library", "ms", "times faster", "iterations", "reconstruction error"]


def _fit(library: Any, X: np.ndarray, **settings: Any) -> tuple[float, Any]:
    begin = time.perf_counter()
    model = library.NMF(COMPONENTS, **settings).fit(X)
    return time.perf_counter() - begin, model


def _runs(X: np.ndarray) -> dict[str, tuple[float, Any]]:
    """Fit both libraries, and Partwise a second time, to the error that scikit-learn ends at."""
    other = _fit(sklearn.decomposition, X)
    ours = _fit(partwise, X)
    there = ours[1].objective_history_ <= 0.5 * other[1].reconstruction_err_ ** 2
    found = {"scikit-learn": other, "partwise": ours}
    if there.any():
        enough = max(1, int(np.argmax(there)))
        found["partwise, to that error"] = _fit(partwise, X, tol=0, max_iter=enough)
    return found


def table(repeats: int = 200) -> Table:
    """Fit planted data with different noise, both libraries in turn."""
    clean = planted(*SHAPE, COMPONENTS)
    lines = []
    with quiet():
        _runs(clean)
        for name, share in DATA.items():
            found = [
                _runs(clean + share * np.random.default_rng(repeat).random(SHAPE))
                for repeat in range(repeats)
            ]
            lines += _lines(name, found)
    setting = f"default settings, {repeats} repeats in turn: median (least–largest)"
    title = f"A fit of {SHAPE[0]} × {SHAPE[1]} with k = {COMPONENTS}"
    return Table(title, HEAD, lines, setting)


def _lines(data: str, found: list[dict[str, tuple[float, Any]]]) -> list[list[str]]:
    lines = []
    for library in found[0]:
        both = [(run["scikit-learn"][0], run[library]) for run in found if library in run]
        ratio = spread([reference / taken for reference, (taken, _) in both], "×")

        def middle(of: Callable[[Any], float], both: Any = both) -> str:
            return number(float(np.median([of(model) for _, (_, model) in both])))

        taken = spread([1e3 * taken for _, (taken, _) in both])
        lines.append(
            [data, library, taken, ratio, middle(lambda model: model.n_iter_),
             middle(lambda model: model.reconstruction_err_)]
        )  # fmt: skip
    return lines
