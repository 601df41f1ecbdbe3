"""What a factor must obey: a cost of its values; a constraint is 0 or infinite."""

from partwise.penalties.base import Penalty
from partwise.penalties.fixed import Fixed
from partwise.penalties.groups import GroupLasso
from partwise.penalties.joint import (
    conflict,
    is_signed,
    joint_prox,
    joint_start,
    prox_residual,
    sign_settled,
    slopes_of,
)
from partwise.penalties.norms import L1, L2, SquaredL1, elastic_net
from partwise.penalties.overlap import Decorrelated, OnePerRow, Orthogonal
from partwise.penalties.shapes import Monotone, Unimodal
from partwise.penalties.signs import Box, Free, NonNegative
from partwise.penalties.smooth import Graph, Labels, Smooth
from partwise.penalties.sparseness import Hoyer
from partwise.penalties.sums import Simplex
from partwise.penalties.user import Prox
from partwise.penalties.variation import TotalVariation
from partwise.penalties.volume import MinVolume

__all__ = [
    "L1",
    "L2",
    "Box",
    "Decorrelated",
    "Fixed",
    "Free",
    "Graph",
    "GroupLasso",
    "Hoyer",
    "Labels",
    "MinVolume",
    "Monotone",
    "NonNegative",
    "OnePerRow",
    "Orthogonal",
    "Penalty",
    "Prox",
    "Simplex",
    "Smooth",
    "SquaredL1",
    "TotalVariation",
    "Unimodal",
    "conflict",
    "elastic_net",
    "is_signed",
    "joint_prox",
    "joint_start",
    "prox_residual",
    "sign_settled",
    "slopes_of",
]
