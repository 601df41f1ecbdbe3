"""Components one by one, and a disk beside a star, on images that are made here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from partwise import SequentialNMF, best_factor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def references(seed, fainter=0.65, shape=1, width=4, noise=0.01):
    """A hundred images of 30 × 30, of twelve Gaussians each of which is fainter than the last."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:30, :30]
    across, down = rng.uniform(3, 27, (2, 12))
    parts = [
        fainter**n * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2)).ravel()
        for n, (a, b) in enumerate(zip(across, down, strict=True))
    ]
    clean = rng.gamma(shape, size=(100, 12)) @ parts
    return np.maximum(clean + noise * clean.mean() * rng.standard_normal(clean.shape), 0)


def unit_rows(H):
    return H / np.linalg.norm(H, axis=1, keepdims=True)


def by_multiplicative_updates(X, count, rounds, seed):
    """Ren et al. (2018), by hand: each rank from the one before and a random column and row."""
    rng, curve, kept = np.random.default_rng(seed), [], [1.0]
    W, H = np.empty((len(X), 0)), np.empty((0, X.shape[1]))
    for _ in range(count):
        old = unit_rows(H)
        W, H = np.column_stack([W, rng.random(len(X))]), np.vstack([H, rng.random(X.shape[1])])
        for _ in range(rounds):
            W *= (X @ H.T) / np.maximum(W @ (H @ H.T), 1e-300)
            H *= (W.T @ X) / np.maximum((W.T @ W) @ H, 1e-300)
        curve.append(np.sum((X - W @ H) ** 2) / np.sum((X - X.mean(axis=0)) ** 2))
        if len(old):
            kept.append(np.sum(old * unit_rows(H)[:-1], axis=1).min())
    return np.array(curve), np.array(kept)


def test_residual_variance_falls_and_components_stay():
    """0.48, 0.19, 0.049, 0.021, 0.0061, 0.0023, … (medians), never above multiplicative updates.

    The smallest cosine of old components is 0.93 to 0.99 when one is added (medians), 0.94 in the
    mean. It is of the data: the updates of the paper have 0.95 to 0.99 on the same images, 0.95 in
    the mean, and leave more of X.
    """
    curves, kept, kept_by_hand = [], [], []
    for seed in range(3):
        X = references(seed)
        model = SequentialNMF(8, max_iter=1000, random_state=0).fit(X)
        curves.append(model.fractional_residual_variance_)
        kept.append(model.persistence_)
        curve, persistence = by_multiplicative_updates(X, 8, 300, seed)
        kept_by_hand.append(persistence)
        assert (curves[-1] <= 1.01 * curve).all()
    assert (np.diff(curves, axis=1) < 0).all()
    assert np.median(curves, axis=0)[-1] < 1e-3
    assert np.median(kept, axis=0).min() > 0.9
    assert np.mean(kept) > max(0.93, np.mean(kept_by_hand) - 0.02)


def test_the_updates_of_the_paper_keep_components():
    """Medians over ten draws of images with wide parts.

    The smallest cosine of an old component when one is added: 0.91, then 0.974, 0.979, 0.99 and
    more. Residual variances 0.49, 0.15, 0.049, 0.018, 0.0074, 0.0032, 0.0010 and 0.0006.
    """
    images = [references(seed, 0.75, 2, 6, 0.003) for seed in range(10)]
    how = {"solver": "mu", "max_iter": 1000, "random_state": 0}
    models = [SequentialNMF(8, **how).fit(X) for X in images]
    curves = np.array([model.fractional_residual_variance_ for model in models])
    kept = np.median([model.persistence_ for model in models], axis=0)
    assert kept[1] >= 0.9
    assert kept[2:].min() >= 0.97
    assert (np.diff(curves, axis=1) < 0).all()
    assert (
        np.median(curves, axis=0) <= [0.5, 0.16, 0.062, 0.026, 0.012, 0.0072, 0.0039, 0.0013]
    ).all()


def star_with_disk(seed):
    """Forty references of speckled halos, and a target of the same kind with an inclined ring."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :60] - 29.5
    halo = (1 + (np.hypot(x, y) / 8) ** 2) ** -1.5
    speckles = [gaussian_filter(rng.standard_normal((60, 60)), 1.2) ** 2 for _ in range(4)]
    parts = np.array([(halo * (0.3 + 8 * s)).ravel() for s in speckles])
    clean = rng.gamma(11, 0.09, size=(41, 4)) @ parts
    noise = 0.01 * np.sqrt(clean * clean.mean())
    X = np.maximum(clean + noise * rng.standard_normal(clean.shape), 0)
    ring = np.exp(-(((np.hypot(x, y / 0.5) - 18) / 1.5) ** 2) / 2).ravel()
    ring *= clean[-1][ring > 0.5].mean()  # as bright as the star is there
    return X[:-1], X[-1] + ring, ring


def test_the_flux_of_a_disk_is_recovered():
    """Bias −5 % as fitted; below 2 % by the best factor, and below 1 % with the disk hidden."""
    for seed in range(4):
        X, target, ring = star_with_disk(seed)
        model = SequentialNMF(4, max_iter=1000, random_state=0).fit(X)
        disk, fitted = ring > 0.5 * ring.max(), model.model_target(target[None])[0]
        hidden = model.model_target(target[None], ring > 0.02 * ring.max())[0]
        guesses = fitted, best_factor(target, fitted) * fitted, hidden
        bias = [(target - guess)[disk].sum() / ring[disk].sum() - 1 for guess in guesses]
        assert bias[0] < -0.03
        assert abs(bias[1]) < 0.02
        assert abs(bias[2]) < 0.01
