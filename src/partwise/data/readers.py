"""Sources of rows outside memory: .npy files, memory maps, HDF5, Zarr and AnnData."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from partwise._arrays import check_kind
from partwise._errors import explain

__all__ = ["MemoryReader", "Reader", "open_reader"]

UNCHANGED = "Keep the source open and unchanged until the call has returned."


class Reader(Protocol):
    """A matrix whose rows can be fetched, by several threads at a time.

    Attributes
    ----------
    shape : tuple of int
        As in the source; a matrix has two.
    dtype : dtype
        As in the source.
    row_bytes : float
        What a row takes in the source, on average.
    step : int
        Rows that come together, as in a chunk; 1 where any row can be fetched.
    is_sparse : bool
        Rows come in compressed form.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    row_bytes: float
    step: int
    is_sparse: bool

    def read(self, start: int, stop: int) -> Any:
        """Return rows as an array or in compressed rows, which are not modified."""


class MemoryReader:
    """Rows of an array in memory, or of a matrix in compressed rows."""

    step = 1

    def __init__(self, array: Any) -> None:
        self.is_sparse = sparse.issparse(array)
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.row_bytes = float(self.dtype.itemsize * np.prod(self.shape[1:], dtype=np.int64))

    def read(self, start: int, stop: int) -> Any:
        return self.array[start:stop]


def open_reader(X: Any, subject: str = "X") -> Reader | None:
    """Return the reader of a source outside memory, or None for anything else.

    Parameters
    ----------
    X : path, memmap, h5py dataset, Zarr array, or sparse dataset of AnnData
        Known by their type alone: no package is imported.
    subject : str
        Its name in messages.

    Raises
    ------
    ValueError, TypeError, OSError
        What cannot be read by rows, or holds no numbers.
    """
    package = type(X).__module__.partition(".")[0]
    reader: Reader | None = None
    if isinstance(X, str | os.PathLike):
        reader = _open_npy(Path(X), subject)
    elif isinstance(X, np.memmap) and _map_of(X) is not None:
        reader = _open_map(X)
    elif package == "anndata" and (hasattr(X, "format") or hasattr(X, "format_str")):
        reader = _SparseReader(X)
    elif package in ("h5py", "zarr"):
        reader = _open_array(X, package)
    if reader is not None:
        _check_dtype(reader.dtype, subject)
    return reader


def _check_dtype(dtype: Any, subject: str) -> None:
    kind = getattr(dtype, "kind", "")
    if kind == "O":
        message = explain(
            subject,
            "an array of objects",
            "numbers",
            "Encode or drop what is not a number, and store it as floating point.",
        )
        raise ValueError(message)
    if kind == "c":
        message = (
            "Complex data not supported: got dtype "
            f"{dtype}. Wanted real entries ≥ 0: store np.abs(X) or another real quantity."
        )
        raise ValueError(message)
    if kind not in ("f", "i", "u", "b"):
        check_kind(np.empty(0, dtype), subject)
        raise ValueError(
            explain(subject, f"dtype {dtype}", "numbers", "Store it as floating point.")
        )


# ---------------------------------------------------------------- files


class _FileReader:
    """An array in a file, read through a descriptor: pages of a map that were looked at count
    as memory of the process, and here only the block does.

    ``column_stride``: bytes from one column to the next for columns that are stored one after
    the other (Fortran order), None for rows that are.
    """

    step = 1
    is_sparse = False

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        column_stride: int | None = None,
    ) -> None:
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, dtype
        self.column_stride = column_stride
        self.row_bytes = float(dtype.itemsize * np.prod(shape[1:], dtype=np.int64))
        self.stamp = _stamp(os.stat(path))

    def read(self, start: int, stop: int) -> np.ndarray:
        size = self.dtype.itemsize
        with open(self.path, "rb", buffering=0) as file:
            if _stamp(os.fstat(file.fileno())) != self.stamp:
                message = explain(
                    f"X, rows {start} to {stop - 1}",
                    f"a file that changed since it was opened ({self.path})",
                    "the same bytes in every pass",
                    UNCHANGED,
                )
                raise OSError(message)
            if self.column_stride is None:
                rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
                self._fill(file, rows, self.offset + start * int(self.row_bytes))
                return rows
            columns = np.empty((self.shape[1], stop - start), self.dtype)
            for j, column in enumerate(columns):
                self._fill(file, column, self.offset + j * self.column_stride + start * size)
            return columns.T

    def _fill(self, file: Any, array: np.ndarray, position: int) -> None:
        file.seek(position)
        left = memoryview(array.reshape(-1).view(np.uint8).data)
        while left:
            count = file.readinto(left)
            if not count:
                message = explain(
                    f"X in {self.path}", "a file that ends too early", "all of its rows", UNCHANGED
                )
                raise OSError(message)
            left = left[count:]


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


_OTHER_FILES = {
    ".zarr": "Open it and pass the array: zarr.open_array(path, mode='r').",
    ".h5": "Open it and pass the dataset: h5py.File(path, 'r')[name].",
    ".hdf5": "Open it and pass the dataset: h5py.File(path, 'r')[name].",
    ".h5ad": "Open it and pass that: anndata.read_h5ad(path, backed='r').",
}


def _open_npy(path: Path, name: str) -> Reader:
    subject, wanted = f"{name}={str(path)!r}", "the path of a .npy file with a matrix of numbers"
    if not path.exists():
        raise FileNotFoundError(explain(subject, "no such file", wanted, "Check the path."))
    if path.is_dir() or path.suffix != ".npy":
        got = "a folder" if path.is_dir() else f"a file that ends in {path.suffix or 'nothing'!r}"
        todo = "Read it with partwise.files.read_matrix(path).values, and pass those."
        raise ValueError(explain(subject, got, wanted, _OTHER_FILES.get(path.suffix, todo)))
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read_header(file)
        except ValueError as error:
            got = f"a file that is none ({error})"
            todo = "Write it again with np.save(path, X)."
            raise ValueError(explain(subject, got, wanted, todo)) from error
        offset = file.tell()
    if dtype.hasobject:
        got = "pickled objects, which are never loaded"
        todo = "Write numbers: np.save(path, X.astype(float))."
        raise ValueError(explain(subject, got, wanted, todo))
    needed = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if path.stat().st_size < needed:
        got = f"a truncated file of {path.stat().st_size} bytes"
        raise ValueError(explain(subject, got, f"{needed} bytes", "Copy or write it again."))
    stride = dtype.itemsize * shape[0] if fortran and len(shape) == 2 else None
    return _FileReader(path, offset, shape, dtype, stride)


# ---------------------------------------------------------------- memory maps


class _MapReader:
    """A memory map that cannot be read as a file; its pages are given back after a copy."""

    step = 1
    is_sparse = False

    def __init__(self, array: np.memmap, pages: mmap.mmap) -> None:
        self.array, self.pages = array, pages
        self.shape, self.dtype = array.shape, array.dtype
        self.row_bytes = float(array.itemsize * np.prod(array.shape[1:], dtype=np.int64))
        # Pages of a private map that were written to would be lost.
        self.release = array.mode != "c" and hasattr(mmap, "MADV_DONTNEED")

    def read(self, start: int, stop: int) -> np.ndarray:
        block = np.array(self.array[start:stop], order="C", subok=False)
        if self.release:
            self.pages.madvise(mmap.MADV_DONTNEED)
        return block


def _map_of(array: Any) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array


def _open_map(array: np.memmap) -> Reader:
    pages = _map_of(array)
    assert pages is not None
    itemsize, path = array.itemsize, array.filename
    by_rows = array.flags.c_contiguous
    by_columns = array.ndim == 2 and array.strides[0] == itemsize and array.strides[1] > 0
    if path is None or array.mode == "c" or not (by_rows or by_columns) or not array.size:
        return _MapReader(array, pages)
    if array.mode != "r":
        array.flush()
    start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    base = np.frombuffer(pages, np.uint8).ctypes.data
    offset = start + array.ctypes.data - base
    try:
        reader = _FileReader(
            Path(path), offset, array.shape, array.dtype, None if by_rows else array.strides[1]
        )
        ends = [(reader.read(i, i + 1), array[i : i + 1]) for i in (0, len(array) - 1)]
    except OSError:
        return _MapReader(array, pages)
    # Under the same name there may by now be another file.
    same = all(found.tobytes() == mapped.tobytes() for found, mapped in ends)
    return reader if same else _MapReader(array, pages)


# ---------------------------------------------------------------- arrays of other packages


class _ArrayReader:
    """Anything of two dimensions whose rows are fetched with ``array[start:stop]``."""

    is_sparse = False

    def __init__(self, array: Any, kind: str) -> None:
        self.array, self.kind = array, kind
        self.shape, self.dtype = tuple(array.shape), array.dtype
        self.row_bytes = getattr(self.dtype, "itemsize", 8) * float(np.prod(self.shape[1:]))
        chunks = getattr(array, "chunks", None)
        self.step = int(chunks[0]) if chunks else 1

    def read(self, start: int, stop: int) -> Any:
        subject = f"X ({self.kind}), rows {start} to {stop - 1}"
        try:
            block = self.array[start:stop]
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise OSError(explain(subject, got, "rows that can be read", UNCHANGED)) from error
        if block.shape != (stop - start, *self.shape[1:]):
            wanted = f"shape {(stop - start, *self.shape[1:])}"
            raise OSError(explain(subject, f"shape {block.shape}", wanted, UNCHANGED))
        return block


class _SparseReader(_ArrayReader):
    """Compressed rows of AnnData's backed mode."""

    is_sparse = True

    def __init__(self, array: Any) -> None:
        order = getattr(array, "format", None) or array.format_str
        if order != "csr":
            message = explain(
                "X",
                f"a {order.upper()} matrix on disk, stored by columns",
                "compressed rows (CSR), since rows are read block by block",
                "Write it by rows, once: load it with X.to_memory().tocsr(), and save that.",
            )
            raise TypeError(message)
        super().__init__(array, "a CSR matrix on disk")
        group = array.group
        stored = int(group["data"].shape[0])
        size = group["data"].dtype.itemsize + group["indices"].dtype.itemsize
        self.row_bytes = 8 + size * stored / max(1, self.shape[0])
        self.step = 1

    def read(self, start: int, stop: int) -> Any:
        return sparse.csr_array(super().read(start, stop))


def _open_array(X: Any, package: str) -> Reader:
    kind = "an HDF5 dataset" if package == "h5py" else "a Zarr array"
    if not hasattr(X, "shape") or not hasattr(X, "dtype"):
        names = ", ".join(repr(name) for name in list(X)[:5]) if hasattr(X, "keys") else ""
        holds = f" that holds {names}" if names else ""
        got, todo = f"{type(X).__name__}{holds}", "Pick one by its name: X[name]."
        raise TypeError(explain("X", got, kind, todo))
    return _ArrayReader(X, kind)
