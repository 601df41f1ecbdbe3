"""From what the user passes as X to an array in memory, or to a view of what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, validate_data

from partwise._arrays import check_kind
from partwise._errors import explain
from partwise.data import Observed, Stored, checked_weights, open_reader
from partwise.estimators._observed import observe
from partwise.estimators._runs import objects_of
from partwise.losses import as_loss
from partwise.penalties import Free, Penalty

__all__ = ["check_data", "is_stored_sparse", "validated"]

# Up to this many bytes X is read as a whole: nothing is gained by blocks.
FITS = 2**26

# What to do about what scikit-learn's validation refuses, by the opening of its message.
_ADVICE = {
    "Complex data": "Wanted real entries: pass np.abs(X) or another real quantity.",
    "Found array with dim": "Make one row of each sample, for example X.reshape(len(X), -1).",
    "Found array with 0": "Look at the filter or file that X came from.",
    "Found array with 1 feature": "A single feature has no parts: pass more columns.",
    "could not convert string": "Encode or drop the columns that are not numbers.",
}
_FLOATS = {"dtype": [np.float64, np.float32], "ensure_all_finite": False}


def check_data(
    est: Any, X: Any, *, reset: bool, weights: Any = None, sample_weight: Any = None
) -> Any:
    """Return X checked: a float array, a matrix in compressed rows, or a view.

    A view is that of data that are `Stored`, weighted or not known everywhere.

    Parameters
    ----------
    est : estimator
        Whose names and number of features are set with ``reset``, else compared with.
    X : array-like, sparse matrix, or a source outside memory that `open_reader` knows
        What is stored and small is read here.
    reset : bool
        Whether X is what the estimator is fitted to.
    weights : array-like, sparse matrix or None
        Of the entries of X, see `partwise.estimators._observed.observe`.
    sample_weight : array-like or None
        Of its rows, on top of those.
    """
    if isinstance(X, Observed):
        return X
    signed = _may_be_negative(est)
    X, names = _matrix_and_names(X)
    check_kind(X, "X")
    stored = X if isinstance(X, Stored) else None
    if stored is None and (reader := open_reader(X)) is not None:
        stored = Stored(reader)
        if len(stored.shape) == 2 and stored.size * stored.dtype.itemsize <= FITS:
            X, stored = reader.read(0, stored.shape[0]), None
    if stored is None:
        X = _matrix(est, X, names, reset)
    else:
        # An array of this shape that takes no memory meets the checks of one that is in memory.
        _matrix(est, np.broadcast_to(np.zeros((), stored.dtype), stored.shape), names, reset)
        X = stored
    how: dict[str, Any] = {"unstored": est.unstored, "signed": signed, "scalable": _scalable(est)}
    if sample_weight is not None:
        weights = _both_weights(weights, sample_weight, X.shape)
    return observe(X, weights, subject=f"{type(est).__name__} (input X)", **how)


def _both_weights(weights: Any, sample_weight: Any, shape: tuple[int, ...]) -> Any:
    # Of entries, or of rows if only those have weights.
    rows = np.full(shape[0], sample_weight) if np.ndim(sample_weight) == 0 else sample_weight
    if np.shape(rows) != shape[:1]:
        wanted = f"({shape[0]},), a weight for each sample"
        todo = "Those of entries are an argument of their own: weights."
        raise ValueError(explain("sample_weight", f"shape {np.shape(rows)}", wanted, todo))
    double = np.dtype(np.float64)
    rows = checked_weights(rows, (shape[0], 1), double, "sample_weight")
    if weights is None:
        return rows[:, 0]
    check_kind(weights, "weights")
    if open_reader(weights, "weights") is not None:
        todo = "Multiply the rows of the weights by those of the samples."
        got = "both, and weights outside memory"
        raise ValueError(explain("weights and sample_weight", got, "one of them", todo))
    if np.shape(weights) in (shape[:1], (shape[0], 1)):
        return (rows * checked_weights(weights, rows.shape, double))[:, 0]
    weights = checked_weights(weights, shape, double)
    if sparse.issparse(weights):
        return sparse.diags_array(rows[:, 0]) @ weights
    return rows * weights


def _scalable(est: Any) -> bool:
    # Whether w times the cost of a row is that of a longer row, whatever W obeys. Of losses of
    # other degrees steps would differ from those for rows that are there w times.
    loss, objects = as_loss(est.beta_loss), objects_of(est, "W")
    homogeneous = loss.quadratic or (loss.degree == 1 and loss.rescaled(2.0) is loss)
    return homogeneous and est.alpha_W == 0 and all(map(_lets_scale_rows, objects))


def _lets_scale_rows(penalty: Any) -> bool:
    if isinstance(penalty, Free):
        return True
    cone = isinstance(penalty, Penalty) and penalty.constraint and penalty.cone
    return cone and penalty.separable in ("entries", "rows") and penalty.free() is None


def _may_be_negative(est: Any) -> bool:
    quadratic, allowed = as_loss(est.beta_loss).quadratic, getattr(est, "allow_negative", False)
    if allowed and not quadratic:
        got = f"beta_loss={est.beta_loss!r}"
        raise ValueError(explain("allow_negative", got, "the squared loss", "Clip X at zero."))
    return quadratic and (allowed or bool(est._signed))


def _matrix_and_names(X: Any) -> tuple[Any, Any]:
    """Return the matrix of an AnnData object and a frame of no rows with its names."""
    if type(X).__module__.partition(".")[0] != "anndata" or not hasattr(X, "var_names"):
        return X, None
    if X.X is None:
        todo = "Pass one of its layers: adata.layers[name]."
        raise ValueError(explain("X", "AnnData without a matrix X", "one with", todo))
    return X.X, X.var.iloc[:, :0].T


def is_stored_sparse(X: Any) -> bool:
    """Return whether the user's X is a sparse matrix, or AnnData with one."""
    return sparse.issparse(_matrix_and_names(X)[0])


def _matrix(est: Any, X: Any, names: Any, reset: bool) -> Any:
    allowed: dict[str, Any] = {"accept_sparse": "csr", "ensure_min_features": 2 if reset else 1}
    if names is None:
        return validated(est, X, reset=reset, **allowed)
    validate_data(est, names, reset=reset, skip_check_array=True)
    with _advice(X):
        return check_array(X, estimator=est, input_name="X", **_FLOATS, **allowed)


def validated(est: Any, X: Any, *, reset: bool, **allowed: Any) -> Any:
    """Return X as floats, infinite or not, by scikit-learn's checks; errors say what to do.

    Parameters
    ----------
    est : estimator
        Whose names and number of features are set with ``reset``, else compared with.
    X : array-like or sparse matrix
        The user's.
    reset : bool
        Whether X is what the estimator is fitted to.
    **allowed
        As for `sklearn.utils.check_array`.
    """
    with _advice(X):
        return validate_data(est, X, reset=reset, **_FLOATS, **allowed)


@contextmanager
def _advice(X: Any) -> Iterator[None]:
    # Adds what to do to what scikit-learn refuses.
    try:
        yield
    except (TypeError, ValueError) as error:
        if getattr(getattr(X, "dtype", None), "kind", "") == "O":
            message = explain(
                "X",
                f"an array of objects that are not all numbers ({error})",
                "numbers",
                "Encode or drop what is not a number, then use X.astype(float).",
            )
            raise type(error)(message) from error
        for opening, advice in _ADVICE.items():
            if str(error).startswith(opening):
                message = f"{error}{'' if str(error).endswith('.') else '.'} {advice}"
                raise type(error)(message) from error
        raise
