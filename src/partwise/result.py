"""What a fit returns: factors, history, and why it stopped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Result"]


@dataclass
class Result:
    """The outcome of one run of a solver.

    Attributes
    ----------
    factors : dict of name to ndarray of shape (dimension, k)
        The factors at the end; for a monotone solver the best that were seen.
    objective : float
        The penalized objective there.
    objective_history : ndarray of shape (n_iter + 1,)
        The penalized objective at the start and after each iteration.
    time_history : ndarray of shape (n_iter + 1,)
        Seconds since the start of the run, at the same moments. Iterations that were done in one
        call share its time evenly.
    kkt : float
        The scaled KKT residual at the end.
    n_iter : int
        Iterations done.
    converged : bool
        Whether the stopping rule held.
    stop_reason : str
        Why the run ended, in words.
    solver : str
        The name of the solver.
    slopes : dict of name to ndarray of shape (dimension, k)
        The derivatives of the penalized objective in the factors that moved, there.
    """

    factors: dict[str, np.ndarray]
    objective: float
    objective_history: np.ndarray
    time_history: np.ndarray
    kkt: float
    n_iter: int
    converged: bool
    stop_reason: str
    solver: str
    slopes: dict[str, np.ndarray]
