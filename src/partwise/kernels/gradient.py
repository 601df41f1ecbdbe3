"""Gradient methods for the non-negative quadratic program, whole blocks of rows at once.

Matrix products dominate here, so nothing is compiled. Every decision is one row's own: its
step, its momentum, and when it is done. All methods work in units in which G has ones on its
diagonal, so that the scale of a component does not matter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["alternating_directions", "nesterov", "projected_gradient", "row_residuals"]

Array = np.ndarray
# Lin (2007), section 5: share of the promised decrease that is enough, factor between steps
# that are tried, and how many are tried.
ENOUGH, FACTOR, TRIALS = 0.01, 0.1, 20


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


# What a method remembers of the rows that are not done, one row each; a step advances it.
State = dict[str, Array]
Step = Callable[[_Program, Array, State], None]


def _run(
    F: Array,
    program: _Program,
    state: State,
    step: Step,
    stop: tuple[float, float, int],
) -> None:
    # ``state`` holds "f", "slope" and what else the method needs. ``stop``: tol, shrink,
    # max_iter.
    tol, shrink, max_iter = stop
    rows = np.arange(len(F))
    left = program.residual(state["f"], state["slope"], rows)
    enough = np.maximum(tol * program.bound, shrink * left)
    for _ in range(max_iter):
        going = left > enough[rows]
        if not going.all():
            program.store(F, rows[~going], state["f"][~going])
            rows = rows[going]
            for name, values in state.items():
                state[name] = values[going]
        if rows.size == 0:
            return
        step(program, rows, state)
        left = program.residual(state["f"], state["slope"], rows)
    program.store(F, rows, state["f"])


def projected_gradient(
    F: Array, G: Array, C: Array, free: Array, stop: tuple[float, float, int]
) -> None:
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by projected gradient steps.

    ``F`` (rows, k) is updated in place; entries where ``free`` is False stay. Each row has a
    step size of its own, raised or lowered tenfold from its last one to the largest that
    brings a hundredth of the promised decrease. ``stop`` is (tol, shrink, max_iter): a row is
    done when its residual (`row_residuals`) is at most ``tol``, or ``shrink`` times that of
    the start. No step raises the quadratic. Cost O(rows · k²) per step tried.

    Source: Lin (2007), Neural Computation 19, 2756-2779, algorithm 4.
    """
    _drop_flat(F, G, C, free)
    program = _Program(F, G, C, free)
    f = program.start
    state = {"f": f, "slope": f @ program.gram - program.cross, "size": np.ones(len(f), f.dtype)}
    _run(F, program, state, _gradient_step, stop)


def _gradient_step(program: _Program, rows: Array, state: State) -> None:
    f, slope, size = state["f"], state["slope"], state["size"]
    moves = np.zeros_like(f)

    def good(chosen: Array) -> tuple[Array, Array]:
        start, down = f[chosen], slope[chosen]
        move = np.maximum(start - size[chosen, None] * down, 0) - start
        move[~program.open[rows[chosen]]] = 0
        promised = np.einsum("ij,ij->i", down, move, dtype=np.float64)
        curved = np.einsum("ij,ij->i", move @ program.gram, move, dtype=np.float64)
        return (1 - ENOUGH) * promised + 0.5 * curved <= 0, move

    chosen = np.arange(len(f))
    grows, move = good(chosen)
    moves[grows] = move[grows]
    for up in (True, False):
        chosen = np.flatnonzero(grows == up)
        for _ in range(TRIALS):
            if chosen.size == 0:
                break
            before = size[chosen]
            size[chosen] = before / FACTOR if up else before * FACTOR
            fine, move = good(chosen)
            # A longer step is worth trying as long as it gets anywhere.
            further = fine & np.any(move != moves[chosen], axis=1) if up else fine
            moves[chosen[further]] = move[further]
            if up:
                size[chosen[~further]] = before[~further]
            chosen = chosen[further] if up else chosen[~further]
    state["f"] = np.maximum(f + moves, 0)
    state["slope"] = state["f"] @ program.gram - program.cross[rows]


def nesterov(F: Array, G: Array, C: Array, free: Array, stop: tuple[float, float, int]) -> None:
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by Nesterov's accelerated gradient.

    ``F`` (rows, k) is updated in place; entries where ``free`` is False stay. The step is one
    over the largest eigenvalue of G. A row whose quadratic would rise stays and loses its
    momentum, so it never rises. ``stop`` is (tol, shrink, max_iter): a row is done when its
    residual (`row_residuals`) is at most ``tol``, or ``shrink`` times that of the start.
    Cost O(rows · k²) per step, and O(k³) once.

    Source: Guan, Tao, Luo & Yuan (2012), IEEE Transactions on Signal Processing 60,
    2882-2898 (NeNMF), algorithm 1; the restarts after O'Donoghue & Candès (2015), Foundations
    of Computational Mathematics 15, section 3.2.
    """
    _drop_flat(F, G, C, free)
    program = _Program(F, G, C, free)
    largest = float(np.linalg.eigvalsh(program.gram.astype(np.float64))[-1])
    size = F.dtype.type(1 / max(largest, 1.0))
    f = program.start
    product = f @ program.gram
    state = {
        "f": f,
        "slope": product - program.cross,
        "before": f,
        "slope before": product - program.cross,
        "weight": np.ones((len(f), 1), f.dtype),
    }

    def step(program: _Program, rows: Array, state: State) -> None:
        f, slope, weight = state["f"], state["slope"], state["weight"]
        heavier = (1 + np.sqrt(1 + 4 * weight * weight)) / 2
        momentum = (weight - 1) / heavier
        ahead = f + momentum * (f - state["before"])
        down = slope + momentum * (slope - state["slope before"])
        new = np.where(program.open[rows], np.maximum(ahead - size * down, 0), f)
        new_slope = new @ program.gram - program.cross[rows]
        rise = np.einsum("ij,ij->i", new - f, new_slope + slope, dtype=np.float64)
        bad = ((rise > 0) & (momentum[:, 0] > 0))[:, None]
        state["before"], state["slope before"] = f, slope
        state["f"], state["slope"] = np.where(bad, f, new), np.where(bad, slope, new_slope)
        state["weight"] = np.where(bad, weight.dtype.type(1), heavier)

    _run(F, program, state, step, stop)


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
    f = program.start
    state = {"f": f, "slope": f @ program.gram - program.cross, "price": np.zeros_like(f)}

    def step(program: _Program, rows: Array, state: State) -> None:
        f, price = state["f"], state["price"]
        smooth = (program.cross[rows] + f + price) @ solve
        new = np.where(program.open[rows], np.maximum(smooth - price, 0), f)
        state["f"], state["price"] = new, price + new - smooth
        state["slope"] = new @ program.gram - program.cross[rows]

    _run(F, program, state, step, stop)
