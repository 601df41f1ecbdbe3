"""Profiles with their intervals, contributions over time, and Q over the number of factors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain
from partwise.plots._style import (
    BLUE,
    GREY,
    INK,
    PALE,
    axes_for_curves,
    bare,
    heading,
    matrix_of,
    new_figure,
    plain_text,
    tick_places,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_contributions", "plot_profiles", "plot_q"]


def plot_profiles(
    model_or_profiles: Any,
    intervals: Any = None,
    *,
    species: Sequence[Any] | None = None,
    note: str = "",
) -> Figure:
    """Draw what share of each species every factor contributes, with intervals.

    One row of bars for each factor, in percent of the sum of a species over all factors.

    Parameters
    ----------
    model_or_profiles : PositiveMatrixFactorization or ndarray of shape (p, n_features)
        A fitted model, or profiles for contributions with mean 1.
    intervals : pair of ndarray of shape (p, n_features), optional
        Lower and upper ends, in the unit of the profiles; NaN where there are none.
    species : sequence, optional
        Names; those of the model, or numbers, unless given.
    note : str, optional
        A line below the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The picture, with one axes for each factor.
    """
    if hasattr(model_or_profiles, "profiles"):
        species = getattr(model_or_profiles, "feature_names_in_", species)
        model_or_profiles = model_or_profiles.profiles()
    wanted = "profiles or a fitted PositiveMatrixFactorization"
    profiles = matrix_of(model_or_profiles, "plot_profiles", wanted)
    p, m = profiles.shape
    names = range(m) if species is None else species
    if len(names) != m:
        raise ValueError(explain("species", f"{len(names)} names", f"{m} names"))
    sides = [np.asarray(side, np.float64) for side in (() if intervals is None else intervals)]
    if any(side.shape != profiles.shape for side in sides):
        got = " and ".join(str(side.shape) for side in sides)
        raise ValueError(explain("intervals", f"shapes {got}", f"two of {profiles.shape}"))
    totals = profiles.sum(axis=0)
    share = np.divide(100, totals, out=np.zeros(m), where=totals > 0)
    figure = new_figure(min(14.0, 2.5 + 0.28 * m), 1.0 + 1.25 * p)
    places = np.arange(m)
    for factor, ax in enumerate(figure.subplots(p, 1, sharex=True, squeeze=False)[:, 0]):
        ax.bar(places, profiles[factor] * share, color=BLUE, width=0.72)
        if sides:
            low, high = (side[factor] * share for side in sides)
            ax.vlines(places, low, high, color=INK, linewidth=1.4)
        _finish(ax, f"factor {factor + 1}", "% of species")
        ax.set_ylim(bottom=0)
        ax.set_xlim(-0.6, m - 0.4)
    ax.set_xticks(places, [plain_text(name, 18) for name in names], rotation=90, fontsize=8)
    heading(figure, "Profiles", note)
    return figure


def plot_contributions(model_or_values: Any, times: Any = None) -> Figure:
    """Draw the contributions of every factor over the samples, or over time.

    Parameters
    ----------
    model_or_values : PositiveMatrixFactorization or ndarray of shape (n_samples, p)
        A fitted model, or contributions.
    times : sequence of shape (n_samples,), optional
        Numbers or dates; the number of the sample, unless given.

    Returns
    -------
    matplotlib.figure.Figure
        The picture, with one axes for each factor.
    """
    values = getattr(model_or_values, "W_", model_or_values)
    values = matrix_of(values, "plot_contributions", "contributions or a fitted model")
    places = np.arange(len(values)) if times is None else np.asarray(times)
    if len(places) != len(values):
        raise ValueError(explain("times", f"{len(places)}", f"one for each of {len(values)}"))
    p = values.shape[1]
    figure = new_figure(9.6, 1.0 + 1.1 * p)
    for factor, ax in enumerate(figure.subplots(p, 1, sharex=True, squeeze=False)[:, 0]):
        ax.plot(places, values[:, factor], color=BLUE, linewidth=0.9)
        ax.axhline(1, color=GREY, linewidth=0.6, linestyle=":")
        _finish(ax, f"factor {factor + 1}", "")
        ax.margins(x=0.01)
    heading(figure, "Contributions", "1 is the mean of a factor")
    return figure


def plot_q(models: Sequence[Any], ax: Axes | None = None) -> Axes:
    """Draw Q(true) over its expected value against the number of factors.

    Parameters
    ----------
    models : sequence of PositiveMatrixFactorization
        Fitted to the same data with different numbers of factors.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the curve.
    """
    fitted = list(models) if isinstance(models, Iterable) else []
    if not fitted or not all(hasattr(model, "q_ratio_") for model in fitted):
        wanted = "a list of fitted PositiveMatrixFactorization"
        raise ValueError(explain("plot_q", repr(models), wanted))
    points = sorted((model.n_components_, model.q_ratio_) for model in fitted)
    numbers, ratios = np.array(points).T
    ax = axes_for_curves(ax)
    ax.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    ax.plot(numbers, ratios, "o-", color=BLUE, linewidth=1.6, markersize=4.5)
    ax.xaxis.set_major_locator(tick_places(9, integer=True))
    _finish(ax, "Q(true) / Q(expected)", "")
    ax.set_xlabel("factors", fontsize=9, color=GREY)
    return ax


def _finish(ax: Axes, title: str, label: str) -> None:
    bare(ax, "left", "bottom")
    ax.set_title(title, loc="left", fontsize=9, color=INK)
    ax.set_ylabel(label, fontsize=8, color=GREY)
    ax.grid(axis="y", color=PALE, linewidth=0.6, alpha=0.7)
    ax.set_axisbelow(True)
