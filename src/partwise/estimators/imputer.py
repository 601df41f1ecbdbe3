"""Missing entries filled by the model of what is known."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from partwise import kernels
from partwise._arrays import check_kind
from partwise._errors import explain
from partwise._threads import side_by_side
from partwise.data import as_data, checked_weights
from partwise.estimators import _runs
from partwise.estimators._checks import validated
from partwise.estimators._judged import Judged
from partwise.estimators._units import Unit
from partwise.estimators.nmf import NMF
from partwise.init import STARTS

__all__ = ["NMFImputer"]

_SHARED = (
    *("solver", "beta_loss", "tol", "max_iter", "random_state", "alpha_W", "alpha_H", "l1_ratio"),
    *("penalty_W", "penalty_H", "verbose", "shuffle", "n_init", "n_jobs", "max_time"),
    "allow_negative",
)


class NMFImputer(Judged, TransformerMixin, BaseEstimator):
    """Fill missing entries, and no others, with those of a factorization of the known ones.

    Fits `NMF` to the known entries of the training data, ``Σ V · d(X, W H)`` over the known entries
    and the penalties, and finds for each row that it is to fill the W of its known entries, with
    the components H fixed.

    Missing entries, NaN, become those of W H. All others are returned as they are, to the bit.

    Parameters
    ----------
    n_components : int, default=5
        Number of components k. With too many of them known entries are fitted exactly and
        missing ones not at all: choose it by entries that you hide, with `cross_val_loss`.
    method : {'joint', 'two-step'}, default='joint'
        What the components are learned from. 'joint': all known entries of all rows.
        'two-step': rows without a missing entry alone, as from reference images, so that rows
        with holes say nothing about the components. Where parts of rows are hidden because
        something else is there, this is the imputation of Ren et al. (2020), and 'joint' the one
        for components that no complete row can tell.
    add_indicator : bool, default=False
        Append one column for each feature with missing entries in `fit`, 1 where one is missing.
    keep_empty_features : bool, default=False
        Features without any known entry in `fit` are dropped, and kept and filled with 0 if True.
    n_bootstraps : int, default=0
        Number of refits for `impute_with_uncertainty`.
    init, solver, beta_loss, tol, max_iter, random_state, alpha_W, alpha_H, l1_ratio, penalty_W, \
penalty_H, verbose, shuffle, n_init, n_jobs, max_time, allow_negative
        As for `NMF`; ``init='custom'`` is left out. ``n_jobs`` runs refits side by side too.

    Attributes
    ----------
    nmf_ : NMF
        The model that was fitted, of the features that are kept.
    mean_ : ndarray of shape (kept features,)
        The mean of the model over the rows it was fitted to, for rows without a known entry.
    kept_ : ndarray of bool, of shape (n_features,)
        The features with a known entry.
    bootstrap_components_ : ndarray of shape (n_bootstraps, n_components, kept features)
        The components of the refits.
    indicator_ : MissingIndicator or None
        What ``add_indicator`` appends.
    n_features_in_, n_iter_ : int
        The numbers of features and of iterations.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names that are all strings.

    See Also
    --------
    NMF : The factors themselves; its `inverse_transform` fills missing and known entries.
    cross_val_loss : The loss of what is filled in for entries that were hidden.

    Notes
    -----
    Cost of `fit` that of `NMF` with missing entries, times 1 + ``n_bootstraps``; of `transform`
    that of `NMF.transform`, and O(missing entries · k).

    A row without a known entry is filled with ``mean_``, a feature without one is dropped or filled
    with 0; each of these gives one warning. Entries whose weight is 0 are not fitted, but are
    not missing either: they stay.

    X is dense: replace other marks of missing entries by NaN, and see ``unstored`` of `NMF` for
    sparse X of ratings.

    References
    ----------
    Ren, Pueyo, Chen, Choquet, Debes, Duchêne, Ménard & Perrin (2020), The Astrophysical Journal
    892, 74 (components that are known and unknown). Rubin (1981), The Annals of Statistics 9,
    130-134 (the bootstrap by random weights).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import NMFImputer
    >>> X = np.outer([1.0, 2, 3, 4], [1.0, 1, 2, 3])
    >>> X[0, 0] = X[3, 2] = np.nan
    >>> np.round(NMFImputer(1, tol=1e-8, max_iter=1000).fit_transform(X), 4)[[0, 3], [0, 2]]
    array([1., 8.])
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **{name: NMF._parameter_constraints[name] for name in _SHARED},
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({*STARTS, *_runs.FITTED}), callable, None],
        "method": [StrOptions({"joint", "two-step"})],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "n_bootstraps": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 5,
        *,
        method: str = "joint",
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        n_bootstraps: int = 0,
        init: str | Callable[..., Any] | None = None,
        solver: Any = "auto",
        beta_loss: Any = "frobenius",
        tol: float = 1e-4,
        max_iter: int = 200,
        random_state: Any = None,
        alpha_W: float = 0.0,
        alpha_H: float | str = "same",
        l1_ratio: float = 0.0,
        penalty_W: Any = None,
        penalty_H: Any = None,
        verbose: int = 0,
        shuffle: bool = False,
        n_init: int = 1,
        n_jobs: int | None = None,
        max_time: float | None = None,
        allow_negative: bool = False,
    ) -> None:
        self.n_components = n_components
        self.method = method
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.n_bootstraps = n_bootstraps
        self.init = init
        self.solver = solver
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.penalty_W = penalty_W
        self.penalty_H = penalty_H
        self.verbose = verbose
        self.shuffle = shuffle
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.max_time = max_time
        self.allow_negative = allow_negative

    # --- fitting -------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, weights: Any = None) -> NMFImputer:
        """Learn the components of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Dense, entries ≥ 0, or NaN where one is missing.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as for `NMF.fit_transform`: 1 / s² for uncertainties s.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Nothing is known, or no row is complete and ``method='two-step'``.
        """
        X, weights = self._checked(X, weights, reset=True)
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(X)
        self.kept_ = (weights > 0).any(axis=0)
        self._warn_about_features()
        X, weights = X[:, self.kept_], weights[:, self.kept_]
        rows = self._learned_from(weights > 0)
        X, weights = X[rows], weights[rows]
        self.nmf_ = self._nmf(init=self.init).fit(X, weights=weights)
        self.n_iter_ = self.nmf_.n_iter_
        self.mean_ = self.nmf_.W_.mean(axis=0) @ self.nmf_.components_
        self.bootstrap_components_ = self._refitted(X, weights)
        return self

    def _nmf(self, **others: Any) -> NMF:
        shared = {name: getattr(self, name) for name in _SHARED}
        return NMF(self.n_components, **{**shared, **others})

    def _checked(self, X: Any, weights: Any, *, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        # X, and weights of all its entries, 0 where one is missing.
        check_kind(X, "X")
        X = validated(self, X, reset=reset)
        known = ~np.isnan(X)
        if weights is None:
            return X, known.astype(X.dtype)
        weights = checked_weights(weights, X.shape, X.dtype)
        weights = weights.toarray() if sparse.issparse(weights) else weights
        return X, np.where(known, weights, 0).astype(X.dtype, copy=False)

    def _warn_about_features(self) -> None:
        empty = np.flatnonzero(~self.kept_)
        if len(empty) == len(self.kept_):
            todo = "Look at the file that X or its weights came from."
            raise ValueError(explain("NMFImputer", "X with no known entry", "at least one", todo))
        if len(empty):
            names = getattr(self, "feature_names_in_", np.arange(len(self.kept_)))[empty].tolist()
            done = "filled with 0, which says nothing about them" if self.keep_empty_features else (
                "dropped; keep_empty_features=True fills them with 0"
            )  # fmt: skip
            _runs.warn(f"Features without a known entry are {done}: {names}.", UserWarning)

    def _learned_from(self, known: np.ndarray) -> np.ndarray:
        # The rows that the components are learned from.
        if self.method == "joint":
            return np.asarray(known.any(axis=1))
        complete = np.asarray(known.all(axis=1))
        if not complete.any():
            got = f"method='two-step' and {len(known)} rows, all with a missing entry"
            todo = "Use method='joint', which learns from rows with holes."
            raise ValueError(explain("NMFImputer", got, "rows without one", todo))
        return complete

    def _refitted(self, X: np.ndarray, weights: np.ndarray) -> np.ndarray:
        # The components for random weights of rows, from those of the fit.
        start = self.nmf_
        if self.n_bootstraps == 0:
            return np.empty((0, *start.components_.shape), X.dtype)
        once = {"init": "custom", "n_init": 1, "n_jobs": None, "verbose": 0}
        est = self._nmf(random_state=start.seed_, **once)
        view = est._check_data(X, reset=True)
        begin = _runs.check_starts(est, view, start.W_, start.components_)

        def refit(number: int) -> _runs.Outcome:
            drawn = self._drawn(number, 0, len(X)).astype(X.dtype)
            view = est._check_data(X, reset=False, weights=weights * drawn[:, None])
            return _runs.fit_all(est, view, begin, _runs.default_solver(est), None)

        found = side_by_side(refit, range(self.n_bootstraps), self.n_jobs)
        undone = sum(not outcome.converged for outcome in found)
        if undone and self.tol > 0:
            _runs.warn(
                f"{undone} of {len(found)} refits did not converge within {self.max_iter} "
                "iterations. Increase max_iter or tol.",
                ConvergenceWarning,
            )
        return np.array([outcome.components for outcome in found])

    def _drawn(self, number: int, axis: int, count: int) -> np.ndarray:
        # The random weights of rows (axis 0) or columns of a refit, of mean one.
        seed = [self.nmf_.seed_, axis, number]
        return np.random.default_rng(seed).standard_exponential(count)

    # --- filling -------------------------------------------------------------------------

    def transform(self, X: Any, *, weights: Any = None) -> np.ndarray:
        """Return X with its missing entries filled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            In the unit of the training data. Each row is filled on its own.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            In the dtype of X; known entries have the same bits.
        """
        check_is_fitted(self, "nmf_")
        X, weights = self._checked(X, weights, reset=False)
        found = (weights[:, self.kept_] > 0).any(axis=1)
        if not found.all():
            _runs.warn(
                f"{np.count_nonzero(~found)} rows of X have no known entry. They are filled with "
                "the mean of the model over the rows of the fit, mean_.",
                UserWarning,
            )
        filled, undone = self._filled(self.nmf_, X, weights, found)
        self._warn_about_rows(undone, len(X))
        return self._output(X, filled)

    def fit_transform(self, X: Any, y: Any = None, *, weights: Any = None) -> np.ndarray:
        """Learn the components of X and return it with its missing entries filled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `fit`.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            The same as ``fit(X).transform(X)``.
        """
        return self.fit(X, y, weights=weights).transform(X, weights=weights)

    def impute_with_uncertainty(
        self, X: Any, *, weights: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return X with its missing entries filled, and the standard deviation of each of these.

        The model is refitted ``n_bootstraps`` times with independent exponential weights, the
        Bayesian bootstrap, of the rows of the training data in `fit`, and of the known entries of
        each row here. The deviation is that of the entries of W H over the refits, times
        √(p / (p − k)) in a row with p known entries, since k of them go into W. It says how far
        the estimate of the noise-free entry is determined by rows and entries that might have been
        others. It contains neither the noise of a measurement, nor that the rank or the loss is
        wrong, nor other solutions that the fit may have.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `transform`.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit`.

        Returns
        -------
        filled : ndarray of shape (n_samples, n_features_out)
            That of `transform`.
        std : ndarray of shape (n_samples, n_features_out)
            0 for entries that are not missing; NaN in rows with no more than k known entries,
            and in features without any, where nothing can be said.

        Raises
        ------
        ValueError
            The imputer was fitted with ``n_bootstraps`` below 2.
        """
        check_is_fitted(self, "nmf_")
        count = len(self.bootstrap_components_)
        if count < 2:
            todo = "Set n_bootstraps=50, and fit again."
            raise ValueError(explain("n_bootstraps", count, "at least 2 in the fit", todo))
        filled = np.asarray(self.transform(X, weights=weights))
        X, weights = self._checked(X, weights, reset=False)
        known = (weights[:, self.kept_] > 0).sum(axis=1)
        k = np.count_nonzero(self.nmf_.components_.any(axis=1))
        found = known > k
        unit = 2.0 ** (2 * Unit.of(np.where(weights > 0, X, 0)).power)  # of X, for its squares
        mean, squares = np.zeros(X.shape), np.zeros(X.shape)
        model, undone = copy.copy(self.nmf_), 0
        for number, model.components_ in enumerate(self.bootstrap_components_):
            drawn = np.ones(X.shape[1], X.dtype)
            drawn[self.kept_] = self._drawn(number, 1, len(self.mean_))
            values, missed = self._filled(model, X, weights * drawn, found)
            step, undone = values / unit - mean, undone + missed
            mean += step / (number + 1)
            squares += step * step * (number / (number + 1))
        self._warn_about_rows(undone, count * len(X))
        factor = known / np.maximum(known - k, 1) / (count - 1)
        std = unit * np.sqrt(squares * factor[:, None])
        unsure = np.isnan(X) & ~(found[:, None] & self.kept_)
        std[unsure] = np.nan
        names = 0 if self.indicator_ is None else self.indicator_.features_.size
        kept = std if self.keep_empty_features else std[:, self.kept_]
        return filled, np.hstack([kept, np.zeros((len(X), names))]).astype(X.dtype)

    def _filled(
        self, model: NMF, X: np.ndarray, weights: np.ndarray, found: np.ndarray
    ) -> tuple[np.ndarray, int]:
        # X with entries of the model, of the mean in rows that it is not found for; and how many
        # rows were not found to their tolerance.
        kept, out, undone = self.kept_, X.copy(), 0
        out[:, ~kept] = np.where(np.isnan(X[:, ~kept]), 0, X[:, ~kept])
        part = X[:, kept]
        holes = np.isnan(part)
        if found.any():
            known = weights[np.ix_(found, kept)]
            W, undone = model._project(model._check_data(part[found], reset=False, weights=known))
            pattern = sparse.csr_array(holes[found])
            values = np.empty(pattern.nnz, X.dtype)
            H = np.ascontiguousarray(model.components_.T.astype(X.dtype, copy=False))
            kernels.product_at(pattern.indptr, pattern.indices, W.astype(X.dtype), H, values)
            rows = part[found]
            rows[holes[found]] = values
            part[found] = rows
        part[~found] = np.where(holes[~found], self.mean_, part[~found])
        out[:, kept] = part
        return out, undone

    def _warn_about_rows(self, undone: int, count: int) -> None:
        if undone and self.tol > 0:
            _runs.warn(
                f"{undone} of {count} rows did not reach a relative KKT residual of "
                f"{self.tol / 10:.2g}. Increase max_iter or tol.",
                ConvergenceWarning,
            )

    def _output(self, X: np.ndarray, filled: np.ndarray) -> np.ndarray:
        shown = filled if self.keep_empty_features else filled[:, self.kept_]
        if self.indicator_ is None:
            return shown
        return np.hstack([shown, self.indicator_.transform(X).astype(X.dtype)])

    # --- what `cross_val_loss` asks ----------------------------------------------------------

    @property
    def _judged_converged(self) -> bool:
        return bool(self.nmf_.converged_)

    def _entries(self, X: Any, weights: Any, uncertainty: Any) -> tuple[Any, Any, dict[str, Any]]:
        self._no_uncertainty(uncertainty)
        self.set_params(n_bootstraps=0)
        return *self._checked(X, weights, reset=True), {}

    def _losses_at(self, X: Any, known: Any, held: Any, **more: Any) -> tuple[float, float]:
        # Of the entries as `transform` fills them in.
        model, part = self.nmf_, X[:, self.kept_]
        seen, hidden = (
            as_data(model._check_data(part, reset=False, weights=V[:, self.kept_]))
            for V in (known, held)
        )
        W, _ = model._project(seen)
        held_out, fitted = (
            _runs.misfit(model, view, W, model.components_) / view.mass for view in (hidden, seen)
        )
        return held_out, fitted

    # --- what scikit-learn asks ------------------------------------------------------------

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features of X, where it had none.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "nmf_")
        names = _check_feature_names_in(self, input_features)
        shown = names if self.keep_empty_features else names[self.kept_]
        if self.indicator_ is None:
            return np.asarray(shown)
        return np.concatenate([shown, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = not self.allow_negative
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
