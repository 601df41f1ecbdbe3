"""Variants of the literature: what they promise beyond NMF."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from partwise import NMF, NonSmoothNMF, load_model, losses, save_model

rng = np.random.default_rng(0)
PARTS = [rng.random(shape) * (rng.random(shape) < 0.5) for shape in ((80, 4), (4, 30))]
X = PARTS[0] @ PARTS[1] + 0.05 * rng.random((80, 30))
LOSSES = ["frobenius", "kullback-leibler", "itakura-saito", 1.5, losses.Huber(0.1)]


def sparseness(F):
    """Hoyer's, the mean over the rows."""
    root = np.sqrt(F.shape[1])
    return np.mean((root - F.sum(axis=1) / np.linalg.norm(F, axis=1)) / (root - 1))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: getattr(loss, "name", str(loss)))
@pytest.mark.parametrize("solver", ["auto", "mu", "pgd"])
def test_without_smoothing_it_is_nmf_to_the_bit(loss, solver):
    how = {"beta_loss": loss, "solver": solver, "max_iter": 20, "tol": 0, "random_state": 0}
    plain, smooth = NMF(4, **how).fit(X), NonSmoothNMF(4, theta=0, **how).fit(X)
    np.testing.assert_array_equal(smooth.components_, plain.components_)
    np.testing.assert_array_equal(smooth.W_, plain.W_)
    np.testing.assert_array_equal(smooth.transform(X[:9]), plain.transform(X[:9]))


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_both_factors_become_sparser_with_theta(loss):
    """Pascual-Montano et al. (2006), figure 3: sparser, and a little less is explained."""
    fits = [
        NonSmoothNMF(4, theta=theta, beta_loss=loss, max_iter=2000, tol=1e-5).fit(X)
        for theta in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    for F in ([m.W_.T for m in fits], [m.components_ for m in fits]):
        assert (np.diff([sparseness(f) for f in F]) > 0).all()
    assert (np.diff([m.reconstruction_err_ for m in fits]) > 0).all()


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_everything_that_is_told_is_of_the_smoothed_product(loss, storage, tmp_path):
    model = NonSmoothNMF(4, theta=0.4, beta_loss=loss, max_iter=3000, tol=1e-6).fit(storage(X))
    S = 0.6 * np.eye(4) + 0.1
    Y = model.W_ @ S @ model.components_
    np.testing.assert_allclose(model.inverse_transform(model.W_), Y, rtol=1e-12)
    cost = losses.as_loss(loss).total(X, Y)
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * cost), rel=1e-6)
    assert model.score(storage(X)) == pytest.approx(-cost / X.size, rel=1e-4)
    share = 1 - np.sum((X - Y) ** 2) / np.sum(X**2)
    assert model.explained_variance() == pytest.approx(share, rel=1e-9)
    assert model.explained_variance(X, W=model.W_) == pytest.approx(share, rel=1e-9)
    for per in ("component", "sample", "feature"):
        found = model.explained_variance(per=per)
        wanted = model.explained_variance(X, per=per, W=model.W_)
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    np.testing.assert_allclose(model.transform(storage(X)), model.W_, atol=1e-3)
    usage = model.W_ * (S @ model.components_).sum(axis=1)
    np.testing.assert_array_equal(model.assign(), usage.argmax(axis=1))
    again = load_model(save_model(tmp_path / "m", model))
    assert type(again) is NonSmoothNMF
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    shares = (model.sort_components().W_.sum(axis=0)) * (S @ model.components_).sum(axis=1)
    assert (np.diff(shares) <= 0).all()
    with pytest.raises(ValueError, match=r"normalize: got theta=0\.4; wanted theta=0"):
        model.normalize()


def test_parameters_of_nmf_are_its_own_too():
    model = NonSmoothNMF(3, theta=0.2, tol=1e-3, alpha_W=0.1)
    assert set(model.get_params()) == {*NMF().get_params(), "theta"}
    assert clone(model).set_params(theta=0.7, solver="mu").theta == 0.7
    assert repr(model) == "NonSmoothNMF(alpha_W=0.1, n_components=3, theta=0.2, tol=0.001)"
    with pytest.raises(ValueError, match="theta"):
        NonSmoothNMF(3, theta=1.0).fit(X)
    with pytest.raises(TypeError, match="tolerance"):
        NonSmoothNMF(3, tolerance=1.0)
