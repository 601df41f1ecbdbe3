"""From a problem's data and model to the factors that a solver starts from."""

from partwise.init.complete import complete
from partwise.init.nndsvd import nndsvd, nndsvda, nndsvdar
from partwise.init.random import random, random_acol
from partwise.init.starts import STARTS, make_start

__all__ = [
    "STARTS",
    "complete",
    "make_start",
    "nndsvd",
    "nndsvda",
    "nndsvdar",
    "random",
    "random_acol",
]
