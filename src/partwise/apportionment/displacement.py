"""Displacement (DISP): how far each profile entry can go before Q rises too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from partwise._errors import explain
from partwise._tables import Tabular
from partwise._threads import one_pool, side_by_side
from partwise.apportionment._base import (
    Base,
    checked_levels,
    correlations,
    labels,
)
from partwise.apportionment._profiled import Place, Tilt
from partwise.estimators._runs import warn
from partwise.estimators._scaled_residuals import columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Displacement", "displacement"]

# A rise of Q is hit where it is within this share of the one that is wanted; what is left is
# taken by the slope of Q, which is known exactly.
NEAR = 0.05
# Steps of a search, and the share of a slope within which Q is taken to jump.
SEARCH, JUMP = 40, 1e-4
# The share of Q by which it may fall without a word.
NO_MINIMUM = 0.01
# Of the wanted rise, what Newton's method may leave.
LEFT = 1e-4


class Intervals(Tabular):
    """Lower and upper ends of profile entries for some rises of Q, as a table."""

    profiles: np.ndarray
    dq_max: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    species: list[Any]

    def table(self) -> list[dict[str, Any]]:
        """Return a row for every factor, species and rise, as dicts.

        Returns
        -------
        list of dict
            "factor" from 1 on, "species", "profile", "dq_max", "lower" and "upper".
        """
        rows = []
        for factor, species in np.argwhere(~np.isnan(self.lower[0])):
            for level, dq in enumerate(self.dq_max):
                place = (level, factor, species)
                rows.append(
                    {
                        "factor": int(factor) + 1,
                        "species": self.species[species],
                        "profile": float(self.profiles[factor, species]),
                        "dq_max": float(dq),
                        "lower": float(self.lower[place]),
                        "upper": float(self.upper[place]),
                    }
                )
        return rows


@dataclass
class Displacement(Intervals):
    """What `displacement` found.

    Attributes
    ----------
    profiles : ndarray of shape (p, n_features)
        Profiles of the model, in the unit of X, for contributions with mean 1.
    dq_max : ndarray of shape (levels,)
        The rises of Q.
    lower, upper : ndarray of shape (levels, p, n_features)
        How far each entry can go down and up within each rise; NaN for species that were not
        displaced.
    swaps : ndarray of shape (levels, p)
        For how many displacements a factor was most like another factor of the model.
    largest_decrease : float
        The most by which Q fell below that of the model: above a percent of Q the model was no
        minimum, and all of this says little.
    jumps : int
        Intervals that end where Q jumps from below the wanted rise to above it.
    unfinished : int
        Minima that were not reached, and ends that were not found.
    species : list
        Names of the columns, or their numbers.
    """

    profiles: np.ndarray
    dq_max: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    swaps: np.ndarray
    largest_decrease: float
    jumps: int
    unfinished: int
    species: list[Any] = field(repr=False)

    def plot(self, dq_max: float | None = None) -> Figure:
        """Draw the profiles with their intervals.

        Parameters
        ----------
        dq_max : float, optional
            One of the rises; the first, unless said.

        Returns
        -------
        matplotlib.figure.Figure
            What `partwise.plots.plot_profiles` makes.
        """
        from partwise.plots import plot_profiles

        level = 0 if dq_max is None else int(np.argmin(np.abs(self.dq_max - dq_max)))
        note = f"bars: the model; lines: as far as Q rises by {self.dq_max[level]:g}"
        intervals = self.lower[level], self.upper[level]
        return plot_profiles(self.profiles, intervals, species=self.species, note=note)


def displacement(
    model: Any,
    *,
    dq_max: Sequence[float] = (4.0, 8.0, 15.0, 25.0),
    species: Any = None,
    n_jobs: int | None = None,
) -> Displacement:
    """Displace every profile entry up and down until Q has risen by given amounts (DISP).

    For contributions with mean 1, the upper end for an entry is its largest value for which the
    smallest Q over all other profile entries and all contributions is at most that of the model
    plus ``dq_max``; the lower end is its smallest value. All others are free all the way: what is
    found is the profile likelihood of the entry. A rise of 4 is two standard deviations where the
    uncertainties are right and Q is quadratic; larger rises are for seeing whether the solution
    holds together.

    Parameters
    ----------
    model : PositiveMatrixFactorization
        Fitted. Outliers keep the weights that they have in it.
    dq_max : sequence of float, default=(4, 8, 15, 25)
        Rises of Q.
    species : list of str or int, optional
        What to displace; all species, unless said.
    n_jobs : int or None, default=None
        Threads that displace entries at the same time. Results do not depend on it.

    Returns
    -------
    Displacement

    Raises
    ------
    ValueError
        Rises that are not positive, species that are not there; a factor without contributions in a
        model with contributions below zero.
    TypeError
        Another model.

    Warns
    -----
    ConvergenceWarning
        Some minima were not reached, or ends not found.
    UserWarning
        Q fell by more than a percent, and a tenth of the least rise: the model is no minimum.

    Notes
    -----
    Q − 2 λ v is minimized by Newton's method, with v the entry and a slope λ that is searched for;
    where Q − Q₀ is ``dq_max`` the entry is at its end. Each minimum starts from the one before.
    What is left between the rise that was hit and the one that was wanted is taken by the slope,
    as dQ/dv = 2 λ there. Where Q as a function of v bends down, slopes jump over what lies
    between; the end is then on the line between both sides, which is no nearer than it should
    be. Cost: some 5 steps of O(n m² p³ + (m p)³) operations for each of 2 · p · m · levels ends.

    With ``lowest_contribution`` < 0, contributions go as low as in the fit, down to that times the
    mean of their factor. Where nothing of a factor is known in a sample its contribution is zero.

    The model is brought to its minimum first. A rise is counted from there.

    References
    ----------
    Paatero, Eberly, Brown & Norris (2014), Atmospheric Measurement Techniques 7, 781-797. Brown,
    Eberly, Paatero & Norris (2015), Science of the Total Environment 518-519, 626-635.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import PositiveMatrixFactorization
    >>> from partwise.apportionment import displacement
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(1, size=(60, 2)) @ rng.gamma(1, size=(2, 5))
    >>> model = PositiveMatrixFactorization(2, n_init=2).fit(X, uncertainty=0.1 * X + 0.01)
    >>> found = displacement(model, dq_max=[4])
    >>> bool(np.all(found.lower[0] <= found.upper[0]))
    True
    """
    levels = checked_levels(dq_max)
    with one_pool(share=False):
        base = Base.of(model, "displacement")
        place = base.refined(LEFT * levels[0])
        decrease = max(0.0, 2 * (base.half_q() - place.half_q))
        ends = displaced(base, place, levels, chosen_entries(base, species), n_jobs)
        found = collected(base, place, levels, ends, decrease)
    _warn_about(found, 2 * place.half_q)
    return found


def _warn_about(found: Displacement, q: float) -> None:
    if found.unfinished:
        warn(
            f"displacement: {found.unfinished} minima were not reached or ends not found. "
            "Intervals may be too narrow there.",
            ConvergenceWarning,
        )
    if fell(found, q):
        warn(
            f"displacement: Q fell by {found.largest_decrease:.4g}, more than {NO_MINIMUM:.0%} of "
            f"{q:.4g}. The model is no minimum: fit it with a lower tol or a larger n_init.",
            UserWarning,
        )


def fell(found: Displacement, q: float) -> bool:
    """Return whether Q fell by so much that its value q was no minimum."""
    return found.largest_decrease > max(NO_MINIMUM * q, found.dq_max[0] / 10)


def chosen_entries(base: Base, species: Any) -> list[tuple[int, int]]:
    """Return factors and places among the known columns of what is to be displaced."""
    model = base.model
    names = getattr(model, "feature_names_in_", None)
    count = model.components_.shape[1]
    mask = np.ones(count, np.bool_)
    if species is not None:
        mask = columns_of(species, names, count, "species")
    places = np.flatnonzero(mask[base.columns])
    if not places.size:
        raise ValueError(explain("species", "none with known entries", "some"))
    return [(a, int(j)) for a in range(len(base.H)) for j in places]


@dataclass
class End:
    """How far one entry went in one direction, for all rises."""

    factor: int
    species: int
    up: bool
    values: list[float] = field(default_factory=list)
    swapped: list[np.ndarray] = field(default_factory=list)
    lowest: float = 0.0
    jumps: int = 0
    unfinished: int = 0


def displaced(
    base: Base, place: Place, levels: np.ndarray, chosen: list[tuple[int, int]], n_jobs: int | None
) -> list[End]:
    """Return both ends of all chosen entries, from a place that is a minimum."""
    variances = base.surface().variances(place)

    def one(end: tuple[tuple[int, int], bool]) -> End:
        entry, up = end
        return _Search(base, place, entry, up, float(variances[entry])).run(levels)

    work = [(entry, up) for entry in chosen for up in (False, True)]
    return side_by_side(one, work, n_jobs)


def collected(
    base: Base, place: Place, levels: np.ndarray, ends: list[End], decrease: float
) -> Displacement:
    """Return ends as arrays in the unit of X."""
    p, m = base.model.components_.shape
    bounds = np.full((2, len(levels), p, m), np.nan)
    swaps = np.zeros((len(levels), p), np.int64)
    for end in ends:
        column = base.columns[end.species]
        values = np.array(end.values) * base.units[end.species]
        bounds[int(end.up), :, end.factor, column] = values
        swaps += np.array(end.swapped)
    lowest = min((end.lowest for end in ends), default=0.0)
    return Displacement(
        profiles=base.profiles(place),
        dq_max=levels,
        lower=bounds[0],
        upper=bounds[1],
        swaps=swaps,
        largest_decrease=max(decrease, -lowest),
        jumps=sum(end.jumps for end in ends),
        unfinished=sum(end.unfinished for end in ends),
        species=labels(base.model),
    )


@dataclass
class _Point:
    """A slope, the minimum there, the entry and the rise of Q."""

    slope: float
    place: Place
    value: float
    rise: float


class _Search:
    """The search for the ends of one entry in one direction."""

    def __init__(
        self, base: Base, place: Place, entry: tuple[int, int], up: bool, variance: float
    ) -> None:
        self.base, self.entry, self.start = base, entry, place
        self.sign = 1.0 if up else -1.0
        self.end = End(*entry, up)
        self.here = _Point(0.0, place, place.entry(*entry), 0.0)
        self.above: list[_Point] = []  # seen on the way, for larger rises
        # Q rises by slope² · variance while it is quadratic; an entry that rests on zero stays
        # there up to the slope that holds it.
        mean = float(place.W[:, entry[0]].mean())
        self.scale = 1 / max(mean * np.sqrt(variance), 1e-150)
        self.held = 0.0
        if up and place.H[entry] == 0 and mean > 0:
            slope = base.surface().slope(place)
            self.held = max(0.0, float(slope[entry]) / mean)

    def run(self, levels: np.ndarray) -> End:
        """Return what was found for rising levels."""
        for level in levels:
            self.end.values.append(self._value(float(level)))
            likeness = correlations(self.here.place.W, self.start.W)
            self.end.swapped.append(np.argmax(likeness, axis=1) != np.arange(len(likeness)))
        return self.end

    def _point(self, slope: float, level: float) -> _Point:
        tilt = Tilt(*self.entry, self.sign * slope)
        surface = self.base.surface(tilt)
        place = surface.minimize(self.here.place, tol=LEFT * level)
        rise = 2 * (place.half_q - self.start.half_q)
        self.end.unfinished += not place.converged
        self.end.lowest = min(self.end.lowest, rise)
        return _Point(slope, place, place.entry(*self.entry), rise)

    def _value(self, level: float) -> float:
        # The entry where Q has risen by ``level``; ``here`` is below that before and, unless it
        # is hit, after.
        above = (p for p in self.above if p.rise > level and p.slope > self.here.slope)
        beyond = next(above, None)
        for _ in range(SEARCH):
            if self._at_zero():
                return 0.0
            if self._hit(self.here, level):
                return self._along(self.here, level)
            if beyond is not None and beyond.slope - self.here.slope < JUMP * beyond.slope:
                return self._across(self.here, beyond, level)
            point = self._point(self._next(beyond, level), level)
            if point.rise > level and not self._hit(point, level):
                beyond = point
                self.above.insert(0, point)
            else:
                self.here = point
        self.end.unfinished += 1
        return self.here.value

    def _hit(self, point: _Point, level: float) -> bool:
        return abs(point.rise - level) <= NEAR * level and point.slope > 0

    def _at_zero(self) -> bool:
        return self.sign < 0 and self.here.value <= 1e-12 * max(
            self.start.entry(*self.entry), 1e-290
        )

    def _next(self, beyond: _Point | None, level: float) -> float:
        # √rise is nearly linear in the slope.
        here, root = self.here, np.sqrt(level)
        if here.slope == 0 and beyond is None:
            return self.held + root * self.scale
        low = np.sqrt(max(here.rise, 0.0))
        if beyond is None:
            ratio = root / low if low > root / 4 else 4.0
            return here.slope * float(np.clip(ratio, 1.1, 4.0))
        share = (root - low) / (np.sqrt(beyond.rise) - low)
        return here.slope + (beyond.slope - here.slope) * float(np.clip(share, 0.1, 0.9))

    def _along(self, point: _Point, level: float) -> float:
        value = point.value + self.sign * (level - point.rise) / (2 * point.slope)
        return max(0.0, value)

    def _across(self, here: _Point, beyond: _Point, level: float) -> float:
        self.end.jumps += 1
        share = (level - here.rise) / (beyond.rise - here.rise)
        return here.value + share * (beyond.value - here.value)
