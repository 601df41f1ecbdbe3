"""Messages that say what was got, what was wanted and what to do next."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["UnsupportedCombinationError", "explain", "unsupported"]


class UnsupportedCombinationError(ValueError):
    """A solver was asked to serve a problem that it cannot serve."""


def explain(subject: str, got: object, wanted: object, todo: str = "") -> str:
    """Return one message: subject, what was got, what was wanted, what to do next."""
    message = f"{subject}: got {got}; wanted {wanted}."
    return f"{message} {todo}" if todo else message


def unsupported(
    solver: str, needs: str, missing: str, able: Iterable[str]
) -> UnsupportedCombinationError:
    """Build the error of a solver that lacks something in the problem it was given."""
    others = ", ".join(repr(name) for name in able) or "none"
    message = (
        f"solver {solver!r} needs {needs}, and {missing}. "
        f"Solvers that can: {others}; or use solver='auto'."
    )
    return UnsupportedCombinationError(message)
