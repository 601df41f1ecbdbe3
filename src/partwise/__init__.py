"""Partwise: non-negative matrix factorization, X ≈ W H: parts that add up and can be read."""

from partwise._errors import UnsupportedCombinationError
from partwise._version import __version__
from partwise.comparison import Comparison, compare
from partwise.estimators import (
    NMF,
    FitState,
    MiniBatchNMF,
    NMFImputer,
    NonSmoothNMF,
    PositiveMatrixFactorization,
    Recommender,
    SequentialNMF,
    best_factor,
    nnls,
    nnqp,
    non_negative_factorization,
)
from partwise.files import load_model, read_matrix, save_model
from partwise.select import CrossValLoss, HeldOutEntries, cross_val_loss

__all__ = [
    "NMF",
    "Comparison",
    "CrossValLoss",
    "FitState",
    "HeldOutEntries",
    "MiniBatchNMF",
    "NMFImputer",
    "NonSmoothNMF",
    "PositiveMatrixFactorization",
    "Recommender",
    "SequentialNMF",
    "UnsupportedCombinationError",
    "__version__",
    "best_factor",
    "compare",
    "cross_val_loss",
    "load_model",
    "nnls",
    "nnqp",
    "non_negative_factorization",
    "read_matrix",
    "save_model",
]
