"""Estimators with losses as names and objects: planted parts, scale, storage, dtype."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, MiniBatchNMF, load_model, save_model
from partwise._errors import UnsupportedCombinationError
from partwise.losses import (
    L21,
    Absolute,
    Alpha,
    Binomial,
    Bregman,
    Huber,
    NegativeBinomial,
    StudentT,
    Tweedie,
    as_loss,
)
from partwise.penalties import Box, Simplex

OBJECTS = [Alpha(0.5), Huber(0.3), Absolute(0.1), StudentT(0.3), NegativeBinomial(2.0), L21()]
by_loss = pytest.mark.parametrize("loss", OBJECTS, ids=lambda loss: loss.name)


def fitted(X, Estimator=NMF, **params):
    """Return an estimator after a few iterations, whether that is enough or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        params = {"init": "random", "random_state": 0, "max_iter": 30, **params}
        return Estimator(params.pop("k", 3), **params).fit(X)


def cosines(H, found):
    """Return the cosines of the rows of H with those of ``found`` that match them best."""
    first, second = (F / np.linalg.norm(F, axis=1, keepdims=True) for F in (H, found))
    pairs = linear_sum_assignment(-first @ second.T)
    return (first @ second.T)[pairs]


@pytest.mark.parametrize("seed", range(3))
def test_gross_errors_do_not_move_the_parts(seed):
    """5 % of the entries are far off: least squares loses the parts, robust losses keep them."""
    rng = np.random.default_rng(seed)
    W = rng.gamma(1.0, size=(120, 4)) * (rng.random((120, 4)) < 0.6)
    H = rng.gamma(1.0, size=(4, 60)) * (rng.random((4, 60)) < 0.6)
    X = np.maximum(W @ H + 0.02 * rng.standard_normal((120, 60)), 0)
    wrong = rng.random(X.shape) < 0.05
    X[wrong] += 10 * X.mean() * rng.gamma(2.0, size=wrong.sum())
    how = {"k": 4, "n_init": 3, "max_iter": 400, "tol": 0}
    assert cosines(H, fitted(X, **how).components_).min() < 0.95
    model = fitted(X, beta_loss=Huber(0.05), **how)
    assert cosines(H, model.components_).min() >= 0.99
    assert cosines(H, fitted(X, beta_loss=Absolute(0.02), **how).components_).min() >= 0.99
    near = NMF(4, init="custom", beta_loss=StudentT(0.05), max_iter=200, tol=0)
    near.fit(X, W=model.W_, H=model.components_)
    assert cosines(H, near.components_).min() >= 0.99
    # The weights of rows with errors, with the parts known.
    clean = np.abs(model.transform(X[:20]) @ model.components_ - W[:20] @ H)
    assert np.median(clean) < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_outlying_samples_do_not_move_the_parts(seed):
    """5 % of the samples are no mixtures of the parts: the L2,1 norm lets them go."""
    rng = np.random.default_rng(seed)
    W = rng.gamma(1.0, size=(120, 4)) * (rng.random((120, 4)) < 0.6)
    H = rng.gamma(1.0, size=(4, 60)) * (rng.random((4, 60)) < 0.6)
    X = np.maximum(W @ H + 0.02 * rng.standard_normal((120, 60)), 0)
    X[rng.choice(120, 6, replace=False)] = 5 * X.mean() * rng.gamma(1.0, size=(6, 60))
    how = {"k": 4, "n_init": 3, "max_iter": 400, "tol": 0}
    assert cosines(H, fitted(X, **how).components_).min() < 0.95
    assert cosines(H, fitted(X, beta_loss="l21", **how).components_).min() >= 0.99


@pytest.mark.filterwarnings("ignore:transform. . of 12 rows did not reach")
@by_loss
@pytest.mark.parametrize("c", [1e-200, 1e-6, 1e6, 1e200])
def test_constants_follow_the_unit_of_the_data(loss, c):
    X = np.random.default_rng(0).gamma(1.0, size=(12, 8))
    one, other = fitted(X, beta_loss=loss), fitted(c * X, beta_loss=loss.rescaled(c))
    np.testing.assert_allclose(other.components_, np.sqrt(c) * one.components_, rtol=1e-6)
    if 1e-100 < c < 1e100:
        assert other.objective_ == pytest.approx(c**loss.degree * one.objective_, rel=1e-7)
        assert other.reconstruction_err_ == pytest.approx(np.sqrt(2 * other.objective_))
        assert other.score(c * X) == pytest.approx(c**loss.degree * one.score(X), rel=1e-3)


@by_loss
def test_objects_go_through_the_estimators(loss):
    X = np.random.default_rng(0).gamma(1.0, size=(20, 8)).astype(np.float32)
    X[X < 0.3] = 0
    model = fitted(X, beta_loss=loss)
    assert model.components_.dtype == np.float32
    assert model.beta_loss_ == loss.degree
    same = fitted(sparse.csr_array(X), beta_loss=loss)
    np.testing.assert_allclose(same.components_, model.components_, rtol=2e-3, atol=2e-3)
    copied = clone(pickle.loads(pickle.dumps(model)))
    assert copied.beta_loss.name == loss.name
    alone = model.set_params(max_iter=300).transform(X[4:5])
    np.testing.assert_allclose(alone, model.transform(X)[4:5], rtol=1e-3, atol=1e-4)
    batches = fitted(X, MiniBatchNMF, beta_loss=loss, batch_size=5)
    assert np.isfinite(batches.components_).all()
    assert batches.objective_history_[-1] < 0.9 * batches.objective_history_[0]
    with pytest.raises(ValueError, match="solver 'cd' needs the squared"):
        NMF(3, beta_loss=loss, solver="cd").fit(X)


def test_losses_are_written_to_files(tmp_path):
    X = np.random.default_rng(0).gamma(1.0, size=(12, 8))
    for number, loss in enumerate(("hellinger", Tweedie(1.5), StudentT(2.0, df=3.0))):
        model = fitted(X, beta_loss=loss)
        loaded = load_model(save_model(tmp_path / str(number), model))
        assert getattr(loaded.beta_loss, "name", loaded.beta_loss) == getattr(loss, "name", loss)
        assert loaded.score(X) == pytest.approx(model.score(X), rel=1e-6)
    np.testing.assert_array_equal(
        fitted(X, beta_loss=Tweedie(0), solver="cd").components_, fitted(X, solver="cd").components_
    )
    with pytest.raises(ValueError, match=r"beta_loss: got 'cauchy'.*'hellinger'"):
        as_loss("cauchy")


def test_a_loss_without_a_majorizer_is_left_to_proximal_gradient_steps():
    rng = np.random.default_rng(0)
    X = rng.gamma(1.0, size=(20, 3)) @ rng.gamma(1.0, size=(3, 8))
    X[X < 0.3] = 0
    loss = Bregman(
        lambda y: y**2 / 2 + np.expm1(-y) + y, lambda y: y - np.expm1(-y), lambda y: 1 + np.exp(-y)
    )
    model = fitted(X, beta_loss=loss, max_iter=1000)
    assert model.solver_ == "pgd"
    assert model.converged_
    for name in ("mu", "amu"):
        with pytest.raises(ValueError, match=r"none is known for the Bregman.*: 'pgd'"):
            NMF(3, beta_loss=loss, solver=name).fit(X)
    with pytest.raises(ValueError, match="no majorizer is known for the Bregman"):
        MiniBatchNMF(3, beta_loss=loss).fit(X)
    with pytest.raises(ValueError, match="Use NMF"):
        MiniBatchNMF(3, beta_loss=loss).partial_fit(X)
    W = model.transform(X)
    np.testing.assert_array_equal(model.transform(X[3:4])[0], W[3])
    np.testing.assert_allclose(model.transform(sparse.csr_array(X)), W, rtol=1e-6, atol=1e-9)
    assert -model.score(X) * X.size == pytest.approx(model.objective_, rel=1e-3)
    assert np.abs(W @ model.components_ - model.W_ @ model.components_).max() < 1e-2 * X.max()


def test_tables_of_yes_and_no():
    """Planted parts are tables of probabilities, and samples mixtures of them."""
    rng = np.random.default_rng(0)
    W, H = rng.dirichlet(np.full(3, 0.2), 200), rng.beta(0.3, 0.5, (3, 50))
    X = Binomial().draw(W @ H, rng)
    assert set(np.unique(X)) == {0.0, 1.0}
    bounds = {"penalty_W": Simplex(), "penalty_H": Box(0, 1)}
    model = NMF(3, beta_loss="bernoulli", max_iter=150, tol=1e-3, random_state=0, **bounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    Y = model.W_ @ model.components_
    assert Y.max() <= 1 + 1e-12
    assert model.objective_ < Binomial().total(X, np.clip(W @ H, 1e-9, 1 - 1e-9))
    alike = np.corrcoef(model.components_, H)[:3, 3:].max(axis=0)
    assert alike.min() > 0.97, alike


def test_means_beyond_the_number_of_trials_are_refused():
    X = np.eye(4)
    with pytest.raises(UnsupportedCombinationError, match=r"beyond 1.*Simplex.*Box\(0, 1\)"):
        NMF(2, beta_loss="bernoulli").fit(X)
    bounds = {"penalty_W": Simplex(), "penalty_H": Box(0, 1)}
    with pytest.raises(ValueError, match="X with 2; wanted entries of at most 1"):
        NMF(2, beta_loss="bernoulli", **bounds).fit(2 * X)
    with pytest.raises(ValueError, match="whole number of trials"):
        Binomial(1.5).draw(np.ones(3), np.random.default_rng(0))
