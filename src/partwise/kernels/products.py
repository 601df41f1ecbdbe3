"""Divergences of dense rows from a product of factors that is never formed as a whole."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import WIDE, add_dots, products
from partwise.kernels._logarithm import log
from partwise.kernels._rows import put
from partwise.kernels._tiles import ROWS, add_turned_tile, tile_of
from partwise.kernels.beta import _divergence, _power, half_terms

__all__ = ["product_loss", "product_split"]


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _strip(A, first, B):  # type: ignore[no-untyped-def]
    # B (k, strip) = rows first, … of A, transposed, and zeros beyond its end.
    k = A.shape[1]
    width = B.shape[1]
    count = min(width, A.shape[0] - first)
    for l in range(k):
        for c in range(count):
            B[l, c] = A[first + c, l]
        for c in range(count, width):
            B[l, c] = 0
    return count


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _parts(x, y, beta, q, p):  # type: ignore[no-untyped-def]
    # q = x y^(β−2) and p = y^(β−1).
    if beta == 1.0:
        for c in range(len(x)):
            q[c] = x[c] / y[c]
    elif beta == 0.0:
        for c in range(len(x)):
            p[c] = 1 / y[c]
            q[c] = x[c] * p[c] * p[c]
    else:
        for c in range(len(x)):
            p[c] = _power(y[c], beta - 1.0)
            q[c] = x[c] * p[c] / y[c]


@compiled(error_model="numpy")
def product_split(X, F, A, beta, floor, of_F, of_A):  # type: ignore[no-untyped-def]
    """Write both parts of the gradient of the beta-divergence of X from ``F Aᵀ`` in F.

    With Y = max(F Aᵀ, floor), ``of_F`` (2, rows, k) gets ``(X ∘ Y^(β−2)) A`` and ``Y^(β−1) A``;
    for β = 1 (1, rows, k) the former alone, since the latter is the same in every row. X (rows,
    columns) in any order, F and A (columns, k) in C order, all of one dtype. ``of_A`` of as many
    parts (…, columns, k) gets those of the gradient in A from the same look at X; one of no parts
    is left alone. Cost O(rows · columns · k), no temporary of the size of X.
    """
    rows, k = F.shape
    strip = WIDE // F.itemsize
    two, both = len(of_F) > 1, len(of_A) > 0
    B, T = np.empty((k, strip), F.dtype), np.empty((len(of_F), k, strip), F.dtype)
    x, y = np.zeros(strip, F.dtype), np.ones(strip, F.dtype)
    # Rows of F, and what they are multiplied with for the gradient in A, some at a time.
    f, slopes = np.zeros((ROWS, k), F.dtype), np.zeros((2, ROWS, strip), F.dtype)
    falling, rising, q, p = slopes[0], slopes[1], slopes[0, 0], slopes[1, 0]
    negative, positive = of_F[0], of_F[len(of_F) - 1]
    of_F[:] = 0
    for first in range(0, A.shape[0], strip):
        count = _strip(A, first, B)
        x[count:] = 0
        T[:] = 0
        for i in range(rows):
            if both:
                q, p = falling[i % ROWS], rising[i % ROWS]
            for c in range(count):
                x[c] = X[i, first + c]
            products(y, B, F[i], floor)
            if count < strip:
                y[count:] = 1
            _parts(x, y, beta, q, p)
            add_dots(negative[i], B, q)
            if two:
                add_dots(positive[i], B, p)
            if both:
                put(f[i % ROWS], F[i])
                if i % ROWS == ROWS - 1 or i == rows - 1:
                    slopes[:, i % ROWS + 1 :] = 0
                    for part in range(len(of_F)):
                        for j in range(0, count, tile_of(F)):
                            add_turned_tile(T[part], j, slopes[part], 0, j, f, 0)
        for part in range(len(of_A)):
            for c in range(count):
                for l in range(k):
                    of_A[part, first + c, l] = T[part, l, c]


@compiled(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _costs(x, y, beta, scale):  # type: ignore[no-untyped-def]
    total = 0.0
    if beta == 1.0:
        for c in range(len(x)):
            a, b = np.float64(x[c]), np.float64(y[c])
            total += a * log(a / b) - a + b if a > 0 else b
            scale[0] += a
    elif beta == 0.0:
        for c in range(len(x)):
            ratio = np.float64(x[c]) / np.float64(y[c])
            total += ratio - log(ratio) - 1.0
        scale[0] += 2 * len(x)
    elif beta == 0.5 or beta == 1.5:
        for c in range(len(x)):
            falling, rising = half_terms(np.float64(x[c]), np.float64(y[c]), beta)
            total += rising - falling
            scale[0] += rising + falling
    else:
        for c in range(len(x)):
            total += max(_divergence(np.float64(x[c]), np.float64(y[c]), beta), 0.0)
        scale[0] = 0.0
    return total


@compiled(error_model="numpy")
def product_loss(X, F, A, beta, floor):  # type: ignore[no-untyped-def]
    """Return the beta-divergence of X from ``max(F Aᵀ, floor)``, in float64, and a scale.

    Rounding is at most about 1e-15 times the scale, which is 0 where nothing cancels. Cost
    O(rows · columns · k), no temporary of the size of X.
    """
    rows, k = F.shape
    strip = WIDE // F.itemsize
    B = np.empty((k, strip), F.dtype)
    x, y = np.ones(strip, F.dtype), np.ones(strip, F.dtype)
    scale = np.zeros(1)
    total = 0.0
    for first in range(0, A.shape[0], strip):
        count = _strip(A, first, B)
        for i in range(rows):
            for c in range(count):
                x[c] = X[i, first + c]
            products(y, B, F[i], floor)
            total += _costs(x[:count], y[:count], beta, scale)
    return total, scale[0]
