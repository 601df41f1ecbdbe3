"""Bootstrap (BS): profiles of models that are fitted to blocks of samples drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from partwise._errors import explain
from partwise._tables import Tabular
from partwise._threads import one_pool, side_by_side
from partwise.apportionment._base import checked_model, correlations, labels, matched
from partwise.estimators import PositiveMatrixFactorization
from partwise.estimators._runs import best_of, seed_of, warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Bootstrap", "Resamples", "block_length", "bootstrap"]


@dataclass
class Bootstrap(Tabular):
    """What `bootstrap` found.

    Attributes
    ----------
    base : ndarray of shape (p, n_features)
        Profiles of the model, in the unit of X, for contributions with mean 1.
    profiles : ndarray of shape (n_resamples, p, n_features)
        For each factor of the model that of the resample which is mapped to it, the most
        alike if there are several; NaN where there is none.
    mapping : ndarray of int, of shape (p, p + 1)
        How often a factor of a resample (row) was mapped to one of the model (column); the last
        column counts those that are mapped to none.
    q_true : ndarray of shape (n_resamples,)
        Q(true) of every resample.
    converged : ndarray of bool, of shape (n_resamples,)
        Whether its fit had.
    block_size : int
        Samples of a block.
    seed : int
        ``random_state=seed`` draws the same samples.
    species : list
        Names of the columns, or their numbers.
    """

    base: np.ndarray
    profiles: np.ndarray
    mapping: np.ndarray
    q_true: np.ndarray
    converged: np.ndarray
    block_size: int
    seed: int
    species: list[Any] = field(repr=False)

    def percentiles(self, percent: Sequence[float] = (5, 25, 50, 75, 95)) -> np.ndarray:
        """Return percentiles of profile entries over the resamples that have the factor.

        Parameters
        ----------
        percent : sequence of float, default=(5, 25, 50, 75, 95)
            From 0 to 100.

        Returns
        -------
        ndarray of shape (len(percent), p, n_features)
            NaN for a factor to which nothing is mapped.
        """
        found = np.full((len(percent), *self.base.shape), np.nan)
        for factor in range(len(self.base)):
            seen = ~np.isnan(self.profiles[:, factor, 0])
            if seen.any():
                found[:, factor] = np.percentile(self.profiles[seen, factor], percent, axis=0)
        return found

    def table(self) -> list[dict[str, Any]]:
        """Return a row for every factor and species, as dicts.

        Returns
        -------
        list of dict
            "factor" from 1 on, "species", "profile", and the percentiles "p5", "p25", "p50",
            "p75" and "p95".
        """
        percent = (5, 25, 50, 75, 95)
        found, rows = self.percentiles(percent), []
        for (factor, species), value in np.ndenumerate(self.base):
            row = {
                "factor": factor + 1,
                "species": self.species[species],
                "profile": float(value),
            }
            at = (f"p{number}" for number in percent)
            rows.append(row | dict(zip(at, map(float, found[:, factor, species]), strict=True)))
        return rows

    def plot(self) -> Figure:
        """Draw the profiles with the range from the 5th to the 95th percentile.

        Returns
        -------
        matplotlib.figure.Figure
            What `partwise.plots.plot_profiles` makes.
        """
        from partwise.plots import plot_profiles

        note = f"bars: the model; lines: 5th to 95th percentile of {len(self.q_true)} resamples"
        low, high = self.percentiles((5, 95))
        return plot_profiles(self.base, (low, high), species=self.species, note=note)


def bootstrap(
    model: Any,
    n_resamples: int = 100,
    *,
    block_size: int | None = None,
    threshold: float = 0.6,
    n_init: int | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> Bootstrap:
    """Fit models to samples drawn anew in blocks, and see what becomes of the factors (BS).

    Samples with known entries, in their order, are cut into blocks of consecutive ones, which
    begin anywhere and go on at the start after the end; blocks are drawn with replacement until
    there are as many samples as before. Each fit has the parameters of the model. Its factors are
    mapped to those of the model by the correlation of contributions to the same samples: each to
    the most alike if that correlation is above ``threshold``, else to none.

    Parameters
    ----------
    model : PositiveMatrixFactorization
        Fitted.
    n_resamples : int, default=100
        How often samples are drawn.
    block_size : int, optional
        Samples of a block; by default `block_length`, from the autocorrelation of the species.
    threshold : float, default=0.6
        The correlation from which on a factor is mapped.
    n_init : int, optional
        Random starts of every fit. By default it starts from the factors of the model, once,
        which is fast and says nothing about other minima.
    random_state : int, RandomState, Generator or None, default=None
        For drawing and for starts.
    n_jobs : int or None, default=None
        Threads that fit at the same time. Results do not depend on it.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        Numbers out of their range.
    TypeError
        Another model.

    Warns
    -----
    ConvergenceWarning
        The stopping rule did not hold in some fits.

    Notes
    -----
    Cost: ``n_resamples`` fits, from the factors of the model mostly short ones.

    References
    ----------
    Paatero, Eberly, Brown & Norris (2014), Atmospheric Measurement Techniques 7, 781-797. Politis &
    Romano (1992), in Exploring the Limits of Bootstrap, Wiley (circular blocks).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import PositiveMatrixFactorization
    >>> from partwise.apportionment import bootstrap
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(1, size=(60, 2)) @ rng.gamma(1, size=(2, 5))
    >>> model = PositiveMatrixFactorization(2, n_init=2).fit(X, uncertainty=0.1 * X + 0.01)
    >>> bootstrap(model, 20, random_state=0).mapping.tolist()
    [[20, 0, 0], [0, 20, 0]]
    """
    drawn = Resamples(model, n_resamples, block_size, n_init, random_state, threshold)
    found = drawn.each(n_jobs, drawn.fit)
    p, m = model.components_.shape
    profiles = np.full((n_resamples, p, m), np.nan)
    mapping = np.zeros((p, p + 1), np.int64)
    for number, fit in enumerate(found):
        np.add.at(mapping, (np.arange(p), fit.targets), 1)
        for factor in range(p):
            mine = np.flatnonzero(fit.targets == factor)
            if mine.size:
                best = mine[np.argmax(fit.likeness[mine, factor])]
                profiles[number, factor] = fit.H[best]
    converged = np.array([fit.converged for fit in found])
    if not converged.all():
        warn(
            f"bootstrap: {np.count_nonzero(~converged)} of {n_resamples} fits did not converge. "
            "Raise max_iter of the model, or its tol.",
            ConvergenceWarning,
        )
    return Bootstrap(
        base=model.profiles(),
        profiles=profiles,
        mapping=mapping,
        q_true=np.array([fit.q_true for fit in found]),
        converged=converged,
        block_size=drawn.block_size,
        seed=drawn.seed,
        species=labels(model),
    )


@dataclass
class Refit:
    """A model of one resample: the rows that were drawn, and factors in the order of the model's.

    ``H`` (p, n_features) is in the unit of X, for contributions W with mean 1. ``targets`` (p,) are
    the factors of the model that these are mapped to, p for none, by the correlations ``likeness``.
    """

    rows: np.ndarray
    W: np.ndarray
    H: np.ndarray
    targets: np.ndarray
    likeness: np.ndarray
    q_true: float
    converged: bool


class Resamples:
    """Samples of a model that are drawn anew, and fits to them."""

    def __init__(
        self,
        model: Any,
        count: int,
        block_size: int | None,
        n_init: int | None,
        random_state: Any,
        threshold: float = 0.6,
    ) -> None:
        self.model, self.threshold = checked_model(model, "bootstrap"), threshold
        if not -1 <= threshold < 1:
            raise ValueError(explain("threshold", f"{threshold:g}", "a number from -1 to below 1"))
        for name, value in (("n_resamples", count), ("n_init", n_init), ("block_size", block_size)):
            if value is not None and value < 1:
                raise ValueError(explain(name, value, "an integer ≥ 1"))
        self.count, self.n_init, self.seed = count, n_init, seed_of(random_state)
        self.measured = model._measured_of_fit
        known = self.measured.known
        self.seen = np.flatnonzero(known.any(axis=1))
        if block_size is None:
            columns = known.any(axis=0)
            values = np.where(known, self.measured.values, self.measured.medians())
            block_size = block_length(values[self.seen][:, columns])
        self.block_size = min(block_size, len(self.seen))

    def each(self, n_jobs: int | None, work: Any) -> list[Any]:
        """Return what ``work`` returns for the number of every resample, done side by side."""
        with one_pool(share=False):
            return side_by_side(work, range(self.count), n_jobs)

    def rows(self, number: int) -> np.ndarray:
        """Return the rows of X that a resample consists of."""
        rng, n = np.random.default_rng([self.seed, number]), len(self.seen)
        starts = rng.integers(n, size=-(-n // self.block_size))
        places = (starts[:, None] + np.arange(self.block_size)).ravel()[:n]
        return np.asarray(self.seen[places % n])

    def fit(self, number: int) -> Refit:
        """Fit the model of a resample, and map its factors."""
        rows, model = self.rows(number), self.model
        base_W = model.W_[rows]
        seed = int(np.random.default_rng([self.seed, number, 1]).integers(2**31 - 1))
        est: PositiveMatrixFactorization = clone(model).set_params(
            init="custom" if self.n_init is None else "random",
            n_init=self.n_init or 1, random_state=seed, n_jobs=None, verbose=0,
        )  # fmt: skip
        est._conventions = model._conventions
        start = (np.maximum(base_W, 0), model.components_) if self.n_init is None else (None, None)
        measured, units = self.measured.rows(rows), self.measured.units()
        runs, job = est._runs_of(measured, units, *start)
        outcome = best_of(runs, job)
        means = outcome.W.mean(axis=0, dtype=np.float64)
        means = np.where(means > 0, means, 1.0)
        W = outcome.W / means
        H = outcome.components.astype(np.float64) * units * means[:, None]
        z = measured.scaled_residuals(W @ H)
        likeness = correlations(W, base_W)
        order = matched(likeness)
        W, H, likeness = W[:, order], H[order], likeness[order]
        best = np.argmax(likeness, axis=1)
        enough = likeness[np.arange(len(best)), best] > self.threshold
        targets = np.where(enough, best, len(best))
        return Refit(rows, W, H, targets, likeness, float(np.nansum(z * z)), outcome.converged)


def block_length(X: Any) -> int:
    """Return a length of blocks for resampling samples that depend on those before them.

    The length by the rule of Politis & White for circular blocks, which makes the error of the
    variance of a mean smallest, for every column; the mean over columns, rounded up.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples in their order, all known.

    Returns
    -------
    int
        At least 1, at most a third of the samples.

    References
    ----------
    Politis & White (2004), Econometric Reviews 23, 53-70; with the correction of Patton, Politis &
    White (2009), Econometric Reviews 28, 372-375.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.apportionment import block_length
    >>> noise = np.random.default_rng(0).standard_normal((400, 1))
    >>> walk = np.zeros_like(noise)
    >>> for i in range(1, 400):
    ...     walk[i] = 0.8 * walk[i - 1] + noise[i]
    >>> block_length(noise), block_length(walk)
    (1, 15)
    """
    X = np.asarray(X, np.float64)
    X = X[:, None] if X.ndim == 1 else X
    lengths = [_block_length(x) for x in X.T]
    return int(np.clip(np.ceil(np.mean(lengths) - 1e-9), 1, max(1, len(X) // 3)))


def _block_length(x: np.ndarray) -> float:
    n = len(x)
    x = x - x.mean()
    run = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    most = int(np.ceil(np.sqrt(n))) + run
    lags = np.arange(min(most + run, n - 1) + 1)
    covariances = np.array([x[lag:] @ x[: n - lag] for lag in lags]) / n
    if covariances[0] <= 0:
        return 1.0
    small = np.abs(covariances[1:] / covariances[0]) < 2 * np.sqrt(np.log10(n) / n)
    quiet = (m for m in range(len(small) - run + 1) if small[m : m + run].all())
    last = next(quiet, most)
    width = min(2 * max(last, 1), most, len(lags) - 1)
    share = np.arange(width + 1) / max(width, 1)
    window = np.where(share <= 0.5, 1.0, 2 * (1 - share)) * covariances[: width + 1]
    spectrum = 2 * window.sum() - window[0]
    bend = 2 * np.sum(window * np.arange(width + 1))
    if spectrum <= 0:
        return 1.0
    length = (2 * bend**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * n ** (1 / 3)
    return float(np.clip(length, 1, np.ceil(min(3 * np.sqrt(n), n / 3))))
