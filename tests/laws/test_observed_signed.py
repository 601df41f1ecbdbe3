"""Factors of any sign where entries of X are missing or have weights."""

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF
from partwise.data import Listed, Weighted
from partwise.penalties import L2, Free
from partwise.problem import Entries
from partwise.solvers.rows import observed_rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SIGNS = {
    "W": {"penalty_W": Free()},
    "H": {"penalty_H": Free()},
    "both": {"penalty_W": Free(), "penalty_H": Free()},
}


def incomplete(shape=(40, 12), k=3, signed=("H",), seed=0, share=0.3):
    """Return data of rank k, of which some entries are NaN, and the whole of it."""
    rng = np.random.default_rng(seed)
    W, H = (
        rng.standard_normal(size) if name in signed else rng.random(size)
        for name, size in (("W", (shape[0], k)), ("H", (k, shape[1])))
    )
    whole = W @ H
    return np.where(rng.random(shape) < share, np.nan, whole), whole


def listed(X, weights):
    rows, columns = np.nonzero(weights)
    matrix = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    return Listed(matrix, weights[rows, columns])


def naive_sweep(X, V, F, A, curve, free):
    F = F.copy()
    for i in range(len(F)):
        for l in range(F.shape[1]):
            rest = X[i] - A @ F[i]
            bend = (V[i] * A[:, l] ** 2).sum() + curve
            if free[i, l] and bend > 0:
                F[i, l] += ((V[i] * rest * A[:, l]).sum() - curve * F[i, l]) / bend
    return F


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [3, 40])
def test_a_sweep_is_the_naive_one(k, dtype):
    """By products (few components), entry by entry, and on stored entries."""
    rng = np.random.default_rng(1)
    X, A, F = (
        rng.standard_normal((9, 50)),
        rng.standard_normal((50, k)),
        rng.standard_normal((9, k)),
    )
    V = (rng.random(X.shape) < 0.6) * rng.uniform(0.5, 2, X.shape)
    free = rng.random(F.shape) < 0.8
    wanted = naive_sweep(X, V, F, A, 0.7, free)
    X, V, A = (B.astype(dtype) for B in (np.where(V > 0, X, 0), V, A))
    for data in (Weighted(X, V), listed(X, V)):
        got = F.astype(dtype)
        entries = Entries(data, A, np.zeros((1, k), dtype), 0.7)
        value, _ = observed_rows(
            got, entries, free, np.arange(k), (1, 0.1), exact=False, signed=True
        )
        np.testing.assert_allclose(
            got, wanted, rtol=3e-4 if dtype is np.float32 else 1e-9, atol=1e-5
        )
        rest = X - wanted @ A.T
        assert value == pytest.approx(0.5 * (V * rest**2).sum(), rel=1e-3)


@pytest.mark.parametrize("kind", ["dense", "listed"])
def test_rows_are_solved_exactly_and_held_entries_stay(kind):
    rng = np.random.default_rng(2)
    X, A, F = (
        rng.standard_normal((8, 20)),
        rng.standard_normal((20, 4)),
        rng.standard_normal((8, 4)),
    )
    V = (rng.random(X.shape) < 0.6) * rng.uniform(0.5, 2, X.shape)
    X, free = np.where(V > 0, X, 0), rng.random(F.shape) < 0.7
    data = Weighted(X, V) if kind == "dense" else listed(X, V)
    got = F.copy()
    entries = Entries(data, A, np.zeros((1, 4)), 0.3)
    _, undone = observed_rows(got, entries, free, np.arange(4), (1, 0.0), exact=True, signed=True)
    assert undone == 0
    for i in range(len(F)):
        root, open_ = np.sqrt(V[i])[:, None], free[i]
        rest = X[i] - A[:, ~open_] @ F[i, ~open_]
        tall = np.vstack([root * A[:, open_], 0.3**0.5 * np.eye(open_.sum())])
        rest = np.concatenate([root[:, 0] * rest, np.zeros(open_.sum())])
        np.testing.assert_allclose(got[i, open_], np.linalg.lstsq(tall, rest)[0], atol=1e-10)
        np.testing.assert_array_equal(got[i, ~open_], F[i, ~open_])


@pytest.mark.parametrize("solver", ["auto", "hals", "a-hals"])
@pytest.mark.parametrize("which", SIGNS)
def test_planted_factors_of_any_sign_come_back(which, solver):
    signed = ("W", "H") if which == "both" else (which,)
    X, whole = incomplete((40, 30), signed=signed)
    model = NMF(3, init="random", random_state=0, solver=solver, max_iter=5000, tol=1e-7)
    model.set_params(**SIGNS[which]).fit(X)
    error = np.abs(model.W_ @ model.components_ - whole).max()
    assert error < 1e-4 * np.abs(whole).max()
    assert (model.W_.min() < 0) == ("W" in signed)
    assert (model.components_.min() < 0) == ("H" in signed)
    np.testing.assert_allclose(model.transform(X) @ model.components_, whole, atol=1e-3)


@pytest.mark.parametrize("which", SIGNS)
@pytest.mark.parametrize("held", [False, True], ids=["plain", "L2"])
def test_objective_never_rises_and_nothing_drifts(which, held):
    X, _ = incomplete()
    W, H = SIGNS[which].get("penalty_W"), SIGNS[which].get("penalty_H")
    if held:
        W, H = ([p for p in (found, L2(0.01)) if p] for found in (W, H))
    model = NMF(3, penalty_W=W, penalty_H=H, max_iter=800, tol=0, random_state=0).fit(X)
    history = model.objective_history_
    assert (np.diff(history) <= 1e-9 * history[:-1] + 1e-20 * history[0]).all()
    rest = np.nan_to_num(X - model.W_ @ model.components_)
    cost = 0.005 * ((model.W_**2).sum() + (model.components_**2).sum()) if held else 0
    assert model.objective_ == pytest.approx(0.5 * (rest**2).sum() + cost, rel=1e-8)
    assert max(np.abs(model.W_).max(), np.abs(model.components_).max()) < 1e6


def test_storage_and_scale_change_nothing():
    X, _ = incomplete((30, 20), signed=("W", "H"))
    rows, columns = np.nonzero(~np.isnan(X))
    stored = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    how = {"penalty_W": [Free(), L2(1.0)], "penalty_H": [Free(), L2(1.0)], "init": "random"}
    first = NMF(3, random_state=0, max_iter=100, **how).fit(X)
    same = NMF(3, random_state=0, max_iter=100, unstored="missing", **how)
    found = same.fit_transform(stored) @ same.components_
    np.testing.assert_allclose(found, first.W_ @ first.components_, atol=0.05)
    how = {**how, "penalty_W": [Free(), L2(1e6)], "penalty_H": [Free(), L2(1e6)]}
    scaled = NMF(3, random_state=0, max_iter=100, **how).fit(1e6 * X)
    assert scaled.n_iter_ == first.n_iter_
    np.testing.assert_allclose(scaled.W_, 1e3 * first.W_, rtol=1e-6, atol=1e-9)
