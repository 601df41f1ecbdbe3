"""A factor as a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain
from partwise.plots._style import (
    GREY,
    INK,
    bare,
    matrix_of,
    new_figure,
    plain_text,
    shading,
    tick_places,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_factor"]

MAX_TICKS = 40
MAX_CELLS = 600  # a heat map with more rows or columns is averaged to fewer


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

    Entries below zero have another colour, on the same scale. Where there are more than 600 rows or
    columns, each cell is the mean of several entries.

    Parameters
    ----------
    model_or_values : estimator or array of shape (n_rows, n_columns)
        A fitted model, or any matrix.
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
    names = [
        given if given is not None else known
        for given, known in zip((row_names, column_names), own, strict=True)
    ]
    parameters = ("row_names", "column_names")
    for parameter, given, size in zip(parameters, names, values.shape, strict=True):
        if given is not None and len(given) != size:
            message = explain(parameter, f"{len(given)} names", f"{size} names")
            raise ValueError(message)
    if ax is None:
        ax = new_figure(*_heat_size(values.shape)).subplots()
    n_rows, n_columns = values.shape
    cells = _thinned(values)
    image = ax.imshow(
        cells,
        **shading(cells),
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
    shown = f"{factor}  ·  {n_rows} × {n_columns}" if title is None else plain_text(title, 80)
    ax.set_title(shown, loc="left", fontsize=11, color=INK, weight="bold")
    bare(ax, "left", "right", "top", "bottom")
    _name_ticks(ax, names[0], names[1])
    return ax


def _factor_values(model_or_values: Any, factor: str) -> np.ndarray:
    if hasattr(model_or_values, "components_"):
        model_or_values = getattr(model_or_values, "components_" if factor == "H" else "W_", None)
    return matrix_of(model_or_values, "plot_factor", "a matrix or a fitted model")


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
        ax.set_yticks(range(len(row_names)), [plain_text(name) for name in row_names])
    else:
        ax.yaxis.set_major_locator(tick_places(9, integer=True))
    if column_names is not None and len(column_names) <= MAX_TICKS:
        labels = [plain_text(name) for name in column_names]
        longest = max(map(len, labels))
        turned = 90 if longest * len(labels) > 40 else 0
        ax.set_xticks(range(len(labels)), labels, rotation=turned)
    else:
        ax.xaxis.set_major_locator(tick_places(9, integer=True))
