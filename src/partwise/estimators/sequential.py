"""Components built one by one, ranked, with the residual variance of every rank."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from partwise._errors import explain
from partwise.data import Observed, as_data, checked_weights
from partwise.estimators import _runs
from partwise.estimators._residuals import degrees_of_freedom, sum_of_squares
from partwise.estimators._units import Unit
from partwise.estimators.nmf import NMF
from partwise.estimators.presets import _with_parameters_of_nmf
from partwise.init import STARTS

__all__ = ["SequentialNMF"]

# How much more than white noise is expected to give a component that is more than noise has to
# take, for the expectation is one of large matrices.
BEYOND_NOISE = 1.25


@_with_parameters_of_nmf
class SequentialNMF(NMF):
    """NMF whose components are built one by one: ranked, and with a curve to choose their number.

    Minimizes the objective of `NMF` for one component, then for two, and so on. Every rank starts
    from the W and H of the one before, and one random column of W and row of H beside.

    Parameters
    ----------
    n_components : int, 'auto' or None, default=10
        Number of components k of the last rank. 'auto', like None, is the number of features.
    previous : {'free', 'held'}, default='free'
        Whether the components of the rank before move on when one is added, or keep their values,
        each the best addition to those before it. All of W is free.
    plateau : float in [0, 1), default=0.05
        A component counts if it lowers the residual variance by more than this share of it, and
        by more than one of noise would; see ``suggested_n_components_``.
    init, solver, beta_loss, tol, max_iter, random_state, alpha_W, alpha_H, l1_ratio, penalty_W, \
penalty_H, verbose, shuffle, n_init, n_jobs, max_time, unstored, allow_negative
        As for `NMF`, for every rank. ``init`` starts the first component, 'custom' is left out.
        ``n_init`` starts differ in the random column and row.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        H of the last rank, in the order in which components were added.
    W_ : ndarray of shape (n_samples, n_components)
        W of the training data.
    fractional_residual_variance_ : ndarray of shape (n_components,)
        For each rank ‖X − W H‖² over the sum of squares of X around the means of its columns,
        weighted and of known entries alone. Whatever the loss is, it is that of principal
        components, for which it is the share of the eigenvalues left over.
    persistence_ : ndarray of shape (n_components,)
        For each rank the smallest cosine between a component of the rank before and what has
        become of it.
    suggested_n_components_ : int or None
        Where the curve of residual variance becomes flat: the smallest rank from which on no
        component lowers it by more than ``plateau``, nor by more than 1.25 times the share
        (√(n − k) + √(m − k))² / (N − k (n + m − k)) which the leading component of white noise
        has, for N known entries in n rows and m columns. None where there is no such rank below
        the last one: the curve still falls.

    Further attributes are those of `NMF`, of the last rank.

    See Also
    --------
    NMF : All components at once.
    best_factor : The scale of a model, for a target with something beside the model in it.

    Notes
    -----
    Cost that of the fits of all ranks, 1 + 2 + … + k components; memory for the factors of all of
    them, for `at_rank`. A callback that returns True ends the fit at the rank it is in.

    How far components of the rank before move depends on the solver: with ``solver="mu"``, the
    updates of the paper, they keep cosines of 0.97 and more from the third rank on in a hundred
    images of twelve parts (medians; 0.91 at the second one); the default leaves up to 30 % less of
    X there, in a tenth of the time, and keeps 0.93 to 0.97. With ``previous="held"`` they stay.

    References
    ----------
    Ren, Pueyo, Zhu, Debes & Duchêne (2018), The Astrophysical Journal 852, 104. The size of noise:
    Bai & Yin (1993), The Annals of Probability 21, 1275-1294.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import SequentialNMF
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(1, size=(100, 3)) @ rng.gamma(1, size=(3, 50))
    >>> noisy = np.maximum(X + 0.1 * rng.standard_normal(X.shape), 0)
    >>> SequentialNMF(6, max_iter=2000, random_state=0).fit(noisy).suggested_n_components_
    3
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **NMF._parameter_constraints,
        "init": [StrOptions({*STARTS, *_runs.FITTED}), callable, None],
        "previous": [StrOptions({"free", "held"})],
        "plateau": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        n_components: int | str | None = 10,
        *,
        previous: str = "free",
        plateau: float = 0.05,
        **parameters: Any,
    ) -> None:
        super().__init__(n_components, **parameters)
        self.previous = previous
        self.plateau = plateau

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        weights: Any = None,
        sample_weight: Any = None,
        callback: Any = None,
    ) -> np.ndarray:
        """Learn the factors of X and return W of the last rank.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `NMF.fit_transform`; NaN in a dense array is missing.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as for `NMF.fit_transform`.
        sample_weight : array-like of shape (n_samples,), optional
            Of whole rows, on top of ``weights``.
        callback : callable, optional
            Called with a `FitState` at the start and after each iteration of every rank; the fit
            ends when it returns True.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        with self._unchanged_on_failure():
            view = self._check_data(X, reset=True, weights=weights, sample_weight=sample_weight)
            self._steps, persistence = self._build(view, callback)
            self._keep(self._steps[-1], view)
            self._warn_about_ranks()
            self.persistence_ = np.array(persistence)
            self.fractional_residual_variance_ = _shares_left(view, self._steps)
            self.suggested_n_components_ = self._suggested(view)
        return self.W_.copy()

    def _build(self, X: Any, callback: Any) -> tuple[list[_runs.Outcome], list[float]]:
        last = X.shape[1] if self.n_components in (None, "auto") else int(self.n_components)
        shared = {name: getattr(self, name) for name in NMF().get_params()}
        shared["random_state"] = _runs.seed_of(self.random_state)
        steps: list[_runs.Outcome] = []
        persistence: list[float] = []
        for k in range(1, last + 1):
            est, start, kept = NMF(**{**shared, "n_components": k}), _runs.Start(k, {}, {}), 1.0
            if steps:
                est.init = _one_more(steps[-1])
                if self.previous == "held":
                    start = _holding(steps[-1].components)
            found = _runs.fit_all(est, X, start, _runs.default_solver(est), callback)
            if steps:
                found, kept = _in_order(found, steps[-1])
            steps.append(found)
            persistence.append(kept)
            if "callback" in found.stop_reason:
                break
        return steps, persistence

    def _warn_about_ranks(self) -> None:
        undone = [k for k, step in enumerate(self._steps, 1) if not step.converged]
        if self.tol > 0 and undone not in ([], [len(self._steps)]):
            _runs.warn(
                f"Of {len(self._steps)} ranks these ended before convergence: {undone}. "
                "Increase max_iter or tol.",
                ConvergenceWarning,
            )

    def _suggested(self, X: Any) -> int | None:
        curve = self.fractional_residual_variance_
        flat = len(curve)
        while flat > 1 and curve[flat - 2] - curve[flat - 1] <= curve[flat - 2] * max(
            self.plateau, BEYOND_NOISE * _share_of_noise(X, self._steps[flat - 2])
        ):
            flat -= 1
        return flat if flat < len(curve) else None

    def at_rank(self, n_components: int) -> SequentialNMF:
        """Return the fitted model of another rank.

        Parameters
        ----------
        n_components : int
            From 1 to the number that was fitted, such as ``suggested_n_components_``.

        Returns
        -------
        SequentialNMF
            A model that shares nothing to be modified with this one.
        """
        check_is_fitted(self, "components_")
        steps = getattr(self, "_steps", [])
        if not isinstance(n_components, Integral) or not 1 <= n_components <= len(steps):
            got = f"{n_components!r} of {len(steps)} ranks that are kept"
            raise ValueError(explain("n_components", got, "one of them", "Fit up to that rank."))
        model = copy.deepcopy(self)
        model.n_components = n_components
        model._steps = model._steps[:n_components]
        model._set(model._steps[-1])
        for name in ("fractional_residual_variance_", "persistence_"):
            setattr(model, name, getattr(model, name)[:n_components])
        return model

    def model_target(self, X: Any, hidden: Any = None, *, weights: Any = None) -> np.ndarray:
        """Return the model of target rows, W H with W found for them from what is not hidden.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Targets in the unit of the references that the model was fitted to. Never modified.
        hidden : boolean array of shape (n_features,) or that of X, optional
            True where a target has something that is no part of the model, such as a disk around
            a star. It has no influence; the model has values there all the same.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, as in `transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            ``X - model.model_target(X, hidden)`` is what the model does not explain.
        """
        check_is_fitted(self, "components_")
        if hidden is not None:
            shape, hidden = np.shape(X), np.asarray(hidden)
            if hidden.dtype != bool or hidden.shape not in (shape, shape[1:]):
                got = f"dtype {hidden.dtype} and shape {hidden.shape}"
                wanted = f"a boolean array of shape {shape[1:]} or {shape}"
                raise ValueError(explain("hidden", got, wanted))
            seen = np.broadcast_to(~hidden, shape).astype(np.float64)
            if weights is not None:
                weights = checked_weights(weights, shape, seen.dtype)
                seen *= weights.toarray() if sparse.issparse(weights) else weights
            weights = seen
        return self.inverse_transform(self.transform(X, weights=weights))


def _one_more(before: _runs.Outcome) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    # A start from the factors of the rank before and one more random column and row.
    W, H = before.W, before.components

    def sequential(X: Any, n_components: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, n_components])  # another draw for every rank
        column, row = (np.abs(rng.standard_normal(size)) for size in (len(W), H.shape[1]))
        level = [np.abs(F).mean() or 1.0 for F in (W, H)]
        return np.column_stack([W, level[0] * column]), np.vstack([H, level[1] * row])

    return sequential


def _holding(H: np.ndarray) -> _runs.Start:
    # All rows of H but a new last one keep their values.
    mask = np.ones((len(H) + 1, H.shape[1]), bool)
    mask[-1] = False
    return _runs.Start(len(mask), {"H": np.vstack([H, np.zeros_like(H[:1])])}, {"H": mask})


def _in_order(found: _runs.Outcome, before: _runs.Outcome) -> tuple[_runs.Outcome, float]:
    """Return an outcome with components in the places of those they have grown from.

    The new one comes last. And the smallest cosine between a component and what it was.
    """
    new, old = (_directions(outcome.components) for outcome in (found, before))
    cosines = old @ new.T
    places, order = linear_sum_assignment(-cosines)
    kept = float(cosines[places, order].min())
    order = np.append(order, np.setdiff1d(np.arange(len(new)), order))
    shares = replace(found.explained, component=found.explained.component[order])
    ordered = replace(
        found,
        W=np.ascontiguousarray(found.W[:, order]),
        components=np.ascontiguousarray(found.components[order]),
        explained=shares,
    )
    return ordered, kept


def _directions(H: np.ndarray) -> np.ndarray:
    H = H.astype(np.float64) / max(np.abs(H).max(), np.finfo(H.dtype).tiny)
    norms = np.linalg.norm(H, axis=1, keepdims=True)
    return np.asarray(np.divide(H, norms, out=np.zeros_like(H), where=norms > 0))


def _shares_left(X: Any, steps: list[_runs.Outcome]) -> np.ndarray:
    """Return what models of checked data leave over their spread, NaN where they have none."""
    unit = replace(Unit.of(X), scales=None)  # where no square over- or underflows
    X = unit.data_in(X)
    spread = _spread(X)
    left = [
        sum_of_squares(X, unit.factor_in(step.W), unit.factor_in(step.components)) for step in steps
    ]
    return np.array(left) / (spread if spread > 0 else np.nan)


def _spread(X: Any) -> float:
    """Return the weighted sum of squares of checked data around the means of their columns."""
    ones = np.ones((X.shape[0], 1), X.dtype)
    if isinstance(X, Observed):
        turned: Any = X.T
        mass = turned.weigh(ones)
        means = np.divide(turned @ ones, mass, out=np.zeros_like(mass), where=mass > 0)
    else:
        means = (as_data(X).T @ ones) / ones.dtype.type(X.shape[0])
    return sum_of_squares(X, ones, np.ascontiguousarray(means.T))


def _share_of_noise(X: Any, step: _runs.Outcome) -> float:
    # The largest singular value of white noise, squared, over the sum of squares.
    k = len(step.components)
    free = degrees_of_freedom(X, step.W, step.components, held_out=False)
    rows, columns = (max(0, size - k) for size in X.shape)
    return float((np.sqrt(rows) + np.sqrt(columns)) ** 2 / free) if free > 0 else 1.0
