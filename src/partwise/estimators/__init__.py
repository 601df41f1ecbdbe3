"""The faces that scikit-learn users know."""

from partwise.estimators._progress import FitState
from partwise.estimators._residuals import ChiSquare
from partwise.estimators.best_factor import best_factor
from partwise.estimators.function import non_negative_factorization
from partwise.estimators.imputer import NMFImputer
from partwise.estimators.least_squares import nnls, nnqp
from partwise.estimators.mini_batch_nmf import MiniBatchNMF
from partwise.estimators.nmf import NMF
from partwise.estimators.positive_matrix_factorization import PositiveMatrixFactorization
from partwise.estimators.presets import NonSmoothNMF
from partwise.estimators.recommender import Recommender
from partwise.estimators.sequential import SequentialNMF

__all__ = [
    "NMF",
    "ChiSquare",
    "FitState",
    "MiniBatchNMF",
    "NMFImputer",
    "NonSmoothNMF",
    "PositiveMatrixFactorization",
    "Recommender",
    "SequentialNMF",
    "best_factor",
    "nnls",
    "nnqp",
    "non_negative_factorization",
]
