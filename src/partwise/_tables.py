"""Rows of numbers as aligned text and as data frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from partwise._errors import explain

__all__ = ["Grouped", "Tabular", "aligned"]


def aligned(rows: list[list[str]]) -> list[str]:
    """Return one line for each row of cells: the first column to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return lines


def _frame(rows: list[dict[str, Any]]) -> Any:
    """Return the rows as a pandas DataFrame; ImportError without pandas."""
    try:
        import pandas
    except ImportError as error:
        todo = 'Run: pip install "partwise[files]", or use table(), which has the same rows.'
        message = explain("to_frame", "no pandas", "pandas 2.2 or later", todo)
        raise ImportError(message) from error
    return pandas.DataFrame(rows)


class Tabular(ABC):
    """A result that is a table: rows as dicts, and as a data frame."""

    @abstractmethod
    def table(self) -> list[dict[str, Any]]:
        """Return the rows, as dicts."""

    def to_frame(self) -> Any:
        """Return `table` as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            Without pandas.
        """
        return _frame(self.table())


class Grouped(Tabular):
    """A result whose table may have a row for each group instead."""

    @abstractmethod
    def table(self, by: str = "") -> list[dict[str, Any]]:
        """Return the rows, as dicts."""

    def to_frame(self, by: str | None = None) -> Any:
        """Return `table` as a pandas DataFrame.

        Parameters
        ----------
        by : str, optional
            As for `table`, and with its default.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            Without pandas.
        """
        return _frame(self.table() if by is None else self.table(by))
