"""Q as a function of the profiles: its derivatives, and its minima, by slow and simple means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from partwise import kernels
from partwise.apportionment._profiled import ProfiledQ, Pull, Tilt


def problem(seed=0, n=40, m=7, p=3):
    rng = np.random.default_rng(seed)
    true = rng.gamma(0.7, size=(n, p)) @ rng.gamma(0.7, size=(p, m))
    V = rng.gamma(2, size=(n, m)) * (rng.random((n, m)) < 0.9)
    X = (true + 0.3 * rng.standard_normal(true.shape)) * (V > 0)
    return X, V, rng.gamma(1, size=(n, p)), rng.gamma(1, size=(p, m))


def value(X, V, H, tilt=None, pull=None):
    """Return the objective at profiles H, by least squares of every sample on its own."""
    n, total = len(X), 0.0
    for x, v in zip(X, V, strict=True):
        A, b, force = np.sqrt(v)[:, None] * H.T, np.sqrt(v) * x, np.zeros(len(H))
        if tilt is not None:
            force[tilt.factor] = tilt.slope * H[tilt.factor, tilt.species] / n
        G = A.T @ A + 1e-13 * np.eye(len(H))
        L = np.linalg.cholesky(G)
        c = A.T @ b + force
        w, _ = nnls(L.T, np.linalg.solve(L, c))
        total += 0.5 * np.sum((b - A @ w) ** 2) - force @ w
    if pull is not None:
        total += 0.5 * np.sum(pull.weights * (H - pull.targets) ** 2)
    return total


def terms(kind, H):
    rng = np.random.default_rng(1)
    tilt = Tilt(1, 2, 3.0) if kind == "tilt" else None
    pull = Pull(rng.random(H.shape), rng.random(H.shape)) if kind == "pull" else None
    return tilt, pull


@pytest.mark.parametrize("kind", ["plain", "tilt", "pull"])
def test_value_slope_and_curvature(kind):
    X, V, W, H = problem()
    tilt, pull = terms(kind, H)
    surface = ProfiledQ(X, V, tilt, pull)
    place = surface.at(H, W)
    assert place.objective == pytest.approx(value(X, V, H, tilt, pull), rel=1e-9)

    def slope_at(moved):
        return surface.slope(surface.at(moved, place.W))

    step, p = 1e-6, len(H)
    quadratic = surface.quadratic(place)
    # The scale of factors that is held is no part of the objective.
    numeric = np.empty((H.size, H.size))
    for j in range(H.shape[1]):
        for a in range(p):
            ahead, behind = H.copy(), H.copy()
            ahead[a, j] += step
            behind[a, j] -= step
            rise = value(X, V, ahead, tilt, pull) - value(X, V, behind, tilt, pull)
            assert surface.slope(place)[a, j] == pytest.approx(
                rise / (2 * step), rel=1e-4, abs=1e-5
            )
            change = slope_at(ahead) - slope_at(behind)
            numeric[j * p + a] = change.T.ravel() / (2 * step)
    h = np.ascontiguousarray(H.T).ravel()
    held = np.zeros_like(numeric)
    for a in range(p if pull is None else 0):
        along = np.zeros_like(h)
        along[a::p] = quadratic.all_own[a::p] * h[a::p]
        held += np.outer(along, along) / (along @ h)
    np.testing.assert_array_equal(quadratic.free, np.arange(H.size))
    np.testing.assert_allclose(quadratic.curvature - held, numeric, rtol=2e-4, atol=2e-4)


def test_kernel_of_mixed_derivatives_is_its_naive_twin():
    X, V, W, H = problem()
    W *= np.random.default_rng(3).random(W.shape) < 0.6
    n, p, m = len(X), *H.shape
    VR = V * (X - W @ H)
    place = np.arange(m * p).reshape(m, p)
    place[2, 1], place[5, 0] = -1, -1
    keep = np.sort(place[place >= 0])
    place[place >= 0] = np.searchsorted(keep, place[place >= 0])
    out = np.zeros((np.count_nonzero(W), len(keep)))
    assert kernels.mixed_rows(V, VR, H, W, place, 1, 3, 0.7, out) == len(out)
    wanted = np.zeros((m * p, m * p))
    for i in range(n):
        active = np.flatnonzero(W[i])
        A = (H[active] * V[i]) @ H[active].T
        C = np.zeros((len(active), m, p))
        for s, a in enumerate(active):
            for j in range(m):
                C[s, j] = V[i, j] * H[a, j] * W[i]
                C[s, j, a] -= VR[i, j] + (0.7 if (a, j) == (1, 3) else 0.0)
        C = C.reshape(len(active), m * p)
        wanted += C.T @ np.linalg.solve(A, C)
    np.testing.assert_allclose(out.T @ out, wanted[np.ix_(keep, keep)], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["plain", "pull"])
def test_minimum_is_that_of_a_general_solver(kind):
    X, V, W, H = problem()
    tilt, pull = terms(kind, H)
    surface = ProfiledQ(X, V, tilt, pull)
    found = surface.minimize(surface.at(H, W), tol=1e-12)
    assert found.converged

    def objective(both):
        W, H = both[:W_size].reshape(len(X), -1), both[W_size:].reshape(len(found.H), -1)
        R = W @ H - X
        total, slope_H = 0.5 * np.sum(V * R * R), W.T @ (V * R)
        if pull is not None:
            total += 0.5 * np.sum(pull.weights * (H - pull.targets) ** 2)
            slope_H = slope_H + pull.weights * (H - pull.targets)
        return total, np.concatenate([((V * R) @ H.T).ravel(), slope_H.ravel()])

    W_size = found.W.size
    start = np.concatenate([found.W.ravel(), found.H.ravel()])
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000}
    other = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * start.size,
        options=options,
    )  # fmt: skip
    assert other.fun == pytest.approx(found.objective, rel=1e-9)
    slope = surface.slope(found)
    assert np.abs(np.minimum(found.H, slope)).max() < 1e-5


def test_objective_falls_at_every_step_and_zeros_may_be_left():
    X, V, W, H = problem(seed=4)
    H[:, :2] = 0
    surface = ProfiledQ(X, V)
    values = []
    place = surface.at(H, W)
    for _ in range(30):
        values.append(place.objective)
        place = surface.minimize(place, tol=0.0, max_iter=1)
    assert np.all(np.diff(values) <= 1e-12 * values[0])
    assert place.H[:, :2].max() > 0
    assert place.H.min() >= 0
