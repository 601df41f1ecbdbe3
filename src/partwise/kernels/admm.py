"""ADMM for the non-negative quadratic program, whole blocks of rows at once, and residuals.

Matrix products dominate here, so nothing is compiled. Each row decides when it is done. All is
in units in which G has ones on its diagonal, so that the scale of a component does not matter.
"""

from __future__ import annotations

import numpy as np

__all__ = ["alternating_directions", "row_residuals"]

Array = np.ndarray


class _Program:
    """The quadratic of rows that are not done yet, in the units of a Gram of unit diagonal."""

    def __init__(self, F: Array, G: Array, C: Array, free: Array) -> None:
        root = np.sqrt(np.maximum(np.diag(G).astype(np.float64), 0))
        inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        self.inverse = inverse.astype(F.dtype)
        self.gram = (G * np.outer(inverse, inverse)).astype(F.dtype)
        self.cross = C * self.inverse
        self.start = F * root.astype(F.dtype)
        self.open = np.broadcast_to(root > 0, F.shape)
        if free.shape[0]:
            self.open = self.open & free
        self.bound = np.abs(self.cross).max(axis=1, initial=0)

    def residual(self, f: Array, slope: Array, rows: Array | slice) -> Array:
        """Return the largest min(f, slope), by size, of the free entries of each row."""
        gap = np.where(self.open[rows], np.minimum(f, slope), 0)
        return np.abs(gap, out=gap).max(axis=1, initial=0)

    def store(self, F: Array, rows: Array, f: Array) -> None:
        """Write finished rows; entries that do not count, or are not free, stay."""
        F[rows] = np.where(self.open[rows], f * self.inverse, F[rows])


def _drop_flat(F: Array, G: Array, C: Array, free: Array) -> None:
    # No curvature: the objective is linear in this entry, and falls towards zero.
    falls = (np.diag(G) <= 0) & (C < 0)
    F[falls & free if free.shape[0] else falls] = 0


def row_residuals(F: Array, G: Array, C: Array, free: Array) -> Array:
    """Return the KKT residual of each row of ``F`` for ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over F ≥ 0.

    With u_j = √G_jj, it is the largest ``|min(f_j u_j, g_j / u_j)|`` of a row, g = f G − c
    the gradient, over the largest ``|c_j| / u_j``: 0 at the minimum, and the same in any
    scale of the row and of the components. Entries where ``free`` is False do not count.
    """
    program = _Program(F, G, C, free)
    f = program.start
    residual = program.residual(f, f @ program.gram - program.cross, slice(None))
    flat = (np.diag(G) <= 0) & (C > 0)
    residual[np.any(flat & free if free.shape[0] else flat, axis=1)] = np.inf
    none = np.where(residual > 0, np.inf, 0.0)
    return np.divide(residual, program.bound, out=none, where=program.bound > 0)


def alternating_directions(
    F: Array, G: Array, C: Array, free: Array, stop: tuple[float, float, int]
) -> None:
    """Find the minimum of ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by ADMM.

    ``F`` (rows, k) is the start and is overwritten; entries where ``free`` is False stay. One
    copy of F minimizes the quadratic, another is non-negative, and a price draws them
    together; the weight of their distance is the mean of the diagonal of G. The quadratic may
    rise on the way. ``stop`` is (tol, shrink, max_iter): a row is done when its residual
    (`row_residuals`) is at most ``tol``, or ``shrink`` times that of the start. Cost
    O(rows · k²) per step, and O(k³) once.

    Source: Huang, Sidiropoulos & Liavas (2016), IEEE Transactions on Signal Processing 64,
    5052-5065, algorithm 1.
    """
    _drop_flat(F, G, C, free)
    program = _Program(F, G, C, free)
    wide = program.gram.astype(np.float64) + np.eye(len(G))
    solve = np.linalg.inv(wide).astype(F.dtype)  # well conditioned: eigenvalues 1 to k + 1
    tol, shrink, max_iter = stop
    rows, f = np.arange(len(F)), program.start
    price = np.zeros_like(f)
    left = program.residual(f, f @ program.gram - program.cross, rows)
    enough = np.maximum(tol * program.bound, shrink * left)
    for _ in range(max_iter):
        going = left > enough[rows]
        if not going.all():
            program.store(F, rows[~going], f[~going])
            rows, f, price = rows[going], f[going], price[going]
        if rows.size == 0:
            return
        smooth = (program.cross[rows] + f + price) @ solve
        f = np.where(program.open[rows], np.maximum(smooth - price, 0), f)
        price = price + f - smooth
        left = program.residual(f, f @ program.gram - program.cross[rows], rows)
    program.store(F, rows, f)
