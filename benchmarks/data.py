"""Real data from a folder that is not shipped, and small planted data of the same kinds."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

ROOT = Path(__file__).parents[1]


class MissingDataError(Exception):
    """A data set is not on this machine."""


def load(name: str, function: str = "load") -> Any:
    """Return X of a real data set: what ``load.py`` of its folder makes."""
    folder = Path(os.environ.get("PARTWISE_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name / "load.py"
    if not path.exists():
        message = f"data set {name!r} is not here; set PARTWISE_DATA to its parent folder"
        raise MissingDataError(message)
    spec = importlib.util.spec_from_file_location(f"data_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function)()["X"]


# --- real data ---------------------------------------------------------------------------


def counts() -> Any:
    return load("newsgroups20").astype(np.float64)


def tfidf() -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer().fit_transform(counts())


def characters() -> Any:
    """Hashed character n-grams; built once a machine, since that takes minutes."""
    path = Path(tempfile.gettempdir()) / "partwise-benchmarks" / "characters.npz"
    if path.exists():
        return sparse.load_npz(path)
    X = sparse.csr_matrix(load("large_sparse", "newsgroups_char"))
    X.sum_duplicates()
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f"{os.getpid()}.npz")
    sparse.save_npz(unfinished, X, compressed=False)
    unfinished.replace(path)
    return X


def faces() -> np.ndarray:
    return load("cbcl_faces")


def bands() -> np.ndarray:
    return np.ascontiguousarray(load("jasper_ridge"))


def magnitudes() -> np.ndarray:
    return np.ascontiguousarray(load("audio_nmflib"))


def powers() -> np.ndarray:
    X = magnitudes() ** 2
    return np.maximum(X, 1e-12 * X.max())


# --- planted data ------------------------------------------------------------------------


def planted(rows: int, columns: int, k: int = 4) -> np.ndarray:
    """Return sparse factors' product with mean 1."""
    rng = np.random.default_rng(0)
    X = rng.gamma(0.3, size=(rows, k)) @ rng.gamma(0.3, size=(k, columns))
    return X / X.mean()


def noisy(rows: int, columns: int, k: int = 4) -> np.ndarray:
    """Return planted data with multiplicative gamma noise, all entries > 0."""
    X = planted(rows, columns, k) + 0.01
    return X * np.random.default_rng(1).gamma(10, 0.1, size=X.shape)


def planted_counts(rows: int, columns: int) -> Any:
    """Return Poisson counts, about one entry in six of them not 0, no row or column empty."""
    X = np.random.default_rng(1).poisson(0.5 * planted(rows, columns)).astype(np.float64)
    np.fill_diagonal(X, X.diagonal() + 1)
    X[:, X.sum(axis=0) == 0] = 1
    X[X.sum(axis=1) == 0] = 1
    return sparse.csr_matrix(X)


def planted_tfidf(rows: int, columns: int) -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer().fit_transform(planted_counts(rows, columns))
