"""The slow and obvious version of every kernel, and of the objective."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize


def inner(A, B):
    return math.fsum(float(a) * float(b) for a, b in zip(A.ravel(), B.ravel(), strict=True))


def coordinate_sweeps(F, G, C, order, free, repeats):
    F = F.astype(np.float64)
    for _ in range(repeats):
        for i in range(len(F)):
            for j in order:
                if free.shape[0] and not free[i, j]:
                    continue
                slope = sum(float(G[j, m]) * F[i, m] for m in range(F.shape[1])) - float(C[i, j])
                if G[j, j] > 0:
                    F[i, j] = max(0.0, F[i, j] - slope / float(G[j, j]))
                elif slope > 0:
                    F[i, j] = 0.0
    return F


def solve_rows(F, G, C, free):
    """Non-negative least squares by SciPy, on a square root of the Gram matrix."""
    values, vectors = np.linalg.eigh(G.astype(np.float64))
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    out = F.astype(np.float64).copy()
    for i in range(len(F)):
        open_ = free[i] if free.shape[0] else np.ones(F.shape[1], bool)
        if not open_.any():
            continue
        target = C[i].astype(np.float64) - G[:, ~open_] @ out[i, ~open_]
        goal = np.linalg.lstsq(root[:, open_].T, target[open_], rcond=None)[0]
        out[i, open_] = optimize.nnls(root[:, open_], goal)[0]
    return out


def multiplicative_update(F, negative, positive, slopes, powers, floor, free):
    out = F.astype(np.float64).copy()
    p, q = powers
    for i in range(F.shape[0]):
        for j in range(F.shape[1]):
            a, b = (float(s[i, j]) if s.shape[0] else 0.0 for s in slopes)
            up, down = float(negative[i, j]), float(positive[i, j])
            if (free.shape[0] and not free[i, j]) or down + a + b == 0:
                continue

            def slope(r, up=up, down=down, a=a, b=b):
                return -up * r ** (p - 1) + down * r ** (q - 1) + a + b * r

            best = 0.0
            if up > 0 and slope(1e-12) < 0:
                best = optimize.brentq(slope, 1e-12, 1e12, xtol=1e-14, rtol=1e-14)
            out[i, j] = max(floor[i], out[i, j] * best)
    return out


def product_at(indptr, indices, W, H):
    return np.array(
        [
            sum(float(w) * float(h) for w, h in zip(W[i], H[indices[p]], strict=True))
            for i in range(len(indptr) - 1)
            for p in range(indptr[i], indptr[i + 1])
        ]
    )


def divergence(x, y, beta):
    """The textbook formula, in extended precision."""
    x, y, beta = np.longdouble(x), np.longdouble(y), np.longdouble(beta)
    if beta == 2:
        return (x - y) ** 2 / 2
    if beta == 1:
        return (x * np.log(x / y) if x > 0 else np.longdouble(0)) - x + y
    if beta == 0:
        return x / y - np.log(x / y) - 1
    return (x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)) / (beta * (beta - 1))


def l21(X, Y, V, smoothing):
    """The L2,1 norm of what is known, sample by sample; V are weights, 0 where X is missing."""
    total = 0.0
    for x, y, v in zip(X, Y, V, strict=True):
        seen = v > 0
        if seen.any():
            share, rest = v[seen] / v.max(), (x - y)[seen]
            least = smoothing * math.sqrt((share * x[seen] ** 2).sum())
            total += v.max() * (math.sqrt((share * rest**2).sum() + least**2) - least)
    return total


def misfit(loss, X, Y, V):
    """The loss of data with weights V of its entries."""
    if loss.rowwise:
        return l21(X, Y, V, loss.smoothing)
    return (V * loss.value(np.where(V > 0, X, Y), Y)).sum()


def objective(X, W, H, beta=2.0, alpha_W=0.0, alpha_H=0.0, l1_ratio=0.0):
    """The penalized objective of X (n, m), W (n, k), H (k, m), as the documentation states it."""
    X, W, H = (np.asarray(A, dtype=np.float64) for A in (X, W, H))
    Y = W @ H
    total = math.fsum(
        float(divergence(x, y, beta)) for x, y in zip(X.ravel(), Y.ravel(), strict=True)
    )
    for F, strength in ((W, alpha_W * X.shape[1]), (H, alpha_H * X.shape[0])):
        total += strength * l1_ratio * np.abs(F).sum()
        total += 0.5 * strength * (1 - l1_ratio) * np.square(F).sum()
    return total


def kkt(X, W, Ht):
    """The scaled KKT residual of the squared loss, entry by entry; Ht is (n_features, k)."""
    worst = 0.0
    for F, other, Z in ((W, Ht, X), (Ht, W, X.T)):
        positive, negative = F @ (other.T @ other), Z @ other
        total = scale = 0.0
        for j in range(F.shape[1]):
            f, p = np.sqrt(np.mean(F[:, j] ** 2)), np.sqrt(np.mean(positive[:, j] ** 2))
            scale += len(F) * (f * p) ** 2
            for i in range(len(F)):
                gradient = positive[i, j] - negative[i, j]
                total += (p * (F[i, j] - max(0.0, F[i, j] - gradient * f / p))) ** 2
        worst = max(worst, math.sqrt(total / scale))
    return worst


def newton_sweep(X, F, A, slope, curve, free, floor, inner, damped):
    """One sweep of `kernels.newton_dense`, with the model formed anew for every step."""
    F = F.astype(np.float64)

    def derivatives(i, l):
        y = np.maximum(F[i] @ A.T, floor)
        b = A[:, l]
        return slope[l] + curve * F[i, l] - np.sum(b * X[i] / y), curve + np.sum(
            b * b * X[i] / y**2
        )

    for i, l in np.ndindex(F.shape):
        if free.shape[0] and not free[i, l]:
            continue
        for _ in range(inner):
            old = F[i, l]
            g, h = derivatives(i, l)
            if old == 0 and g >= 0:
                break
            step = max(-g / h, -old) if h > 0 else -old
            if damped and step < 0:
                share = min(-step / old, -step * np.sqrt(h / X[i][X[i] > 0].min(initial=np.inf)))
                step /= 1 if share <= 0.683802 else 1 + share
            F[i, l] = old + step
            if damped or abs(step) < 0.5 * old:
                break
            if step < 0 and -derivatives(i, l)[0] > g:
                F[i, l] = old + step / (1 - step / old)
                break
    return F


def rational_sweep(X, F, A, slope, curve, free, floor, beta):
    """One sweep of `kernels.rational_dense`, with the scalar equation solved by bisection."""
    F = F.astype(np.float64)
    for i in range(len(F)):
        for l in range(F.shape[1]):
            y = np.maximum(F[i] @ A.T, floor)
            b, old = A[:, l], F[i, l]
            up = np.sum(b * X[i] * y ** (beta - 2))
            bend = np.sum(b * b * X[i] * y ** (beta - 3))
            level = slope[l] + (np.sum(b / y) if beta == 0 else 0.0)
            if (free.shape[0] and not free[i, l]) or (old == 0 and level >= up):
                continue
            if bend <= 0:
                F[i, l] = 0
                continue
            d = up / bend - old

            def excess(f, level=level, up=up, bend=bend, d=d):
                return level + curve * f - up * (up / bend / (f + d)) ** (2 - beta)

            new = optimize.brentq(excess, -d + 1e-13 * (up / bend), 1e9, xtol=1e-15, rtol=1e-14)
            if new < 0.1 * old:
                new = 0.1 * old if old * bend > 0.1 * up else max(new, 0.0)
            F[i, l] = new
    return F
