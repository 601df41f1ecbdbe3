"""The table of defaults: which solver serves which problem."""

from __future__ import annotations

from collections.abc import Callable

from partwise._errors import unsupported
from partwise.problem import Problem
from partwise.solvers.admm import AlternatingDirections
from partwise.solvers.alternating import (
    ActiveSet,
    BlockPivoting,
    ClippedLeastSquares,
    GreedyDescent,
    LinMultiplicative,
    NesterovGradient,
    ProjectedGradient,
)
from partwise.solvers.base import Solver
from partwise.solvers.coordinate_descent import CoordinateDescent
from partwise.solvers.hals import HALS, AcceleratedHALS
from partwise.solvers.kullback_leibler import (
    CyclicDescent,
    MirrorDescent,
    NewtonMultiplicative,
    ScalarNewton,
)
from partwise.solvers.multiplicative import (
    AcceleratedMultiplicative,
    MaximizationEqualization,
    MultiplicativeUpdate,
)
from partwise.solvers.proximal_gradient import ProximalGradient
from partwise.solvers.rational import RationalDescent

__all__ = ["SOLVERS", "as_solver"]

# In order of preference: solver="auto" takes the first that can serve the problem.
SOLVERS: dict[str, Callable[[], Solver]] = {
    "cd": CoordinateDescent,
    "rational": RationalDescent,
    "amu": AcceleratedMultiplicative,
    "me": MaximizationEqualization,
    "mu": MultiplicativeUpdate,
    "ccd": CyclicDescent,
    "newton": ScalarNewton,
    "newton-mu": NewtonMultiplicative,
    "mirror": MirrorDescent,
    "hals": HALS,
    "a-hals": AcceleratedHALS,
    "anls-bpp": BlockPivoting,
    "anls-as": ActiveSet,
    "nenmf": NesterovGradient,
    "pg": ProjectedGradient,
    "gcd": GreedyDescent,
    "mu-lin": LinMultiplicative,
    "als": ClippedLeastSquares,
    "pgd": ProximalGradient,
    "admm": AlternatingDirections,
}


def as_solver(solver: str | Solver, problem: Problem, *, shuffle: bool = False) -> Solver:
    """Return the solver of a name, or the first of the table that can serve the problem.

    ``shuffle`` asks a coordinate descent made here for components in random order.

    Raises
    ------
    UnsupportedCombinationError
        It cannot: what it needs, what is missing, and which solvers can.
    """
    able = (name for name, make in SOLVERS.items() if make().lacks(problem) is None)
    if solver == "auto":
        solver = next(able, "pgd")
    chosen = SOLVERS[solver]() if isinstance(solver, str) else solver
    missing = chosen.lacks(problem)
    if missing is not None:
        raise unsupported(chosen.name, chosen.needs, missing, list(able))
    if shuffle and chosen is not solver and isinstance(chosen, CoordinateDescent):
        chosen.shuffle = True
    return chosen
