"""Extrapolation of factors along their last moves."""

from __future__ import annotations

from partwise.kernels._compile import compiled

__all__ = ["extrapolate"]


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def extrapolate(F, before, weight, positive, project):  # type: ignore[no-untyped-def]
    """Replace F by ``F + weight (F − before)``, and ``before`` by F as it was.

    F and ``before`` are flat. ``positive``: entries that fall are divided by what they fall by,
    ``F / (1 − weight (1 − before / F))``, so that none falls below zero. ``project``: entries
    below zero are zero. Cost O(entries), in one pass.
    """
    none = weight * 0
    for i in range(len(F)):
        new = F[i]
        move = weight * (new - before[i])
        before[i] = new
        moved = new + move
        if positive and move < none:
            moved = new * new / (new - move) if new > none else none
        if project and moved < none:
            moved = none
        F[i] = moved
