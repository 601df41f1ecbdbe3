"""What a factor must obey: a cost of its values; a constraint is 0 or infinite."""

from partwise.penalties.base import Penalty
from partwise.penalties.fixed import Fixed
from partwise.penalties.norms import L1, L2
from partwise.penalties.signs import NonNegative

__all__ = ["L1", "L2", "Fixed", "NonNegative", "Penalty"]
