"""Components as images, bars or curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise._errors import explain
from partwise.plots._style import (
    BLUE,
    INK,
    PALE,
    SHADES,
    bare,
    heading,
    matrix_of,
    new_figure,
    plain_text,
    room,
    shading,
    tick_places,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_parts"]

MAX_BARS = 10
MAX_UNNAMED_BARS = 24


def plot_parts(
    model_or_components: Any,
    image_shape: tuple[int, int] | None = None,
    names: Sequence[str] | None = None,
    n_columns: int | None = None,
) -> Figure:
    """Draw every component as an image, as its top features, or as a line.

    Components are images where `image_shape` is given; lines where the features are many
    and unnamed, or have increasing numbers as names, as spectra do; else bars of their ten
    largest features, in size. Each is drawn on its own scale from zero, with room for entries below
    it where there are any. The per cent beside its name
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


def _components(model_or_components: Any) -> np.ndarray:
    values = getattr(model_or_components, "components_", model_or_components)
    return matrix_of(values, "components", "an array of shape (n_components, n_features)")


def _titles(model_or_components: Any, components: np.ndarray) -> list[str]:
    """Return the component names, with their share of the reconstruction if W is known."""
    named = getattr(model_or_components, "get_feature_names_out", None)
    names = [f"part {i}" for i in range(len(components))] if named is None else named()
    W = getattr(model_or_components, "W_", None)
    if W is None:
        return [plain_text(name) for name in names]
    mass = np.asarray(W, dtype=np.float64).sum(axis=0) * components.sum(axis=1)
    shares = 100.0 * mass / (mass.sum() or 1.0)
    return [
        f"{plain_text(name)}  ·  {share:.1f} %" for name, share in zip(names, shares, strict=True)
    ]


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
    figure = new_figure(max(size[0] * columns, 3.2), height, layout)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


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
    for ax, component, title in zip(axes, components, titles, strict=True):
        ax.imshow(component.reshape(height, width), **shading(component))
        ax.set_title(title, fontsize=8, color=INK, pad=3)
        ax.set(xticks=[], yticks=[])
        bare(ax, "left", "right", "top", "bottom")
    below = "; orange is below 0" if components.min() < 0 else ""
    heading(figure, "Parts", f"each from 0 (white) to its own largest entry (dark){below}")
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
        order = np.argsort(-np.abs(component), kind="stable")[:shown]
        order = order[component[order] != 0]
        places = np.arange(order.size)
        ax.barh(places, component[order], color=BLUE, height=0.72)
        ax.set_yticks(places, [plain_text(names[i]) for i in order])
        ax.set_ylim(shown - 0.4, -0.6)
        ax.set_xlim(*room(component, 1.05))
        ax.xaxis.set_major_locator(tick_places(3))
        ax.set_title(title, fontsize=9, color=INK, loc="left", pad=4)
        bare(ax, "left")
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="x", color=PALE, linewidth=0.6)
        ax.set_axisbelow(True)
    what = f"the {shown} largest features" if shown < components.shape[1] else "features"
    heading(figure, "Parts", f"weights of {what} of each component, on its own scale")
    return figure


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
        ax.set_ylim(*room(component, 1.08))
        ax.yaxis.set_major_locator(tick_places(3))
        ax.set_title(title, fontsize=8, color=INK, loc="left", pad=3)
        bare(ax, "left", "bottom")
    last = axes[-max(1, min(len(axes), n_columns or best)) :]
    for ax in axes:
        ax.tick_params(labelbottom=ax in last)
    subtitle = "weight of each feature by its place, each component on its own scale"
    heading(figure, "Parts", subtitle)
    return figure
