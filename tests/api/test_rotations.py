"""Rotations of positive matrix factorizations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from partwise import PositiveMatrixFactorization
from partwise.apportionment import rotations

pandas = pytest.importorskip("pandas")


def fit(X, s, k=2, **options):
    options = {"robust": False, "n_init": 2, "random_state": 0, "tol": 1e-8, **options}
    return PositiveMatrixFactorization(k, **options).fit(X, uncertainty=s)


@pytest.fixture(scope="module")
def loose():
    """Return a model without zeros, which can be rotated freely."""
    rng = np.random.default_rng(0)
    G, F = rng.gamma(4, size=(80, 2)) + 1, rng.gamma(4, size=(2, 6)) + 1
    s = 0.05 * G @ F
    start = {"init": "custom", "n_init": 1}
    X = G @ F + s * rng.standard_normal(s.shape)
    model = PositiveMatrixFactorization(2, robust=False, tol=1e-9, **start)
    return model.fit(X, uncertainty=s, W=G, H=F)


@pytest.fixture(scope="module")
def tight():
    """Return a model whose zeros leave hardly any rotation."""
    rng = np.random.default_rng(1)
    G = rng.gamma(1, size=(80, 3)) * (rng.random((80, 3)) < 0.6)
    F = rng.gamma(1, size=(3, 8)) * (rng.random((3, 8)) < 0.6) + np.eye(3, 8)
    s = 0.1 * G @ F + 0.02
    return fit(G @ F + s * rng.standard_normal(s.shape), s, 3)


def test_free_rotations_cost_nothing_and_are_what_they_are_called(loose):
    strength = 0.02
    found = rotations(loose, [strength, -strength], pull=1e-4)
    assert np.all(np.abs(found.dq) < 0.01)
    for number, sign in enumerate((1, -1)):
        # Profiles of others are subtracted, and contributions of others added; but for scales.
        wanted = loose.components_ - sign * strength * loose.components_[::-1]
        wanted, H = (F / F.sum(axis=1, keepdims=True) for F in (wanted, found.profiles[number]))
        np.testing.assert_allclose(H, wanted, rtol=1e-4)
        rotated = np.eye(2) + sign * strength * (1 - np.eye(2))
        achieved = found.matrices[number]
        np.testing.assert_allclose(
            achieved / achieved.sum(axis=0), rotated / rotated.sum(axis=0), atol=5e-3
        )
        np.testing.assert_allclose(found.contributions[number].mean(axis=0), 1)


def test_profiles_become_sharper_or_fuller(loose):
    strengths = [-0.2, -0.1, 0.0, 0.1, 0.2]
    found = rotations(loose, strengths)
    H = found.profiles / np.linalg.norm(found.profiles, axis=2, keepdims=True)
    likeness = np.einsum("rj,rj->r", H[:, 0], H[:, 1])
    assert np.all(np.diff(likeness) < 0)
    assert found.dq[2] == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(found.profiles[2], loose.components_, rtol=1e-3)


def test_what_it_costs(tight):
    found = rotations(tight, [-0.2, -0.1, -0.05, 0.05, 0.1, 0.2])
    assert np.all(found.dq > 0)
    assert np.all(np.diff(found.dq[:3]) < 0)
    assert np.all(np.diff(found.dq[3:]) > 0)
    np.testing.assert_allclose(found.q_true - found.dq, tight.q_true_, rtol=1e-6)
    harder = rotations(tight, [0.1], pull=0.1)
    assert harder.dq[0] > found.dq[4]
    assert found.profiles.min() >= 0
    assert found.contributions.min() >= 0
    table = found.to_frame()
    np.testing.assert_allclose(table["percent"], 100 * found.dq / tight.q_true_, rtol=1e-6)


def test_minimum_is_that_of_a_general_solver(tight):
    strength, pull = 0.1, 0.05
    found = rotations(tight, [strength], pull=pull)
    X, s = tight._measured_of_fit.values, tight.uncertainty_
    G, F = tight.W_, tight.components_
    targets = np.maximum(0, F - strength * (F.sum(axis=0) - F))
    weights = pull * (G**2).T @ (1 / s**2)
    size = G.size

    def objective(both):
        W, H = both[:size].reshape(G.shape), both[size:].reshape(F.shape)
        z, away = (W @ H - X) / s, H - targets
        slopes = (2 * z / s) @ H.T, W.T @ (2 * z / s) + 2 * weights * away
        value = np.sum(z * z) + np.sum(weights * away * away)
        return value, np.concatenate([slope.ravel() for slope in slopes])

    start = np.concatenate([G.ravel(), F.ravel()])
    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 20_000, "maxfun": 40_000}
    other = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * start.size,
        options=options,
    )  # fmt: skip
    W, H = other.x[:size].reshape(G.shape), other.x[size:].reshape(F.shape)
    ours = np.sum(((X - found.contributions[0] @ found.profiles[0]) / s) ** 2)
    assert ours == pytest.approx(np.sum(((X - W @ H) / s) ** 2), rel=1e-5)
    np.testing.assert_allclose(found.profiles[0], H * W.mean(axis=0)[:, None], atol=2e-3)


def test_contributions_below_zero(tight):
    X, s = tight._measured_of_fit.values, tight.uncertainty_
    strengths, pull, depth = [-0.1, 0.1], 0.05, 0.1
    # Hardly below zero: as for the model that is not.
    above = rotations(tight, strengths, pull=pull)
    near = rotations(fit(X, s, 3, lowest_contribution=-1e-6), strengths, pull=pull)
    np.testing.assert_allclose(near.dq, above.dq, rtol=1e-2)
    np.testing.assert_allclose(near.profiles, above.profiles, atol=1e-3)
    model = fit(X, s, 3, lowest_contribution=-depth)
    found = rotations(model, strengths, pull=pull)
    assert np.all(found.dq > 0)
    assert found.profiles.min() >= 0
    assert found.contributions.min() == pytest.approx(-depth, abs=1e-9)
    np.testing.assert_allclose(found.contributions.mean(axis=1), 1)
    # A general solver, for U − share · (mean of U) with U ≥ 0, of any scale.
    G, F, share = model.W_, model.components_, depth / (1 + depth)
    for number, strength in enumerate(strengths):
        targets = np.maximum(0, F - strength * (F.sum(axis=0) - F))
        weights = pull * (G**2).T @ (1 / s**2)

        def objective(both):
            U, H = both[: G.size].reshape(G.shape), both[G.size :].reshape(F.shape)
            W = U - share * U.mean(axis=0)
            z, away = (W @ H - X) / s, H - targets
            slope = (2 * z / s) @ H.T
            slopes = slope - share * slope.mean(axis=0), W.T @ (2 * z / s) + 2 * weights * away
            value = np.sum(z * z) + np.sum(weights * away * away)
            return value, np.concatenate([slope.ravel() for slope in slopes])

        start = np.concatenate([(G + depth).ravel(), F.ravel()])
        options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 20_000, "maxfun": 40_000}
        other = minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * start.size,
            options=options,
        )  # fmt: skip
        U, H = other.x[: G.size].reshape(G.shape), other.x[G.size :].reshape(F.shape)
        W = U - share * U.mean(axis=0)
        ours = np.sum(((X - found.contributions[number] @ found.profiles[number]) / s) ** 2)
        assert ours == pytest.approx(np.sum(((X - W @ H) / s) ** 2), rel=1e-5)
        np.testing.assert_allclose(found.profiles[number], H * W.mean(axis=0)[:, None], atol=2e-3)


def test_units_outliers_and_what_is_missing(tight):
    X, s = tight._measured_of_fit.values.copy(), tight.uncertainty_
    X[3], X[4, 2], X[5, 1] = np.nan, np.nan, 30.0
    units = 2.0 ** np.arange(-4, 4)
    found = []
    for scale in (np.ones(8), units):
        with pytest.warns(UserWarning, match="1 rows"):
            model = fit(X * scale, s * scale, 3, robust=True, bad=[7])
        found.append(rotations(model, [0.1]))
    np.testing.assert_array_equal(found[0].profiles * units, found[1].profiles)
    np.testing.assert_array_equal(found[0].dq, found[1].dq)
    assert np.all(found[0].profiles[:, :, 7] == 0)
    assert np.all(found[0].contributions[:, 3] == 0)


def test_picture_and_what_is_refused(tight):
    pytest.importorskip("matplotlib")
    figure = rotations(tight, [0.1]).plot(0.1)
    figure.draw_without_rendering()
    assert len(figure.axes) == 3
    with pytest.raises(ValueError, match="strengths"):
        rotations(tight, [np.nan])
    with pytest.raises(ValueError, match="pull: got 0"):
        rotations(tight, [0.1], pull=0)
    with pytest.raises(TypeError, match="rotations: got int"):
        rotations(3)
