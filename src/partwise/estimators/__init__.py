"""The faces that scikit-learn users know."""

from partwise.estimators._progress import FitState
from partwise.estimators.function import non_negative_factorization
from partwise.estimators.least_squares import nnls, nnqp
from partwise.estimators.mini_batch_nmf import MiniBatchNMF
from partwise.estimators.nmf import NMF
from partwise.estimators.presets import NonSmoothNMF
from partwise.estimators.recommender import Recommender

__all__ = [
    "NMF",
    "FitState",
    "MiniBatchNMF",
    "NonSmoothNMF",
    "Recommender",
    "nnls",
    "nnqp",
    "non_negative_factorization",
]
