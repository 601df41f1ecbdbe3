"""The rules of extrapolation, and of when a run has something to look at.

They are asked after every iteration, by solvers and by kernels that do several iterations in one
call. ``pace`` holds in float64 what `partwise.kernels.places` names.
"""

from __future__ import annotations

from partwise.kernels._compile import compiled
from partwise.kernels.places import (
    ACTIVE,
    BEFORE,
    BOUND,
    ITERATION,
    OBJECTIVE,
    PLAIN,
    RESTING,
    SLACK,
    WEIGHT,
    WINDOW,
)

__all__ = ["hardly_fell", "nothing_new", "set_out", "settle"]

# Division of the weight after a rise, its growth and that of its bound after a fall.
# Ang & Gillis (2019), section 3.4.
ETA, GAMMA, GAMMA_BOUND = 1.5, 1.01, 1.005


@compiled()
def set_out(pace):  # type: ignore[no-untyped-def]
    """Begin an iteration: choose the weight in use."""
    early = pace[ITERATION] < pace[PLAIN]
    pace[ACTIVE] = 0.0 if early or pace[RESTING] != 0 else pace[WEIGHT]
    pace[ITERATION] += 1


@compiled()
def settle(pace, objective):  # type: ignore[no-untyped-def]
    """End an iteration that led to an objective; return whether it has to be undone.

    A step that was extrapolated is undone if the objective rose. ``pace[OBJECTIVE]`` is that of the
    step before.
    """
    lowest = pace[OBJECTIVE]
    told = objective > lowest and objective - lowest > pace[SLACK] * abs(lowest)
    if objective > lowest and pace[ACTIVE] != 0:
        pace[BOUND] = pace[BEFORE]
        pace[WEIGHT] /= ETA
        pace[RESTING] = 1
        return True
    if pace[ACTIVE] != 0:
        pace[BEFORE] = pace[WEIGHT]
        pace[WEIGHT] = min(pace[BOUND], GAMMA * pace[WEIGHT])
        pace[BOUND] = min(1.0, GAMMA_BOUND * pace[BOUND])
    pace[RESTING] = 0
    # A rise beyond rounding, which a step without extrapolation should not bring, is told.
    pace[OBJECTIVE] = objective if told else min(objective, lowest)
    return False


@compiled()
def nothing_new(before, now, done, next_check, limits):  # type: ignore[no-untyped-def]
    """Return whether a run goes on without a look at its KKT residual.

    ``before`` and ``now`` are objectives, ``done`` the iterations up to now, of which there is
    none to look at before ``next_check``. ``limits``: the tolerance of the run, the share of
    rounding, and the objectives below which a fit is close, and exact.
    """
    tol, rounding, close, exact = limits
    moved = abs(before - now)
    if (done >= WINDOW and moved <= rounding * abs(now)) or now <= exact:
        return False
    return done < next_check or (moved > tol * abs(now) and now > close)


@compiled()
def hardly_fell(before, now, least_fall):  # type: ignore[no-untyped-def]
    """Return whether two iterations lowered the objective by less than twice a share of itself.

    A share of 0 asks nothing.
    """
    return least_fall > 0 and before - now < 2 * least_fall * abs(now)
