"""A small default fit beside scikit-learn's."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import sklearn.decomposition

import partwise
from benchmarks.data import planted
from benchmarks.peers import quiet
from benchmarks.report import Table, number, spread

SHAPE = (100, 50)
COMPONENTS = 5


def _fit(library: Any, X: np.ndarray) -> tuple[float, Any]:
    begin = time.perf_counter()
    model = library.NMF(COMPONENTS).fit(X)
    return time.perf_counter() - begin, model


def table(repeats: int = 200) -> Table:
    """Fit planted data with different noise, both libraries in turn."""
    libraries = {"scikit-learn": sklearn.decomposition, "partwise": partwise}
    clean = planted(*SHAPE, COMPONENTS)
    seconds: dict[str, list[float]] = {name: [] for name in libraries}
    told: dict[str, list[tuple[int, float]]] = {name: [] for name in libraries}
    with quiet():
        for library in libraries.values():
            _fit(library, clean)
        for repeat in range(repeats):
            X = clean + 0.1 * np.random.default_rng(repeat).random(SHAPE)
            for name, library in libraries.items():
                taken, model = _fit(library, X)
                seconds[name].append(1e3 * taken)
                told[name].append((model.n_iter_, model.reconstruction_err_))
    reference = np.array(seconds["scikit-learn"])
    lines = []
    for name, found in seconds.items():
        iterations, errors = np.median(told[name], axis=0)
        ratio = spread(reference / np.array(found), "×")
        lines.append([name, spread(found), ratio, number(iterations), number(errors)])
    head = ["library", "ms", "times faster", "iterations", "reconstruction error"]
    setting = f"default settings, {repeats} repeats in turn: median (least–largest)"
    title = f"A fit of {SHAPE[0]} × {SHAPE[1]} with k = {COMPONENTS}"
    return Table(title, head, lines, setting)
