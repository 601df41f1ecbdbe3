"""Traps that other packages fell into, one test each; the ids are those of a list of ours.

Each test says in its first comment what went wrong elsewhere.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, MiniBatchNMF, non_negative_factorization

BETAS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
SOLVED = [("cd", 2.0), *(("mu", beta) for beta in BETAS), ("me", 0.5)]
INITS = ["random", "random-acol", "nndsvd", "nndsvda", "nndsvdar"]
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def positive(seed: int = 0, shape: tuple[int, int] = (30, 20), k: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.7, size=(shape[0], k)) @ rng.gamma(0.7, size=(k, shape[1]))
    return X + 0.1 * rng.uniform(0.5, 1, shape)


def with_zeros(seed: int = 0, shape: tuple[int, int] = (30, 20), k: int = 4) -> np.ndarray:
    X = positive(seed, shape, k)
    return np.where(np.random.default_rng(seed + 99).uniform(size=shape) < 0.5, 0.0, X)


def data_for(beta: float, seed: int = 0) -> np.ndarray:
    return positive(seed) if beta <= 0 else with_zeros(seed)


def divergence(X, Y, beta) -> float:
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    x, y = X[X > 0], Y[X > 0]
    at_zero = Y[X == 0]
    if beta == 2:
        return float(((X - Y) ** 2).sum() / 2)
    if beta == 1:
        return float((x * np.log(x / y) - x + y).sum() + at_zero.sum())
    if beta == 0:
        return float((x / y - np.log(x / y) - 1).sum())
    inside = (x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)).sum()
    return float(inside / (beta * (beta - 1)) + (at_zero**beta).sum() / beta)


def relative_error(X, model) -> float:
    return np.linalg.norm(X - model.W_ @ model.components_) / np.linalg.norm(X)


# --- scale ---------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1000.0, 65535.0])
def test_t1_default_fit_does_not_fail_silently_on_large_values(factor):
    # Zeros of the start filled with mean(X), which scales as X and not as √X: two
    # iterations, relative error 0.46, no warning.
    rng = np.random.default_rng(0)
    X = rng.gamma(0.5, size=(200, 10)) @ rng.gamma(0.5, size=(10, 120))
    model = NMF(10, random_state=0, max_iter=3000).fit(X * (factor / X.mean()))
    assert relative_error(X * (factor / X.mean()), model) < 1e-3
    assert model.n_iter_ == NMF(10, random_state=0, max_iter=3000).fit(X / X.mean()).n_iter_


@quiet
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("factor", [1e-6, 1e-8, 1e-12])
def test_t2_no_absolute_epsilon_in_divergences(beta, factor):
    # An epsilon of 1e-7 dropped small data from the loss: error 0 reported, 0.81 true.
    X = positive()
    one = NMF(4, beta_loss=beta, max_iter=100).fit(X)
    small = NMF(4, beta_loss=beta, max_iter=100).fit(X * factor)
    assert small.n_iter_ == one.n_iter_
    np.testing.assert_allclose(
        small.components_, np.sqrt(factor) * one.components_, rtol=1e-6, atol=0
    )
    expected = one.reconstruction_err_ * factor ** (beta / 2)
    assert small.reconstruction_err_ == pytest.approx(expected, rel=1e-6)
    true = divergence(X * factor, small.W_ @ small.components_, beta)
    assert small.reconstruction_err_ == pytest.approx(np.sqrt(2 * true), rel=1e-6)


# --- storage -------------------------------------------------------------------------------


def explicit_zeros(X: np.ndarray):
    rows, columns = np.indices(X.shape)
    entries = (X.ravel(), (rows.ravel(), columns.ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=X.shape))


def unsorted(X: np.ndarray):
    matrix = sparse.csr_array(X)
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        matrix.indices[start:end] = matrix.indices[start:end][::-1].copy()
        matrix.data[start:end] = matrix.data[start:end][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def duplicated(X: np.ndarray):
    rows, columns = np.nonzero(X)
    order = np.argsort(np.r_[rows, rows], kind="stable")
    indices = np.r_[columns, columns][order]
    data = np.r_[0.25 * X[rows, columns], 0.75 * X[rows, columns]][order]
    indptr = np.r_[0, 2 * np.cumsum((X != 0).sum(axis=1))]
    return sparse.csr_array((data, indices, indptr), shape=X.shape)


def long_indices(X: np.ndarray):
    matrix = sparse.csr_array(X)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


STORED = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
    "lil": sparse.lil_array,
    "dok": sparse.dok_array,
    "bsr": sparse.bsr_array,
    "dia": sparse.dia_array,
    "explicit zeros": explicit_zeros,
    "unsorted": unsorted,
    "duplicated": duplicated,
    "int64 indices": long_indices,
    "F order": np.asfortranarray,
    "not contiguous": lambda X: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
}


@quiet
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 1.0), ("mu", 0.5)])
def test_t3_explicit_zeros_and_every_other_storage_give_the_dense_answer(solver, beta, stored):
    # Stored zeros crashed the Kullback-Leibler code; int64 indices and duplicates others.
    X = with_zeros()
    params = {"solver": solver, "beta_loss": beta, "max_iter": 30, "tol": 0}
    dense = NMF(4, **params).fit(X)
    other = NMF(4, **params).fit(STORED[stored](X))
    np.testing.assert_allclose(other.W_, dense.W_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.components_, dense.components_, rtol=1e-6, atol=1e-9)
    W = dense.transform(STORED[stored](X))
    np.testing.assert_allclose(W, dense.transform(X), rtol=1e-6, atol=1e-9)


@quiet
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_t4_reported_error_of_a_near_exact_fit_is_the_true_one(store, dtype):
    # ‖X‖² − 2⟨X, WH⟩ + ‖WH‖² cancels: 22.6 reported for 0.016, or NaN.
    for seed in range(5):
        rng = np.random.default_rng(seed)
        W = rng.gamma(0.5, size=(40, 3)) * (rng.uniform(size=(40, 3)) < 0.6)
        X = (W @ rng.gamma(0.5, size=(3, 25)) * 10).astype(dtype)
        model = NMF(3, random_state=0, max_iter=300, tol=1e-7).fit(store(X))
        true = np.linalg.norm(
            X.astype(np.float64) - model.W_.astype(np.float64) @ model.components_
        )
        # What is left below this is the rounding of W H itself in the data's dtype.
        rounding = 4 * float(np.finfo(dtype).eps * np.linalg.norm(X))
        assert model.reconstruction_err_ == pytest.approx(true, rel=1e-3, abs=rounding)


# --- stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_t5_restart_at_the_solution_stops_at_once(solver, beta):
    # A tolerance relative to the first step: 2843 iterations from the solution, 1145 from
    # scratch.
    X = data_for(beta)
    params = {"solver": solver, "beta_loss": beta, "tol": 1e-4, "max_iter": 20000}
    model = NMF(4, **params).fit(X)
    again = NMF(4, init="custom", **params).fit(X, W=model.W_, H=model.components_)
    assert again.n_iter_ <= 2
    assert again.objective_ <= model.objective_ * (1 + 1e-12)


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_t6_multiplicative_updates_stop_on_the_penalized_objective(beta, l1_ratio):
    # Stopping on the misfit alone: 155.05 where 153.13 was reachable.
    X = with_zeros()
    params = {"solver": "mu", "beta_loss": beta, "alpha_W": 0.02, "l1_ratio": l1_ratio}
    model = NMF(4, tol=1e-3, max_iter=5000, **params).fit(X)
    longer = NMF(4, init="custom", tol=0, max_iter=3000, **params)
    longer.fit(X, W=model.W_, H=model.components_)
    assert model.converged_
    assert model.objective_ <= longer.objective_ * (1 + 5e-3)


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
@pytest.mark.parametrize("max_iter", [100, 500])
def test_t7_l1_penalties_give_exact_zeros(solver, beta, max_iter):
    # Multiplicative updates never reached zero: 120 of 120 entries positive.
    X = positive(3)
    model = NMF(
        6,
        solver=solver,
        beta_loss=beta,
        alpha_W=0.05,
        l1_ratio=1.0,
        max_iter=max_iter,
        tol=1e-6,
        random_state=0,
    ).fit(X)
    assert (model.W_ == 0).sum() + (model.components_ == 0).sum() >= 20
    assert model.components_.any()


@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_t8_penalties_that_kill_the_model_are_reported(solver, l1_ratio):
    # Normal-looking penalties on tf-idf data: W = H = 0 without a word.
    X = sparse.random_array((60, 200), density=0.03, rng=np.random.default_rng(0))
    params = {"solver": solver, "alpha_W": 0.5, "l1_ratio": l1_ratio}
    with pytest.warns(UserWarning, match="alpha_W") as caught:
        model = NMF(5, max_iter=2000, **params).fit(sparse.csr_array(X))
    assert not model.W_.any()
    assert not model.components_.any()
    text = str(caught[0].message)
    assert "n_features" in text
    assert "200" in text


# --- transform -----------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_t9_transform_of_a_row_does_not_depend_on_the_batch(solver, beta):
    # A start and a stop for the whole batch: differences up to 3e-3.
    X = data_for(beta)
    X = X * np.logspace(-6, 6, len(X))[:, None]
    model = NMF(4, solver=solver, beta_loss=beta, max_iter=50).fit(data_for(beta))
    together = model.transform(X)
    for i in range(0, len(X), 3):
        alone = model.transform(X[i : i + 1])[0]
        np.testing.assert_allclose(alone, together[i], rtol=1e-7, atol=1e-9 * alone.max())
    sparse_alone = model.transform(sparse.csr_array(X[4:5]))[0]
    np.testing.assert_allclose(sparse_alone, together[4], rtol=1e-6, atol=1e-8 * together[4].max())


# Losses that are convex in W: others may have several answers.
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 1.0), ("mu", 1.5), ("mu", 2.0)])
def test_t9_transform_agrees_with_fit_transform_at_convergence(solver, beta):
    # Differences of 5e-3 between the two, also for converged fits.
    X = positive(1)
    model = NMF(3, solver=solver, beta_loss=beta, tol=1e-5, max_iter=50000)
    W = model.fit_transform(X)
    assert model.converged_
    value = divergence(X, W @ model.components_, beta)
    again = divergence(X, model.transform(X) @ model.components_, beta)
    assert again <= value * (1 + 1e-5)
    np.testing.assert_allclose(model.transform(X), W, atol=5e-3 * W.max())


@quiet
def test_t10_zeros_of_nndsvd_are_not_locked_by_multiplicative_updates():
    # Zeros of the start stayed zero: a higher final error and a warning.
    X = with_zeros(5, (80, 60), 8)
    params = {"solver": "mu", "beta_loss": 1, "tol": 0, "max_iter": 400}
    best = NMF(8, init="random", random_state=0, n_init=3, **params).fit(X).objective_
    for init in ("nndsvd", "nndsvda", "nndsvdar"):
        model = NMF(8, init=init, random_state=0, **params).fit(X)
        assert model.objective_ <= best * 1.02, init
    W0, H0 = np.ones((80, 8)), np.ones((8, 60))
    W0[::2], H0[:, ::3] = 0, 0
    W0 += np.eye(80, 8)
    H0 += np.eye(8, 60)
    model = NMF(8, init="custom", **params).fit(X, W=W0, H=H0)
    assert model.objective_ <= best * 1.05


@quiet
@pytest.mark.parametrize("beta", BETAS)
def test_t11_error_reported_is_the_error_recomputed(beta):
    # √(2 D) for every beta while the documentation said otherwise; no penalized objective.
    X = data_for(beta)
    for model in (
        NMF(4, beta_loss=beta, alpha_W=1e-3, l1_ratio=0.5, max_iter=30),
        MiniBatchNMF(4, beta_loss=beta, batch_size=8, max_iter=5, random_state=0),
    ):
        W = model.fit_transform(X)
        value = divergence(X, W @ model.components_, beta)
        assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * value), rel=1e-8)
        penalty = model.objective_ - value
        wanted = model.alpha_W * (
            X.shape[1] * (0.5 * W.sum() + 0.25 * (W**2).sum())
            + X.shape[0] * (0.5 * model.components_.sum() + 0.25 * (model.components_**2).sum())
        )
        assert penalty == pytest.approx(wanted, abs=1e-8 * value)


# --- what is given is never changed -----------------------------------------------------------


@quiet
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 2.0), ("mu", 1.0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_t12_start_arrays_are_not_overwritten(solver, beta, order):
    # W, or W and H, of the user held the answer afterwards.
    X = positive()
    rng = np.random.default_rng(0)
    W, H = rng.uniform(0, 1, (30, 4)), rng.uniform(0, 1, (4, 20))
    W, H = np.asarray(W, order=order), np.asarray(H, order=order)
    kept = X.copy(), W.copy(), H.copy()
    for array in (X, W, H):
        array.flags.writeable = False
    params = {"solver": solver, "beta_loss": beta, "max_iter": 5}
    model = NMF(4, init="custom", **params).fit(X, W=W, H=H)
    non_negative_factorization(X, W, H, 4, init="custom", **params)
    non_negative_factorization(X, H=H, update_H=False, **params)
    MiniBatchNMF(4, init="custom", beta_loss=beta, batch_size=7, max_iter=2).fit(X, W=W, H=H)
    MiniBatchNMF(4, init="custom", beta_loss=beta).partial_fit(X, W=W, H=H)
    for array, before in zip((X, W, H), kept, strict=True):
        np.testing.assert_array_equal(array, before)
    assert not np.shares_memory(model.components_, H)
    assert not np.shares_memory(model.W_, W)


@quiet
@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("scale", [1.0, 1e200])
def test_t12_sparse_input_is_not_changed(solver, scale):
    # Duplicates summed or indices sorted in place change the matrix of the user.
    for stored in (unsorted, duplicated, explicit_zeros):
        X = stored(with_zeros() * scale)
        kept = X.data.copy(), X.indices.copy(), X.indptr.copy()
        for array in (X.data, X.indices, X.indptr):
            array.flags.writeable = False
        model = NMF(4, solver=solver, max_iter=5).fit(X)
        model.transform(X)
        model.score(X)
        model.explained_variance(X)
        for array, before in zip((X.data, X.indices, X.indptr), kept, strict=True):
            np.testing.assert_array_equal(array, before)


@quiet
@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
def test_t13_custom_start_with_one_factor_only(Estimator):
    # "Expected 2D array, got scalar array instead: array=None".
    X = positive()
    rng = np.random.default_rng(0)
    W, H = rng.uniform(0.1, 1, (30, 4)), rng.uniform(0.1, 1, (4, 20))
    for start in ({"H": H}, {"W": W}):
        model = Estimator(init="custom", random_state=0, max_iter=20).fit(X, **start)
        assert model.components_.shape == (4, 20)
        assert relative_error(X, model) < 0.2


@pytest.mark.parametrize("beta", [0.0, -1.0])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_t14_zeros_outside_the_domain_are_named_and_adding_values_is_not_advised(store, beta):
    # "Add small values": advice that changes the answer.
    for Estimator in (NMF, MiniBatchNMF):
        with pytest.raises(ValueError, match="beta_loss <= 0 and X contains zeros") as error:
            Estimator(3, beta_loss=beta).fit(store(with_zeros()))
        assert "changes the answer" in str(error.value)
    # Explicitly stored, but all positive: inside the domain.
    NMF(3, beta_loss=beta, tol=0, max_iter=2).fit(store(positive()))


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(("solver", "beta"), [c for c in SOLVED if c[1] > 0])
def test_t15_all_zero_data_fit_without_noise(solver, beta, store):
    # RuntimeWarning: invalid value encountered in divide.
    for init in [None, *INITS]:
        model = NMF(3, solver=solver, beta_loss=beta, init=init, random_state=0)
        W = model.fit_transform(store(np.zeros((6, 5))))
        assert not (W @ model.components_).any()
        assert model.reconstruction_err_ < 1e-60
        assert np.isfinite(model.transform(np.ones((2, 5)))).all()


@quiet
@pytest.mark.parametrize("shape", [(40, 30), (1100, 1000)], ids=["small", "large"])
def test_t16_default_start_is_deterministic_without_a_seed(shape):
    # A randomized decomposition without a seed: another answer each time.
    X = positive(0, shape)
    first, second = (NMF(4, max_iter=3, tol=0).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.components_, second.components_)
    np.testing.assert_array_equal(first.W_, second.W_)


# --- mini-batches --------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_t17_small_batches_come_close_to_the_batch_fit(beta):
    # 0.021 against 0.0003, not converged in 200 passes.
    rng = np.random.default_rng(0)
    X = rng.gamma(0.5, size=(300, 5)) @ rng.gamma(0.5, size=(5, 80))
    X *= rng.gamma(100, 1 / 100, size=X.shape)
    batch = NMF(5, beta_loss=beta, random_state=0, max_iter=500).fit(X)
    online = MiniBatchNMF(5, beta_loss=beta, batch_size=32, random_state=0, max_iter=200)
    online.fit(X)
    assert online.reconstruction_err_ <= 1.02 * batch.reconstruction_err_


def test_t17_partial_fit_with_fewer_rows_than_components():
    # Accepted without a word, and a poor start for the rest of the stream.
    X = positive(2, (120, 20), 6)
    model = MiniBatchNMF(6, random_state=0)
    for _ in range(10):
        for i in range(0, 120, 3):
            model.partial_fit(X[i : i + 3])
    assert np.isfinite(model.components_).all()
    error = np.linalg.norm(X - model.transform(X) @ model.components_) / np.linalg.norm(X)
    assert error < 1.5 * relative_error(X, NMF(6, max_iter=1000).fit(X))


@quiet
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_t18_memory_order_does_not_matter(solver, init):
    # A change of the order of a decomposition's output: "ndarray is not C-contiguous".
    X = positive()
    fits = [
        NMF(4, solver=solver, init=init, random_state=0, max_iter=10, tol=0).fit(Z)
        for Z in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.T.copy().T)
    ]
    for other in fits[1:]:
        np.testing.assert_allclose(other.components_, fits[0].components_, rtol=1e-7)
        np.testing.assert_allclose(other.W_, fits[0].W_, rtol=1e-7, atol=1e-12)
    assert fits[0].W_.flags.c_contiguous
    assert fits[0].components_.flags.c_contiguous


# --- other packages --------------------------------------------------------------------------


def _start(X, init, k=4, **params):
    """The start that a fit receives, seen by its callback."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        NMF(k, init=init, random_state=0, max_iter=1, **params).fit(
            X, callback=lambda state: seen.append((state.W, state.components)) or True
        )
    return seen[0]


@pytest.mark.parametrize("init", ["nndsvd", "nndsvda", "nndsvdar"])
def test_t20_first_component_of_nndsvd_survives_negative_singular_vectors(init, monkeypatch):
    # A loop that began at component 2, and negative first vectors that were clipped to zero.
    X = positive()
    plain = _start(X, init)
    svd = np.linalg.svd

    def flipped(A, *args, **kwargs):
        u, s, vt = svd(A, *args, **kwargs)
        return -u, s, -vt

    monkeypatch.setattr(np.linalg, "svd", flipped)
    turned = _start(X, init)
    for F, G in zip(plain, turned, strict=True):
        np.testing.assert_allclose(F, G, rtol=1e-10)
    W, H = plain
    assert (W[:, 0] > 0).all()
    assert (H[0] > 0).all()
    u = svd(X)[0]
    np.testing.assert_allclose(W[:, 0] / np.linalg.norm(W[:, 0]), np.abs(u[:, 0]), rtol=1e-8)


@quiet
def test_t20_l2_penalties_count_for_every_loss():
    # L2 silently ignored for other than the squared loss.
    for beta in BETAS:
        X = data_for(beta)
        free, bound = (
            NMF(4, beta_loss=beta, alpha_W=alpha, max_iter=100).fit(X) for alpha in (0.0, 0.05)
        )
        assert np.linalg.norm(bound.W_) * np.linalg.norm(bound.components_) < (
            np.linalg.norm(free.W_) * np.linalg.norm(free.components_)
        )


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_t21_starts_have_the_size_of_the_data(init, scale):
    # |randn| starts for data of any size: "loss too big".
    X = positive() * scale
    W, H = _start(X, init)
    assert (W @ H).sum() == pytest.approx(X.sum(), rel=1e-6)


@quiet
def test_t22_zeros_of_the_data_stay_zeros_and_explained_variance_is_sane():
    # Zeros replaced in place by 2e-16; an explained variance of −8.6e14.
    X = with_zeros()
    before = X.copy()
    model = NMF(4, beta_loss=1, max_iter=50).fit(X)
    np.testing.assert_array_equal(X, before)
    assert 0.5 < model.explained_variance() <= 1


@quiet
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 1.0)])
def test_t23_penalties_of_w_and_h_do_not_trade_places(solver, beta):
    # One solver for both factors, called on the transpose with the penalty of the other.
    X = positive()
    rng = np.random.default_rng(0)
    W0, H0 = rng.uniform(0.1, 1, (30, 4)), rng.uniform(0.1, 1, (4, 20))
    params = {"solver": solver, "beta_loss": beta, "l1_ratio": 1.0, "max_iter": 30, "tol": 0}
    for alpha_W, alpha_H in ((0.2, 0.0), (0.0, 0.2)):
        W, H, _ = non_negative_factorization(
            X, W0, H0, init="custom", alpha_W=alpha_W, alpha_H=alpha_H, **params
        )
        heavier = (W.sum() * H0.sum()) / (H.sum() * W0.sum())
        assert heavier < 1 if alpha_W else heavier > 1
    # update_H=False knows the penalty of W only.
    plain = non_negative_factorization(X, H=H0, update_H=False, alpha_H=5.0, **params)[0]
    light = non_negative_factorization(X, H=H0, update_H=False, alpha_H=0.0, **params)[0]
    np.testing.assert_array_equal(plain, light)


@quiet
@pytest.mark.parametrize("init", INITS)
def test_t23_the_global_random_generator_is_left_alone(init):
    # np.random.seed called by a library.
    np.random.seed(7)  # noqa: NPY002
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    for seed in (0, None):
        NMF(4, init=init, random_state=seed, shuffle=True, solver="cd", max_iter=2).fit(positive())
        MiniBatchNMF(4, init=init, random_state=seed, max_iter=2).fit(positive())
        MiniBatchNMF(4, init=init, random_state=seed).partial_fit(positive())
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


def run_alone(code):
    """Run code in a fresh process, and return what it printed on both streams."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_t24_the_compiler_loads_with_the_first_kernel():
    code = (
        "import sys, partwise\n"
        "from partwise import NMF, MiniBatchNMF, nnls, compare\n"
        "model = NMF(2)\n"
        "assert not {'numba', 'llvmlite', 'matplotlib', 'torch'} & set(sys.modules)\n"
        "model.fit([[1.0, 2.0], [2.0, 1.0]])\n"
        "assert 'numba' in sys.modules\n"
    )
    run_alone(code)


def test_t24_import_has_no_side_effects():
    # A GUI toolkit imported, logging configured, threads limited, text printed.
    code = (
        "import logging, random, sys, numpy as np, warnings\n"
        "import sklearn.decomposition, numba, joblib\n"
        "loaded = set(sys.modules)\n"
        "before = np.random.get_state()[1].sum(), random.getstate()\n"
        "filters = list(warnings.filters)\n"
        "import partwise\n"
        "assert not logging.getLogger().handlers\n"
        "assert np.random.get_state()[1].sum() == before[0]\n"
        "assert random.getstate() == before[1]\n"
        "assert list(warnings.filters) == filters\n"
        "assert not {'tkinter', 'matplotlib', 'pandas', 'torch'} & set(sys.modules) - loaded\n"
    )
    assert run_alone(code) == ("", "")


@quiet
@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_t25_transform_leaves_the_components_bit_identical(Estimator, beta):
    # predict refitted the components on the test data.
    model = Estimator(4, beta_loss=beta, max_iter=20, random_state=0).fit(with_zeros())
    before = model.components_.tobytes(), model.W_.tobytes()
    address = model.components_.ctypes.data
    for X in (positive(9), sparse.csr_array(with_zeros(9)), 1e300 * positive(9)):
        model.transform(X)
    model.score(positive(9))
    model.assign(positive(9))
    assert (model.components_.tobytes(), model.W_.tobytes()) == before
    assert model.components_.ctypes.data == address


@quiet
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_t26_seed_and_precision_are_used_and_n_jobs_changes_no_bit(solver):
    # Seeds and tolerances that were never passed on; answers that depend on n_jobs.
    X = positive()
    params = {"init": "random", "solver": solver, "max_iter": 300}
    first, same, other = (NMF(4, random_state=s, **params).fit(X) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.W_, same.W_)
    assert not np.array_equal(first.W_, other.W_)
    loose, tight = (NMF(4, random_state=1, tol=t, **params).fit(X) for t in (1e-1, 1e-5))
    assert loose.n_iter_ < tight.n_iter_
    runs = [
        NMF(4, random_state=1, n_init=5, n_jobs=jobs, **params).fit(X) for jobs in (None, 1, 2, 3)
    ]
    for run in runs[1:]:
        assert run.W_.tobytes() == runs[0].W_.tobytes()
        assert run.components_.tobytes() == runs[0].components_.tobytes()
        assert run.objectives_.tobytes() == runs[0].objectives_.tobytes()
    assert len(set(runs[0].objectives_)) > 1  # several may end at the same optimum


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_t27_history_is_not_off_by_one(solver, beta):
    # A loss that belonged to the factors of one iteration before.
    X = data_for(beta)
    seen = []
    model = NMF(4, solver=solver, beta_loss=beta, max_iter=25, tol=0)
    model.set_params(alpha_W=1e-3, l1_ratio=1.0)
    model.fit(X, callback=lambda state: seen.append((state.objective, state.W, state.components)))
    assert len(seen) == len(model.objective_history_) == model.n_iter_ + 1 == 26
    for objective, W, H in seen:
        penalty = 1e-3 * (X.shape[1] * W.sum() + X.shape[0] * H.sum())
        value = divergence(X, W @ H, beta) + penalty
        assert objective == pytest.approx(value, rel=1e-9)
    np.testing.assert_array_equal([s[0] for s in seen][:-1], model.objective_history_[:-1])
    assert model.objective_history_[-1] == model.objective_


@quiet
@pytest.mark.parametrize("by", ["l1", "l2", "max"])
def test_t28_normalized_parts_stay_non_negative_and_finite(by):
    # NaN from a zero component, negative entries after normalization.
    X = positive(0, (30, 20), 2)
    rng = np.random.default_rng(0)
    W, H = rng.uniform(0.1, 1, (30, 3)), rng.uniform(0.1, 1, (3, 20))
    H[1] = 0
    W[:, 1] = 0
    fixed = np.zeros(H.shape, bool)
    fixed[1] = True
    model = NMF(3, init="custom", max_iter=50).fit(
        X, W=W, H=H, fixed_W=np.broadcast_to(fixed[:, 0], W.shape), fixed_H=fixed
    )
    product = model.W_ @ model.components_
    model.normalize(by=by).sort_components()
    assert not model.components_[2].any()
    for F in (model.W_, model.components_):
        assert np.isfinite(F).all()
        assert F.min() >= 0
    np.testing.assert_allclose(model.W_ @ model.components_, product, rtol=1e-12)


@quiet
def test_t29_transform_solves_nnls_and_does_not_clip_least_squares():
    # max(0, lstsq) is not the non-negative least squares answer.
    model = NMF(6, max_iter=50).fit(with_zeros(0, (30, 20), 6))
    X = with_zeros(1, (30, 20), 6)
    W = model.transform(X)
    exact = np.array([nnls(model.components_.T, row)[0] for row in X])
    clipped = np.maximum(np.linalg.lstsq(model.components_.T, X.T, rcond=None)[0].T, 0)
    np.testing.assert_allclose(W, exact, atol=1e-8 * exact.max())
    assert np.abs(clipped - exact).max() > 1e-2 * exact.max()


def test_t30_nndsvd_details():
    # Ranks up to min(shape) only, asymmetric scaling, fills on the wrong range.
    X = positive(0, (9, 7), 7)
    W, H = _start(X, "nndsvd", 7)
    W_of_transpose, H_of_transpose = _start(X.T.copy(), "nndsvd", 7)
    np.testing.assert_allclose(W, H_of_transpose.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(H, W_of_transpose.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), np.linalg.norm(H, axis=1), rtol=1e-6)
    assert (W == 0).any()
    assert W.any(axis=0).all()
    for init, low, high in (("nndsvda", 0.2, 5.0), ("nndsvdar", 0.0, 0.05)):
        V, G = _start(X, init, 7)
        for F, plain in ((V, W), (G, H)):
            level = np.sqrt(X.mean() / 7)
            filled = F[plain == 0]
            assert (filled > low * level).all()
            assert (filled < high * level).all()
            ratio = F[plain > 0] / plain[plain > 0]
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    for init in ("nndsvd", "nndsvda", "nndsvdar"):
        with pytest.raises(ValueError, match=r"n_components (<=|≤)"):
            NMF(8, init=init).fit(X)
    assert NMF(8, tol=0, max_iter=1).fit(X).init_ == "random"


@quiet
@pytest.mark.parametrize("beta", BETAS)
def test_t31_guards_against_zero_do_not_change_the_model(beta):
    # A small penalty, or a floor of 1e-7, that entered the answer.
    X = data_for(beta) * 1e-9
    model = NMF(4, beta_loss=beta, solver="mu", max_iter=60).fit(X)
    value = divergence(X, model.W_ @ model.components_, beta)
    assert model.objective_ == pytest.approx(value, rel=1e-8)
    almost = NMF(4, beta_loss=beta, solver="mu", max_iter=60, alpha_W=1e-60, l1_ratio=1)
    almost.fit(X)
    np.testing.assert_allclose(almost.components_, model.components_, rtol=1e-6)


@quiet
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(("solver", "beta"), [c for c in SOLVED if c[1] > 0])
def test_t32_zero_rows_and_columns_stay_zero_and_everything_finite(solver, beta, store):
    # NaN usages, hanging jobs, division by zero.
    X = with_zeros()
    X[[3, 11]] = 0
    X[:, [0, 7, 8]] = 0
    for init in INITS:
        model = NMF(4, solver=solver, beta_loss=beta, init=init, random_state=0, max_iter=300)
        W = model.fit_transform(store(X))
        H = model.components_
        assert np.isfinite(W).all()
        assert np.isfinite(H).all()
        product = W @ H
        assert product[[3, 11]].max() <= 1e-6 * X.max(), init
        assert product[:, [0, 7, 8]].max() <= 1e-6 * X.max(), init
        assert not model.transform(store(X))[[3, 11]].any()
    for batches in (5, 100):
        online = MiniBatchNMF(4, beta_loss=beta, batch_size=batches, random_state=0)
        assert np.isfinite(online.fit_transform(store(X))).all()
        assert np.isfinite(online.components_).all()
        assert not online.transform(store(X))[[3, 11]].any()


@quiet
@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
@pytest.mark.parametrize("beta", BETAS)
def test_t33_one_component_stays_a_matrix(Estimator, beta):
    # k = 1 became a vector, or NaN.
    X = data_for(beta)
    model = Estimator(1, beta_loss=beta, max_iter=50, random_state=0)
    W = model.fit_transform(X)
    assert W.shape == (30, 1)
    assert model.components_.shape == (1, 20)
    assert model.transform(X[:1]).shape == (1, 1)
    assert model.inverse_transform(W).shape == X.shape
    assert np.isfinite(W).all()
    if beta == 1:  # the answer is known: outer product of the sums
        np.testing.assert_allclose(
            W @ model.components_, np.outer(X.sum(1), X.sum(0)) / X.sum(), rtol=1e-5
        )


@quiet
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_t34_transform_and_score_use_the_loss_of_the_fit(beta):
    # Fit by Kullback-Leibler, refit by least squares, select by yet another loss.
    X = data_for(beta)
    model = NMF(4, beta_loss=beta, max_iter=200).fit(X)
    new = data_for(beta, 1)
    W = model.transform(new)
    value = divergence(new, W @ model.components_, beta)
    assert model.score(new) == pytest.approx(-value / new.size, rel=1e-6)
    squared = NMF(4, init="custom", max_iter=1, tol=0).fit(X, H=model.components_)
    squared.components_ = model.components_
    other = np.maximum(squared.transform(new) @ model.components_, 1e-300)
    assert value < divergence(new, np.maximum(other, 1e-12), beta)
    rng = np.random.default_rng(0)
    for _ in range(20):  # no better W nearby
        V = W * np.exp(0.05 * rng.standard_normal(W.shape))
        assert value <= divergence(new, V @ model.components_, beta) * (1 + 1e-9)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_t35_transform_between_batches_changes_nothing(beta):
    # A transform that overwrote the cached terms of the next update.
    X = positive(0, (30, 20))
    quietly, watched = (MiniBatchNMF(4, beta_loss=beta, random_state=0) for _ in range(2))
    for i in range(0, 30, 10):
        quietly.partial_fit(X[i : i + 10])
        watched.partial_fit(X[i : i + 10])
        first = watched.transform(X)
        np.testing.assert_array_equal(first, watched.transform(X))
        watched.score(X)
    np.testing.assert_array_equal(quietly.components_, watched.components_)
