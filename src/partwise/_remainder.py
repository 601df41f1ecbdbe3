"""What is left of X, where it is too little for Gram products to tell."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.data.dense import ROUNDING
from partwise.models import Model

__all__ = ["CANCELLATION", "CANCELLATION_OF_CHANGE", "half_squares_left"]

# Below this share of ½‖X‖² the value from Gram products has lost too many digits, and the
# residual is formed block by block instead.
CANCELLATION = {"f": 1e-2, "d": 1e-5}
# So of products that tell by how much it changes, of factors ≥ 0, if what is left before is known:
# with ten times the error, for which extrapolation allows.
CANCELLATION_OF_CHANGE = {"f": 1e-3, "d": 1e-6}


def half_squares_left(x: np.ndarray, model: Model, factors: dict[str, np.ndarray]) -> float:
    """Return ½‖X − X̂‖² from the entries of X, in float64; in float32 while that tells it."""
    rest = model.forward(factors)
    rest -= x
    value = 0.5 * kernels.inner(rest, rest)
    if rest.dtype == np.float32 and value < ROUNDING * kernels.inner(x, x):
        return half_squares_left(x, model, {n: F.astype(np.float64) for n, F in factors.items()})
    return value
