"""Tables in Markdown and CSV, and the machine that they came from."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PACKAGES = ["partwise", "numpy", "scipy", "scikit-learn", "numba"]
PEER_PACKAGES = ["torch", "torchnmf", "nmf-torch", "gensim", "tensorly"]
SETTINGS = [
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "OPENBLAS_CORETYPE",
]  # fmt: skip


class Table(NamedTuple):
    """Rows of text under a head, how they were measured, and what has to be said with them.

    A note on a row begins with what is in its first column.
    """

    title: str
    head: Sequence[str]
    rows: list[Sequence[str]]
    setting: str
    notes: Sequence[str] = ()


def number(value: float, unit: str = "") -> str:
    """Return a number with three significant digits, or a dash."""
    return f"{value:#.3g}".rstrip(".") + unit if np.isfinite(value) else "–"


def middle(values: Iterable[float]) -> float:
    """Return the median, NaN of nothing."""
    values = list(values)
    return float(np.median(values)) if values else np.nan


def spread(values: Iterable[float], unit: str = "") -> str:
    """Return the median with the least and the largest value."""
    values = np.array(list(values), dtype=float)
    if not values.size or not np.isfinite(values).all():
        return "–"
    told = number(middle(values), unit)
    if values.size == 1:
        return told
    return f"{told} ({number(values.min())}–{number(values.max())})"


def machine() -> list[str]:
    """Return lines that say what ran where."""
    from threadpoolctl import threadpool_info

    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = f", {size / 2**30:.0f} GiB of memory"
    lines = [
        f"{_processor()}, {os.cpu_count()} cores{memory}, {platform.system()}",
        f"Python {platform.python_version()}, " + ", ".join(_versions(PACKAGES)),
    ]
    peers = _versions(PEER_PACKAGES)
    if peers:
        lines.append("peers: " + ", ".join(peers))
    pools = {
        f"{pool['internal_api']} {pool.get('version') or ''} "
        f"{pool.get('architecture') or ''} × {pool['num_threads']}"
        for pool in threadpool_info()
    }
    lines.append("thread pools: " + "; ".join(" ".join(pool.split()) for pool in sorted(pools)))
    settings = [f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ]
    lines.append("settings: " + (", ".join(settings) or "none"))
    return lines


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        fields = dict(
            [part.strip() for part in line.split(":", 1)]
            for line in path.read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
        model = fields.get("model name", "")
        detail = [fields[name] for name in ("cpu family", "model") if name in fields]
        if model:
            return f"{model} (family {', model '.join(detail)})" if detail else model
    return platform.processor() or platform.machine()


def _versions(names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def markdown(table: Table) -> str:
    """Return a Markdown table under its title, with notes and the machine below."""
    lines = ["| " + " | ".join(row) + " |" for row in [table.head, *table.rows]]
    lines.insert(1, "|" + "---|" * len(table.head))
    told = [f"- {line}" for line in (*table.notes, table.setting, *machine())]
    return "\n".join([f"## {table.title}", "", *lines, "", *told, ""])


def write_csv(table: Table, folder: Path, name: str) -> None:
    """Write ``name.csv`` and ``name.txt``, the notes and the machine.

    Rows of an earlier run stay unless this run has rows of the same first column, so that a
    long table can be made piece by piece; but not those of another machine or setting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = folder / f"{name}.csv", folder / f"{name}.txt"
    common = [f"- {line}" for line in (table.setting, *machine())]
    notes = [f"- {line}" for line in table.notes]
    rows, kept = list(table.rows), []
    if path.exists() and beside.exists():
        with path.open(newline="", encoding="utf-8") as file:
            head, *earlier = csv.reader(file)
        told = beside.read_text(encoding="utf-8").splitlines()
        if head == list(table.head) and set(common) <= set(told):
            fresh = {row[0] for row in rows}
            rows = [*(row for row in earlier if row[0] not in fresh), *rows]
            kept = [line for line in told if _keeps(line, fresh, {*notes, *common})]
        else:
            print(f"{path}: earlier rows were not made like these, and are gone", file=sys.stderr)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([table.head, *rows])
    beside.write_text("\n".join([*kept, *notes, *common]) + "\n", encoding="utf-8")


def _keeps(line: str, fresh: set[str], known: set[str]) -> bool:
    return line not in known and not line.startswith(
        tuple(f"- {name}{end}" for name in fresh for end in ":, ")
    )
