"""What NMF and MiniBatchNMF share: parameters, checks, and what one does with the parts."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from partwise._arrays import check_count
from partwise._errors import explain
from partwise.data import Observed, RowWeighted, as_data
from partwise.estimators import _residuals, _runs
from partwise.estimators._all_or_nothing import AllOrNothing
from partwise.estimators._checks import check_data, is_stored_sparse
from partwise.estimators._explain import Explained
from partwise.estimators._judged import Judged
from partwise.estimators._residuals import ChiSquare
from partwise.estimators._units import Unit
from partwise.init import STARTS
from partwise.losses import NAMED, Loss, as_loss
from partwise.models import Bilinear
from partwise.penalties import is_signed
from partwise.problem import Problem
from partwise.solvers import project_rows

__all__ = ["BaseNMF"]

_NORMS = {
    "l1": lambda H: np.abs(H).sum(axis=1),
    "l2": lambda H: np.sqrt(np.square(H, dtype=np.float64).sum(axis=1)),
    "max": lambda H: np.abs(H).max(axis=1),
}


class BaseNMF(
    AllOrNothing, Judged, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Parameters, checks and results that all estimators of X ≈ W H share."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            None,
            StrOptions({"auto"}),
        ],
        "init": [StrOptions({*STARTS, *_runs.FITTED, "custom"}), callable, None],
        "beta_loss": [StrOptions(set(NAMED)), Real, Loss],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
        "alpha_W": [Interval(Real, 0, None, closed="left")],
        "alpha_H": [Interval(Real, 0, None, closed="left"), StrOptions({"same"})],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "verbose": ["verbose"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
    }

    def _model(self, n_components: int) -> Bilinear:
        return Bilinear(n_components)

    def _problem(self, *parts: Any) -> Problem:
        # Of data, model, loss, factors and penalties.
        return Problem(*parts)

    @property
    def _signed(self) -> tuple[str, ...]:
        # The factors whose entries may have any sign.
        return tuple(name for name in ("W", "H") if is_signed(_runs.objects_of(self, name)))

    def _product(self, W: Any, components: np.ndarray) -> tuple[Any, np.ndarray]:
        # W and the (k, n_features) array whose product with it is X̂.
        model = self._model(len(components))
        W, parts = model.as_product({"W": W, "H": components.T})
        return W, parts.T

    # --- fitting -------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, **params: Any) -> BaseNMF:
        """Learn the factors of X; see `fit_transform` for the parameters.

        Returns
        -------
        self
        """
        self.fit_transform(X, **params)
        return self

    def _check_data(
        self, X: Any, *, reset: bool, weights: Any = None, sample_weight: Any = None
    ) -> Any:
        return check_data(self, X, reset=reset, weights=weights, sample_weight=sample_weight)

    def _keep(self, outcome: _runs.Outcome, X: Any) -> None:
        self._set(outcome)
        _runs.warn_about(outcome, self, X)

    def _set(self, outcome: _runs.Outcome) -> None:
        self.components_ = outcome.components
        self.W_ = outcome.W
        self.n_components_ = len(outcome.components)
        self.n_iter_ = outcome.n_iter
        self.reconstruction_err_ = outcome.reconstruction_err
        self.beta_loss_ = outcome.beta_loss
        self.objective_ = outcome.objective
        self.objective_history_ = outcome.objective_history
        self.time_history_ = outcome.time_history
        self.objectives_ = outcome.objectives
        self.kkt_ = outcome.kkt
        self.converged_ = outcome.converged
        self.stop_reason_ = outcome.stop_reason
        self.solver_ = outcome.solver
        self.init_ = outcome.init
        self.seed_ = outcome.seed
        self._explained = outcome.explained

    # --- using the parts -----------------------------------------------------------------

    def transform(self, X: Any, *, weights: Any = None) -> np.ndarray:
        """Find W for new samples with the components fixed.

        Each row is found on its own and does not depend on the others: exactly for the
        squared loss, else by multiplicative updates to a tenth of ``tol``, or by proximal
        gradient steps for a loss without a majorizer, row after row. A ``penalty_W``
        that only 'pgd' can serve is obeyed by all rows of X together. The components are not
        changed.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Entries ≥ 0, in the unit of the training data.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit_transform`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            In the dtype of X; zero in rows of which nothing is known, which a warning tells. Cost
            O(stored entries · k + n_samples · k³) for the squared loss.
        """
        check_is_fitted(self, "components_")
        return self._found(self._check_data(X, reset=False, weights=weights))

    def _found(self, X: Any) -> np.ndarray:
        # W of checked data; what is not known, or not found to its tolerance, is told.
        W, undone = self._project(X)
        lost = np.count_nonzero(X.counts()[0] == 0) if isinstance(X, Observed) else 0
        if lost:
            _runs.warn(
                f"transform: {lost} of {len(W)} rows have no known entry. Their W is zero, which "
                "says nothing about them. Drop them.",
                UserWarning,
            )
        if undone and self.tol > 0:
            _runs.warn(
                f"transform: {undone} of {len(W)} rows did not reach a relative KKT residual "
                f"of {self.tol / 10:.2g} within {self._transform_updates()} updates. "
                "Increase max_iter or tol.",
                ConvergenceWarning,
            )
        return W

    def _transform_updates(self) -> int:
        return 10 * self.max_iter

    def _project(self, X: Any) -> tuple[np.ndarray, int]:
        unit = Unit.of(X, self._degree)
        H = np.ascontiguousarray(unit.factor_in(self.components_.astype(X.dtype, copy=False)).T)
        problem = _runs.bind(self, as_data(unit.data_in(X)), unit, len(self.components_), {"H": H})
        problem.free = ("W",)
        undone = project_rows(
            problem, tol=max(self.tol, 1e-8) / 10, max_iter=self._transform_updates()
        )
        _runs.clear_unknown(problem)
        return unit.first_out(problem.factors["W"]), undone

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the reconstruction W H.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            W, as returned by `transform`.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Dense; cost O(n_samples · n_features · k). A value for every entry, missing ones
            included; but 0, which is no estimate, in features of which nothing was known in `fit`,
            and in rows of which nothing was known in `transform`: both warn of them.

        Raises
        ------
        ValueError
            W of another shape.
        """
        check_is_fitted(self, "components_")
        W, k = X if sparse.issparse(X) else np.asarray(X), len(self.components_)
        if W.ndim != 2 or W.shape[1] != k:
            wanted = f"(n_samples, {k}), what transform returns"
            raise ValueError(explain("inverse_transform", f"shape {W.shape}", wanted))
        return W @ self._product(W, self.components_)[1]

    def score(
        self, X: Any, y: Any = None, *, weights: Any = None, sample_weight: Any = None
    ) -> float:
        """Return minus the mean misfit per entry of X, with W found for it; higher is better.

        Of known entries alone, and weighted where there are weights.

        The misfit is the unpenalized divergence of ``beta_loss``, for the squared loss
        ½ (x − y)². Cost: that of `transform` and of one more pass over X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Entries ≥ 0.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit_transform`.
        sample_weight : array-like of shape (n_samples,), optional
            Of whole rows, on top of ``weights``.

        Returns
        -------
        float
        """
        check_is_fitted(self, "components_")
        X = self._check_data(X, reset=False, weights=weights, sample_weight=sample_weight)
        W = self._found(X)
        mass = X.mass if isinstance(X, RowWeighted) else as_data(X).mass
        return -_runs.misfit(self, X, W, self.components_) / mass

    def explained_variance(
        self, X: Any = None, per: str | None = None, *, W: Any = None, weights: Any = None
    ) -> float | np.ndarray:
        """Return the explained share of the sum of squares, 1 − ‖X − W H‖² / ‖X‖² (uncentred).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), optional
            Other data than those of the fit.
        per : {None, "component", "sample", "feature"}
            The whole as a number, or an array of shares. A component's share is what it
            explains alone.
        W : ndarray of shape (n_samples, n_components), optional
            The factor that belongs to X; found by `transform`, unless given.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit_transform`.

        Returns
        -------
        float or ndarray
        """
        check_is_fitted(self, "components_")
        choices = {
            None: "total",
            "component": "component",
            "sample": "sample",
            "feature": "feature",
        }
        if per not in choices:
            raise ValueError(explain("per", repr(per), "None, 'component', 'sample' or 'feature'"))
        if X is None:
            shares = self._training("_explained", "X")
        else:
            X = self._check_data(X, reset=False, weights=weights)
            W = self._factor_of(X, W)
            shares = _runs.shares_of(X, W, self._product(W, self.components_)[1])
        return getattr(shares, choices[per])

    def residuals(self, X: Any, *, W: Any = None, weights: Any = None, scaled: bool = False) -> Any:
        """Return what the model leaves of X, X − W H, at the known entries.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data in the unit of the fit. Sparse X with ``unstored='missing'``, or with sparse
            weights: its other entries are not residuals of anything.
        W : ndarray of shape (n_samples, n_components), optional
            The factor that belongs to X, ``W_`` for the data of the fit; found by `transform`,
            unless given.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit_transform`.
        scaled : bool, default=False
            Times the square root of the weights: in units of the uncertainty for weights
            1 / s², and then of variance about one where model and uncertainties are right.

        Returns
        -------
        ndarray or sparse array of the shape of X
            In the dtype of X. Dense, NaN where nothing is known; for sparse X an array in
            compressed rows that stores the known entries. Cost O(known entries · k).

        Raises
        ------
        ValueError
            Sparse X whose unstored entries are zeros, or X outside memory.
        """
        check_is_fitted(self, "components_")
        view = self._check_data(X, reset=False, weights=weights)
        W = self._factor_of(view, W)
        W, parts = self._product(W, self.components_.astype(W.dtype, copy=False))
        return _residuals.residuals(view, W, parts, stored=is_stored_sparse(X), scaled=scaled)

    def chi_square(
        self, X: Any, *, W: Any = None, weights: Any = None, held_out: bool = False
    ) -> ChiSquare:
        """Return χ² = Σ weights · (X − W H)² over the known entries, and its degrees of freedom.

        These are the known entries less k (n + m − k) free parameters, n and m being the numbers
        of rows and columns with known entries: W and H have k (n + m) entries, and for every
        invertible k × k matrix T the product of W T and T⁻¹ H is the same. Zeros that
        non-negativity enforces, and penalties, leave fewer; they are not counted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data in the unit of the fit.
        W : ndarray of shape (n_samples, n_components), optional
            The factor that belongs to X, ``W_`` for the data of the fit; found by `transform`,
            unless given.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `fit_transform`: 1 / s² for uncertainties s.
        held_out : bool, default=False
            X is not what the model was fitted to: the components count as known, and the k n
            entries of W as the parameters.

        Returns
        -------
        ChiSquare
            With ``value``, ``dof`` and ``reduced``, χ² per degree of freedom. Cost that
            of `transform`, unless W is given, and O(stored entries · k).
        """
        check_is_fitted(self, "components_")
        view = self._check_data(X, reset=False, weights=weights)
        W = self._factor_of(view, W)
        W, parts = self._product(W, self.components_.astype(W.dtype, copy=False))
        value = _residuals.sum_of_squares(view, W, parts)
        dof = _residuals.degrees_of_freedom(view, W, parts, held_out=held_out)
        return ChiSquare(value, dof)

    def _factor_of(self, X: Any, W: Any) -> np.ndarray:
        # The factor that the user gave for checked data, or the one that is found for them.
        if W is None:
            return self._found(X)
        W, wanted = np.asarray(W, X.dtype), (X.shape[0], len(self.components_))
        if W.shape != wanted:
            raise ValueError(explain("W", f"shape {W.shape}", f"{wanted}, one row per row of X"))
        return W

    def _training(self, name: str, argument: str) -> Any:
        if not hasattr(self, name):
            message = (
                f"This {type(self).__name__} did not see its training data as a whole; "
                f"pass {argument}."
            )
            raise NotFittedError(message)
        return getattr(self, name)

    def normalize(self, by: str = "l1") -> BaseNMF:
        """Scale every component to norm one, and ``W_`` so that their product stays.

        Parameters
        ----------
        by : {"l1", "l2", "max"}
            The norm of the rows of ``components_``. Zero components stay.

        Returns
        -------
        self

        Notes
        -----
        `transform` then returns W in the new scale. With penalties, which depend on the
        scale, it solves another problem than the fit did.
        """
        check_is_fitted(self, "components_")
        if by not in _NORMS:
            raise ValueError(explain("by", repr(by), f"one of {sorted(_NORMS)}"))
        norms = np.asarray(_NORMS[by](self.components_), dtype=np.float64)
        norms = np.where(norms > 0, norms, 1.0)
        self.components_ = (self.components_ / norms[:, None]).astype(self.components_.dtype)
        self.__dict__.pop("_memory", None)  # statistics of batches, in the old scale
        if hasattr(self, "W_"):
            self.W_ = (self.W_ * norms).astype(self.W_.dtype)
        return self

    def sort_components(self, by: str = "usage") -> BaseNMF:
        """Put the components in falling order.

        Parameters
        ----------
        by : {"usage", "variance"}
            The share of ΣX̂, or of the explained sum of squares, of each component.

        Returns
        -------
        self
        """
        check_is_fitted(self, "components_")
        W = self._training("W_", "all rows to fit instead of partial_fit")
        if by == "usage":
            parts = self._product(W, self.components_)[1]
            key = W.sum(axis=0, dtype=np.float64) * parts.sum(axis=1, dtype=np.float64)
        elif by == "variance":
            key = self._training("_explained", "all rows to fit").component
        else:
            raise ValueError(explain("by", repr(by), "'usage' or 'variance'"))
        order = np.argsort(-key, kind="stable")
        self.components_ = self.components_[order]
        self.W_ = W[:, order]
        if hasattr(self, "_explained"):
            shares: Explained = self._explained
            self._explained = replace(shares, component=shares.component[order])
        return self

    def top_features(self, n: int = 10) -> list[list[tuple[Any, float]]]:
        """Return for each component its ``n`` largest features, in falling order.

        Parameters
        ----------
        n : int, default=10
            Features per component, at most.

        Returns
        -------
        list of list of tuple
            For each component (name or index, weight) of its largest features.
        """
        check_is_fitted(self, "components_")
        names = getattr(self, "feature_names_in_", np.arange(self.components_.shape[1]))
        count, found = check_count(n, "n"), []
        for row in self.components_:
            best = np.argsort(-row, kind="stable")[:count]
            found.append(
                [
                    (
                        names[j].item() if hasattr(names[j], "item") else names[j],
                        float(row[j]),
                    )
                    for j in best
                ]
            )
        return found

    def assign(self, X: Any = None) -> np.ndarray:
        """Return the component with the largest contribution to each sample, −1 for none.

        The contribution of component j to sample i is ``W[i, j] · Σ components_[j]``, which
        does not depend on how the scale is shared between W and H.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), optional
            Other data than those of the fit.

        Returns
        -------
        ndarray of int, of shape (n_samples,)
        """
        check_is_fitted(self, "components_")
        if X is None:
            W = self._training("W_", "X")
        else:
            W = self._found(self._check_data(X, reset=False))
        contribution = W * self._product(W, self.components_)[1].sum(axis=1)
        return np.where(contribution.max(axis=1) > 0, contribution.argmax(axis=1), -1)

    # --- what `cross_val_loss` asks ----------------------------------------------------------

    _folds = True

    def _losses_at(self, X: Any, known: Any, held: Any, **more: Any) -> tuple[float, float]:
        seen, hidden = (
            as_data(self._check_data(X, reset=False, weights=V, **more)) for V in (known, held)
        )
        misfit = _runs.misfit(self, hidden, self.W_, self.components_)
        return misfit / hidden.mass, self._fitted_loss(seen.mass)

    def _fitted_loss(self, mass: float) -> float:
        return 0.5 * float(self.reconstruction_err_) ** 2 / mass

    # --- what scikit-learn asks ------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _degree(self) -> float:
        return as_loss(self.beta_loss).degree
