"""The multiplicative update of one factor."""

from __future__ import annotations

from numba import njit

__all__ = ["multiplicative_update"]


@njit(cache=True, nogil=True)
def multiplicative_update(F, negative, positive, exponent, floor, free):  # type: ignore[no-untyped-def]
    """Set ``F`` to ``max(floor, F ∘ (negative / positive) ** exponent)`` in place.

    ``positive − negative`` is the gradient, both parts non-negative, all of shape
    (rows, k). The floor keeps an entry able to return from zero. Where both parts vanish
    the objective does not depend on the entry, which stays; so do entries where ``free``
    (rows, k; no rows: all are free) is False. Cost O(rows · k).

    Source: Févotte & Idier (2011), Neural Computation 23, section 4; the floor after
    Gillis & Glineur (2008), arXiv:0810.4225.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    for i in range(rows):
        for j in range(k):
            if use_free and not free[i, j]:
                continue
            up, down = negative[i, j], positive[i, j]
            if down > 0:
                ratio = up / down
                if exponent == 0.5:
                    ratio = ratio**0.5
                elif exponent != 1.0:
                    ratio = ratio**exponent
                F[i, j] = max(F[i, j] * ratio, floor)
