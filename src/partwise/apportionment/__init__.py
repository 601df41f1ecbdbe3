"""After a positive matrix factorization: how far its profiles can be trusted, and rotations.

Every function takes a fitted `partwise.PositiveMatrixFactorization`, which keeps its data.
"""

from partwise.apportionment.bootstrap import Bootstrap, block_length, bootstrap
from partwise.apportionment.bootstrap_displacement import (
    BootstrapDisplacement,
    bootstrap_displacement,
)
from partwise.apportionment.detection_limits import uncertainty_from_detection_limits
from partwise.apportionment.displacement import Displacement, displacement
from partwise.apportionment.rotation import Rotations, rotations

__all__ = [
    "Bootstrap",
    "BootstrapDisplacement",
    "Displacement",
    "Rotations",
    "block_length",
    "bootstrap",
    "bootstrap_displacement",
    "displacement",
    "rotations",
    "uncertainty_from_detection_limits",
]
