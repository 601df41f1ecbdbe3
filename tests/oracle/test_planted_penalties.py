"""A fit with a penalty finds a truth that has its shape better than a fit without it."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from partwise import NMF, non_negative_factorization
from partwise import penalties as P

SEEDS = range(3)
PLACES = np.arange(80)
UNIT = P.Simplex(30.0, each="component")  # or W takes over the scale of H


def distance(truth, found):
    """Return the mean distance of components scaled to one, in their best order."""
    truth = truth / np.linalg.norm(truth, axis=1, keepdims=True)
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    cosine = truth @ found.T
    first, second = linear_sum_assignment(-cosine)
    return np.mean(np.sqrt(2 - 2 * cosine[first, second]))


def bumps():
    return np.exp(-0.5 * ((PLACES - np.array([[20], [40], [60]])) / 6) ** 2)


def steps():
    H = np.zeros((3, 80))
    H[0, 5:30], H[0, 30:40], H[1, 25:55], H[2, 50:70], H[2, 10:15] = 1, 2, 1.5, 1, 0.5
    return H


def blocks():
    H = np.zeros((3, 20, 16))
    H[0, 1:11, 1:9], H[1, 8:18, 6:15], H[2, 12:, :7] = 1, 1.5, 1
    return H.reshape(3, 320)


def sparse_parts(seed):
    drawn = np.random.default_rng(seed).gamma(0.5, size=(80, 3))
    return P.Hoyer(0.8).prox(drawn, 1.0).T


def ratio(H_of, noise, loss="frobenius", starts=1, **penalty):
    """Return the distances with and without a penalty, over those of several draws."""
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        H = H_of(seed)
        X = rng.gamma(1.0, size=(40, 3)) @ H
        X = np.maximum(X + noise * X.std() * rng.standard_normal(X.shape), 0)
        how = {"max_iter": 500, "tol": 1e-3, "random_state": 0, "beta_loss": loss}
        how |= {"init": "random", "n_init": starts} if starts > 1 else {}
        with_it = NMF(3, **how, **penalty).fit(X)
        assert with_it.solver_ == "pgd"
        found.append(
            (distance(H, with_it.components_), distance(H, NMF(3, **how).fit(X).components_))
        )
    return np.divide(*np.mean(found, axis=0))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_total_variation_finds_steps(loss):
    penalty = P.TotalVariation(10.0 if loss == "frobenius" else 3.0)
    assert ratio(lambda _: steps(), 1.0, loss, penalty_H=penalty, penalty_W=UNIT) < 0.9


def test_total_variation_finds_blocks_of_an_image():
    penalty = P.TotalVariation(8.0, shape=(20, 16), tol=1e-4)
    assert ratio(lambda _: blocks(), 1.0, penalty_H=penalty, penalty_W=UNIT) < 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_smoothness_finds_smooth_components(loss):
    penalty = P.Smooth(10.0, order=2)
    assert ratio(lambda _: bumps(), 1.0, loss, penalty_H=penalty, penalty_W=UNIT) < 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_unimodality_finds_peaks(loss):
    assert ratio(lambda _: bumps(), 1.0, loss, penalty_H=P.Unimodal()) < 0.8


def test_hoyer_finds_sparse_components():
    assert ratio(sparse_parts, 0.5, starts=5, penalty_H=P.Hoyer(0.8)) < 0.9


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_simplex_finds_shares_of_known_endmembers(loss):
    rng = np.random.default_rng(0)
    W, H = rng.dirichlet(np.full(4, 0.4), size=100), rng.random((4, 8)) + 0.1
    X = np.maximum(W @ H + 0.1 * rng.standard_normal((100, 8)), 0)
    errors = []
    for penalty in (None, P.Simplex()):
        how = {"beta_loss": loss, "tol": 1e-3, "max_iter": 1000, "penalty_W": penalty}
        found, _, _ = non_negative_factorization(X, H=H, update_H=False, **how)
        errors.append(np.linalg.norm(found - W))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert errors[1] < 0.8 * errors[0]


def test_small_volume_finds_endmembers_of_mixtures():
    """Rows of W sum to one: mixtures of few endmembers, none of them in the data."""
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        W, H = rng.dirichlet(np.full(3, 0.4), size=200), rng.random((3, 30))
        X = np.maximum(W @ H + 0.02 * rng.standard_normal((200, 30)), 0)
        for volume in (None, P.MinVolume(0.3, delta=0.1)):
            how = {"penalty_W": P.Simplex(), "penalty_H": volume}
            model = NMF(3, max_iter=2000, tol=1e-3, **how).fit(X)
            np.testing.assert_allclose(model.W_.sum(axis=1), 1)
            found.append(distance(H, model.components_))
    closed, small = np.mean(np.reshape(found, (-1, 2)), axis=0)
    assert small < 0.7 * closed


def test_labels_bring_rows_of_a_class_together():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, -1], 20)
    W = np.r_[np.tile([3.0, 1], (20, 1)), np.tile([1.0, 3], (20, 1)), rng.random((20, 2))]
    X = np.maximum(W @ rng.gamma(0.5, size=(2, 30)) + rng.standard_normal((60, 30)), 0)
    spread = []
    for penalty in (None, P.Labels(50.0, labels)):
        unit = P.Simplex(each="component")
        found = NMF(2, max_iter=1000, tol=1e-3, penalty_W=penalty, penalty_H=unit).fit(X).W_
        spread.append([found[labels == label].std(axis=0).sum() for label in (0, 1, -1)])
    without, with_it = spread
    assert with_it[0] < 0.5 * without[0]
    assert with_it[1] < 0.5 * without[1]
    assert with_it[2] > 0.5 * without[2]


def test_group_lasso_switches_components_off():
    rng = np.random.default_rng(0)
    X = rng.gamma(1.0, size=(50, 2)) @ rng.gamma(1.0, size=(2, 30))
    X += 0.05 * rng.random(X.shape)
    groups = P.GroupLasso(2.0)
    model = NMF(5, init="random", random_state=0, max_iter=2000, penalty_W=groups, penalty_H=groups)
    model.fit(X)
    used = (model.W_.max(axis=0) > 0) & (model.components_.max(axis=1) > 0)
    assert used.sum() == 2
