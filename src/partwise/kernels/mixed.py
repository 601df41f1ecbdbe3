"""How the best contributions of weighted least squares answer to a change of the profiles."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["mixed_rows"]

FAST = {"contract", "nsz", "reassoc"}


@compiled(error_model="numpy", fastmath=FAST)
def _roots(v, H, chosen, count, L, T):  # type: ignore[no-untyped-def]
    # With A = H V Hᵀ of the chosen rows = L Lᵀ: L becomes its inverse, and T is that times H V.
    m = len(v)
    for s in range(count):
        a = chosen[s]
        for j in range(m):
            T[s, j] = v[j] * H[a, j]
        for t in range(s + 1):
            b = chosen[t]
            total = 0.0
            for j in range(m):
                total += T[s, j] * H[b, j]
            L[s, t] = total
    for s in range(count):
        for t in range(s):
            for u in range(t):
                L[s, t] -= L[s, u] * L[t, u]
            L[s, t] /= L[t, t]
        own = L[s, s]
        for u in range(s):
            L[s, s] -= L[s, u] * L[s, u]
        L[s, s] = np.sqrt(max(L[s, s], 1e-14 * own + 1e-290))
    for s in range(count):
        for j in range(m):
            for u in range(s):
                T[s, j] -= L[s, u] * T[u, j]
            T[s, j] /= L[s, s]
    for s in range(count):
        own = 1 / L[s, s]
        for t in range(s):
            total = 0.0
            for u in range(t, s):
                total += L[s, u] * L[u, t]
            L[s, t] = -total * own
        L[s, s] = own


@compiled(error_model="numpy")
def mixed_rows(V, VR, H, W, place, factor, species, force, out):  # type: ignore[no-untyped-def]
    """Write rows whose products with each other are what profiles lose of their own curvature.

    Minimized over the entries of W (n, p) that are > 0 is ``½ Σ V (X − W H)²``, with H (p, m) and
    ``VR`` = V ∘ (X − W H), less ``force`` · W[i, factor] · H[factor, species] for every row i. With
    A the curvature in the entries of a row of W and C their mixed derivatives with those of H, ``Σ
    Cᵀ A⁻¹ C`` is ``outᵀ out``: of every row and each of its entries > 0 a row of ``out``, which is
    zero before. Its columns are the entries of H: that of (b, j) is ``place[j, b]``, or none where
    this is negative. Returns how many rows were written.

    Cost O(n p m (p + p)) with p the entries > 0 of a row.

    Source: Golub & Pereyra (1973), SIAM Journal on Numerical Analysis 10.
    """
    n, p = W.shape
    m = H.shape[1]
    L = np.zeros((p, p))
    T = np.empty((p, m))
    chosen = np.empty(p, np.intp)
    written = 0
    for i in range(n):
        count = 0
        for a in range(p):
            if W[i, a] > 0:
                chosen[count] = a
                count += 1
        _roots(V[i], H, chosen, count, L, T)
        for s in range(count):
            row = out[written + s]
            for j in range(m):
                for t in range(count):
                    b = chosen[t]
                    where = place[j, b]
                    if where >= 0:
                        value = T[s, j] * W[i, b]
                        if t <= s:
                            value -= L[s, t] * VR[i, j]
                            if b == factor and j == species:
                                value -= L[s, t] * force
                        row[where] = value
        written += count
    return written
