"""The objective against time and iterations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain
from partwise.plots._style import (
    BLUE,
    GREY,
    INK,
    LINES,
    PALE,
    STROKES,
    axes_for_curves,
    bare,
    finish_curves,
    heading,
    log_if_positive,
    new_figure,
    plain_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison", "plot_history"]

LEAST_EXCESS = 1e-9


def plot_history(model: Any, ax: Axes | None = None) -> Axes:
    """Draw the objective against the iteration, with the reason why the fit stopped.

    The axis of the objective is logarithmic where all its values are positive.

    Parameters
    ----------
    model : estimator
        A fitted model with ``objective_history_``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the curve.
    """
    values = np.asarray(getattr(model, "objective_history_", []), dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        got, todo = "no objective_history_", "Fit the model first."
        raise ValueError(explain("plot_history", got, "a fitted model", todo))
    ax = axes_for_curves(ax)
    iterations = np.arange(values.size)
    ax.plot(iterations, values, color=BLUE, linewidth=1.6, solid_capstyle="round")
    ax.plot(iterations[-1:], values[-1:], "o", color=BLUE, markersize=4.5)
    log_if_positive(ax, values)
    ax.margins(x=0.03, y=0.12)
    ax.annotate(
        f"{values[-1]:.6g}",
        (iterations[-1], values[-1]),
        xytext=(0, 7),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=INK,
    )
    finish_curves(ax, "iteration", "penalized objective")
    _history_title(model, ax)
    return ax


def _history_title(model: Any, ax: Axes) -> None:
    reason = str(getattr(model, "stop_reason_", "") or "")
    starts = np.size(getattr(model, "objectives_", ()))
    if starts > 1:
        reason = f"best of {starts} starts; {reason}"
    subtitle = textwrap.wrap(reason, 84)[:3]
    # Room for the lines of the subtitle between the title and the axes.
    ax.set_title(
        "Objective",
        loc="left",
        fontsize=11,
        color=INK,
        weight="bold",
        pad=8 + 11 * len(subtitle),
    )
    ax.annotate(
        "\n".join(subtitle).replace("$", r"\$"),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 6),
        textcoords="offset points",
        fontsize=8,
        color=GREY,
        va="bottom",
    )


def plot_comparison(comparison: Any) -> Figure:
    """Draw how far solvers are above the best objective, against seconds and iterations.

    A thin line is one run, a thick one the median over the seeds, in which a run stays at its
    start before its first point and at its end after its last one. Excess is relative to the
    lowest objective that any solver saw from the same start; the run that found it falls out of
    the picture. Both axes are logarithmic.

    Parameters
    ----------
    comparison : partwise.Comparison
        What `partwise.compare` returned.

    Returns
    -------
    matplotlib.figure.Figure
        The picture, with one axes for seconds and one for iterations.
    """
    if not getattr(comparison, "runs", ()):
        got = type(comparison).__name__
        raise ValueError(explain("plot_comparison", got, "what partwise.compare returned"))
    figure = new_figure(9.6, 4.0)
    axes = figure.subplots(1, 2, sharey=True).tolist()
    for number, label in enumerate(comparison.solvers):
        runs = [r for r in comparison.runs if r.solver == label]
        stroke = STROKES[number // len(LINES) % len(STROKES)]
        style = {"color": LINES[number % len(LINES)], "linestyle": stroke}
        times = [r.time_history for r in runs]
        counts = [np.arange(len(r.excess_history)) for r in runs]
        for ax, places in zip(axes, (times, counts), strict=True):
            curves = [r.excess_history for r in runs]
            if len(runs) > 1:
                for place, curve in zip(places, curves, strict=True):
                    ax.plot(place, curve, linewidth=0.6, alpha=0.45, **style)
            ax.plot(*_median_curve(places, curves), linewidth=2.0, label=plain_text(label), **style)
    _finish_comparison(figure, axes, comparison)
    return figure


def _median_curve(
    places: Sequence[np.ndarray], curves: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return all places of all curves, and the median of the curves there."""
    grid = np.unique(np.concatenate(places))
    tiny = np.finfo(np.float64).tiny
    heights = [  # straight between its points in the picture, which is logarithmic
        np.exp(np.interp(grid, place, np.log(np.maximum(curve, tiny))))
        for place, curve in zip(places, curves, strict=True)
    ]
    return grid, np.median(heights, axis=0)


def _finish_comparison(figure: Figure, axes: Sequence[Axes], comparison: Any) -> None:
    values = np.concatenate([r.excess_history for r in comparison.runs])
    shown = values[np.isfinite(values) & (values > LEAST_EXCESS)]
    ends = (0.7 * shown.min(), 1.5 * shown.max()) if shown.size else (1e-4, 1.0)
    for ax, label in zip(axes, ("time (s)", "iterations"), strict=True):
        ax.set_ylim(*ends)
        ax.set_xscale("log")
        ax.set_yscale("log", nonpositive="clip")
        ax.set_xlabel(label, fontsize=9, color=GREY)
        bare(ax, "left", "bottom")
        ax.grid(color=PALE, linewidth=0.6, alpha=0.7)
        ax.set_axisbelow(True)
    axes[1].set_xlim(1, max(2, 1.2 * max(r.n_iter for r in comparison.runs)))
    axes[0].set_ylabel("excess over the best objective, relative", fontsize=9, color=GREY)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside right upper", frameon=False, fontsize=8, labelcolor=INK,
        handlelength=2.6,
    )  # fmt: skip
    many = len(comparison.seeds) > 1
    subtitle = "equal starts; " + ("thin: one seed, thick: the median" if many else "one seed")
    heading(figure, "Solvers compared", subtitle)
