"""Q as a function of the profiles alone, where contributions may go below zero."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.apportionment._profiled import (
    Place,
    ProfiledQ,
    Pull,
    Quadratic,
    Tilt,
    summed_squares,
)

__all__ = ["ProfiledBelowZero"]

# What is added to the curvature of every contribution, as a share, so that rows with fewer known
# entries than factors are determined; and the relative error of a mean that is one too many.
RIDGE, LOST = 1e-10, 1e-6
ROUNDING = 16 * float(np.finfo(np.float64).eps)


class ProfiledBelowZero(ProfiledQ):
    """½ Σ V (X − W H)² minimized over W ≥ −depth with means of 1, as a function of H ≥ 0.

    Q over w ≥ −depth · (mean of w) does not depend on the scale of a factor, and this is its value
    for the scale of the profiles. So unlike in `ProfiledQ` the profiles are those for contributions
    with mean 1, and scales are not held. A tilt is linear in its entry. A pull is one towards the
    targets over the best scale of each factor: what is pulled is not the mean.

    Contributions of a factor of which nothing is known in a sample are zero, as there; all those of
    a factor without a profile are 1.

    Parameters
    ----------
    X, V, tilt, pull
        As for `ProfiledQ`.
    depth : float
        > 0.

    Notes
    -----
    With prices μ of the means the rows of W are alone. The slope in H is that with W fixed, as the
    means do not depend on H. With A, B and E the curvature of a row in its entries that move, their
    mixed derivatives with H and their places in the means, the curvature that is lost is
    ``Σ Bᵀ A⁻¹ B − Dᵀ C⁻¹ D`` with D = Σ Eᵀ A⁻¹ B and C = Σ Eᵀ A⁻¹ E. Costs are those of
    `ProfiledQ`.
    """

    def __init__(
        self,
        X: np.ndarray,
        V: np.ndarray,
        tilt: Tilt | None = None,
        pull: Pull | None = None,
        *,
        depth: float,
    ) -> None:
        super().__init__(X, V, tilt, pull)
        self.depth = depth

    def at(self, H: np.ndarray, W: np.ndarray) -> Place:
        """Return the place with profiles H; entries of W above the lowest are a first guess."""
        n, depth = len(W), self.depth
        G = self._products(H)
        shifted = self.V * (self.X + depth * H.sum(axis=0))
        seen = np.einsum("iaa->ia", G) > 0
        sums = np.where(seen.any(axis=0), n + depth * seen.sum(axis=0), 0.0)
        U = np.maximum(W + depth, 0)
        prices, left = kernels.solve_rows_to_sums(U, G, shifted @ H.T, sums, ROUNDING)
        W = np.where(seen, U - depth, 0.0)
        W[:, ~seen.any(axis=0)] = 1.0
        if not left <= LOST:
            return Place(H, W, np.inf, np.inf)
        rest = self.X - W @ H
        # What is left of the sums costs its price, but for the square of it.
        half_q = 0.5 * float(np.sum(self.V * rest * rest)) + float(prices @ (W.sum(axis=0) - n))
        return Place(H, W, half_q, half_q + self._added(H))

    def _products(self, H: np.ndarray) -> np.ndarray:
        # H V Hᵀ of every row, definite.
        p = len(H)
        pairs = (H[:, None, :] * H[None, :, :]).reshape(p * p, -1)
        G = (self.V @ pairs.T).reshape(-1, p, p)
        G[:, range(p), range(p)] *= 1 + RIDGE
        return G

    def _added(self, H: np.ndarray) -> float:
        added = 0.0
        if self.tilt is not None:
            a, j, force = self.tilt
            added -= force * float(H[a, j])
        if self.pull is not None:
            scales = self._scales(H)
            added += 0.5 * float(np.sum(self.pull.weights * (scales * H - self.pull.targets) ** 2))
        return added

    def _scales(self, H: np.ndarray) -> np.ndarray:
        # By how much profiles are multiplied to be next to the targets (p, 1).
        assert self.pull is not None
        weights, targets = self.pull
        size = np.sum(weights * H * H, axis=1)
        across = np.sum(weights * H * targets, axis=1)
        return np.divide(across, size, out=np.ones_like(size), where=size > 0)[:, None]

    def slope(self, place: Place) -> np.ndarray:
        H, W = place.H, place.W
        slope = -(W.T @ (self.V * (self.X - W @ H)))
        if self.tilt is not None:
            a, j, force = self.tilt
            slope[a, j] -= force
        if self.pull is not None:
            scales = self._scales(H)
            slope += scales * self.pull.weights * (scales * H - self.pull.targets)
        return np.asarray(slope)

    def _stiffness(self, H: np.ndarray) -> np.ndarray:
        assert self.pull is not None
        return np.asarray(self._scales(H) ** 2 * self.pull.weights)

    def _hold(self, quadratic: Quadratic, H: np.ndarray) -> None:
        # The scale of a pull follows.
        if self.pull is None:
            return
        weights, targets = self.pull
        mixed = weights * (2 * self._scales(H) * H - targets)
        size = np.sum(weights * H * H, axis=1)
        species, factors = np.divmod(quadratic.free, len(H))
        for a in np.flatnonzero(size > 0):
            along = np.where(factors == a, mixed[a, species], 0.0)
            quadratic.curvature -= np.outer(along, along) / size[a]

    def _eliminated(
        self, H: np.ndarray, W: np.ndarray, VR: np.ndarray, free: np.ndarray
    ) -> np.ndarray:
        p, m = H.shape
        place = np.full(m * p, -1)
        place[free] = np.arange(len(free))
        G = self._products(H)
        moves = (W > -self.depth) & (np.einsum("iaa->ia", G) > 0)

        def write(part: slice, table: np.ndarray) -> None:
            sides = self.V[part], VR[part], H, W[part], G[part], moves[part]
            kernels.mixed_rows_to_sums(*sides, place.reshape(m, p), table)

        total = summed_squares(write, moves, len(free) + p)
        lost, D, C = total[:-p, :-p], total[-p:, :-p], total[-p:, -p:]
        held = C.diagonal() > 0
        D, C = D[held], C[np.ix_(held, held)]
        return np.asarray(lost - D.T @ np.linalg.solve(C, D))
