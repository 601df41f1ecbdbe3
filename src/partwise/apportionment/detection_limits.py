"""Uncertainties from detection limits and error fractions."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise._errors import explain

__all__ = ["uncertainty_from_detection_limits"]


def uncertainty_from_detection_limits(
    X: Any, detection_limit: Any, error_fraction: Any = 0.1, *, replace: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return concentrations and their uncertainties by the rule of EPA PMF.

    A value x at most the detection limit d gets the uncertainty 5/6 d, any other one
    √((f x)² + (d / 2)²) with the error fraction f.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Concentrations; NaN is missing. Never modified.
    detection_limit : float or array-like
        d > 0 in the unit of X, one for all, for each species or for each entry.
    error_fraction : float or array-like, default=0.1
        f ≥ 0, likewise.
    replace : bool, default=True
        Put d / 2 in the place of values at most d.

    Returns
    -------
    X, uncertainty : ndarray of shape (n_samples, n_features)
        float32 where X is, else float64; both NaN where X is.

    Raises
    ------
    ValueError
        Detection limits that are not positive, fractions that are negative, shapes that do not
        fit.

    References
    ----------
    Polissar, Hopke, Paatero, Malm & Sisler (1998), Journal of Geophysical Research 103,
    19045-19057. Norris, Duvall, Brown & Bai (2014), EPA PMF 5.0 Fundamentals and User Guide,
    EPA/600/R-14/108.

    Examples
    --------
    >>> from partwise.apportionment import uncertainty_from_detection_limits
    >>> X, s = uncertainty_from_detection_limits([[1.0, 10.0]], 1.2, 0.1)
    >>> X.tolist(), s.round(3).tolist()
    ([[0.6, 10.0]], [[1.0, 1.166]])
    """
    values = np.asarray(X)
    dtype = values.dtype if values.dtype == np.float32 else np.dtype(np.float64)
    values = values.astype(dtype)
    limits = np.asarray(detection_limit, dtype)
    fractions = np.asarray(error_fraction, dtype)
    subject = "uncertainty_from_detection_limits"
    for name, given in (("detection_limit", limits), ("error_fraction", fractions)):
        least = float(given.min())
        if not (least > 0 or (least == 0 and name == "error_fraction")):
            wanted = "numbers > 0" if name == "detection_limit" else "numbers ≥ 0"
            raise ValueError(explain(f"{subject}: {name}", f"{least:g}", wanted))
        if np.broadcast_shapes(given.shape, values.shape) != values.shape:
            wanted = f"one number, {values.shape[-1]} or the shape of X, {values.shape}"
            raise ValueError(explain(f"{subject}: {name}", f"shape {given.shape}", wanted))
    below = values <= limits
    wide = np.where(below, limits * dtype.type(5 / 6), np.hypot(fractions * values, limits / 2))
    wide = np.where(np.isnan(values), values, wide)
    return (np.where(below, limits / 2, values) if replace else values), wide
