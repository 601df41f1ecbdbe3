"""After a positive matrix factorization: how far its profiles can be trusted, and rotations.

Every function takes a fitted `partwise.PositiveMatrixFactorization`, which keeps its data.
"""

from partwise.apportionment.detection_limits import uncertainty_from_detection_limits
from partwise.apportionment.displacement import Displacement, displacement

__all__ = ["Displacement", "displacement", "uncertainty_from_detection_limits"]
