"""The loss on held-out entries against the number of components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain
from partwise.plots._style import (
    BLUE,
    GREY,
    INK,
    LINES,
    axes_for_curves,
    finish_curves,
    log_if_positive,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_held_out"]


def plot_held_out(found: Any, ax: Axes | None = None) -> Axes:
    """Draw the held-out and the fitted loss per entry against the number of components.

    A thin line is one split, a thick one the mean; bars are one standard error of the mean on
    either side. Vertical lines mark the lowest mean, and the smallest number of components within
    one standard error of it. The axis of the loss is logarithmic where all values are positive.

    Parameters
    ----------
    found : partwise.CrossValLoss
        What `partwise.cross_val_loss` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the curves.
    """
    if not hasattr(found, "n_components_1se"):
        got = type(found).__name__
        raise ValueError(explain("plot_held_out", got, "what partwise.cross_val_loss returned"))
    ax = axes_for_curves(ax)
    ks, splits = found.n_components, found.held_out.shape[1]
    for values, label, colour in (
        (found.fitted, "fitted", GREY),
        (found.held_out, "held out", BLUE),
    ):
        if splits > 1:
            ax.plot(ks, values, color=colour, linewidth=0.6, alpha=0.45)
        ax.plot(ks, values.mean(axis=1), color=colour, linewidth=2.0, marker="o", markersize=3.5,
                label=label)  # fmt: skip
    if splits > 1:
        errors = [row["held_out_error"] for row in found.table("n_components")]
        ax.errorbar(ks, found.held_out.mean(axis=1), errors, fmt="none", ecolor=BLUE, capsize=2.5)
    _marks(ax, found)
    log_if_positive(ax, np.concatenate([found.held_out.ravel(), found.fitted.ravel()]))
    _finish(ax, found, splits)
    return ax


def _marks(ax: Axes, found: Any) -> None:
    chosen = {
        found.n_components_min: ("minimum", "-"),
        found.n_components_1se: ("one standard error", "--"),
    }
    if len(chosen) == 1:
        chosen = {found.n_components_min: ("minimum and one standard error", "-")}
    for k, (words, stroke) in chosen.items():
        label = f"{words}, k = {k}"
        ax.axvline(k, color=LINES[1], linewidth=1.0, linestyle=stroke, zorder=0.5, label=label)


def _finish(ax: Axes, found: Any, splits: int) -> None:
    finish_curves(ax, "number of components", "loss per entry")
    title = f"Held-out entries  ·  {found.loss}"
    ax.set_title(title, loc="left", fontsize=11, color=INK, weight="bold")
    many = f"thin: one of {splits} splits, thick: the mean" if splits > 1 else "one split"
    style: dict[str, Any] = {
        "frameon": False,
        "fontsize": 8,
        "title_fontsize": 8,
        "alignment": "left",
    }
    ax.legend(labelcolor=INK, title=many, **style)
