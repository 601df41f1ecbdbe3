"""Rows moved down by one number each, and cut at zero: projections that sort."""

from __future__ import annotations

import numpy as np


def shrink_rows(F: np.ndarray, slope: float, curve: float) -> np.ndarray:
    """Return argmin over Z ≥ 0 of ½ curve ‖Z‖² + ½ slope Σ over rows of (Σ Z)² − ⟨F, Z⟩.

    Z is max(F − slope · s, 0) / curve with s the sum of Z in the row: of the largest m entries
    with sum S, s = S / (curve + slope · m), and m is the largest for which they stay positive.
    """
    ordered = -np.sort(-F.astype(np.float64), axis=1)
    counts = np.arange(1, F.shape[1] + 1)
    sums = np.cumsum(ordered, axis=1) / (curve + slope * counts)
    kept = np.count_nonzero(ordered > slope * sums, axis=1)
    total = np.take_along_axis(sums, np.maximum(kept - 1, 0)[:, None], axis=1)
    return (np.maximum(F - slope * total, 0) / curve).astype(F.dtype)


def rows_on_simplex(F: np.ndarray, total: float) -> np.ndarray:
    """Return the nearest rows Z ≥ 0 with sums ``total``.

    Z is max(F − s, 0), where s is (S − total) / m for the largest m entries with sum S, and m
    is the largest for which they stay positive. Source: Held, Wolfe & Crowder (1974),
    Mathematical Programming 6, 62-88.
    """
    large = F.max(axis=1, keepdims=True)
    rest = F.astype(np.float64) - large  # the answer does not change, and nothing cancels
    ordered = -np.sort(-rest, axis=1)
    shifts = (np.cumsum(ordered, axis=1) - total) / np.arange(1, F.shape[1] + 1)
    kept = np.count_nonzero(ordered > shifts, axis=1)
    shift = np.take_along_axis(shifts, kept[:, None] - 1, axis=1)
    Z = np.maximum(rest - shift, 0)
    sums = Z.sum(axis=1, keepdims=True)
    # Long rows lose digits of their sum.
    return (Z * np.divide(total, sums, out=np.ones_like(sums), where=sums > 0)).astype(F.dtype)
