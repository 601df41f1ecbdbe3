"""Functions on plain arrays, compiled unless matrix products dominate: arrays in, arrays out.

Letters used in every kernel: ``F`` is the factor being updated, one row per entry of its
dimension and one column per component; ``G`` (k, k) and ``C`` (rows, k) are the Gram and
cross products of the quadratic ``½ tr(F G Fᵀ) − tr(F Cᵀ)``; ``x`` is data, ``y`` its model.

A kernel's file, and the compiler with it, loads when the kernel is first asked for: use
``from partwise import kernels`` and ``kernels.inner(…)``.
"""

import importlib
import typing

from partwise.kernels._rest import collector_at_rest

_FILES = {
    "admm": ("alternating_directions", "row_residuals"),
    "beta": (
        "beta_negative",
        "beta_positive",
        "beta_total",
        "beta_values",
        "quick_total",
        "sum_log",
        "sum_x_log_x",
    ),
    "dense": ("along_rows", "dense_product", "gram", "narrow_product", "turned_product"),
    "extrapolation": ("extrapolate",),
    "greedy": ("greedy_updates",),
    "interior": ("interior_rows_to_sums",),
    "left": (
        "left_along_rows",
        "left_turned",
        "moved_along_rows",
        "moved_turned",
        "squares_left",
    ),
    "listed": ("search_listed_rows",),
    "mixed": ("mixed_rows",),
    "multiplicative": ("multiplicative_update",),
    "newton": ("newton_dense", "newton_sparse"),
    "nnls": ("solve_rows",),
    "observed": (
        "observed_by_products",
        "observed_dense",
        "observed_sparse",
        "pairs_of_columns",
    ),
    "pace": ("hardly_fell", "nothing_new", "set_out", "settle"),
    "own": ("descend_listed_rows",),
    "passive": ("solve_passive",),
    "pivoting": ("least_squares_rows", "pivot_rows"),
    "products": ("product_loss", "product_split"),
    "quadratic": ("coordinate_sweeps",),
    "rational": ("rational_dense", "rational_sparse"),
    "rays": ("go_along",),
    "reductions": ("inner", "look_over"),
    "shapes": ("increasing_columns", "unimodal_columns"),
    "sparse": ("add_columns", "product_at", "sparse_product", "square_sums"),
    "sparseness": ("sparseness_columns",),
    "steps": ("multiplicative_steps", "nesterov", "projected_gradient"),
    "stochastic": ("stochastic_block",),
    "sums": ("mixed_rows_to_sums", "solve_rows_to_sums"),
    "together": ("descend_dense",),
    "totals": ("squares_of_columns", "sums_of_columns"),
    "variation": ("variation_columns",),
    "waiting": ("wait_for_change",),
    "whole": ("sweep_dense_rows", "sweep_sparse_rows"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_FILE_OF)


def __getattr__(name: str) -> typing.Any:
    if name not in _FILE_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    with collector_at_rest():
        file = importlib.import_module(f"{__name__}.{_FILE_OF[name]}")
    globals()[name] = found = getattr(file, name)
    return found


def __dir__() -> list[str]:
    return __all__
