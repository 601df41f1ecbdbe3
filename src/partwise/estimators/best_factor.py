"""The scale of a model beside which a target has something else."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from partwise._errors import explain
from partwise.estimators._runs import warn

__all__ = ["best_factor"]

ROUNDS = 100


def best_factor(
    target: Any,
    model: Any,
    *,
    bounds: tuple[float, float] = (0.8, 1.0),
    sigma: float = 3.0,
) -> float:
    """Return the factor f for which the background of target − f · model varies least.

    A model that was fitted to a target with something else in it, such as a disk around a star, is
    too bright. The background are the pixels whose residual is within ``sigma`` standard
    deviations of its median; f has the smallest standard deviation over them. One is found from
    the other in turn, from the upper bound and all pixels, until neither changes.

    Parameters
    ----------
    target, model : array-like of one shape
        A target, and what `SequentialNMF.model_target` returned for it. Pixels that are NaN in
        one of them do not count.
    bounds : (float, float), default=(0.8, 1.0)
        The smallest and the largest factor.
    sigma : float, default=3.0
        How far from the median, in standard deviations, the background reaches.

    Returns
    -------
    float
        Cost O(pixels) for each of a few rounds.

    Raises
    ------
    ValueError
        Arrays of different shapes, no pixel, or bounds that are not in order.

    References
    ----------
    Ren, Pueyo, Zhu, Debes & Duchêne (2018), The Astrophysical Journal 852, 104 (best factor
    finding, BFF). Comparing factors by pixels that each of them leaves, one by one on a grid,
    prefers factors so small that the whole of a compact star is left out; here all are compared
    by the same pixels, for which the best one is known in closed form.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import best_factor
    >>> rng = np.random.default_rng(0)
    >>> star = rng.gamma(1, size=400)
    >>> target = star + 0.01 * rng.standard_normal(400)
    >>> target[:20] += 5.0
    >>> round(best_factor(target, star / 0.9), 2)
    0.9
    """
    target, model = np.asarray(target, dtype=np.float64), np.asarray(model, dtype=np.float64)
    if target.shape != model.shape:
        raise ValueError(explain("model", f"shape {model.shape}", f"{target.shape}, as the target"))
    low, high = bounds
    if not low <= high:
        raise ValueError(explain("bounds", bounds, "a pair in rising order"))
    known = np.isfinite(target) & np.isfinite(model)
    if not known.any():
        raise ValueError(explain("best_factor", "no pixel that is known", "at least one"))
    target, model = target[known], model[known]
    factor, kept = high, np.ones(target.shape, bool)
    for _ in range(ROUNDS):
        rest = target - factor * model
        before, middle = (factor, kept), np.median(rest[kept])
        kept = np.abs(rest - middle) <= sigma * rest[kept].std()
        factor = min(max(_slope(target[kept], model[kept], factor), low), high)
        if factor == before[0] and np.array_equal(kept, before[1]):
            break
    else:
        warn(
            f"best_factor: the background still changes after {ROUNDS} rounds. Take another sigma, "
            "or set what is not background to NaN.",
            ConvergenceWarning,
        )
    if factor == low < high:
        warn(
            f"The best factor is the lower of the bounds, {low:g}. Lower it, for example to "
            f"bounds=({low / 2:g}, {high:g}).",
            UserWarning,
        )
    return float(factor)


def _slope(target: np.ndarray, model: np.ndarray, otherwise: float) -> float:
    # The factor with the smallest standard deviation of target − factor · model.
    around = model - model.mean() if model.size else model
    square = float(around @ around)
    return float(around @ target) / square if square > 0 else otherwise
