"""From a problem's data and model to the factors that a solver starts from."""

from partwise.init.clusters import kmeans, spherical_kmeans
from partwise.init.complete import complete
from partwise.init.ica import ica
from partwise.init.lowrank import nnsvd_lrc
from partwise.init.nndsvd import nndsvd, nndsvda, nndsvdar
from partwise.init.random import random, random_acol
from partwise.init.spa import spa
from partwise.init.starts import STARTS, draws, make_start

__all__ = [
    "STARTS",
    "complete",
    "draws",
    "ica",
    "kmeans",
    "make_start",
    "nndsvd",
    "nndsvda",
    "nndsvdar",
    "nnsvd_lrc",
    "random",
    "random_acol",
    "spa",
    "spherical_kmeans",
]
