"""Factors of any sign: what may be negative, where it leads, and what is refused."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, MiniBatchNMF, UnsupportedCombinationError, non_negative_factorization
from partwise import penalties as P
from partwise.init import STARTS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((40, 30)) + 0.3
FREE = {
    "W": {"penalty_W": P.Free()},
    "H": {"penalty_H": P.Free()},
    "both": {"penalty_W": P.Free(), "penalty_H": P.Free()},
}


def error_of_svd(matrix, rank):
    return np.linalg.norm(np.linalg.svd(matrix, compute_uv=False)[rank:])


@pytest.mark.parametrize("which", FREE)
@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("solver", ["cd", "hals", "a-hals", "pgd"])
def test_error_is_at_most_that_of_the_svd_of_one_rank_less(solver, rank, which):
    """Gillis & Kumar (2015): from the default start on, at every iteration."""
    model = NMF(rank, solver=solver, max_iter=30, tol=0, **FREE[which]).fit(X)
    bound = error_of_svd(X, rank if which == "both" else rank - 1)
    assert np.sqrt(2 * model.objective_history_).max() <= bound * (1 + 1e-12)
    assert (np.diff(model.objective_history_) <= 1e-12 * model.objective_).all()
    assert which == "both" or {"W": model.components_, "H": model.W_}[which].min() >= 0
    assert np.linalg.norm(X - model.inverse_transform(model.W_)) == pytest.approx(
        model.reconstruction_err_, rel=1e-9
    )


@pytest.mark.parametrize("which", ["W", "H"])
def test_error_is_that_of_the_svd_where_its_first_vector_is_positive(which):
    mixed = np.random.default_rng(1).standard_normal((5, 7)) + 2.0
    for rank in (1, 2, 3):
        model = NMF(rank, tol=1e-8, **FREE[which]).fit(mixed)
        assert model.reconstruction_err_ == pytest.approx(error_of_svd(mixed, rank), rel=1e-12)
        assert model.converged_


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array, np.float32])
@pytest.mark.parametrize("solver", ["cd", "als", "pgd"])
def test_without_signs_every_solver_finds_the_svd(solver, storage):
    """The residual is the gradient: it vanishes there, and not before."""
    data = storage(X)
    how = {"solver": solver, "init": "random", "random_state": 0, **FREE["both"]}
    model = NMF(3, tol=1e-5, max_iter=2000, **how).fit(data)
    assert model.converged_
    assert model.kkt_ <= (1e-5 if data.dtype == np.float64 else 1e-4)
    assert model.reconstruction_err_ == pytest.approx(error_of_svd(X, 3), rel=1e-5)
    assert model.components_.dtype == model.W_.dtype == data.dtype
    assert NMF(3, tol=1e-5, max_iter=3, **how).fit(data).kkt_ > 1e-3
    slope = (model.W_ @ model.components_ - X) @ model.components_.T
    assert np.abs(slope).max() <= 1e-3 * np.abs(X @ model.components_.T).max()


@pytest.mark.parametrize("which", FREE)
@pytest.mark.parametrize("start", [*STARTS, "best-random", "compressed"])
def test_every_start_serves_data_above_zero(start, which):
    model = NMF(3, init=start, random_state=0, max_iter=50, tol=0, **FREE[which]).fit(np.abs(X))
    assert np.isfinite(model.objective_history_).all()
    assert (np.diff(model.objective_history_) <= 1e-12 * model.objective_history_[0]).all()
    assert model.reconstruction_err_ <= error_of_svd(np.abs(X), 2)


@pytest.mark.parametrize("c", [1e-6, 1e6])
def test_scale_changes_nothing_but_the_scale(c):
    fits = [NMF(3, max_iter=20, tol=0, **FREE["W"]).fit(data) for data in (X, c * X)]
    whole = [m.W_ @ m.components_ for m in fits]
    np.testing.assert_allclose(whole[1], c * whole[0], atol=1e-9 * c * np.abs(whole[0]).max())
    assert fits[1].kkt_ == pytest.approx(fits[0].kkt_, rel=1e-6)


@pytest.mark.parametrize("which", FREE)
def test_transform_finds_the_same_rows(which):
    model = NMF(2, max_iter=300, tol=1e-6, **FREE[which]).fit(X)
    W = model.transform(X)
    np.testing.assert_allclose(model.transform(X[3:5]), W[3:5], rtol=1e-9, atol=1e-12)
    error = np.linalg.norm(X - W @ model.components_)
    assert error <= model.reconstruction_err_ * (1 + 1e-9)  # long components nearly cancel
    assert error == pytest.approx(model.reconstruction_err_, rel=1e-4)
    if which != "H":
        wanted = np.linalg.lstsq(model.components_.T, X.T, rcond=None)[0].T
        np.testing.assert_allclose(W, wanted, rtol=1e-6, atol=1e-9)
    other = non_negative_factorization(X, H=model.components_, update_H=False, **FREE[which])[0]
    np.testing.assert_allclose(other, W, rtol=1e-9, atol=1e-12)


def test_known_entries_of_a_factor_of_any_sign_stay():
    """Beside them each row is the least squares solution over the others."""
    mask = np.random.default_rng(1).random((40, 3)) < 0.3
    fixed = P.Fixed(mask, np.where(mask, -0.5, 0.0))
    model = NMF(3, solver="cd", max_iter=50, penalty_W=[P.Free(), fixed]).fit(X)
    assert (model.W_[mask] == -0.5).all()
    slope = (model.transform(X) @ model.components_ - X) @ model.components_.T
    assert np.abs(slope[~mask]).max() <= 1e-10 * np.abs(X @ model.components_.T).max()
    assert np.abs(slope[mask]).max() >= 1e-4 * np.abs(X @ model.components_.T).max()


def test_penalties_of_any_sign():
    """An L1 norm is that of absolute values; L2 stays with "cd"; others ask for F ≥ 0."""
    free = P.Free()
    sparse_codes = NMF(3, tol=1e-6, max_iter=3000, penalty_W=[free, P.L1(2.0)], penalty_H=P.L2(0.1))
    sparse_codes.fit(X)
    assert sparse_codes.solver_ == "pgd"
    assert sparse_codes.converged_
    W, H = sparse_codes.W_, sparse_codes.components_
    wanted = 0.5 * np.sum((X - W @ H) ** 2) + 2 * np.abs(W).sum() + 0.05 * np.sum(H**2)
    assert sparse_codes.objective_ == pytest.approx(wanted, rel=1e-12)
    assert 0.1 < (W == 0).mean() < 0.9
    assert W.min() < 0 < W.max()
    slope = (W @ H - X) @ H.T
    np.testing.assert_allclose(slope[W != 0], -2 * np.sign(W[W != 0]), atol=1e-2)
    assert np.abs(slope[W == 0]).max() <= 2.01
    both = {"penalty_W": [free, P.L2(0.5)], "penalty_H": [free, P.L2(0.5)]}
    ridge = NMF(3, tol=1e-8, max_iter=2000, **both).fit(X)
    assert ridge.solver_ == "cd"
    s = np.linalg.svd(X, compute_uv=False)[:3]  # soft-thresholded, the sum of both penalties
    found = np.linalg.svd(ridge.inverse_transform(ridge.W_), compute_uv=False)[:3]
    np.testing.assert_allclose(found, s - 0.5, rtol=1e-5)
    with pytest.raises(UnsupportedCombinationError, match="orthogonality is known for F ≥ 0 alone"):
        NMF(3, penalty_W=[free, P.Orthogonal(1.0)]).fit(X)


REFUSED = [
    (NMF(2), "Negative values in data.*let a factor have any sign: penalty_W="),
    (NMF(2, beta_loss=1, penalty_W=P.Free()), "Negative values"),
    (NMF(2, solver="mu", penalty_W=P.Free()), "W may have any sign.*'cd'.*'als', 'pgd'"),
    (NMF(2, solver="anls-bpp", penalty_H=P.Free()), "H may have any sign"),
    (MiniBatchNMF(2, penalty_H=P.Free()), "H may have any sign.*Use NMF"),
    (NMF(2, init="nndsvd", penalty_H=P.Free()), "'nndsvd' for X with negative entries"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_is_refused(model, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        model.fit(X)


def test_losses_that_need_a_model_above_zero_refuse_signs():
    with pytest.raises(
        UnsupportedCombinationError, match=r"W may have any sign, for which the .*Leibler"
    ):
        NMF(2, beta_loss="kullback-leibler", penalty_W=P.Free()).fit(np.abs(X))


def test_data_on_disk_may_be_negative_too(tmp_path):
    long = np.random.default_rng(0).standard_normal((400, 30))
    np.save(tmp_path / "x.npy", long)
    from partwise.estimators import _checks

    before, _checks.FITS = _checks.FITS, 0
    try:
        model = NMF(3, max_iter=10, tol=0, **FREE["W"]).fit(np.load(tmp_path / "x.npy", "r"))
        with pytest.raises(ValueError, match="Negative values"):
            NMF(3).fit(np.load(tmp_path / "x.npy", "r"))
    finally:
        _checks.FITS = before
    memory = NMF(3, max_iter=10, tol=0, **FREE["W"]).fit(long)
    assert model.objective_ == pytest.approx(memory.objective_, rel=1e-9)
