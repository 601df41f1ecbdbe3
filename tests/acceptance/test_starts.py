"""What the starts are good for, on real data where they are present."""

from __future__ import annotations

import time

import numpy as np
import pytest

from partwise import NMF
from partwise.estimators import _runs
from partwise.solvers import HALS, CoordinateDescent

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def faces(real_data):
    return real_data("cbcl_faces")["X"]


def errors(X, k, init, sweeps, solver=None, **start):
    """Return relative errors at the start and after each single sweep of plain HALS."""
    solver = solver or CoordinateDescent(repeats=1, extrapolate=False)
    model = NMF(k, init=init, solver=solver, tol=0, max_iter=sweeps, random_state=0)
    model.fit(X, **start)
    return np.sqrt(2 * model.objective_history_) / np.linalg.norm(X)


def test_one_sweep_from_corrected_singular_vectors_beats_ten_from_a_random_start(faces):
    """Rank 49: 0.1080 after one sweep, and 0.1102 (0.1157 from uniform factors) after ten.

    `nndsvd` does not: 0.1864 after one sweep, between two and one from a random start.
    """
    rng = np.random.default_rng(0)
    drawn = {"W": rng.random((len(faces), 49)), "H": rng.random((49, faces.shape[1]))}
    random = errors(faces, 49, "random", 10)
    uniform = errors(faces, 49, "custom", 10, **drawn)
    assert errors(faces, 49, "nnsvd-lrc", 1)[1] < min(random[10], uniform[10])
    assert errors(faces, 49, "nndsvd", 1)[1] < min(random[1], uniform[1])


def test_corrected_singular_vectors_are_the_closest_start_of_the_faces(faces):
    closest = errors(faces, 49, "nnsvd-lrc", 1)[0]
    assert closest < 0.115
    for init in ("nndsvd", "nndsvda", "random", "random-acol", "kmeans", "spa", "ica"):
        assert closest < 0.7 * errors(faces, 49, init, 1)[0]


def test_after_a_hundred_iterations_the_starts_are_equal(faces):
    """Within 1 % of each other, with the default solver."""
    ends = [
        errors(faces, 49, init, 100, "auto")[-1]
        for init in ("random", "nndsvda", "nnsvd-lrc", "kmeans", "spa", "ica", "best-random")
    ]
    assert max(ends) < 1.01 * min(ends)


def test_corners_of_a_hyperspectral_image(real_data):
    """Four materials of Jasper Ridge: pixels that are nearly pure are the start."""
    X = real_data("jasper_ridge")["X"].T.astype(float)  # one row per pixel
    spa, random = (errors(X, 4, init, 1) for init in ("spa", "random"))
    assert spa[0] < 0.15
    assert spa[1] < random[1] / 2


@pytest.mark.parametrize("solver", [HALS(), "auto"], ids=["hals", "auto"])
def test_a_compressed_start_saves_looks_at_the_data(solver, monkeypatch):
    """Sixty iterations on X, and on its projection to 40 directions.

    5000 × 4000, rank 20 plus 0.001, after Erichson et al. (2018), section 4: at most twice the
    error, the same one after five more iterations that look at X, and with HALS a third of the
    time, of three pairs.
    """
    monkeypatch.setattr(_runs, "COARSE", 60)
    rng = np.random.default_rng(0)
    X = rng.random((5000, 20)) @ rng.random((20, 4000)) + 1e-3 * rng.random((5000, 4000))

    def fit(init, iterations):
        begin, seconds = time.perf_counter(), []
        model = NMF(20, init=init, solver=solver, tol=0, max_iter=iterations, random_state=0)
        model.fit(X, callback=lambda state: seconds.append(time.perf_counter() - begin))
        return model, seconds

    fit("compressed", 1)  # compiled
    ratios = []
    for _ in range(1 if solver == "auto" else 3):
        whole, taken = fit("random", 60)
        short, compressed = fit("compressed", 5)
        ratios.append(taken[-1] / compressed[0])
    assert np.sqrt(short.objective_history_[0] / whole.objective_) <= 2
    assert np.sqrt(short.objective_ / whole.objective_) <= 1.02
    if solver != "auto":
        assert max(ratios) >= 3
