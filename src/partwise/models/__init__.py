"""How the model X̂ is built from its factors."""

from partwise.models.base import Model
from partwise.models.bilinear import Bilinear
from partwise.models.cp import CP
from partwise.models.nonsmooth import NonSmooth

__all__ = ["CP", "Bilinear", "Model", "NonSmooth"]
