"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import csv
import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from partwise._errors import explain

__all__ = ["check_file", "name_array", "table_lines", "whole_folder", "write_matrix"]


def _hidden_sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk, where the system can."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_file(path: str | os.PathLike[str], force: bool = False) -> Path:
    """Refuse a path that `write_matrix` would refuse; return it as a Path.

    Parameters
    ----------
    path : path
        Where the matrix shall go.
    force : bool, default=False
        Whether an existing file may be replaced.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".npy", ".npz"):
        got, wanted = f"the ending {kind or '(none)'}", ".csv, .tsv, .npy or .npz"
        raise ValueError(explain(f"file {path}", got, wanted))
    if path.is_dir():
        raise FileExistsError(explain(f"file {path}", "a folder", "a new file"))
    if path.exists() and not force:
        todo = "Choose another name, or replace it with force=True (--force)."
        raise FileExistsError(explain(f"file {path}", "an existing file", "a new file", todo))
    return path


def write_matrix(
    path: str | os.PathLike[str],
    values: np.ndarray,
    *,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    force: bool = False,
) -> None:
    """Write a dense matrix whole or not at all: .csv or .tsv, .npy, or .npz with names.

    Parameters
    ----------
    path : path
        The ending picks the format. An existing file is kept unless `force` is true.
    values : ndarray of shape (n_rows, n_columns)
        The entries; text keeps every digit that is needed to read them back unchanged.
    row_names, column_names : sequence of str, optional
        The names; without them, text files number rows and columns from 0.
    force : bool, default=False
        Whether to replace an existing file.
    """
    path = check_file(path, force)
    partial = _hidden_sibling(path)
    try:
        with partial.open("xb") as stream:
            _write_to(stream, path.suffix.lower(), values, row_names, column_names)
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _write_to(
    stream: IO[bytes],
    kind: str,
    values: np.ndarray,
    row_names: Sequence[str] | None,
    column_names: Sequence[str] | None,
) -> None:
    if kind == ".npy":
        np.save(stream, values, allow_pickle=False)
    elif kind == ".npz":
        names = {"row_names": name_array(row_names)}
        names["column_names"] = name_array(column_names)
        np.savez(stream, X=values, **names)  # type: ignore[arg-type]
    else:
        delimiter = "\t" if kind == ".tsv" else ","
        for line in table_lines(values, row_names, column_names, delimiter):
            stream.write(line.encode())


class _Line:
    """The line that csv.writer wrote last."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """Keep the text."""
        self.text = text


def table_lines(
    values: np.ndarray,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    delimiter: str = ",",
) -> Iterator[str]:
    """Yield the lines of a table: a header after an empty cell, then named rows."""
    line = _Line()
    writer = csv.writer(line, delimiter=delimiter, lineterminator="\n")
    n_rows, n_columns = values.shape
    writer.writerow(["", *(range(n_columns) if column_names is None else column_names)])
    yield line.text
    names: Iterable[Any] = range(n_rows) if row_names is None else row_names
    for name, row in zip(names, values, strict=True):
        # str of a float32 scalar is its shortest text; tolist would widen it first.
        cells = row.tolist() if row.dtype == np.float64 else map(str, row)
        writer.writerow([name, *cells])
        yield line.text


def name_array(names: Sequence[str] | None) -> np.ndarray:
    """Return names as a unicode array, an empty one for None."""
    return np.array([] if names is None else [str(name) for name in names], dtype=np.str_)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder to fill, which takes the target's place once it is on disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _hidden_sibling(target)
    partial.mkdir()
    try:
        yield partial
        for path in [*partial.iterdir(), partial]:
            _sync(path)
        if target.exists():
            _exchange(partial, target)
        else:
            partial.rename(target)
        _sync(target.parent)
    finally:
        # Nothing, what is left of a failure, or the old model that was replaced.
        shutil.rmtree(partial, ignore_errors=True)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders: at once where Linux can, else by the shortest way round."""
    if sys.platform == "linux":
        swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if swap and swap(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0:
            return
    aside = _hidden_sibling(old)
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise
    aside.rename(new)
