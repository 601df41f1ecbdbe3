"""Matrices with their names, read from files of every common format."""

from __future__ import annotations

import csv
import gzip
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy import io as scipy_io
from scipy import sparse

from partwise._errors import explain

__all__ = ["LabelledMatrix", "read_matrix", "read_row_weights"]

FORMATS = ".npy, .npz, .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .mtx or .mtx.gz"
MISSING_WORDS = frozenset(["", "na", "n/a", "nan", "null", "none", "#n/a"])
SAMPLED_ROWS = 20


@dataclass(frozen=True)
class LabelledMatrix:
    """A matrix with the names of its rows and columns, where the file had them.

    Attributes
    ----------
    values : ndarray or SciPy CSR of shape (n_samples, n_features)
        The entries, in the dtype of the file; text becomes float64.
    row_names, column_names : list of str, or None
        The names, one per row and one per column.
    """

    values: Any
    row_names: list[str] | None = None
    column_names: list[str] | None = None


# ---------------------------------------------------------------- reading a matrix


def read_matrix(path: str | os.PathLike[str]) -> LabelledMatrix:
    r"""Read a matrix, rows as samples, from a file whose ending tells its format.

    Parameters
    ----------
    path : path
        A ``.npy`` file; a ``.npz`` file with exactly one 2-D array, or written by
        `scipy.sparse.save_npz`; a ``.csv`` or ``.tsv`` file, gzipped (``.gz``) or not; a
        ``.parquet`` file, which needs ``pip install "partwise[files]"``; a Matrix Market
        file, ``.mtx`` or ``.mtx.gz``.

    Returns
    -------
    LabelledMatrix
        A dense array or a CSR matrix with its names. In text files, the first line is a
        header if it has a cell that is no number above numbers, or an empty first cell;
        the first column holds row names if none of its cells is a number, or if the
        header's first cell is empty or absent. In a ``.npz`` file, names are 1-D arrays of
        strings called ``row_names`` and ``column_names``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, truncated, ragged, of unknown format, has cells that are no
        numbers or are missing, or holds pickled objects, which are never loaded.
    ImportError
        If a ``.parquet`` file is given without pandas and pyarrow.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "spectra.csv"
    >>> _ = path.write_text(",400,410\nleaf,0.5,2\nroot,1,0\n")
    >>> read_matrix(path).row_names
    ['leaf', 'root']
    """
    path = Path(path)
    _check_readable(path)
    readers = {
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".csv": _read_text,
        ".tsv": _read_text,
        ".parquet": _read_parquet,
        ".mtx": _read_mtx,
    }
    reader = readers.get(_ending(path))
    if reader is None or (_is_gzipped(path) and reader not in (_read_text, _read_mtx)):
        got = f"the ending {''.join(path.suffixes[-2:]) or '(none)'}"
        raise ValueError(explain(f"file {path}", got, FORMATS, "Convert or rename it."))
    matrix = reader(path)
    _check_values(path, matrix.values)
    return matrix


def read_row_weights(path: str | os.PathLike[str], matrix: LabelledMatrix) -> np.ndarray:
    """Return the weights of the rows of a matrix, (n_samples,) in float64, from a file.

    A ``.txt`` file has one a line; any other one is a matrix of one column, whose row names have
    to be those of the rows where both have names.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `read_matrix`; another number of weights, or other names of rows.
    """
    path, rows = Path(path), matrix.values.shape[0]
    if path.suffix.lower() == ".txt":
        _check_readable(path)
        values: Any = _lines_of_numbers(path)
    else:
        found = read_matrix(path)
        if matrix.row_names is not None and found.row_names is not None:
            _check_same_rows(path, found.row_names, matrix.row_names)
        values = found.values.toarray() if sparse.issparse(found.values) else found.values
    if values.shape not in ((rows,), (rows, 1)):
        wanted = f"one column of {rows} weights, one for each row of the matrix"
        raise ValueError(explain(f"weights in {path}", f"shape {values.shape}", wanted))
    return np.asarray(values.reshape(rows), np.float64)


def _lines_of_numbers(path: Path) -> np.ndarray:
    found = []
    for place, line in enumerate(path.read_text(encoding="utf-8").rstrip().split("\n"), 1):
        try:
            found.append(float(line))
        except ValueError:
            got = f"{line.strip()!r} in line {place}"
            raise ValueError(explain(f"weights in {path}", got, "a number ≥ 0 a line")) from None
    return np.array(found)


def _check_same_rows(path: Path, got: list[str], wanted: list[str]) -> None:
    for place, (one, other) in enumerate(zip(got, wanted, strict=False), 1):
        if one != other:
            todo = "Write the weights in the order of the rows, with their names."
            where = f"the name {one!r} in row {place}"
            raise ValueError(explain(f"weights in {path}", where, f"{other!r}", todo))


def _is_gzipped(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _ending(path: Path) -> str:
    """Return the ending that names the format, without a final .gz."""
    return (path.with_suffix("") if _is_gzipped(path) else path).suffix.lower()


def _check_readable(path: Path) -> None:
    if not path.exists():
        todo = f"Check the spelling; the working folder is {Path.cwd()}."
        raise FileNotFoundError(explain(f"file {path}", "no such file", "a matrix", todo))
    if path.is_dir():
        raise ValueError(explain(f"path {path}", "a folder", f"a file ({FORMATS})"))
    if path.stat().st_size == 0:
        raise ValueError(explain(f"file {path}", "0 bytes", "a matrix", "Write it again."))


def _broken(path: Path, error: Exception) -> ValueError:
    """Return the error for a file whose content its format's reader refuses."""
    got = f"content that cannot be read ({' '.join(str(error).split()) or repr(error)})"
    wanted = f"a whole {_ending(path)} file"
    todo = "It may be truncated or of another format; write or download it again."
    return ValueError(explain(f"file {path}", got, wanted, todo))


def _check_values(path: Path, values: Any) -> None:
    """Refuse what is no matrix of real numbers."""
    if values.ndim != 2:
        got = f"an array of shape {values.shape}"
        todo = "Reshape it to (n_samples, n_features)."
        raise ValueError(explain(f"file {path}", got, "a 2-D array", todo))
    if values.dtype.kind not in "biuf":
        got, wanted = f"entries of dtype {values.dtype}", "real numbers"
        raise ValueError(explain(f"file {path}", got, wanted, "Convert the entries."))
    if 0 in values.shape:
        got = f"an empty matrix of shape {values.shape}"
        raise ValueError(explain(f"file {path}", got, "at least one row and one column"))


def _check_header(path: Path, stream: IO[bytes], available: int) -> tuple[int, ...]:
    """Return the shape of the array in a .npy stream; refuse objects and truncation."""
    magic = stream.read(8)
    if magic[:6] != b"\x93NUMPY":
        if magic[:1] == b"\x80":
            raise ValueError(_pickled(path))
        message = "it does not start like a .npy file"
        raise ValueError(message)
    stream.seek(0)
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(_pickled(path))
    wanted = int(np.prod([dtype.itemsize, *shape], dtype=object))
    got = available - stream.tell()
    # Checked before loading, since NumPy allocates what the header promises.
    if got < wanted:
        message = f"{got} bytes of entries where its header promises {wanted}"
        raise ValueError(message)
    return shape


def _pickled(path: Path) -> str:
    todo = (
        "Loading it could run foreign code, so Partwise never does; save the numbers with "
        "numpy.save(file, array.astype(float))."
    )
    return explain(f"file {path}", "pickled Python objects", "plain numbers", todo)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors of a format's reader into one that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # what a broken file makes a reader raise has no bounds
        if f"file {path}: got" in str(error):
            raise
        raise _broken(path, error) from error


def _read_npy(path: Path) -> LabelledMatrix:
    with _explained(path):
        with path.open("rb") as stream:
            _check_header(path, stream, path.stat().st_size)
        values = np.load(path, allow_pickle=False)
    return LabelledMatrix(_native(values))


def _native(values: np.ndarray) -> np.ndarray:
    """Return the values in the machine's byte order, uncopied where they have it."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _read_npz(path: Path) -> LabelledMatrix:
    with _explained(path):
        if not zipfile.is_zipfile(path):
            message = "it is no zip archive, or its end is missing"
            raise ValueError(message)
        shapes = {}
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                with archive.open(item) as stream:
                    name = item.filename.removesuffix(".npy")
                    shapes[name] = _check_header(path, stream, item.file_size)
        if {"format", "shape", "data"} <= shapes.keys():
            return LabelledMatrix(_read_sparse(path))
        name = _only_matrix(path, shapes)
        with np.load(path, allow_pickle=False) as arrays:
            names = [
                _names(path, arrays[key], size) if key in shapes else None
                for key, size in zip(["row_names", "column_names"], shapes[name], strict=True)
            ]
            return LabelledMatrix(_native(arrays[name]), *names)


def _only_matrix(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    """Return the name of the one 2-D array of a .npz file."""
    found = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
    got = f"{len(found)} 2-D arrays (the file holds {listed})"
    todo = "Save the one to factorize alone, with numpy.savez(file, X=X)."
    raise ValueError(explain(f"file {path}", got, "exactly one 2-D array", todo))


def _names(path: Path, names: np.ndarray, size: int) -> list[str] | None:
    """Return the names stored beside a matrix; an empty array stands for none."""
    if names.size == 0:
        return None
    if names.shape != (size,):
        got, wanted = f"names of shape {names.shape}", f"{size} names"
        raise ValueError(explain(f"file {path}", got, wanted))
    return [str(name) for name in names]


def _read_sparse(path: Path) -> Any:
    """Read what scipy.sparse.save_npz wrote, and prove its indices before using them."""
    matrix = sparse.load_npz(path)
    if matrix.format in ("csr", "csc", "bsr"):
        # An index out of range would let compiled code read foreign memory.
        matrix.check_format(full_check=True)
    return matrix.tocsr()


def _read_mtx(path: Path) -> LabelledMatrix:
    with _explained(path):
        if _is_gzipped(path):
            with gzip.open(path) as stream:
                values = scipy_io.mmread(stream)
        else:
            values = scipy_io.mmread(path)
    return LabelledMatrix(values.tocsr() if sparse.issparse(values) else values)


def _read_parquet(path: Path) -> LabelledMatrix:
    try:
        import pandas as pd
        import pyarrow  # noqa: F401 - pandas imports it late, and fails with less clarity
    except ImportError as error:
        todo = 'Run: pip install "partwise[files]"'
        message = explain(f"file {path}", f"{error}", "pandas and pyarrow", todo)
        raise ImportError(message) from error
    with _explained(path):
        frame = pd.read_parquet(path, engine="pyarrow")
    rows = None if isinstance(frame.index, pd.RangeIndex) else frame.index
    if rows is None and frame.shape[1] > 1 and _is_text(pd, frame.iloc[:, 0]):
        rows, frame = frame.iloc[:, 0], frame.iloc[:, 1:]
    for name, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column.dtype):
            got = f"column {str(name)!r} of type {column.dtype}"
            todo = "Drop or convert it; row names belong in the index or first column."
            raise ValueError(explain(f"file {path}", got, "columns of numbers", todo))
    missing = np.argwhere(frame.isna().to_numpy())
    if len(missing):
        row, column_number = missing[0]
        where = f"row {row + 1}, column {str(frame.columns[column_number])!r}"
        raise ValueError(_missing(path, where, len(missing)))
    values = frame.to_numpy()
    if values.dtype == object:  # of columns of several kinds, or of numbers that may be missing
        values = frame.to_numpy(np.float64)
    return LabelledMatrix(
        np.ascontiguousarray(values),
        None if rows is None else [str(name) for name in rows],
        [str(name) for name in frame.columns],
    )


def _is_text(pandas: Any, column: Any) -> bool:
    kinds = pandas.api.types
    return kinds.is_string_dtype(column.dtype) or kinds.is_object_dtype(column.dtype)


def _missing(path: Path, where: str, count: int) -> str:
    more = f" (the first of {count})" if count > 1 else ""
    todo = "Fill it, or drop its row or column."
    got = f"a missing value at {where}{more}"
    return explain(f"file {path}", got, "a number in every cell", todo)


# ---------------------------------------------------------------- tables of text


@dataclass(frozen=True)
class _Layout:
    """Where the numbers of a text table are: what its first rows show."""

    delimiter: str
    has_header: bool
    has_row_names: bool
    column_names: list[str] | None
    width: int  # cells of a row of data


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    """Open a table as an iterator over its lines, its decoding errors explained."""
    opened = gzip.open if _is_gzipped(path) else open
    with opened(path, "rt", encoding="utf-8-sig") as stream:
        try:
            yield iter(stream)
        except UnicodeDecodeError as error:
            got = f"bytes that are no UTF-8 text ({error.reason})"
            todo = "Save it as UTF-8 text, or give it the ending of its format."
            wanted = "a table of text"
            raise ValueError(explain(f"file {path}", got, wanted, todo)) from error
        except (OSError, EOFError, zlib.error, csv.Error) as error:
            raise _broken(path, error) from error


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every row that is not blank."""
    reader = csv.reader(lines, delimiter=delimiter)
    for row in reader:
        if row:
            yield reader.line_num, row


def _is_number(cell: str) -> bool:
    """Whether NumPy reads the cell as a number."""
    if "_" in cell or not cell.isascii():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING_WORDS


def _read_text(path: Path) -> LabelledMatrix:
    delimiter = "\t" if _ending(path) == ".tsv" else ","
    with _lines(path) as lines:
        sample = [row for _, row in islice(_rows(lines, delimiter), SAMPLED_ROWS)]
    layout = _layout(path, sample, delimiter)
    names: list[str] = []

    def collect(cell: str) -> float:
        names.append(cell)
        return 0.0

    # Called once per row, in order: the names are collected in the only pass.
    converters: Any = {0: collect} if layout.has_row_names else None
    with _lines(path) as lines:
        if layout.has_header:
            next(_rows(lines, delimiter))
        try:
            values = np.loadtxt(
                lines,
                delimiter=delimiter,
                comments=None,
                quotechar='"',
                ndmin=2,
                converters=converters,
                encoding="utf-8",
            )
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise _bad_cell(path, layout) or _broken(path, error) from error
    if layout.has_row_names:
        values = np.ascontiguousarray(values[:, 1:])
    if values.shape[1] != layout.width - layout.has_row_names or (
        np.isnan(np.min(values, initial=0.0))
    ):
        raise _bad_cell(path, layout) or _broken(path, ValueError("rows of other widths"))
    return LabelledMatrix(values, names or None, layout.column_names)


def _layout(path: Path, sample: list[list[str]], delimiter: str) -> _Layout:
    """Find the header and the row names in the first rows of a table."""
    if not sample:
        raise ValueError(explain(f"file {path}", "no cells", "rows of numbers"))
    first, later = sample[0], sample[1:]
    # R writes a header without a cell above the row names.
    corner_absent = bool(later) and all(len(row) == len(first) + 1 for row in later)
    corner_absent = corner_absent and not any(_is_number(cell) for cell in first)
    corner_empty = corner_absent or not first[0].strip()
    header = corner_empty or _is_header(first, later)
    data = later if header else sample
    if not data:
        todo = _delimiter_hint(first) or "Add the rows."
        got = "one line that is no row of numbers"
        raise ValueError(explain(f"file {path}", got, "rows of numbers", todo))
    leading = [row[0] for row in data if not _is_missing(row[0])]
    named = (header and corner_empty) or (
        bool(leading) and not any(_is_number(cell) for cell in leading)
    )
    width = len(first) + corner_absent
    if named and width == 1:
        todo = _delimiter_hint(data[0]) or "Check the delimiter."
        got = f"one column without numbers (it starts with {data[0][0]!r})"
        raise ValueError(explain(f"file {path}", got, "columns of numbers", todo))
    columns = None
    if header:
        columns = first if corner_absent or not named else first[1:]
    return _Layout(delimiter, header, named, columns, width)


def _is_header(first: Sequence[str], later: Sequence[Sequence[str]]) -> bool:
    """Whether a cell that is no number stands above numbers only."""
    for column, cell in enumerate(first):
        below = [row[column] for row in later if column < len(row)]
        below = [text for text in below if not _is_missing(text)]
        is_name = not _is_number(cell) and not _is_missing(cell)
        if below and is_name and all(_is_number(text) for text in below):
            return True
    return not later and not any(_is_number(cell) for cell in first)


def _delimiter_hint(row: Sequence[str]) -> str:
    text = " ".join(row)
    for mark, name in [(";", "semicolons"), ("\t", "tabs"), (",", "commas")]:
        if mark in text:
            wanted = "commas in .csv files and tabs in .tsv files"
            return f"Its cells seem to be divided by {name}; Partwise wants {wanted}."
    return ""


def _bad_cell(path: Path, layout: _Layout) -> ValueError | None:
    """Look, slowly, for the first cell that keeps a table from being numbers."""
    width, skip = layout.width, int(layout.has_row_names)
    with _lines(path) as lines:
        rows = _rows(lines, layout.delimiter)
        for number, row in islice(rows, int(layout.has_header), None):
            if len(row) != width:
                wanted = f"{width} cells as in the first rows"
                todo = _delimiter_hint(row) if width == 1 else "Mend that line."
                got = f"{len(row)} cells on line {number}"
                return ValueError(explain(f"file {path}", got, wanted, todo))
            for column, cell in enumerate(row[skip:], start=skip):
                where = f"line {number}, column {column + 1}"
                if layout.column_names is not None:
                    where += f" ({layout.column_names[column - skip]!r})"
                if _is_missing(cell):
                    return ValueError(_missing(path, where, 1))
                if not _is_number(cell):
                    return ValueError(_not_a_number(path, cell, where, column))
    return None


def _not_a_number(path: Path, cell: str, where: str, column: int) -> str:
    shown = cell if len(cell) <= 40 else f"{cell[:37]}..."
    todo = "Correct it, or drop its row or column."
    if column == 0:
        todo += " If the column holds row names, leave the first cell of the header empty."
    return explain(f"file {path}", f"{shown!r} at {where}", "a number", todo)
