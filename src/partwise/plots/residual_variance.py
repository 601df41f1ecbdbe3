"""What is left of the variance after each component, beside principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

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

__all__ = ["plot_residual_variance"]


def plot_residual_variance(model: Any, X: Any = None, *, ax: Axes | None = None) -> Axes:
    """Draw the fractional residual variance of each rank, and that of principal components.

    Both are shares of the sum of squares around the means of the columns. Principal components
    leave the least that any k components and a mean can leave, the share of the eigenvalues of the
    covariance from the next one on. The suggested number of components is marked.

    Parameters
    ----------
    model : SequentialNMF
        A fitted model with ``fractional_residual_variance_``.
    X : array-like of shape (n_samples, n_features), optional
        The data of the fit, dense, for the principal components. They know no weights; missing
        entries, NaN, are filled with those of the model, which the legend says.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the curves.
    """
    left = np.asarray(getattr(model, "fractional_residual_variance_", []), dtype=np.float64)
    if left.size == 0:
        got, todo = "no fractional_residual_variance_", "Fit a SequentialNMF first."
        raise ValueError(explain("plot_residual_variance", got, "a fitted SequentialNMF", todo))
    others, label = (None, "") if X is None else _of_principal_components(model, X, left.size)
    ax = axes_for_curves(ax)
    ranks = np.arange(1, left.size + 1)
    ax.plot(ranks, left, "o-", color=BLUE, linewidth=1.6, markersize=4.5, label="sequential NMF")
    if others is not None:
        ax.plot(ranks, others, "s--", color=LINES[1], linewidth=1.2, markersize=3.5, label=label)
    _mark(ax, model)
    shown = np.concatenate([left, [] if others is None else others])
    log_if_positive(ax, shown[np.isfinite(shown)])
    finish_curves(ax, "number of components", "fractional residual variance")
    ax.set_title("Residual variance", loc="left", fontsize=11, color=INK, weight="bold")
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    return ax


def _mark(ax: Axes, model: Any) -> None:
    suggested = getattr(model, "suggested_n_components_", None)
    if suggested is not None:
        words = f"suggested: {suggested}"
        ax.axvline(suggested, color=GREY, linewidth=0.8, linestyle=":", label=words)


def _of_principal_components(model: Any, X: Any, count: int) -> tuple[np.ndarray, str]:
    """Return what 1 to ``count`` principal components leave, NaN beyond their number."""
    if sparse.issparse(X):
        todo = "Pass X.toarray(), if it fits in memory."
        raise ValueError(explain("plot_residual_variance", "sparse X", "a dense array", todo))
    found, n_features = np.asarray(X, dtype=np.float64), model.components_.shape[1]
    if found.ndim != 2 or found.shape[1] != n_features:
        wanted = f"the data of the fit, of {n_features} columns"
        raise ValueError(explain("X", f"shape {found.shape}", wanted))
    holes, label = np.isnan(found), "principal components"
    if holes.any():
        found = np.where(holes, model.inverse_transform(model.transform(X)), found)
        label += " (missing entries filled with the model)"
    values = np.square(np.linalg.svd(found - found.mean(axis=0), compute_uv=False))
    rest = np.append(np.cumsum(values[::-1])[::-1], 0.0)[1 : count + 1]
    out = np.full(count, np.nan)
    out[: rest.size] = np.where(rest > 1e-12 * values.sum(), rest, np.nan) / values.sum()
    return out, label
