"""What the pictures share: colours, paper and ink, headings, ticks and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

INK, GREY, PALE = "#1f2430", "#6b7280", "#d9dce3"
BLUE = "#1f5fa8"
# White at zero and ever darker: read alike by every kind of colour vision, and in print.
SHADES = ("#ffffff", "#cfe0ee", "#8fbadb", "#4a8dc4", "#1f5fa8", "#143a75", "#0b1a3d")
# The same below zero.
SHADES_BELOW = ("#331500", "#6b2f00", "#a34700", "#d55e00", "#e89a5c", "#f5d3b3")
# Okabe & Ito (2008), told apart by every kind of colour vision; more lines get other strokes.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STROKES = ("-", "--", ":")


def new_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        todo = 'Run: pip install "partwise[plots]"'
        message = explain("plots", "no matplotlib", "matplotlib 3.8 or later", todo)
        raise ImportError(message) from error
    return Figure(figsize=(width, height), layout=layout, facecolor="white")


def axes_for_curves(ax: Axes | None) -> Axes:
    """Return the axes that were given, or those of a new figure."""
    return new_figure(6.4, 3.8).subplots() if ax is None else ax


def matrix_of(values: Any, subject: str, wanted: str) -> np.ndarray:
    """Return a matrix of finite numbers, or raise ValueError for what is none."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub" or found.ndim != 2 or 0 in found.shape:
        shown = type(values).__name__ if found.ndim == 0 else f"shape {found.shape}"
        todo = "Pass a fitted model, or an array of its."
        raise ValueError(explain(subject, shown, wanted, todo))
    if not np.isfinite(found).all():
        raise ValueError(explain(subject, "entries that are NaN or infinite", "finite numbers"))
    return found.astype(np.float64)


def shading(values: np.ndarray) -> dict[str, Any]:
    """Return colours for an image: from white at zero to the largest entry, or to both sides."""
    from matplotlib.colors import LinearSegmentedColormap

    largest = float(np.abs(values).max()) or 1.0
    below = SHADES_BELOW if values.min() < 0 else ()
    colours: Colormap = LinearSegmentedColormap.from_list("partwise", (*below, *SHADES))
    return {"cmap": colours, "vmin": -largest if below else 0.0, "vmax": largest}


def room(values: np.ndarray, share: float) -> tuple[float, float]:
    """Return the ends of an axis from zero to the values, with a share of them beyond."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    return share * low, share * high if high > 0 or low < 0 else share


def plain_text(text: object, longest: int = 28) -> str:
    """Return a label that matplotlib takes literally, shortened in its middle."""
    label = " ".join(str(text).split())
    if len(label) > longest:
        half = (longest - 1) // 2
        label = f"{label[:half]}…{label[-half:]}"
    return label.replace("$", r"\$")


def bare(ax: Axes, *kept: str) -> None:
    """Keep only the named spines, thin, and quiet ticks."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in kept)
        spine.set_color(PALE)
    ax.tick_params(colors=GREY, labelsize=8, length=2, width=0.6)


def tick_places(most: int, integer: bool = False) -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=integer)


def finish_curves(ax: Axes, x: str, y: str) -> None:
    """Label axes whose x counts something, and make them quiet."""
    ax.set_xlabel(x, fontsize=9, color=GREY)
    ax.set_ylabel(y, fontsize=9, color=GREY)
    ax.xaxis.set_major_locator(tick_places(9, integer=True))
    bare(ax, "left", "bottom")
    ax.grid(color=PALE, linewidth=0.6, alpha=0.7)
    ax.set_axisbelow(True)


def log_if_positive(ax: Axes, values: np.ndarray) -> None:
    """Make the axis of values logarithmic where all of them are positive and finite."""
    if values.size and np.all(values > 0) and np.all(np.isfinite(values)):
        ax.set_yscale("log")
        plain_log_ticks(ax, values)


def plain_log_ticks(ax: Axes, values: np.ndarray) -> None:
    """Label a logarithmic axis of less than two decades with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if values.max() < 100.0 * values.min():
        wide = values.max() > 5.0 * values.min()
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else tick_places(5))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def heading(figure: Figure, title: str, subtitle: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, weight="bold")
    figure.supxlabel(subtitle, x=0.01, ha="left", fontsize=8, color=GREY)
