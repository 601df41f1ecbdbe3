"""Worked applications, written with the public interface of Partwise alone."""

from partwise.recipes.air_quality import Measurements, read_measurements
from partwise.recipes.distances import IDES, Coordinates, Phoenix, relative_errors

__all__ = ["IDES", "Coordinates", "Measurements", "Phoenix", "read_measurements", "relative_errors"]
