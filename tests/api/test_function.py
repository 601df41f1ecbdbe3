"""What the function takes is what the estimator takes."""

import inspect

import numpy as np
import pytest

from partwise import NMF, non_negative_factorization

RNG = np.random.default_rng(0)
X = RNG.gamma(0.5, size=(30, 3)) @ RNG.gamma(0.5, size=(3, 9)) + 0.01
V, ROWS = RNG.uniform(0.5, 2, X.shape), np.arange(30) % 3 + 0.5
KINDS = {
    "none": {},
    "of entries": {"weights": V},
    "of samples": {"sample_weight": ROWS},
    "of rows": {"weights": ROWS},
    "both": {"weights": V, "sample_weight": ROWS},
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_every_argument_of_the_estimator_but_those_of_runs_is_there():
    own = set(inspect.signature(non_negative_factorization).parameters)
    estimator = set(inspect.signature(NMF).parameters)
    fit = set(inspect.signature(NMF.fit_transform).parameters)
    runs = {"n_init", "n_jobs", "max_time"}
    calls = {"self", "y", "fixed_W", "fixed_H", "callback"}
    assert own == (estimator | fit | {"update_H"}) - runs - calls


@pytest.mark.parametrize("known", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("beta", [2, 1])
def test_weights_are_those_of_the_estimator(beta, known):
    how = {"beta_loss": beta, "random_state": 0, "max_iter": 20, "tol": 0}
    W, H, _ = non_negative_factorization(X, n_components=3, **how, **known)
    model = NMF(3, **how).fit(X, **known)
    np.testing.assert_array_equal(H, model.components_)
    np.testing.assert_array_equal(W, model.W_)


@pytest.mark.parametrize("known", KINDS.values(), ids=KINDS)
def test_rows_alone_are_those_of_transform(known):
    model = NMF(3, random_state=0).fit(X)
    how = {"n_components": 3, "update_H": False}
    W, H, _ = non_negative_factorization(X, H=model.components_, **how, **known)
    weights = {"weights": V} if known.get("weights") is V else {}
    np.testing.assert_array_equal(H, model.components_)
    # The weight of a row says nothing of what its best W is.
    np.testing.assert_allclose(W, model.transform(X, **weights), rtol=1e-9, atol=1e-12)


def test_negative_entries_are_allowed_if_asked_for():
    noisy = X - 0.05
    how = {"n_components": 2, "random_state": 0}
    with pytest.raises(ValueError, match="Negative values"):
        non_negative_factorization(noisy, **how)
    with pytest.raises(ValueError, match="squared loss"):
        non_negative_factorization(noisy, **how, allow_negative=True, beta_loss=1)
    model = NMF(**how, allow_negative=True).fit(noisy)
    W, H, _ = non_negative_factorization(noisy, **how, allow_negative=True)
    np.testing.assert_array_equal(H, model.components_)
    how["update_H"] = False
    alone, _, _ = non_negative_factorization(noisy, H=H, **how, allow_negative=True)
    np.testing.assert_array_equal(alone, model.transform(noisy))
    assert min(W.min(), H.min(), alone.min()) >= 0
