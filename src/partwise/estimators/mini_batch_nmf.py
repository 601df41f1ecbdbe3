"""Online non-negative matrix factorization, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from partwise._errors import UnsupportedCombinationError, explain
from partwise.data import as_data
from partwise.estimators import _runs
from partwise.estimators._base import BaseNMF
from partwise.estimators._units import Unit
from partwise.penalties import Penalty
from partwise.problem import Problem
from partwise.solvers import Memory, MiniBatch

__all__ = ["MiniBatchNMF"]

# Attributes of a fit to all rows.
OF_ALL_ROWS = (
    "W_",
    "converged_",
    "kkt_",
    "n_iter_",
    "objective_",
    "objective_history_",
    "objectives_",
    "reconstruction_err_",
    "stop_reason_",
    "time_history_",
)


class MiniBatchNMF(BaseNMF):
    """Mini-batch non-negative matrix factorization X ≈ W H, for data that come in pieces.

    Minimizes the objective of `NMF`: rows of W are updated for one batch at a time, H from
    the blended statistics of all batches seen.

    Parameters
    ----------
    n_components, init, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio, random_state, \
verbose
        As for `NMF`; an iteration is one pass over X.
    penalty_W, penalty_H : Penalty, list of Penalty or None, default=None
        As for `NMF`, those that are linear or quadratic in each row of a factor: `L1`, `L2`,
        `SquaredL1`, `Orthogonal` and `Fixed`. A batch carries its share of those of H. Others
        are refused, since they need all rows at once or a proximal map.
    batch_size : int, default=1024
        Rows per batch.
    max_no_improvement : int or None, default=10
        Stop after so many batches in a row that did not lower the cost of the last pass.
        None does not look at it.
    forget_factor : float in [0, 1], default=0.7
        What is left of a statistic after one pass over the data, or, in `partial_fit`,
        after one batch.
    fresh_restarts : bool, default=False
        Solve for the rows of W of each batch anew instead of updating them.
    fresh_restarts_max_iter : int, default=30
        Updates per row at most, when solving anew for other than the squared loss.
    transform_max_iter : int or None, default=None
        Updates per row at most in `transform`, for other than the squared loss; None is
        ten times ``max_iter``.
    unstored, allow_negative
        As for `NMF`.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        H.
    n_iter_ : int
        Passes over the data.
    n_steps_ : int
        Batches seen.

    Further attributes are those of `NMF`; after `partial_fit` only ``components_``,
    ``n_components_`` and ``n_steps_``.

    See Also
    --------
    NMF : All rows at once.

    Notes
    -----
    Cost per pass that of `NMF`; memory beyond X and W: O(n_features · k + k²). Of the squared loss
    with missing entries or weights every feature has a Gram matrix of its own: memory O(n_features
    · k²), and O(known entries · k²) operations.

    References
    ----------
    Mairal, Bach, Ponce & Sapiro (2010), JMLR 11, 19-60. Lefèvre, Bach & Févotte (2011),
    WASPAA.

    Examples
    --------
    >>> from partwise import MiniBatchNMF
    >>> X = [[1, 1, 0], [2, 2, 0], [0, 0, 3], [1, 1, 3]]
    >>> MiniBatchNMF(2, batch_size=2, tol=1e-2).fit(X).components_.shape
    (2, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **{
            name: allowed
            for name, allowed in BaseNMF._parameter_constraints.items()
            if name not in ("n_init", "n_jobs", "max_time")
        },
        "penalty_W": [Penalty, list, tuple, None],
        "penalty_H": [Penalty, list, tuple, None],
        "max_no_improvement": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "forget_factor": [Interval(Real, 0, 1, closed="both")],
        "fresh_restarts": ["boolean"],
        "fresh_restarts_max_iter": [Interval(Integral, 1, None, closed="left")],
        "transform_max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "unstored": [StrOptions({"zero", "missing"})],
        "allow_negative": ["boolean"],
    }

    def __init__(
        self,
        n_components: int | str | None = "auto",
        *,
        init: str | Callable[..., Any] | None = None,
        batch_size: int = 1024,
        beta_loss: float | str = "frobenius",
        tol: float = 1e-4,
        max_no_improvement: int | None = 10,
        max_iter: int = 200,
        alpha_W: float = 0.0,
        alpha_H: float | str = "same",
        l1_ratio: float = 0.0,
        penalty_W: Any = None,
        penalty_H: Any = None,
        forget_factor: float = 0.7,
        fresh_restarts: bool = False,
        fresh_restarts_max_iter: int = 30,
        transform_max_iter: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        unstored: str = "zero",
        allow_negative: bool = False,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.batch_size = batch_size
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.max_iter = max_iter
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.penalty_W = penalty_W
        self.penalty_H = penalty_H
        self.forget_factor = forget_factor
        self.fresh_restarts = fresh_restarts
        self.fresh_restarts_max_iter = fresh_restarts_max_iter
        self.transform_max_iter = transform_max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.unstored = unstored
        self.allow_negative = allow_negative

    def _solver(self, problem: Problem) -> MiniBatch:
        solver = MiniBatch(
            self.batch_size,
            self.forget_factor,
            fresh_restarts=self.fresh_restarts,
            fresh_restarts_max_iter=self.fresh_restarts_max_iter,
            max_no_improvement=self.max_no_improvement,
        )
        missing = solver.lacks(problem)
        if missing is not None:
            todo = "Use NMF, which has solvers for it."
            raise UnsupportedCombinationError(explain("MiniBatchNMF", missing, solver.needs, todo))
        return solver

    def _transform_updates(self) -> int:
        return self.transform_max_iter or 10 * self.max_iter

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        W: Any = None,
        H: Any = None,
        *,
        weights: Any = None,
        sample_weight: Any = None,
        callback: Any = None,
    ) -> np.ndarray:
        """Learn the factors of X batch by batch, and return W.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Entries ≥ 0 and finite, or NaN where one is missing; in memory or on disk, as for `NMF`.
        y : Ignored
            Present for consistency.
        W, H : ndarray of shape (n_samples, n_components) and (n_components, n_features)
            Start values, with ``init='custom'``.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X or of its rows, in memory or on disk, as for `NMF`.
        sample_weight : array-like of shape (n_samples,), optional
            Of whole rows, on top of ``weights``, as for `NMF`.
        callback : callable, optional
            As for `NMF`, after each pass over X.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        with self._unchanged_on_failure():
            X = self._check_data(X, reset=True, weights=weights, sample_weight=sample_weight)
            self.__dict__.pop("_memory", None)
            start = _runs.check_starts(self, X, W, H)
            self._keep(_runs.fit_all(self, X, start, self._solver, callback), X)
        batches = -(-X.shape[0] // min(self.batch_size, X.shape[0]))
        self.n_steps_ = self.n_iter_ * batches
        return self.W_.copy()

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        W: Any = None,
        H: Any = None,
        *,
        weights: Any = None,
        sample_weight: Any = None,
    ) -> MiniBatchNMF:
        """Learn from one batch of rows, from the components of an earlier fit if there is one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            The batch.
        y : Ignored
            Present for consistency.
        W, H : ndarray
            Start values with ``init='custom'``, for the first call only.
        weights : {array-like, sparse matrix}, optional
            Of the entries of the batch or of its rows. A feature keeps its start as long as none
            of its entries is known.
        sample_weight : array-like of shape (n_rows,), optional
            Of whole rows, on top of ``weights``.

        Returns
        -------
        self
        """
        with self._unchanged_on_failure():
            self._learn(X, W, H, weights, sample_weight)
        return self

    def _learn(self, X: Any, W: Any, H: Any, weights: Any, sample_weight: Any) -> None:
        known = hasattr(self, "components_")
        how = {"weights": weights, "sample_weight": sample_weight}
        X = self._check_data(X, reset=not known, **how)
        # From a batch of zeros nothing can be learned, not even where to begin.
        begin = not known or not self.components_.any()
        if begin or not hasattr(self, "_memory"):
            self._unit = Unit.of(X, self._degree)
            self._memory = Memory()
            self._forget_fit()
            if begin:
                self._begin(X, W, H)
        unit = self._unit.of_rows(X, self._degree)
        data = as_data(unit.data_in(X))
        H_now = np.ascontiguousarray(self._unit.factor_in(self.components_.astype(X.dtype)).T)
        problem = _runs.bind(self, data, unit, self.n_components_, {"H": H_now})
        self._solver(problem).learn(problem, self._memory, self.forget_factor, fresh=True)
        self.components_ = np.ascontiguousarray(self._unit.factor_out(problem.factors["H"]).T)
        self.n_steps_ = self._memory.steps

    def _begin(self, X: Any, W: Any, H: Any) -> None:
        start = _runs.check_starts(self, X, W, H)
        job = _runs.Job(self, X, start, self._solver, _runs.seed_of(self.random_state))
        _, factors = job.factors(0, job.rng(0))
        self.components_ = np.ascontiguousarray(self._unit.factor_out(factors["H"]).T)
        self.n_components_ = start.n_components

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _forget_fit(self) -> None:
        # What `fit` said of its data as a whole does not hold for what comes now.
        for name in [n for n in vars(self) if n == "_explained" or n in OF_ALL_ROWS]:
            delattr(self, name)
