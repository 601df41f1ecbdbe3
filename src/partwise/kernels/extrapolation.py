"""Extrapolation of factors along their last moves."""

from __future__ import annotations

from partwise.kernels._compile import compiled

__all__ = ["extrapolate", "follow", "leave"]


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


@compiled()
def leave(F, a, b, before):  # type: ignore[no-untyped-def]
    """Remember rows of F that are about to be updated, in the first of two arrays.

    Nothing is done where that has no rows.
    """
    kept = before[0]
    for i in range(a, b if len(kept) > 0 else a):
        for l in range(F.shape[1]):
            kept[i, l] = F[i, l]


@compiled()
def follow(F, a, b, before, weight, positive):  # type: ignore[no-untyped-def]
    """Extrapolate rows of F that were just updated from the second of two arrays.

    See `extrapolate`; what would fall below zero is zero, unless nothing does so. Nothing is done
    where that array has no rows.
    """
    solved = before[1]
    if len(solved) > 0:
        flat = F[a:b].reshape(-1), solved[a:b].reshape(-1)
        extrapolate(flat[0], flat[1], weight, positive, not positive)
