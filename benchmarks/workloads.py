"""The rows of the tables: data × objective × number of components × dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks import data


class Workload(NamedTuple):
    """A row; ``full`` and ``tiny`` make its X, and ``k`` belongs to the full one."""

    name: str
    what: str
    beta: float
    k: int
    full: Callable[[], Any]
    tiny: Callable[[], Any]
    dtype: type = np.float64

    def make(self, size: str) -> tuple[Any, int]:
        """Return X and the number of components."""
        X = self.full() if size == "full" else self.tiny()
        return X.astype(self.dtype, copy=False), self.k if size == "full" else 4


_text = partial(data.planted_tfidf, 120, 80)
_sound = partial(data.noisy, 80, 60)

WORKLOADS = {
    work.name: work
    for work in [
        Workload("tfidf", "sparse Frobenius: newsgroups, tf-idf", 2, 50, data.tfidf, _text),
        Workload(
            "tfidf32",
            "sparse Frobenius in float32: newsgroups, tf-idf",
            2,
            50,
            data.tfidf,
            _text,
            np.float32,
        ),
        Workload(
            "characters",
            "sparse Frobenius, large: newsgroups, character n-grams",
            2,
            50,
            data.characters,
            partial(data.planted_counts, 100, 300),
        ),
        Workload(
            "counts",
            "sparse Kullback–Leibler: newsgroups, counts",
            1,
            20,
            data.counts,
            partial(data.planted_counts, 120, 80),
        ),
        Workload(
            "faces", "dense Frobenius: CBCL faces", 2, 49, data.faces, partial(data.noisy, 120, 60)
        ),
        Workload(
            "bands",
            "dense Frobenius, wide: Jasper Ridge",
            2,
            10,
            data.bands,
            partial(data.noisy, 30, 200),
        ),
        Workload(
            "powers", "dense Itakura–Saito: piano, power spectrogram", 0, 8, data.powers, _sound
        ),
        Workload(
            "magnitudes",
            "dense Kullback–Leibler: piano, magnitude spectrogram",
            1,
            8,
            data.magnitudes,
            _sound,
        ),
        Workload(
            "between",
            "dense β = 1.5: piano, magnitude spectrogram",
            1.5,
            8,
            data.magnitudes,
            _sound,
        ),
        Workload(
            "small",
            "small dense Frobenius: planted",
            2,
            5,
            partial(data.noisy, 100, 50, 5),
            partial(data.noisy, 50, 40),
        ),
    ]
}


def begun(name: str, size: str) -> tuple[Workload, Any, np.ndarray, np.ndarray]:
    """Return a row, its X, and its first start."""
    work = WORKLOADS[name]
    X, k = work.make(size)
    return work, X, *start(X, k, 0)


def start(X: Any, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return |N(0, 1)| factors scaled so that the model has the mean of X, in the dtype of X."""
    rng = np.random.default_rng(seed)
    W, H = (
        np.abs(rng.standard_normal((X.shape[0], k))),
        np.abs(rng.standard_normal((k, X.shape[1]))),
    )
    model = W.sum(axis=0) @ H.sum(axis=1)
    scale = np.sqrt(X.sum(dtype=np.float64) / model)
    return (scale * W).astype(X.dtype), (scale * H).astype(X.dtype)
