"""Pictures of factorizations: parts, convergence and factors, with matplotlib.

Every function builds a `matplotlib.figure.Figure` of its own or draws on the axes that it
is given. None uses pyplot, so no picture outlives its last reference, no window opens and
no display is needed; ``figure.savefig("parts.png")`` writes it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

__all__ = ["plot_comparison", "plot_factor", "plot_history", "plot_parts"]

INK, GREY, PALE = "#1f2430", "#6b7280", "#d9dce3"
BLUE = "#1f5fa8"
# White at zero and ever darker: read alike by every kind of colour vision, and in print.
SHADES = ("#ffffff", "#cfe0ee", "#8fbadb", "#4a8dc4", "#1f5fa8", "#143a75", "#0b1a3d")
# Okabe & Ito (2008), told apart by every kind of colour vision; more lines get other strokes.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STROKES = ("-", "--", ":")
LEAST_EXCESS = 1e-9
MAX_BARS = 10
MAX_UNNAMED_BARS = 24
MAX_TICKS = 40
MAX_CELLS = 600  # a heat map with more rows or columns is averaged to fewer


def _figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        todo = 'Run: pip install "partwise[plots]"'
        message = explain("plots", "no matplotlib", "matplotlib 3.8 or later", todo)
        raise ImportError(message) from error
    return Figure(figsize=(width, height), layout=layout, facecolor="white")


def _colours() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("partwise", SHADES)


def _text(text: object, longest: int = 28) -> str:
    """Return a label that matplotlib takes literally, shortened in its middle."""
    label = " ".join(str(text).split())
    if len(label) > longest:
        half = (longest - 1) // 2
        label = f"{label[:half]}…{label[-half:]}"
    return label.replace("$", r"\$")


def _bare(ax: Axes, *kept: str) -> None:
    """Keep only the named spines, thin, and quiet ticks."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in kept)
        spine.set_color(PALE)
    ax.tick_params(colors=GREY, labelsize=8, length=2, width=0.6)


def _components(model_or_components: Any) -> np.ndarray:
    values = getattr(model_or_components, "components_", model_or_components)
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        got, wanted = f"shape {values.shape}", "(n_components, n_features)"
        todo = "Pass a fitted model or its components_."
        raise ValueError(explain("components", got, wanted, todo))
    return values


def _titles(model_or_components: Any, components: np.ndarray) -> list[str]:
    """Return the component names, with their share of the reconstruction if W is known."""
    named = getattr(model_or_components, "get_feature_names_out", None)
    names = [f"part {i}" for i in range(len(components))] if named is None else named()
    W = getattr(model_or_components, "W_", None)
    if W is None:
        return [_text(name) for name in names]
    mass = np.asarray(W, dtype=np.float64).sum(axis=0) * components.sum(axis=1)
    shares = 100.0 * mass / (mass.sum() or 1.0)
    return [f"{_text(name)}  ·  {share:.1f} %" for name, share in zip(names, shares, strict=True)]


# ---------------------------------------------------------------- parts


def plot_parts(
    model_or_components: Any,
    image_shape: tuple[int, int] | None = None,
    names: Sequence[str] | None = None,
    n_columns: int | None = None,
) -> Figure:
    """Draw every component as an image, as its top features, or as a line.

    Components are images where `image_shape` is given; lines where the features are many
    and unnamed, or have increasing numbers as names, as spectra do; else bars of their ten
    largest features. Each is drawn on its own scale from zero. The per cent beside its name
    is its share of the sum of all entries of ``W @ H``.

    Parameters
    ----------
    model_or_components : estimator or array of shape (n_components, n_features)
        A fitted model or its ``components_``.
    image_shape : (int, int), optional
        Height and width of a component as an image; their product is n_features.
    names : sequence of str, optional
        The features' names, by default the model's ``feature_names_in_``, if any.
    n_columns : int, optional
        How many components stand side by side.

    Returns
    -------
    matplotlib.figure.Figure
        The picture, with one axes per component.

    Examples
    --------
    >>> import numpy as np
    >>> figure = plot_parts(np.eye(4), image_shape=(2, 2))
    >>> len(figure.axes)
    4
    """
    components = _components(model_or_components)
    titles = _titles(model_or_components, components)
    n_features = components.shape[1]
    if names is None:
        names = getattr(model_or_components, "feature_names_in_", None)
    if names is not None and len(names) != n_features:
        raise ValueError(explain("names", f"{len(names)} names", f"{n_features} names"))
    if image_shape is not None:
        return _draw_images(components, titles, image_shape, n_columns)
    axis = _numbers(names, n_features)
    if axis is not None:
        return _draw_lines(components, titles, axis, n_columns)
    labels = [f"feature {i}" for i in range(n_features)] if names is None else names
    return _draw_bars(components, titles, labels, n_columns)


def _numbers(names: Sequence[str] | None, n_features: int) -> np.ndarray | None:
    """Return the features' places on a numeric axis, or None if they have none."""
    if names is None:
        return np.arange(n_features) if n_features > MAX_UNNAMED_BARS else None
    try:
        axis = np.array([float(name) for name in names])
    except ValueError:
        return None
    rises = np.diff(axis)
    monotone = bool(np.all(rises > 0) or np.all(rises < 0))
    return axis if n_features > MAX_UNNAMED_BARS and monotone else None


def _grid(
    n: int,
    n_columns: int | None,
    best: int,
    size: tuple[float, float],
    layout: Any = "constrained",
) -> tuple[Figure, list[Axes]]:
    """Return a figure with n axes in rows of n_columns."""
    columns = max(1, min(n, best if n_columns is None else n_columns))
    rows = math.ceil(n / columns)
    if n_columns is None:
        columns = math.ceil(n / rows)  # rows of about the same length
    # A title line of its own, and no picture so large that PNG writers refuse it.
    height = min(size[1] * rows + 0.6, 300.0)
    figure = _figure(max(size[0] * columns, 3.2), height, layout)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _head(figure: Figure, title: str, subtitle: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, weight="bold")
    figure.supxlabel(subtitle, x=0.01, ha="left", fontsize=8, color=GREY)


def _draw_images(
    components: np.ndarray,
    titles: Sequence[str],
    image_shape: tuple[int, int],
    n_columns: int | None,
) -> Figure:
    height, width = image_shape
    if height < 1 or width < 1 or height * width != components.shape[1]:
        got, wanted = f"{height} x {width}", f"a product of {components.shape[1]}"
        todo = "Give the height and width that the features were flattened from."
        raise ValueError(explain("image_shape", got, wanted, todo))
    n = len(components)
    ratio = min(max(height / width, 0.2), 5.0)
    wide = 1.45 / math.sqrt(ratio)
    best = 5 if n <= 20 else math.ceil(math.sqrt(n * 1.4))
    size = (max(wide, 1.1), 0.945 * wide * ratio + 0.28)
    figure, axes = _grid(n, n_columns, best, size, layout="compressed")
    colours = _colours()
    for ax, component, title in zip(axes, components, titles, strict=True):
        image = component.reshape(height, width)
        ax.imshow(image, cmap=colours, vmin=0.0, vmax=component.max() or 1.0)
        ax.set_title(title, fontsize=8, color=INK, pad=3)
        ax.set(xticks=[], yticks=[])
        _bare(ax, "left", "right", "top", "bottom")
    _head(figure, "Parts", "each from 0 (white) to its own largest entry (dark)")
    return figure


def _draw_bars(
    components: np.ndarray,
    titles: Sequence[str],
    names: Sequence[str],
    n_columns: int | None,
) -> Figure:
    shown = min(MAX_BARS, components.shape[1])
    best = min(4, math.ceil(math.sqrt(len(components))))
    figure, axes = _grid(len(components), n_columns, best, (3.0, 0.17 * shown + 0.75))
    for ax, component, title in zip(axes, components, titles, strict=True):
        order = np.argsort(-component, kind="stable")[:shown]
        order = order[component[order] > 0]
        places = np.arange(order.size)
        ax.barh(places, component[order], color=BLUE, height=0.72)
        ax.set_yticks(places, [_text(names[i]) for i in order])
        ax.set_ylim(shown - 0.4, -0.6)
        ax.set_xlim(0.0, 1.05 * (component.max() or 1.0))
        ax.xaxis.set_major_locator(_ticks(3))
        ax.set_title(title, fontsize=9, color=INK, loc="left", pad=4)
        _bare(ax, "left")
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="x", color=PALE, linewidth=0.6)
        ax.set_axisbelow(True)
    what = f"the {shown} largest features" if shown < components.shape[1] else "features"
    _head(figure, "Parts", f"weights of {what} of each component, on its own scale")
    return figure


def _ticks(most: int, integer: bool = False) -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=integer)


def _draw_lines(
    components: np.ndarray,
    titles: Sequence[str],
    axis: np.ndarray,
    n_columns: int | None,
) -> Figure:
    best = 1 if len(components) <= 6 else 2 if len(components) <= 24 else 4
    wide = 7.0 if best == 1 else 4.2 if best == 2 else 3.0
    figure, axes = _grid(len(components), n_columns, best, (wide, 1.15))
    for ax, component, title in zip(axes, components, titles, strict=True):
        ax.fill_between(axis, component, color=SHADES[1], linewidth=0)
        ax.plot(axis, component, color=BLUE, linewidth=0.9)
        ax.set_xlim(float(axis.min()), float(axis.max()))
        ax.set_ylim(0.0, 1.08 * (component.max() or 1.0))
        ax.yaxis.set_major_locator(_ticks(3))
        ax.set_title(title, fontsize=8, color=INK, loc="left", pad=3)
        _bare(ax, "left", "bottom")
    last = axes[-max(1, min(len(axes), n_columns or best)) :]
    for ax in axes:
        ax.tick_params(labelbottom=ax in last)
    subtitle = "weight of each feature by its place, each component on its own scale"
    _head(figure, "Parts", subtitle)
    return figure


# ---------------------------------------------------------------- convergence


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
    if ax is None:
        ax = _figure(6.4, 3.8).subplots()
    iterations = np.arange(values.size)
    ax.plot(iterations, values, color=BLUE, linewidth=1.6, solid_capstyle="round")
    ax.plot(iterations[-1:], values[-1:], "o", color=BLUE, markersize=4.5)
    if np.all(values > 0) and np.all(np.isfinite(values)):
        ax.set_yscale("log")
        _plain_log_ticks(ax, values)
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
    ax.set_xlabel("iteration", fontsize=9, color=GREY)
    ax.set_ylabel("penalized objective", fontsize=9, color=GREY)
    ax.xaxis.set_major_locator(_ticks(9, integer=True))
    _bare(ax, "left", "bottom")
    ax.grid(color=PALE, linewidth=0.6, alpha=0.7)
    ax.set_axisbelow(True)
    _history_title(model, ax)
    return ax


def _plain_log_ticks(ax: Axes, values: np.ndarray) -> None:
    """Label a logarithmic axis of less than two decades with plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    if values.max() < 100.0 * values.min():
        ax.yaxis.set_major_locator(_ticks(5))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


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


# ---------------------------------------------------------------- comparisons


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
    figure = _figure(9.6, 4.0)
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
            ax.plot(*_median_curve(places, curves), linewidth=2.0, label=_text(label), **style)
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
        _bare(ax, "left", "bottom")
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
    _head(figure, "Solvers compared", subtitle)


# ---------------------------------------------------------------- heat maps


def plot_factor(
    model_or_values: Any,
    factor: str = "H",
    *,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw W or H as a heat map, from 0 (white) to its largest entry (dark).

    Where there are more than 600 rows or columns, each cell is the mean of several entries.

    Parameters
    ----------
    model_or_values : estimator or array of shape (n_rows, n_columns)
        A fitted model, or any non-negative matrix.
    factor : {"H", "W"}, default="H"
        Which factor of a model to draw, and how to label the axes: H has components as
        rows and features as columns, W samples as rows and components as columns.
    row_names, column_names : sequence of str, optional
        Names, shown where they have room; a model gives those of components and features.
    title : str, optional
        The title, by default the factor and its shape.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the picture; its colour bar stands in axes beside it.
    """
    if factor not in ("H", "W"):
        raise ValueError(explain("factor", repr(factor), "'H' or 'W'"))
    values = _factor_values(model_or_values, factor)
    own = _own_names(model_or_values, factor)
    names = [row_names or own[0], column_names or own[1]]
    parameters = ("row_names", "column_names")
    for parameter, given, size in zip(parameters, names, values.shape, strict=True):
        if given is not None and len(given) != size:
            message = explain(parameter, f"{len(given)} names", f"{size} names")
            raise ValueError(message)
    if ax is None:
        ax = _figure(*_heat_size(values.shape)).subplots()
    n_rows, n_columns = values.shape
    cells = _thinned(values)
    image = ax.imshow(
        cells,
        cmap=_colours(),
        vmin=0.0,
        vmax=float(cells.max()) or 1.0,
        aspect="auto",
        extent=(-0.5, n_columns - 0.5, n_rows - 0.5, -0.5),
        interpolation="nearest",
    )
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.9, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=GREY, labelsize=8, length=2)
    kinds = ("component", "feature") if factor == "H" else ("sample", "component")
    ax.set_ylabel(kinds[0], fontsize=9, color=GREY)
    ax.set_xlabel(kinds[1], fontsize=9, color=GREY)
    shown = f"{factor}  ·  {n_rows} × {n_columns}" if title is None else _text(title, 80)
    ax.set_title(shown, loc="left", fontsize=11, color=INK, weight="bold")
    _bare(ax, "left", "right", "top", "bottom")
    _name_ticks(ax, names[0], names[1])
    return ax


def _factor_values(model_or_values: Any, factor: str) -> np.ndarray:
    if hasattr(model_or_values, "components_"):
        model_or_values = getattr(model_or_values, "components_" if factor == "H" else "W_", None)
    values = np.asarray(model_or_values, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        got = f"an array of shape {values.shape}"
        raise ValueError(explain("plot_factor", got, "a matrix or a fitted model"))
    return values


def _own_names(model: Any, factor: str) -> tuple[Any, Any]:
    if not hasattr(model, "components_"):
        return None, None
    components = list(model.get_feature_names_out())
    if factor == "W":
        return None, components
    features = getattr(model, "feature_names_in_", None)
    return components, None if features is None else list(features)


def _heat_size(shape: tuple[int, ...]) -> tuple[float, float]:
    height, width = (min(max(0.22 * n, 2.2), 7.0) for n in shape)
    return width + 2.2, height + 1.2


def _thinned(values: np.ndarray) -> np.ndarray:
    """Average runs of rows and of columns until both are few enough to be drawn."""
    for axis in (0, 1):
        step = math.ceil(values.shape[axis] / MAX_CELLS)
        if step > 1:
            starts = np.arange(0, values.shape[axis], step)
            sums = np.add.reduceat(values, starts, axis=axis)
            counts = np.diff(np.append(starts, values.shape[axis]))
            values = sums / (counts[:, None] if axis == 0 else counts)
    return values


def _name_ticks(
    ax: Axes, row_names: Sequence[str] | None, column_names: Sequence[str] | None
) -> None:
    """Show names where there is room for each of them, else numbers."""
    if row_names is not None and len(row_names) <= MAX_TICKS:
        ax.set_yticks(range(len(row_names)), [_text(name) for name in row_names])
    else:
        ax.yaxis.set_major_locator(_ticks(9, integer=True))
    if column_names is not None and len(column_names) <= MAX_TICKS:
        labels = [_text(name) for name in column_names]
        longest = max(map(len, labels))
        turned = 90 if longest * len(labels) > 40 else 0
        ax.set_xticks(range(len(labels)), labels, rotation=turned)
    else:
        ax.xaxis.set_major_locator(_ticks(9, integer=True))
