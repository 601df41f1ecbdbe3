"""Non-negative matrix factorization as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils._param_validation import validate_parameter_constraints

from partwise._arrays import check_start
from partwise.estimators import _runs
from partwise.estimators.nmf import NMF

__all__ = ["non_negative_factorization"]


def non_negative_factorization(
    X: Any,
    W: Any = None,
    H: Any = None,
    n_components: int | str | None = "auto",
    *,
    init: str | Callable[..., Any] | None = None,
    update_H: bool = True,
    solver: Any = "auto",
    beta_loss: float | str = "frobenius",
    tol: float = 1e-4,
    max_iter: int = 200,
    alpha_W: float = 0.0,
    alpha_H: float | str = "same",
    l1_ratio: float = 0.0,
    penalty_W: Any = None,
    penalty_H: Any = None,
    random_state: Any = None,
    verbose: int = 0,
    shuffle: bool = False,
    weights: Any = None,
    sample_weight: Any = None,
    unstored: str = "zero",
    allow_negative: bool = False,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Factorize X ≈ W H with the objective of `NMF`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Finite, and ≥ 0 unless ``allow_negative``; NaN in a dense array is missing.
    W : ndarray of shape (n_samples, n_components), optional
        Start of W, with ``init='custom'``.
    H : ndarray of shape (n_components, n_features), optional
        Start of H, with ``init='custom'``; with ``update_H=False`` the known H.
    n_components : int, 'auto' or None, default='auto'
        As for `NMF`.
    update_H : bool, default=True
        False finds W alone, each row on its own; the start of W does not matter then.
    init, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio, penalty_W, penalty_H, \
random_state, verbose, shuffle, unstored, allow_negative
        As for `NMF`.
    weights : {array-like, sparse matrix}, optional
        Of the entries of X, as for `NMF.fit_transform`.
    sample_weight : array-like of shape (n_samples,), optional
        Of whole rows, each ≥ 0, on top of ``weights``: a row of weight 2 counts as two rows.

    Returns
    -------
    W : ndarray of shape (n_samples, n_components)
    H : ndarray of shape (n_components, n_features)
    n_iter : int
        Iterations done; 1 for ``update_H=False``.

    See Also
    --------
    NMF : The same as an estimator.

    Examples
    --------
    >>> from partwise import non_negative_factorization
    >>> X = [[1, 1, 0], [2, 2, 0], [0, 0, 3], [1, 1, 3]]
    >>> W, H, n_iter = non_negative_factorization(X, n_components=2)
    """
    validate_parameter_constraints(
        {"update_H": ["boolean"]},
        {"update_H": update_H},
        caller_name="non_negative_factorization",
    )
    model = NMF(
        n_components,
        init=init,
        solver=solver,
        beta_loss=beta_loss,
        tol=tol,
        max_iter=max_iter,
        random_state=random_state,
        alpha_W=alpha_W,
        alpha_H=alpha_H,
        l1_ratio=l1_ratio,
        penalty_W=penalty_W,
        penalty_H=penalty_H,
        verbose=verbose,
        shuffle=shuffle,
        unstored=unstored,
        allow_negative=allow_negative,
    )
    known = {"weights": weights, "sample_weight": sample_weight}
    if update_H:
        W = model.fit_transform(X, W=W, H=H, **known)
        return W, model.components_, model.n_iter_
    model._validate_params()
    X = model._check_data(X, reset=True, **known)
    if W is not None:
        _runs.warn("When update_H=False, the provided initial W is not used.", RuntimeWarning)
    wanted: Any = X.shape[1] if n_components is None else n_components
    wanted = None if wanted == "auto" else wanted
    if H is None:
        message = "update_H=False finds W for a known H: pass H."
        raise ValueError(message)
    model.components_ = check_start(
        H, (wanted, X.shape[1]), X.dtype, "NMF (input H)", known=True, signed="H" in model._signed
    )
    _runs.check_solver(model, X)
    return model.transform(X), model.components_, 1
