"""Worked applications, written with the public interface of Partwise alone."""

from partwise.recipes.distances import IDES, Coordinates, Phoenix, relative_errors

__all__ = ["IDES", "Coordinates", "Phoenix", "relative_errors"]
