"""Q of profiles with contributions below zero: what it is, its derivatives, its minima."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from partwise import kernels
from partwise.apportionment._profiled import ProfiledQ, Pull, Tilt
from partwise.apportionment._profiled_below_zero import ProfiledBelowZero


def problem(seed=0, n=40, m=7, p=3, known=0.9):
    rng = np.random.default_rng(seed)
    true = rng.gamma(0.7, size=(n, p)) @ rng.gamma(0.7, size=(p, m))
    V = rng.gamma(2, size=(n, m)) * (rng.random((n, m)) < known)
    X = (true + 0.3 * rng.standard_normal(true.shape)) * (V > 0)
    return X, V, rng.gamma(1, size=(n, p)), rng.gamma(1, size=(p, m))


def terms(kind, H):
    rng = np.random.default_rng(1)
    tilt = Tilt(1, 2, 30.0) if kind == "tilt" else None
    pull = Pull(50 * rng.random(H.shape), rng.random(H.shape)) if kind == "pull" else None
    return tilt, pull


def general(X, V, H, depth):
    """Return the smallest ½ Q over W ≥ −depth with means of 1, by a general solver."""
    n, p = len(X), len(H)

    def half_q(w):
        R = w.reshape(n, p) @ H - X
        return 0.5 * np.sum(V * R * R), ((V * R) @ H.T).ravel()

    means = np.tile(np.eye(p), n) / n
    found = minimize(
        half_q, np.ones(n * p), jac=True, method="SLSQP", bounds=[(-depth, None)] * (n * p),
        constraints={"type": "eq", "fun": lambda w: means @ w - 1, "jac": lambda _: means},
        options={"maxiter": 1000, "ftol": 1e-13},
    )  # fmt: skip
    assert found.success
    return found.fun


@pytest.mark.parametrize("depth", [0.01, 0.2, 0.9])
@pytest.mark.parametrize("known", [1.0, 0.4])
def test_value_is_that_of_a_general_solver(depth, known):
    # With less than half of seven known, some samples have fewer than three.
    X, V, W, H = problem(n=25, known=known)
    place = ProfiledBelowZero(X, V, depth=depth).at(H, W)
    assert place.half_q == pytest.approx(general(X, V, H, depth), rel=1e-7)
    np.testing.assert_allclose(place.W.mean(axis=0), 1, rtol=1e-9)
    assert place.W.min() == pytest.approx(-depth, abs=1e-12)
    assert 0.5 * np.sum(V * (X - place.W @ H) ** 2) == pytest.approx(place.half_q, rel=1e-9)


@pytest.mark.parametrize("kind", ["plain", "tilt", "pull"])
def test_slope_and_curvature(kind):
    X, V, W, H = problem()
    surface = ProfiledBelowZero(X, V, *terms(kind, H), depth=0.2)
    place = surface.at(H, W)
    assert np.mean(place.W == -0.2) > 0.05
    slope, quadratic = surface.slope(place), surface.quadratic(place)
    step, p = 1e-6, len(H)
    numeric = np.empty((H.size, H.size))
    for j in range(H.shape[1]):
        for a in range(p):
            ahead, behind = H.copy(), H.copy()
            ahead[a, j] += step
            behind[a, j] -= step
            ahead, behind = surface.at(ahead, W), surface.at(behind, W)
            rise = ahead.objective - behind.objective
            assert slope[a, j] == pytest.approx(rise / (2 * step), rel=1e-5, abs=1e-5)
            change = surface.slope(ahead) - surface.slope(behind)
            numeric[j * p + a] = change.T.ravel() / (2 * step)
    np.testing.assert_array_equal(quadratic.free, np.arange(H.size))
    np.testing.assert_allclose(quadratic.curvature, numeric, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "pull"])
def test_minimum_is_that_of_a_general_solver(kind):
    # Whose contributions have any scale: U − share · (mean of U), with U ≥ 0.
    X, V, W, H = problem()
    tilt, pull = terms(kind, H)
    depth = 0.2
    surface = ProfiledBelowZero(X, V, tilt, pull, depth=depth)
    found = surface.minimize(surface.at(H, W), tol=1e-12)
    assert found.converged
    share, size = depth / (1 + depth), W.size

    def objective(both):
        U, H = both[:size].reshape(W.shape), both[size:].reshape(found.H.shape)
        W_now = U - share * U.mean(axis=0)
        R = W_now @ H - X
        total, slope_H = 0.5 * np.sum(V * R * R), W_now.T @ (V * R)
        if pull is not None:
            total += 0.5 * np.sum(pull.weights * (H - pull.targets) ** 2)
            slope_H = slope_H + pull.weights * (H - pull.targets)
        slope_W = (V * R) @ H.T
        slope_U = slope_W - share * slope_W.mean(axis=0)
        return total, np.concatenate([slope_U.ravel(), slope_H.ravel()])

    start = np.concatenate([(found.W + depth).ravel(), found.H.ravel()])
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 20_000, "maxfun": 40_000}
    other = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * start.size,
        options=options,
    )  # fmt: skip
    assert other.fun == pytest.approx(found.objective, rel=1e-8)
    slope = surface.slope(found)
    assert np.abs(np.minimum(found.H, slope)).max() < 1e-5


def test_minimum_tends_to_that_of_contributions_that_are_not_negative():
    X, V, W, H = problem()
    pull = terms("pull", H)[1]
    for pulled in (None, pull):
        plain = ProfiledQ(X, V, pull=pulled)
        wanted = plain.minimize(plain.at(H, W), tol=1e-12)
        means = wanted.W.mean(axis=0)
        gaps = []
        for depth in (1e-2, 1e-4, 1e-6):
            surface = ProfiledBelowZero(X, V, pull=pulled, depth=depth)
            start = surface.at(wanted.H * means[:, None], wanted.W / means)
            found = surface.minimize(start, tol=1e-12)
            assert found.objective < wanted.objective
            gaps.append(wanted.objective - found.objective)
            if depth >= 1e-4:  # below that Q says less than rounding
                np.testing.assert_allclose(found.H, wanted.H * means[:, None], atol=50 * depth)
        assert gaps[0] > 50 * gaps[1] > 2500 * gaps[2]


def test_a_factor_without_profile_and_one_that_is_not_known_everywhere():
    X, V, W, H = problem()
    V[:9, [0, 1]] = 0
    H[2], H[1, 2:] = 0, 0
    place = ProfiledBelowZero(X, V, depth=0.2).at(H, W)
    np.testing.assert_array_equal(place.W[:, 2], 1)
    np.testing.assert_array_equal(place.W[:9, 1], 0)
    np.testing.assert_allclose(place.W.mean(axis=0), 1, rtol=1e-9)


# --- kernels ----------------------------------------------------------------------------------


def products(seed, known, p=4, alike=0.0):
    rng = np.random.default_rng(seed)
    X, V, _, H = problem(seed, n=30, m=6, p=p, known=known)
    V *= 10 ** rng.uniform(-2, 2, size=(len(V), 1))
    H *= rng.random(H.shape) < 0.7
    if alike:
        H[1] = H[0] * (1 + alike * rng.random(H.shape[1]))
    G = np.einsum("im,am,bm->iab", V, H, H)
    G[:, range(p), range(p)] *= 1 + 1e-10
    return G, (V * X) @ H.T, np.einsum("iaa->ia", G) > 0


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize(("known", "alike"), [(1.0, 0.0), (0.3, 0.0), (1.0, 1e-3), (0.3, 1e-3)])
def test_rows_with_given_sums_are_optimal(inner, known, alike):
    for seed in range(20):
        G, C, seen = products(seed, known, alike=alike)
        sums = np.where(seen.any(axis=0), 30.0, 0.0)
        U = np.random.default_rng(seed).random(C.shape)
        if inner:
            prices, left = kernels.interior_rows_to_sums(U, G, C, sums)
        else:
            prices, left = kernels.solve_rows_to_sums(U, G, C, sums, 4e-15)
        assert left < 1e-7
        np.testing.assert_allclose(U.sum(axis=0), sums, rtol=1e-7)
        assert np.all(U[~seen] == 0)
        assert U.min() >= 0
        slope = np.einsum("iab,ib->ia", G, U) - C + prices
        size = np.einsum("iab,ib->ia", G, U) + np.abs(C) + np.abs(prices)
        assert np.all(slope[seen] >= -1e-6 * size[seen])
        # What is left of complementarity is what is left of the minimum.
        value = 0.5 * np.einsum("ia,iab,ib->", U, G, U) - np.sum(C * U)
        assert abs(np.sum(slope * U)) < 1e-9 * (abs(value) + np.sum(np.abs(C) * U))


def test_kernel_of_mixed_derivatives_is_its_naive_twin():
    X, V, W, H = problem()
    W[np.random.default_rng(3).random(W.shape) < 0.4] = -0.3
    n, p, m = len(X), *H.shape
    moves, VR = W > -0.3, V * (X - W @ H)
    G = np.einsum("im,am,bm->iab", V, H, H)
    place = np.arange(m * p).reshape(m, p)
    place[2, 1], place[5, 0] = -1, -1
    keep = np.sort(place[place >= 0])
    place[place >= 0] = np.searchsorted(keep, place[place >= 0])
    out = np.zeros((np.count_nonzero(moves), len(keep) + p))
    assert kernels.mixed_rows_to_sums(V, VR, H, W, G, moves, place, out) == len(out)
    wanted = np.zeros((m * p + p, m * p + p))
    for i in range(n):
        active = np.flatnonzero(moves[i])
        C = np.zeros((len(active), m, p))
        for s, a in enumerate(active):
            for j in range(m):
                C[s, j] = V[i, j] * H[a, j] * W[i]
                C[s, j, a] -= VR[i, j]
        C = np.hstack([C.reshape(len(active), m * p), np.eye(p)[active]])
        wanted += C.T @ np.linalg.solve(G[i][np.ix_(active, active)], C)
    keep = np.append(keep, m * p + np.arange(p))
    np.testing.assert_allclose(out.T @ out, wanted[np.ix_(keep, keep)], rtol=1e-9, atol=1e-9)
