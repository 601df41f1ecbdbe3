"""Concentrations and their uncertainties from the files that EPA PMF reads."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partwise._errors import explain

__all__ = ["Measurements", "read_measurements"]

# What stands for nothing, beside the codes that the caller names.
EMPTY = {"", "na", "n/a", "nan", "null", "none", "*", "-"}
WORKBOOKS = {".xls", ".xlsx", ".xlsm"}


@dataclass
class Measurements:
    """What `read_measurements` returns.

    Attributes
    ----------
    concentrations : pandas.DataFrame
        A row for each sample and a column for each species, NaN where it is missing. The index has
        the dates, or what else the first columns of the file are.
    uncertainty : pandas.DataFrame or None
        The same for the uncertainties, if there is a file of them.
    units : dict of str to str
        The unit of each species, empty if the file has no row of units.
    """

    concentrations: Any
    uncertainty: Any
    units: dict[str, str]


def read_measurements(
    concentrations: str | os.PathLike[str],
    uncertainty: str | os.PathLike[str] | None = None,
    *,
    missing: Sequence[float] = (-999.0,),
    sheet: int | str = 0,
) -> Measurements:
    r"""Read a file of concentrations and, if there is one, that of their uncertainties.

    The first row names the species, the second may name their units. Leading columns that hold
    dates or other text are those of the samples; dates, with the month first where it is not told,
    are read as such, and stay text where they cannot be. Cells that are empty or
    have a code of ``missing`` are missing; rows without
    any cell are left out.

    Parameters
    ----------
    concentrations, uncertainty : path
        Text files in UTF-8 with commas, semicolons or tabs between cells, or Excel workbooks,
        ``.xlsx`` and ``.xlsm``; those in the old format ``.xls`` need xlrd, which is not installed
        with Partwise. Columns of the second are put in the order of the first.
    missing : sequence of float, default=(-999,)
        Numbers that stand for missing ones.
    sheet : int or str, default=0
        Which sheet of a workbook.

    Returns
    -------
    Measurements

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A species that is there twice, a cell that is neither a number nor missing, files with other
        species, samples or dates.
    ImportError
        Without pandas, or without openpyxl for a workbook, xlrd for one in the format ``.xls``.

    Notes
    -----
    Uncertainties that are not positive are left as they are but for the codes: a fit says where
    they are. For detection limits and error fractions in their place use
    `partwise.apportionment.uncertainty_from_detection_limits`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from partwise.recipes.air_quality import read_measurements
    >>> path = Path(tempfile.mkdtemp()) / "con.csv"
    >>> _ = path.write_text("Date,Iron,Zinc\n,ug/m3,ug/m3\n1/2/2001,0.3,-999\n1/5/2001,0.2,4e-2\n")
    >>> data = read_measurements(path)
    >>> data.concentrations["Iron"].tolist(), data.units["Zinc"]
    ([0.3, 0.2], 'ug/m3')
    >>> str(data.concentrations.index[1].date())
    '2001-01-05'
    """
    codes = {float(code) for code in missing}
    values, units = _table(Path(concentrations), codes, sheet)
    if uncertainty is None:
        return Measurements(values, None, units)
    wide, _ = _table(Path(uncertainty), codes, sheet)
    return Measurements(values, _fitting(wide, values, Path(uncertainty)), units)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        todo = 'Run: pip install "partwise[files]"'
        message = explain("read_measurements", "no pandas", "pandas 2.2 or later", todo)
        raise ImportError(message) from error
    return pandas


def _cells(path: Path, sheet: int | str) -> list[list[Any]]:
    # All cells as they are, without rows that are empty.
    pandas = _pandas()
    if not path.exists():
        raise FileNotFoundError(explain(f"file {path}", "no such file", "an existing one"))
    if path.suffix.lower() in WORKBOOKS:
        cells = _cells_of_workbook(pandas, path, sheet)
    else:
        cells = pandas.read_csv(
            path, sep=_separator(path), header=None, dtype=str, keep_default_na=False,
            encoding="utf-8-sig",
        )  # fmt: skip
    rows = cells.astype(object).to_numpy().tolist()
    rows = [row for row in rows if not all(_is_empty(cell) for cell in row)]
    if len(rows) < 2:
        raise ValueError(explain(f"file {path}", f"{len(rows)} rows", "names and samples"))
    return rows


def _cells_of_workbook(pandas: Any, path: Path, sheet: int | str) -> Any:
    try:
        return pandas.read_excel(path, sheet_name=sheet, header=None, dtype=object)
    except ImportError as error:  # by what is in the file, whatever it is called
        old = "xlrd" in str(error)
        got = "a workbook in the old format .xls, without xlrd" if old else "no openpyxl"
        wanted = "a workbook in the format .xlsx, or text" if old else "openpyxl 3.1 or later"
        todo = 'Run: pip install "partwise[files]"'
        if old:
            todo = "Save it as .xlsx or .csv, or run: pip install xlrd"
        raise ImportError(explain(f"file {path}", got, wanted, todo)) from error


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as stream:
        first = stream.readline()
    return max("\t;,", key=first.count)


def _is_empty(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in EMPTY
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _number(cell: Any) -> float | None:
    # None for what is no number; a date or a truth value is none.
    if isinstance(cell, bool):
        return None
    if isinstance(cell, int | float):
        return float(cell)
    try:
        return float(cell) if isinstance(cell, str) else None
    except ValueError:
        return None


def _table(path: Path, codes: set[float], sheet: int | str) -> tuple[Any, dict[str, str]]:
    pandas = _pandas()
    head, *rows = _cells(path, sheet)
    names = ["" if _is_empty(cell) else str(cell).strip() for cell in head]
    first = _first_species(names, rows[1:] or rows)
    # A row of units has no number below the name of a species.
    has_units = len(rows) > 1 and all(_number(cell) is None for cell in rows[0][first:])
    units, rows = (rows[0], rows[1:]) if has_units else ([], rows)
    species = names[first:]
    for name in species:
        if not name or species.count(name) > 1:
            got = f"the species {name!r} {species.count(name)} times" if name else "one without"
            raise ValueError(explain(f"file {path}", got, "a name of its own for every species"))
    numbers = [
        [
            _value(path, name, line, cell, codes)
            for name, cell in zip(species, row[first:], strict=True)
        ]
        for line, row in enumerate(rows, start=3 if has_units else 2)
    ]
    index = _index([row[:first] for row in rows], names[:first])
    found = pandas.DataFrame(numbers, columns=species, index=index, dtype=float)
    named = dict(zip(species, units[first:], strict=True)) if has_units else {}
    return found, {name: "" if _is_empty(unit) else str(unit) for name, unit in named.items()}


def _first_species(names: list[str], rows: list[list[Any]]) -> int:
    # Leading columns with a cell that is no number, or called by what stands for dates.
    first = 0
    for place, name in enumerate(names[:-1]):
        texts = any(not _is_empty(row[place]) and _number(row[place]) is None for row in rows)
        if not (texts or name.lower() in ("", "date", "time", "datetime", "sample", "id")):
            break
        first = place + 1
    return first


def _value(path: Path, name: str, line: int, cell: Any, codes: set[float]) -> float:
    if _is_empty(cell):
        return math.nan
    value = _number(cell)
    if value is None:
        got = f"{cell!r} in row {line} of {name!r}"
        todo = "Empty the cell, or write a number of missing=... into it."
        raise ValueError(explain(f"file {path}", got, "a number or an empty cell", todo))
    return math.nan if value in codes else value


def _index(labels: list[list[Any]], names: list[str]) -> Any:
    # The first column of dates, else the first column, else numbers.
    pandas = _pandas()
    if not names:
        return None
    columns = [[label[place] for label in labels] for place in range(len(names))]
    for name, column in zip(names, columns, strict=True):
        if all(_number(cell) is not None for cell in column):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that it had to look at each cell
                return pandas.DatetimeIndex(pandas.to_datetime(column), name=name or None)
        except (ValueError, TypeError):
            continue
    return pandas.Index(columns[0], name=names[0] or None)


def _fitting(wide: Any, values: Any, path: Path) -> Any:
    # Uncertainties in the order of the concentrations.
    ours, theirs = set(values.columns), set(wide.columns)
    if ours != theirs:
        lacking, more = sorted(ours - theirs), sorted(theirs - ours)
        got = f"no column for {lacking}" if lacking else f"columns {more} beside those"
        raise ValueError(explain(f"file {path}", got, "the species of the concentrations"))
    if len(wide) != len(values):
        wanted = f"{len(values)}, one for each sample"
        raise ValueError(explain(f"file {path}", f"{len(wide)} rows of numbers", wanted))
    different = [k for k, (a, b) in enumerate(zip(values.index, wide.index, strict=True)) if a != b]
    if different:
        at = different[0]
        got = f"{wide.index[at]} for sample {at + 1}"
        wanted = f"{values.index[at]}, as in the concentrations"
        raise ValueError(explain(f"file {path}", got, wanted, "Sort both files alike."))
    return wide[list(values.columns)]
