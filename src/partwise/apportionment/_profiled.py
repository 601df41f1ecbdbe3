"""Q as a function of the profiles alone, and its minimum by Newton's method.

Where factors can be rotated into each other at almost no cost, methods of first order creep, and
seem to have converged where they have not. Error estimates live there, so they need a method that
sees curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from partwise import kernels
from partwise.estimators._scaled_residuals import solve_contributions

__all__ = ["Place", "ProfiledQ", "Pull", "Quadratic", "Tilt", "summed_squares"]

NONE = np.empty((0, 0), np.bool_)  # all entries are free
# Numbers in a table of mixed derivatives, of so many samples at a time.
TABLE = 2**22
# Damping at the start, its factor after a step that was refused, and where to give up.
DAMPING, REFUSED, GIVEN_UP = 1e-6, 8.0, 1e6
# Falls of the objective below this share of it are rounding.
ROUNDING = 1e-13


class Tilt(NamedTuple):
    """The term −slope · (mean of contributions of a factor) · (its profile entry of a species)."""

    factor: int
    species: int
    slope: float


class Pull(NamedTuple):
    """The term ½ Σ weights · (H − targets)², both (p, m)."""

    weights: np.ndarray
    targets: np.ndarray


@dataclass
class Place:
    """Profiles H (p, m), the best contributions W (n, p) for them, and the objective there.

    ``half_q`` is ½ Q, without tilt and pull, which ``objective`` has.
    """

    H: np.ndarray
    W: np.ndarray
    half_q: float
    objective: float
    converged: bool = False
    n_iter: int = 0

    def entry(self, factor: int, species: int) -> float:
        """Return a profile entry for contributions with mean 1."""
        return float(self.W[:, factor].mean() * self.H[factor, species])


class ProfiledQ:
    """½ Σ V (X − W H)² minimized over W ≥ 0, as a function of H ≥ 0.

    Parameters
    ----------
    X, V : ndarray of shape (n, m), in float64
        Data and weights; 0 where nothing is known. Every row and column has a known entry.
    tilt : Tilt, optional
    pull : Pull, optional
        Terms that are added.

    Notes
    -----
    The function does not depend on the scale of a row of H, with a tilt neither. Cost of a value
    O(n m p²), of a step of `minimize` O(n m² p³ + (m p)³).

    Source: Golub & Pereyra (1973), SIAM Journal on Numerical Analysis 10 (one factor eliminated);
    Ruhe & Wedin (1980), SIAM Review 22.
    """

    def __init__(
        self, X: np.ndarray, V: np.ndarray, tilt: Tilt | None = None, pull: Pull | None = None
    ) -> None:
        self.X, self.V, self.tilt, self.pull = X, V, tilt, pull

    def at(self, H: np.ndarray, W: np.ndarray) -> Place:
        """Return the place with profiles H; W, which is kept, is where its rows start from."""
        W = W.copy()
        slope = np.zeros(len(H))
        if self.tilt is not None:
            a, j, force = self.tilt
            slope[a] = -force * H[a, j] / len(self.X)
        half_q, _ = solve_contributions(self.X, self.V, H, W, slope)
        added = float(slope @ W.sum(axis=0))
        if self.pull is not None:
            added += 0.5 * float(np.sum(self.pull.weights * (H - self.pull.targets) ** 2))
        return Place(H, W, half_q, half_q + added)

    def slope(self, place: Place) -> np.ndarray:
        """Return the derivatives of the objective by the entries of H (p, m)."""
        H, W = place.H, place.W
        slope = -(W.T @ (self.V * (self.X - W @ H)))
        if self.tilt is not None:
            a, j, force = self.tilt
            slope[a, j] -= force * W[:, a].mean()
        if self.pull is not None:
            slope += self.pull.weights * (H - self.pull.targets)
        return np.asarray(slope)

    def quadratic(self, place: Place) -> Quadratic:
        """Return slope and curvature of the objective in the entries of H that can move.

        Entries are ordered by species, and by factor within each. Those that rest on zero and are
        held there, of H and of W, stay.
        """
        H, W, V = place.H, place.W, self.V
        p, m = H.shape
        slope = self.slope(place).T
        pairs = (W[:, :, None] * W[:, None, :]).reshape(len(W), p * p)
        own = (V.T @ pairs).reshape(m, p, p)
        if self.pull is not None:
            own[:, range(p), range(p)] += self._stiffness(H).T
        free = np.flatnonzero((H.T > 0) | (slope < 0))
        curvature = -self._eliminated(H, W, V * (self.X - W @ H), free)
        species, factors = np.divmod(free, p)
        same = species[:, None] == species
        rows, columns = np.nonzero(same)
        curvature[rows, columns] += own[species[rows], factors[rows], factors[columns]]
        diagonal = np.einsum("jaa->ja", own).ravel()
        found = Quadratic(np.ascontiguousarray(H.T), slope.ravel(), curvature, diagonal, free)
        self._hold(found, H)
        return found

    def _stiffness(self, H: np.ndarray) -> np.ndarray:
        # The curvature that a pull has in each entry of H, with all else fixed.
        assert self.pull is not None
        return self.pull.weights

    def _hold(self, quadratic: Quadratic, H: np.ndarray) -> None:
        # What there is to be said of the scales of factors.
        if self.pull is None:
            quadratic.hold_scales()

    def _eliminated(
        self, H: np.ndarray, W: np.ndarray, VR: np.ndarray, free: np.ndarray
    ) -> np.ndarray:
        # What curvature is lost as contributions follow.
        p, m = H.shape
        place = np.full(m * p, -1)
        place[free] = np.arange(len(free))
        a, j, force = (-1, -1, 0.0) if self.tilt is None else self.tilt
        tilted = a, j, force / len(W)

        def write(part: slice, table: np.ndarray) -> None:
            sides = self.V[part], VR[part], H, W[part], place.reshape(m, p)
            kernels.mixed_rows(*sides, *tilted, table)

        return summed_squares(write, W != 0, len(free))

    def variances(self, place: Place) -> np.ndarray:
        """Return the diagonal of the inverse of the curvature (p, m), where it has one.

        Of entries that rest on zero the inverse of their own curvature.
        """
        quadratic = self.quadratic(place)
        found = 1 / quadratic.all_own
        G = quadratic.curvature + np.diag(DAMPING * quadratic.own)
        full = np.diag(np.linalg.pinv(G, hermitian=True))
        found[quadratic.free] = np.maximum(full, found[quadratic.free])
        return np.ascontiguousarray(found.reshape(quadratic.shape).T)

    def minimize(self, place: Place, *, tol: float, max_iter: int = 100) -> Place:
        """Return the minimum that Newton's method finds from a place.

        Every step is the minimum over H ≥ 0 of the quadratic at the current profiles, damped as
        far as needed for the objective to fall (Levenberg–Marquardt). The end is where the
        undamped part of that quadratic would not fall by more than ``tol``.
        """
        here = self.at(place.H, place.W)
        if not np.isfinite(here.objective):
            return _ended(here, 0, converged=False)
        damping, tol = DAMPING, max(tol, ROUNDING * abs(here.objective))
        for done in range(1, max_iter + 1):
            step = self.quadratic(here)
            while True:
                H, fall = step.damped(damping)
                there = self.at(H, here.W)
                if there.objective <= here.objective + ROUNDING * abs(here.objective):
                    break
                if damping > GIVEN_UP or fall <= tol:
                    return _ended(here, done, converged=fall <= tol)
                damping = max(damping, DAMPING) * REFUSED
            gained = here.objective - there.objective
            here = there
            if fall <= tol and step.used <= 100 * DAMPING:
                return _ended(here, done, converged=True)
            better = gained > 0.5 * fall
            damping = max(step.used / 10, 1e-12) if better else 2 * step.used
        return _ended(here, max_iter, converged=False)


def _ended(place: Place, n_iter: int, *, converged: bool) -> Place:
    place.n_iter, place.converged = n_iter, converged
    return place


def summed_squares(
    write: Callable[[slice, np.ndarray], object], moves: np.ndarray, width: int
) -> np.ndarray:
    """Return the sum of tᵀ t over the rows t, so wide, that are written of some samples at a time.

    ``write(part, table)`` gets zeros, a row for every entry of these samples that ``moves`` (n, p).
    """
    total = np.zeros((width, width))
    height = max(1, TABLE // (moves.shape[1] * max(1, width)))
    for start in range(0, len(moves), height):
        part = slice(start, start + height)
        table = np.zeros((np.count_nonzero(moves[part]), width))
        write(part, table)
        total += table.T @ table
    return total


class Quadratic:
    """What the objective looks like at a place, in the entries of H that can move.

    Attributes
    ----------
    slope : ndarray of shape (m · p,)
        Of all entries, by species.
    free : ndarray of int
        Which of them can move.
    curvature : ndarray of shape (free, free)
    own : ndarray of shape (free,)
        The curvature that an entry has with W fixed.
    """

    def __init__(
        self,
        H: np.ndarray,
        slope: np.ndarray,
        curvature: np.ndarray,
        own: np.ndarray,
        free: np.ndarray,
    ) -> None:
        self.shape, self.free, self.curvature = H.shape, free, curvature
        self.h, self.slope = H.ravel()[free], slope
        self.all_own = np.maximum(own, 1e-12 * own.max(initial=0))
        self.own = self.all_own[free]
        self.used = 0.0

    def hold_scales(self) -> None:
        """Add curvature along the scale of every factor, on which the objective does not depend."""
        factors = self.free % self.shape[1]
        for a in range(self.shape[1]):
            along = np.where(factors == a, self.own * self.h, 0.0)
            size = along @ self.h
            if size > 0:
                self.curvature += np.outer(along, along) / size

    def damped(self, damping: float) -> tuple[np.ndarray, float]:
        """Return the profiles that the step leads to, and how far the quadratic falls."""
        while True:
            G = self.curvature + np.diag(damping * self.own)
            try:
                np.linalg.cholesky(G)
            except np.linalg.LinAlgError:
                damping = max(damping, DAMPING) * REFUSED
            else:
                break
        self.used = damping
        F, slope = self.h[None].copy(), self.slope[self.free]
        kernels.pivot_rows(F, G, (G @ self.h - slope)[None], NONE, 1e-14)
        d = F[0] - self.h
        H = np.zeros(self.shape)
        H.reshape(-1)[self.free] = F[0]
        return np.ascontiguousarray(H.T), -float(slope @ d + 0.5 * d @ G @ d)
