"""The faces that scikit-learn users know."""

from partwise.estimators._progress import FitState
from partwise.estimators.function import non_negative_factorization
from partwise.estimators.least_squares import nnls, nnqp
from partwise.estimators.mini_batch_nmf import MiniBatchNMF
from partwise.estimators.nmf import NMF
from partwise.estimators.positive_matrix_factorization import PositiveMatrixFactorization
from partwise.estimators.presets import NonSmoothNMF

__all__ = [
    "NMF",
    "FitState",
    "MiniBatchNMF",
    "NonSmoothNMF",
    "PositiveMatrixFactorization",
    "nnls",
    "nnqp",
    "non_negative_factorization",
]
