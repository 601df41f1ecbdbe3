"""Recipes: what single fields do around a factorization, with the public interface alone."""

__all__: list[str] = []
