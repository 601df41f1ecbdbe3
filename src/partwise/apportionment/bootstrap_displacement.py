"""Bootstrap and displacement in one (BS-DISP): displacement in models of resampled data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._threads import one_pool
from partwise.apportionment._base import (
    Base,
    checked_levels,
    labels,
)
from partwise.apportionment.bootstrap import Resamples
from partwise.apportionment.displacement import (
    LEFT,
    Displacement,
    Intervals,
    chosen_entries,
    collected,
    displaced,
    fell,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BootstrapDisplacement", "bootstrap_displacement"]

# Of the lower ends of all resamples, and of the upper ends.
PERCENT = 5, 95


@dataclass
class BootstrapDisplacement(Intervals):
    """What `bootstrap_displacement` found.

    Attributes
    ----------
    profiles : ndarray of shape (p, n_features)
        Profiles of the model, in the unit of X, for contributions with mean 1.
    dq_max : ndarray of shape (levels,)
        The rises of Q.
    lower, upper : ndarray of shape (levels, p, n_features)
        The 5th percentile of lower ends and the 95th of upper ends, over accepted resamples; NaN
        for species that were not displaced.
    accepted : ndarray of bool, of shape (n_resamples,)
        Whether each factor of a resample was mapped to its own factor of the model, none was
        swapped at the smallest rise, and Q did not fall by more than a percent.
    unmapped, swapped, fell : int
        Resamples that were not accepted for each of these reasons, the first that applies. Where
        contributions may be below zero, one with a factor that vanished is not mapped.
    swaps : ndarray of shape (levels, p)
        For how many displacements a factor was most like another one, over mapped resamples.
    block_size, seed : int
        As for `Bootstrap`.
    species : list
        Names of the columns, or their numbers.
    """

    profiles: np.ndarray
    dq_max: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    accepted: np.ndarray
    unmapped: int
    swapped: int
    fell: int
    swaps: np.ndarray
    block_size: int
    seed: int
    species: list[Any] = field(repr=False)

    def plot(self) -> Figure:
        """Draw the profiles with the intervals of the smallest rise.

        Returns
        -------
        matplotlib.figure.Figure
            What `partwise.plots.plot_profiles` makes.
        """
        from partwise.plots import plot_profiles

        count = np.count_nonzero(self.accepted)
        note = f"bars: the model; lines: ends at a rise of {self.dq_max[0]:g} in {count} resamples"
        intervals = self.lower[0], self.upper[0]
        return plot_profiles(self.profiles, intervals, species=self.species, note=note)


def bootstrap_displacement(
    model: Any,
    n_resamples: int = 50,
    *,
    species: Any = None,
    dq_max: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    block_size: int | None = None,
    threshold: float = 0.6,
    n_init: int | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> BootstrapDisplacement:
    """Displace profile entries in models of resampled data (BS-DISP).

    Each resample is drawn, fitted and mapped as by `bootstrap`, and its profile entries are
    displaced as by `displacement`. Intervals so take in noise and rotations.

    Parameters
    ----------
    model : PositiveMatrixFactorization
        Fitted.
    n_resamples : int, default=50
        How often samples are drawn.
    species : list of str or int, optional
        What to displace; all species, unless said. A few that tell the factors apart are usual,
        as each takes its time in every resample.
    dq_max : sequence of float, default=(0.5, 1, 2, 4)
        Rises of Q.
    block_size, threshold, n_init, random_state, n_jobs
        As for `bootstrap`; threads take whole resamples.

    Returns
    -------
    BootstrapDisplacement

    Raises
    ------
    ValueError
        As for `bootstrap` and `displacement`.
    TypeError
        Another model.

    Notes
    -----
    Cost: that of ``n_resamples`` times `displacement`.

    References
    ----------
    Paatero, Eberly, Brown & Norris (2014), Atmospheric Measurement Techniques 7, 781-797.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import PositiveMatrixFactorization
    >>> from partwise.apportionment import bootstrap_displacement
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(1, size=(60, 2)) @ rng.gamma(1, size=(2, 5))
    >>> model = PositiveMatrixFactorization(2, n_init=2).fit(X, uncertainty=0.1 * X + 0.01)
    >>> found = bootstrap_displacement(model, 5, species=[0], dq_max=[4], random_state=0)
    >>> int(found.accepted.sum())
    5
    """
    with one_pool(share=False):
        base = Base.of(model, "bootstrap_displacement")
    levels = checked_levels(dq_max)
    drawn = Resamples(model, n_resamples, block_size, n_init, random_state, threshold)
    chosen = chosen_entries(base, species)
    own = np.arange(len(model.components_))

    def one(number: int) -> tuple[str, Displacement | None]:
        fit = drawn.fit(number)
        if not np.array_equal(fit.targets, own):
            return "unmapped", None
        part = Base(base.model, base.model._measured_of_fit.rows(fit.rows), fit.W, fit.H)
        if part.depth > 0 and part.empty:
            return "unmapped", None
        return _displaced(part, levels, chosen)

    found = drawn.each(n_jobs, one)
    verdicts = np.array([verdict for verdict, _ in found])
    mapped = [one for _, one in found if one is not None]
    accepted = [one for verdict, one in found if verdict == "accepted"]
    shape = len(levels), *model.components_.shape
    lower, upper = (
        _percentile([getattr(one, side) for one in accepted], percent, shape)
        for side, percent in zip(("lower", "upper"), PERCENT, strict=True)
    )
    return BootstrapDisplacement(
        profiles=model.profiles(),
        dq_max=levels,
        lower=lower,
        upper=upper,
        accepted=verdicts == "accepted",
        unmapped=int(np.sum(verdicts == "unmapped")),
        swapped=int(np.sum(verdicts == "swapped")),
        fell=int(np.sum(verdicts == "fell")),
        swaps=sum((one.swaps for one in mapped), np.zeros(shape[:2], np.int64)),
        block_size=drawn.block_size,
        seed=drawn.seed,
        species=labels(model),
    )


def _displaced(
    part: Base, levels: np.ndarray, chosen: list[tuple[int, int]]
) -> tuple[str, Displacement]:
    # Whether the resample is accepted, and its intervals.
    # A species may have no known entry among the samples that were drawn.
    chosen = [entry for entry in chosen if part.V[:, entry[1]].any()]
    place = part.refined(LEFT * levels[0])
    decrease = max(0.0, 2 * (part.half_q() - place.half_q))
    found = collected(part, place, levels, displaced(part, place, levels, chosen, None), decrease)
    if found.swaps[0].any():
        return "swapped", found
    return ("fell" if fell(found, 2 * place.half_q) else "accepted"), found


def _percentile(ends: list[np.ndarray], percent: float, shape: tuple[int, ...]) -> np.ndarray:
    # Over resamples in which an entry was displaced.
    found = np.full(shape, np.nan)
    stack = np.array(ends).reshape(-1, *shape)
    there = (~np.isnan(stack)).any(axis=0)
    if there.any():
        found[there] = np.nanpercentile(stack[:, there], percent, axis=0)
    return found
