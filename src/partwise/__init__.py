"""Partwise: non-negative matrix factorization, X ≈ W H: parts that add up and can be read."""

from partwise._errors import UnsupportedCombinationError
from partwise._version import __version__
from partwise.comparison import Comparison, compare
from partwise.estimators import (
    NMF,
    FitState,
    MiniBatchNMF,
    NonSmoothNMF,
    PositiveMatrixFactorization,
    nnls,
    nnqp,
    non_negative_factorization,
)
from partwise.files import load_model, read_matrix, save_model

__all__ = [
    "NMF",
    "Comparison",
    "FitState",
    "MiniBatchNMF",
    "NonSmoothNMF",
    "PositiveMatrixFactorization",
    "UnsupportedCombinationError",
    "__version__",
    "compare",
    "load_model",
    "nnls",
    "nnqp",
    "non_negative_factorization",
    "read_matrix",
    "save_model",
]
