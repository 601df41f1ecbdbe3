"""Starts of factors whose entries may have any sign."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.leading import leading
from partwise.models import Model

__all__ = ["random_signed", "svd"]

# A singular vector whose entries are at least this share of its largest counts as positive.
POSITIVE = 1e-3


def svd(data: Data, model: Model, signed: Collection[str]) -> dict[str, np.ndarray]:
    """Start from the truncated singular value decomposition, shifted where F ≥ 0 is asked for.

    With both factors of any sign it is the decomposition of rank k itself. With one of them ≥ 0
    a combination of its columns with a positive vector is: the leading singular vector, where
    that is positive, and then the misfit still is that of rank k; else a vector of ones, which
    takes a column of its own, and the misfit is that of rank k − 1.

    Source: Gillis & Kumar (2015), SIAM Journal on Matrix Analysis and Applications 36.
    """
    k = model.n_components
    u, s, vt = leading(data, k)
    names = model.names
    parts = {names[0]: u.astype(np.float64), names[1]: vt.T.astype(np.float64)}
    root = np.sqrt(s.astype(np.float64))
    bound = [name for name in names if name not in signed]
    if bound:
        one = bound[0]
        other = names[1 - names.index(one)]
        parts[one], parts[other], root = _shifted(parts[one], parts[other], root, k)
    out = {name: np.zeros((len(F), k), data.dtype) for name, F in parts.items()}
    for name, F in parts.items():
        out[name][:, : F.shape[1]] = F * root
    return out


def _shifted(
    V: np.ndarray, U: np.ndarray, root: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # V diag(root²) Uᵀ with V ≥ 0: v_j + c_j p for a positive p, and p takes −Σ c_j u_j back.
    signs = np.where(V.max(axis=0) < -V.min(axis=0), -1.0, 1.0)
    V, U = V * signs, U * signs
    p = V[:, 0]
    if p.min() >= POSITIVE * p.max() > 0:
        rest, left, weights, own, first = V[:, 1:], U[:, 1:], root[1:], U[:, 0], root[0]
    elif k == 1:
        return np.maximum(V, 0), U, root
    else:
        rest, left, weights = V[:, : k - 1], U[:, : k - 1], root[: k - 1]
        p, own, first = np.full(len(V), len(V) ** -0.5), np.zeros(len(U)), root[0]
    shares = np.maximum(-(rest / p[:, None]).min(axis=0, initial=0), 0)
    # Column by column: weight² u_j v_jᵀ is what the product has to be.
    own = first**2 * own - left @ (weights**2 * shares)
    first = first or 1.0
    V = np.column_stack([p, np.maximum(rest + p[:, None] * shares, 0)])
    return V, np.column_stack([own / first**2, left]), np.append(first, weights)


def random_signed(
    data: Data, model: Model, signed: Collection[str], rng: Any
) -> dict[str, np.ndarray]:
    """Draw N(0, 1) entries, of their size where F ≥ 0 is asked for, in the scale of X."""
    scale = (data.sum_of_squares() / data.size / model.n_components) ** 0.25
    factors = {}
    for name, dimension in model.dimensions(data.shape).items():
        draw = rng.standard_normal((dimension, model.n_components))
        factors[name] = (scale * (draw if name in signed else np.abs(draw))).astype(data.dtype)
    return factors
