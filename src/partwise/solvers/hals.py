"""Names of the literature for settings of coordinate descent."""

from __future__ import annotations

import numpy as np

from partwise.solvers.coordinate_descent import CoordinateDescent

__all__ = ["HALS", "AcceleratedHALS"]


class HALS(CoordinateDescent):
    """Hierarchical alternating least squares: one sweep over each factor per iteration.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O((n_samples + n_features) · k²).

    Source: Cichocki & Phan (2009), IEICE Transactions E92-A, 708-721.
    """

    name = "hals"
    shared_from = np.inf

    def __init__(self, *, shuffle: bool = False) -> None:
        super().__init__(repeats=1, extrapolate=False, shuffle=shuffle, head_start=False)


class AcceleratedHALS(CoordinateDescent):
    """HALS with several sweeps over a factor per look at X, and no extrapolation.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration, at most.
    shrink : float
        Sweeps over a row end when its change is at most this part of that of the first.
    shuffle : bool
        Update the components in random order.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O(repeats · (n_samples + n_features) · k²).

    Source: Gillis & Glineur (2012), Neural Computation 24, 1085-1105.
    """

    name = "a-hals"
    shared_from = np.inf

    def __init__(self, repeats: int = 10, shrink: float = 0.1, *, shuffle: bool = False) -> None:
        super().__init__(repeats, shrink, extrapolate=False, shuffle=shuffle, head_start=False)
