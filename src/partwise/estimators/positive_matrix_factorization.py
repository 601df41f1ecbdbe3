"""Positive matrix factorization of data with an uncertainty for every entry."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from partwise._arrays import check_kind
from partwise._errors import explain
from partwise._threads import one_pool
from partwise.data import Weighted
from partwise.estimators import _runs
from partwise.estimators._base import BaseNMF
from partwise.estimators._below_zero import lower_contributions
from partwise.estimators._scaled_residuals import (
    Measured,
    RobustProblem,
    columns_of,
    costs,
    downweighted,
    q_expected,
    q_values,
    solve_contributions,
)
from partwise.problem import Problem
from partwise.result import Result
from partwise.solvers import CoordinateDescent

__all__ = ["PositiveMatrixFactorization"]

# Rounds of weights for new samples, in each of which rows are solved exactly.
ROUNDS = 200


class PositiveMatrixFactorization(BaseNMF):
    r"""Positive matrix factorization (PMF): X ≈ G F, each entry as far as it is known.

    Rows of X are samples, columns are species, F = ``components_`` are the profiles of the factors
    and G = ``W_`` their contributions. With the uncertainty s of every entry and the scaled
    residuals z = (x − x̂) / s, over all known entries, minimized over G ≥ 0 and F ≥ 0 is

    .. math::

        Q = \sum_{ij} z_{ij}^2, \qquad \text{or}\quad
        \sum_{ij} \min(|z_{ij}|, \alpha) \,(2 |z_{ij}| - \min(|z_{ij}|, \alpha))

    with ``robust=True``: Huber's loss, so that an outlier beyond α = ``outlier_distance`` pulls as
    one at α. Where it is lowest, so is Q(robust), ``Σ z² min(1, α / |z|)``, with the factors
    ``min(1, α / |z|)`` held as they are there, which is how the literature writes it.

    Parameters
    ----------
    n_components : int, default=5
        Number of factors p.
    robust : bool, default=True
        Whether outliers are down-weighted.
    outlier_distance : float, default=4.0
        α, the size of scaled residuals from which on entries are outliers.
    missing : {'exclude', 'median'}, default='exclude'
        What is done with entries of X, or of its uncertainties, that are NaN. 'exclude': they
        count for nothing. 'median': the median of the species takes their place, with four times
        this median as its uncertainty.
    weak : list of str or int, optional
        Species, by name or number of the column, whose uncertainty is tripled, and which do not
        count in ``q_expected_``.
    bad : list of str or int, optional
        Species that are left out. Their profile entries are zero, which says nothing.
    modelling_uncertainty : float in [0, 1), default=0.0
        C3: what the model itself is thought to be wrong by, as a share c of every value; the
        uncertainty becomes √(s² + (c x)²).
    lowest_contribution : float in (-1, 0], default=0.0
        How far single contributions may go below zero, in units of the mean contribution of
        their factor, so that samples without a source are not biased. The usual value is -0.2.
    n_init : int, default=20
        Base runs from starts of their own; the one with the lowest Q is kept.
    init : 'random' or 'custom', default='random'
        Starts at random, or from the contributions and profiles that `fit_transform` is given.
    tol : float, default=1e-6
        Tolerance of the stopping rule, as for `NMF`.
    max_iter : int, default=5000
        Iterations of each run at most; as many again below zero, with ``lowest_contribution``.
    random_state : int, RandomState, Generator or None, default=None
        For the starts.
    n_jobs : int or None, default=None
        Threads that do runs at the same time. Results do not depend on it.
    max_time : float or None, default=None
        Seconds at most, for each run.
    verbose : int, default=0
        As for `NMF`.

    Attributes
    ----------
    W_ : ndarray of shape (n_samples, n_components)
        Contributions of the factors to the samples. Over the samples with known entries the mean
        of every factor is 1.
    components_ : ndarray of shape (n_components, n_features)
        Profiles, in the unit of X: what a factor contributes to a species in the mean. Factors
        are in falling order of their mean share of the species.
    q_true_, q_robust_ : float
        Q(true) = Σ z², and Q(robust), ``Σ z² min(1, α / |z|)``. Of the kept run, whatever was
        minimized.
    q_expected_ : float
        What Q is in the mean for a right model with right uncertainties: the number of known
        entries of species that are not weak, less p for each sample and species with known ones.
    q_ratio_ : float
        Q(true) over ``q_expected_``; NaN where that is not positive.
    q_ratio_of_species_, q_ratio_of_samples_ : ndarray
        Σ z² of each species over ``q_expected_`` per species that is not weak, and of each sample
        over ``q_expected_`` per sample: where the model does not fit.
    scaled_residuals_ : ndarray of shape (n_samples, n_features)
        z, NaN where nothing is known.
    base_runs_ : dict of str to ndarray of shape (n_init,)
        "q_true", "q_robust", "objective", "n_iter" and "converged" of every run.
    uncertainty_ : ndarray of shape (n_samples, n_features)
        The uncertainties that were used, NaN where an entry was left out.
    n_components_, n_features_in_, n_iter_, feature_names_in_, solver_, init_, beta_loss_, seed_
        As for `NMF`.
    objectives_, objective_history_, time_history_, kkt_, converged_, stop_reason_
        As for `NMF`.
    objective_ : float
        Half of what is minimized.
    reconstruction_err_ : float
        The root of what is minimized.

    See Also
    --------
    partwise.apportionment : Uncertainties of profiles, and rotations.

    Notes
    -----
    Coordinate descent on the weighted squared loss, for ``robust=True`` with the weights of the
    outliers formed anew before each of its iterations (see
    `partwise.estimators._scaled_residuals.RobustProblem`); the objective never rises. With
    ``lowest_contribution`` < 0 L-BFGS-B goes on from there. Units of species do not matter: they
    are fitted in units of their uncertainties. Cost per iteration O(n_samples · n_features · p²).

    X may have negative entries, which noise brings about. Without uncertainties all are 1.
    Raises ValueError for uncertainties that are not positive where X is known, for parameters out
    of their range and for names of species that X does not have, and warns with
    ConvergenceWarning if the stopping rule did not hold for the run that is kept.

    References
    ----------
    Paatero & Tapper (1994), Environmetrics 5, 111-126. Paatero (1997), Chemometrics and
    Intelligent Laboratory Systems 37, 23-35. Norris, Duvall, Brown & Bai (2014), EPA Positive
    Matrix Factorization 5.0 Fundamentals and User Guide, EPA/600/R-14/108 (conventions). Polissar,
    Hopke, Paatero, Malm & Sisler (1998), Journal of Geophysical Research 103 (missing values).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import PositiveMatrixFactorization
    >>> rng = np.random.default_rng(0)
    >>> true = rng.gamma(1, size=(200, 2)) @ rng.gamma(1, size=(2, 8))
    >>> s = 0.05 * true + 0.01
    >>> X = true + s * rng.standard_normal(true.shape)
    >>> model = PositiveMatrixFactorization(2, random_state=0).fit(X, uncertainty=s)
    >>> bool(0.9 < model.q_ratio_ < 1.1)
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "robust": ["boolean"],
        "outlier_distance": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"exclude", "median"})],
        "weak": ["array-like", None],
        "bad": ["array-like", None],
        "modelling_uncertainty": [Interval(Real, 0, 1, closed="left")],
        "lowest_contribution": [Interval(Real, -1, 0, closed="right")],
        "init": [StrOptions({"random", "custom"})],
        **{
            name: BaseNMF._parameter_constraints[name]
            for name in (
                "n_init",
                "tol",
                "max_iter",
                "random_state",
                "n_jobs",
                "max_time",
                "verbose",
            )
        },
    }

    # What `BaseNMF` asks for and is always so here.
    beta_loss = "frobenius"
    alpha_W = alpha_H = l1_ratio = 0.0
    allow_negative = True

    def __init__(
        self,
        n_components: int = 5,
        *,
        robust: bool = True,
        outlier_distance: float = 4.0,
        missing: str = "exclude",
        weak: Any = None,
        bad: Any = None,
        modelling_uncertainty: float = 0.0,
        lowest_contribution: float = 0.0,
        n_init: int = 20,
        init: str = "random",
        tol: float = 1e-6,
        max_iter: int = 5000,
        random_state: Any = None,
        n_jobs: int | None = None,
        max_time: float | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.robust = robust
        self.outlier_distance = outlier_distance
        self.missing = missing
        self.weak = weak
        self.bad = bad
        self.modelling_uncertainty = modelling_uncertainty
        self.lowest_contribution = lowest_contribution
        self.n_init = n_init
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.max_time = max_time
        self.verbose = verbose

    # --- fitting -------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        W: Any = None,
        H: Any = None,
        *,
        uncertainty: Any = None,
        callback: Any = None,
    ) -> np.ndarray:
        """Find factors of X and return their contributions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Concentrations; NaN is missing. Never modified.
        y : Ignored
            Present for consistency.
        W, H : ndarray of shape (n_samples, n_components) and (n_components, n_features), optional
            Contributions and profiles to start from, with ``init='custom'``; one is enough.
        uncertainty : array-like of shape (n_samples, n_features), optional
            Standard deviations of the errors of X, > 0, or NaN where X is missing. All 1 by
            default.
        callback : callable, optional
            As for `NMF.fit_transform`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        with self._unchanged_on_failure():
            X = self._array(X, reset=True)
            measured = self._measured(X, uncertainty, reset=True)
            self._fit(measured, W, H, callback)
        return self.W_.copy()

    def _array(self, X: Any, *, reset: bool) -> np.ndarray:
        check_kind(X, "X")
        return np.asarray(
            validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan",
                ensure_min_features=2 if reset else 1,
            )
        )

    def _measured(self, X: np.ndarray, uncertainty: Any, *, reset: bool = False) -> Measured:
        # After all conventions; those of a fit are kept for what is transformed later.
        subject = type(self).__name__
        measured = Measured.of(X, uncertainty, subject)
        if reset:
            weak, bad = self._columns(X.shape[1])
            medians = np.where(bad, np.nan, measured.medians())
            self._conventions = weak, bad, medians.astype(X.dtype)
        weak, bad, medians = self._conventions
        if self.missing == "median":
            measured = measured.filled(medians, subject)
        measured = measured.widened(self.modelling_uncertainty, weak, bad)
        if not measured.known.any():
            todo = "Take species off the list."
            raise ValueError(explain(f"{subject}: bad", "all species with data", "some", todo))
        return measured

    def _columns(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        # Which of them are weak, and which are bad.
        names, subject = getattr(self, "feature_names_in_", None), type(self).__name__
        weak, bad = (
            columns_of(given, names, count, f"{subject}: {name}")
            for name, given in (("weak", self.weak), ("bad", self.bad))
        )
        return weak, bad

    def _fit(self, measured: Measured, W: Any, H: Any, callback: Any) -> None:
        units = measured.units()
        runs, job = self._runs_of(measured, units, W, H, callback)
        _, bad, _ = self._conventions
        with one_pool():
            outcome = _runs.best_of(runs, job)
            outcome.components = outcome.components * units
            self._measured_of_fit = measured
            self._keep_base_runs(runs, measured, units)
            self._keep(outcome, Weighted(job.X.array[:, ~bad], job.X.weights[:, ~bad]))
            self._order(np.asarray(measured.known.any(axis=1)))
            self._keep_q(measured)

    def _runs_of(
        self, measured: Measured, units: np.ndarray, W: Any, H: Any, callback: Any = None
    ) -> tuple[list[tuple[Result, Problem, str]], _runs.Job]:
        # Base runs, with species in units of their own; W and H are where they start.
        view = measured.weighted(units)
        W = None if W is None else np.asarray(W)
        H = None if H is None else (np.asarray(H) / units).astype(np.asarray(H).dtype)
        start = _runs.check_starts(self, view, W, H)
        seed = _runs.seed_of(self.random_state)
        job = _Job(self, view, start, lambda _: CoordinateDescent(), seed, callback)
        return job.runs(), job

    def _problem(self, *parts: Any) -> Problem:
        if self.robust:
            return RobustProblem(*parts).robust(self.outlier_distance)
        return Problem(*parts)

    def _below_zero(self, problem: Problem, result: Result) -> None:
        # Go on from W ≥ 0 where contributions may be lower.
        if self.lowest_contribution < 0:
            depth, tol, most = -self.lowest_contribution, self.tol, self.max_iter
            lower_contributions(problem, result, depth, self._distance, tol=tol, max_iter=most)

    def _keep_base_runs(self, runs: Any, measured: Measured, units: np.ndarray) -> None:
        found: dict[str, list[Any]] = {
            name: [] for name in ("q_true", "q_robust", "objective", "n_iter", "converged")
        }
        for result, problem, _ in runs:
            W, H = (problem.factors[name].astype(np.float64) for name in "WH")
            z = measured.scaled_residuals((W @ H.T) * units)
            row = (*q_values(z, self.outlier_distance), result.objective, result.n_iter)
            for name, value in zip(found, (*row, result.converged), strict=True):
                found[name].append(value)
        self.base_runs_ = {name: np.array(values) for name, values in found.items()}

    def _order(self, seen: np.ndarray) -> None:
        # Means of 1, and the factor that explains most of the species first.
        means = self.W_[seen].mean(axis=0, dtype=np.float64)
        means = np.where(means > 0, means, 1.0)
        H = self.components_ * means[:, None]
        totals = H.sum(axis=0)
        shares = np.divide(H, totals, out=np.zeros_like(H), where=totals > 0).sum(axis=1)
        order = np.argsort(-shares, kind="stable")
        dtype = self.W_.dtype
        self.W_ = (self.W_ / means)[:, order].astype(dtype)
        self.components_ = H[order].astype(dtype)
        component = self._explained.component
        self._explained.component = component[order]

    def _keep_q(self, measured: Measured) -> None:
        known, (weak, _, _) = measured.known, self._conventions
        W, H = self.W_.astype(np.float64), self.components_.astype(np.float64)
        z = self.scaled_residuals_ = measured.scaled_residuals(W @ H)
        self.uncertainty_ = np.where(known, measured.uncertainty, np.nan)
        self.q_true_, self.q_robust_ = q_values(z, self.outlier_distance)
        self.q_expected_ = q_expected(known, weak, len(H))
        expected = self.q_expected_ if self.q_expected_ > 0 else np.nan
        self.q_ratio_ = self.q_true_ / expected
        strong, samples = (known.any(axis=0) & ~weak).sum(), known.any(axis=1).sum()
        self.q_ratio_of_species_ = np.nansum(z * z, axis=0) * strong / expected
        self.q_ratio_of_samples_ = np.nansum(z * z, axis=1) * samples / expected

    # --- using the factors ---------------------------------------------------------------

    def profiles(self, unit: str = "concentration") -> np.ndarray:
        """Return the profiles of the factors, for contributions with mean 1.

        Parameters
        ----------
        unit : {'concentration', 'species', 'factor'}
            The unit of X; percent of what all factors contribute to a species, so that columns
            add up to 100; or percent of the sum of a factor over all species, which needs
            species in one unit, so that rows do.

        Returns
        -------
        ndarray of shape (n_components, n_features)
            Zeros for a species, or factor, of which nothing is there.
        """
        check_is_fitted(self, "components_")
        seen = self._measured_of_fit.known.any(axis=1)
        H = self.components_ * self.W_[seen].mean(axis=0)[:, None]
        axes = {"concentration": None, "species": 0, "factor": 1}
        if unit not in axes:
            raise ValueError(explain("unit", repr(unit), f"one of {', '.join(map(repr, axes))}"))
        if axes[unit] is None:
            return H
        totals = H.sum(axis=axes[unit], keepdims=True)
        return 100 * np.divide(H, totals, out=np.zeros_like(H), where=totals > 0)

    def _check_data(  # type: ignore[override]
        self, X: Any, *, reset: bool, weights: Any = None
    ) -> Weighted:
        uncertainty = None
        if weights is not None:
            weights = np.asarray(weights)
            uncertainty = np.full(weights.shape, np.nan)
            np.divide(1, np.sqrt(weights), out=uncertainty, where=weights > 0)
        return self._seen(X, uncertainty)

    def _seen(self, X: Any, uncertainty: Any) -> Weighted:
        # New samples, in the unit of X.
        check_is_fitted(self, "components_")
        measured = self._measured(self._array(X, reset=False), uncertainty)
        return measured.weighted(np.ones_like(measured.values[0]))

    def transform(self, X: Any, *, uncertainty: Any = None) -> np.ndarray:  # type: ignore[override]
        """Find the contributions to new samples, with the profiles fixed.

        Each row on its own: exactly, and with ``robust=True`` again and again with the weights of
        its outliers, until no contribution moves by more than a tenth of ``tol``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            In the unit of the training data; NaN is missing.
        uncertainty : array-like of shape (n_samples, n_features), optional
            Of the entries of X, as in `fit_transform`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            Contributions ≥ ``lowest_contribution``. With one below zero the fit holds each to a
            share of the mean, so that those of training samples differ a little from ``W_``.
        """
        return self._project(self._seen(X, uncertainty))[0]

    def score(  # type: ignore[override]
        self, X: Any, y: Any = None, *, uncertainty: Any = None
    ) -> float:
        """Return minus what is minimized per known entry of X, with W found for it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            In the unit of the training data.
        y : Ignored
            Present for consistency.
        uncertainty : array-like of shape (n_samples, n_features), optional
            Of the entries of X, as in `fit_transform`.

        Returns
        -------
        float
            Higher is better; near -1 for samples that are as the model says.
        """
        view = self._seen(X, uncertainty)
        with one_pool():
            model = self._project(view)[0].astype(np.float64) @ self.components_
        z = np.sqrt(view.weights) * (view.array - model)
        return -float(np.sum(costs(z, self._distance)) / np.count_nonzero(view.weights))

    @property
    def _distance(self) -> float:
        return self.outlier_distance if self.robust else np.inf

    def _project(self, X: Any) -> tuple[np.ndarray, int]:
        units = self._measured_of_fit.units()
        H = (self.components_ / units).astype(X.dtype)
        lowest, known = H.dtype.type(self.lowest_contribution), X.weights > 0
        array = np.where(known, X.array / units - lowest * H.sum(axis=0), 0).astype(X.dtype)
        given = (X.weights * units**2).astype(X.dtype)
        W, weights = np.zeros((len(array), len(H)), H.dtype), given
        moved, undone = np.inf, 0
        for _ in range(ROUNDS if self.robust else 1):
            before = W.copy()
            undone = solve_contributions(array, weights, H, W)[1]
            moved = np.abs(W - before).max(initial=0)
            if not self.robust or moved <= self.tol / 10 * np.abs(W).max(initial=0):
                break
            with one_pool():
                z = np.sqrt(given) * (array - W @ H)
            weights = (given * downweighted(z, self.outlier_distance)).astype(H.dtype)
        else:
            undone = len(W)
        if undone:
            _runs.warn(
                f"transform: {undone} of {len(W)} rows are not solved; the last round moved "
                f"contributions by up to {moved:.2g}. Increase tol.",
                ConvergenceWarning,
            )
        W[~known.any(axis=1)] = -lowest
        return W + lowest, 0

    # --- what `cross_val_loss` asks ----------------------------------------------------------

    _folds = False

    @property
    def _loss_name(self) -> str:
        return "Huber's loss of scaled residuals" if self.robust else "Q(true)"

    def _entries(self, X: Any, weights: Any, uncertainty: Any) -> tuple[Any, Any, dict[str, Any]]:
        subject = type(self).__name__
        if weights is not None:
            todo = "Pass uncertainty=1 / np.sqrt(weights), NaN where an entry is missing."
            raise ValueError(explain("weights", "an array", f"None for {subject}", todo))
        X = self._array(X, reset=True)
        self._measured(X, uncertainty, reset=True)  # raises as a fit of all entries would
        weak, bad = self._columns(X.shape[1])
        self.set_params(weak=np.flatnonzero(weak).tolist(), bad=np.flatnonzero(bad).tolist())
        known = Measured.of(X, uncertainty, subject).known & ~bad
        given = None if uncertainty is None else np.asarray(uncertainty, X.dtype)
        return _only(known, X), None, {"uncertainty": given}

    def _fit_to(self, X: Any, known: Any, **more: Any) -> None:
        self.fit(_only(known > 0, X), **more)

    def _losses_at(self, X: Any, known: Any, held: Any, **more: Any) -> tuple[float, float]:
        # Of what was measured: medians in the place of what is missing are not looked at.
        weak, bad, _ = self._conventions
        measured = Measured.of(X, more["uncertainty"], type(self).__name__)
        measured = measured.widened(self.modelling_uncertainty, weak, bad)
        model = self.W_.astype(np.float64) @ self.components_.astype(np.float64)
        found = costs(measured.scaled_residuals(model), self._distance)
        return float(found[held > 0].mean()), float(found[known > 0].mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = False
        tags.input_tags.sparse = False
        return tags


def _only(known: np.ndarray, X: np.ndarray) -> np.ndarray:
    return np.where(known, X, X.dtype.type(np.nan))


class _Job(_runs.Job):
    """Base runs, each with its second part where contributions may be below zero."""

    def run(self, number: int) -> tuple[Result, Problem, str]:
        result, problem, init = super().run(number)
        self.est._below_zero(problem, result)
        return result, problem, init
