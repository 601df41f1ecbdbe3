"""How factors move: the one loop, one file per method, and the table of defaults."""

from partwise.solvers.admm import AlternatingDirections
from partwise.solvers.alternating import (
    ActiveSet,
    Alternating,
    BlockPivoting,
    ClippedLeastSquares,
    GreedyDescent,
    LinMultiplicative,
    NesterovGradient,
    ProjectedGradient,
)
from partwise.solvers.base import Solver, State
from partwise.solvers.coordinate_descent import CoordinateDescent
from partwise.solvers.defaults import SOLVERS, as_solver
from partwise.solvers.dsgd import StratifiedGradient
from partwise.solvers.hals import HALS, AcceleratedHALS
from partwise.solvers.kullback_leibler import (
    CyclicDescent,
    MirrorDescent,
    NewtonMultiplicative,
    ScalarNewton,
)
from partwise.solvers.loop import Progress, run
from partwise.solvers.mini_batch import Memory, MiniBatch
from partwise.solvers.momentum import Momentum
from partwise.solvers.multiplicative import (
    AcceleratedMultiplicative,
    MaximizationEqualization,
    MultiplicativeUpdate,
)
from partwise.solvers.project import project_rows
from partwise.solvers.proximal_gradient import ProximalGradient
from partwise.solvers.rational import RationalDescent

__all__ = [
    "HALS",
    "SOLVERS",
    "AcceleratedHALS",
    "AcceleratedMultiplicative",
    "ActiveSet",
    "Alternating",
    "AlternatingDirections",
    "BlockPivoting",
    "ClippedLeastSquares",
    "CoordinateDescent",
    "CyclicDescent",
    "GreedyDescent",
    "LinMultiplicative",
    "MaximizationEqualization",
    "Memory",
    "MiniBatch",
    "MirrorDescent",
    "Momentum",
    "MultiplicativeUpdate",
    "NesterovGradient",
    "NewtonMultiplicative",
    "Progress",
    "ProjectedGradient",
    "ProximalGradient",
    "RationalDescent",
    "ScalarNewton",
    "Solver",
    "State",
    "StratifiedGradient",
    "as_solver",
    "project_rows",
    "run",
]
