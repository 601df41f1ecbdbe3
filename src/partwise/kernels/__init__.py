"""Compiled functions on plain arrays: arrays in, arrays out, no classes.

Letters used in every kernel: ``F`` is the factor being updated, one row per entry of its
dimension and one column per component; ``G`` (k, k) and ``C`` (rows, k) are the Gram and
cross products of the quadratic ``½ tr(F G Fᵀ) − tr(F Cᵀ)``; ``x`` is data, ``y`` its model.
"""

from partwise.kernels.beta import beta_negative, beta_positive, beta_total, beta_values
from partwise.kernels.multiplicative import multiplicative_update
from partwise.kernels.nnls import solve_rows
from partwise.kernels.quadratic import coordinate_sweeps
from partwise.kernels.reductions import inner
from partwise.kernels.sparse import product_at, square_sums

__all__ = [
    "beta_negative",
    "beta_positive",
    "beta_total",
    "beta_values",
    "coordinate_sweeps",
    "inner",
    "multiplicative_update",
    "product_at",
    "solve_rows",
    "square_sums",
]
