"""Partwise: non-negative matrix factorization, X ≈ W H, so that parts add up and can be read."""

from partwise._version import __version__
from partwise.estimators import NMF, MiniBatchNMF, non_negative_factorization

__all__ = [
    "NMF",
    "MiniBatchNMF",
    "__version__",
    "non_negative_factorization",
]
