"""Checks of what the user passes: arrays and numbers."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse

from partwise._errors import explain

__all__ = ["check_count", "check_entries", "check_kind", "check_start"]

Matrix = Any  # an ndarray or a SciPy sparse array: their common part has no type of its own


def check_count(value: Any, subject: str) -> int:
    """Return an integer ≥ 1, or raise ValueError for what is none."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(explain(subject, repr(value), "an integer ≥ 1"))
    return int(value)


def check_kind(X: Any, subject: str) -> None:
    """Raise for what would be read as something else than the user meant.

    Raises
    ------
    TypeError
        A masked array with masked entries.
    ValueError
        Strings, dates, records.
    """
    if isinstance(X, np.ma.MaskedArray) and np.ma.getmaskarray(X).any():
        count = int(np.ma.getmaskarray(X).sum())
        raise TypeError(
            explain(
                subject,
                f"a masked array with {count} masked entries",
                "a plain array, since a mask would be ignored silently",
                "Fill the masked entries with .filled(value), or drop their rows or columns.",
            )
        )
    kind = getattr(getattr(X, "dtype", None), "kind", "")
    if kind and kind in "USMmV":
        raise ValueError(
            explain(
                subject,
                f"dtype {X.dtype}",
                "numbers (floating point, integer or boolean)",
                "Convert the entries first, for example with X.astype(float).",
            )
        )


def _stored(X: Matrix) -> np.ndarray:
    return X.data if sparse.issparse(X) else X


def _where(X: Matrix, bad: np.ndarray, first_row: int = 0) -> tuple[int, ...]:
    flat = int(np.argmax(bad.reshape(-1)))
    if sparse.issparse(X):
        rows, columns = X.tocoo().coords
        return int(rows[flat]) + first_row, int(columns[flat])
    row, *others = (int(i) for i in np.unravel_index(flat, X.shape))
    return row + first_row, *others


def check_entries(
    X: Matrix,
    subject: str,
    *,
    first_row: int | None = None,
    signed: bool = False,
    missing: bool = False,
) -> bool:
    """Raise ValueError if ``X`` holds NaN, infinite or negative entries, and say where.

    ``signed``: negative entries are allowed. ``missing``: return False where there is NaN.
    ``first_row``: where X is a block of rows of a larger matrix, the number of its first row.
    """
    stored = _stored(X)
    start, among = first_row or 0, ""
    if first_row is not None:
        among = f" in rows {start} to {start + X.shape[0] - 1}"
    if stored.size == 0:
        return True
    low, high = float(stored.min()), float(stored.max())
    if missing and np.isnan(low):
        return False
    if not (np.isfinite(low) and np.isfinite(high)):
        for name, bad in (("NaN", np.isnan(stored)), ("inf", np.isinf(stored))):
            if bad.any():
                raise ValueError(
                    explain(
                        f"Input {subject} contains {name}",
                        f"{int(bad.sum())} such entries{among}, the first at "
                        f"{_where(X, bad, start)}",
                        "finite entries only",
                        "Impute or drop them; for infinite entries look for an overflow or "
                        "a division by zero before this step.",
                    )
                )
    if low < 0 and not signed:
        bad = stored < 0
        raise ValueError(
            explain(
                f"Negative values in data passed to {subject}",
                f"{int(bad.sum())} negative entries{among}, the smallest {low:.6g}, "
                f"the first at {_where(X, bad, start)}",
                "entries ≥ 0",
                "If they are noise around zero, clip them with np.maximum(X, 0); "
                "if they carry meaning, take the squared loss and let a factor have any sign: "
                "penalty_W=partwise.penalties.Free().",
            )
        )
    return True


def check_start(
    start: Any,
    shape: tuple[int | None, int | None],
    dtype: np.dtype,
    subject: str,
    *,
    known: bool = False,
    signed: bool = False,
) -> np.ndarray:
    """Return a start factor as an array, or raise with what is wrong with it.

    A ``known`` factor is not moved from there, and may be zero; a ``signed`` one may have negative
    entries.

    Raises
    ------
    ValueError
        Wrong number of dimensions or shape, NaN, infinite or negative entries, all zero.
    TypeError
        A dtype other than that of the data.
    """
    if sparse.issparse(start):
        message = f"{subject} is sparse, and factors are dense arrays. Pass it with .toarray()."
        raise TypeError(message)
    check_kind(start, subject)
    array = np.asarray(start)
    check_kind(array, subject)
    if array.ndim != 2:
        raise ValueError(
            explain(subject, f"{array.ndim} dimensions", "a 2-dimensional array of start values")
        )
    for axis, (word, wanted) in enumerate(zip(("first", "second"), shape, strict=True)):
        if wanted is not None and array.shape[axis] != wanted:
            message = (
                f"Array with wrong {word} dimension passed to {subject}. Expected {wanted}, "
                f"but got {array.shape[axis]} (shape {array.shape})."
            )
            raise ValueError(message)
    if array.dtype != dtype:
        message = (
            f"{subject} should have the same dtype as X. Got {array.dtype}, wanted {dtype}. "
            f"Convert it with .astype(np.{dtype})."
        )
        raise TypeError(message)
    check_entries(array, subject, signed=signed)
    if not known and not array.any():
        message = (
            f"Array passed to {subject} is full of zeros, from where no solver can start. "
            "Pass positive start values."
        )
        raise ValueError(message)
    return array
