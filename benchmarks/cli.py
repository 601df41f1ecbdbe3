"""The commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    cold,
    compare,
    disk,
    holes,
    memory,
    parts,
    race,
    report,
    small,
    solvers,
    threads,
)
from benchmarks.report import Table
from benchmarks.workloads import WORKLOADS

# One set of kernels each.
KERNELS = ["small", "tfidf", "counts", "powers"]
# Rows that are not all that there are.
ROWS = {
    "cold": KERNELS,
    "solvers": ["faces"],
    "parts": [name for name in WORKLOADS if name not in ("small", "between")],
}


def _table(args: argparse.Namespace) -> Table:
    return race.table(
        args.size, args.rows, args.peers, args.repeats or 3, args.seeds, args.patience
    )


def _compare(args: argparse.Namespace) -> Table:
    return compare.table(
        args.before, args.after, args.size, args.rows, args.iterations or 50, args.repeats or 5
    )


def _memory(args: argparse.Namespace) -> Table:
    return memory.table(args.size, args.rows, args.iterations or 5)


def _threads(args: argparse.Namespace) -> Table:
    return threads.table(
        args.size, args.rows, args.iterations or 20, args.repeats or 3, args.threads
    )


def _parts(args: argparse.Namespace) -> Table:
    return parts.table(args.size, args.rows, args.iterations or 20)


def _holes(args: argparse.Namespace) -> Table:
    return holes.table(args.size, args.iterations or 30, args.repeats or 3)


def _cold(args: argparse.Namespace) -> Table:
    return cold.table(args.rows, args.repeats or 5)


def _small(args: argparse.Namespace) -> Table:
    return small.table(args.repeats or (200 if args.size == "full" else 10))


def _disk(args: argparse.Namespace) -> Table:
    gigabytes = args.gigabytes or (6.0 if args.size == "full" else 0.004)
    return disk.table(gigabytes, args.iterations or 5, args.evict, args.folder)


def _solvers(args: argparse.Namespace) -> Table:
    return solvers.table(args.size, args.rows, args.seeds)


COMMANDS = {
    "table": (_table, "time of every library to the same objective, and the floor"),
    "memory": (_memory, "peak memory of a fit beyond X"),
    "threads": (_threads, "two threads against one"),
    "parts": (_parts, "what an iteration is made of, beside what the machine does alone"),
    "holes": (_holes, "an iteration with missing entries beside one without"),
    "cold": (_cold, "the first fit of a process, with and without compiled kernels"),
    "small": (_small, "a small default fit beside scikit-learn's"),
    "disk": (_disk, "a file larger than what the fit may hold in memory"),
    "solvers": (_solvers, "every solver in the time that the default needs, and in more"),
    "compare": (_compare, "two commits of Partwise, in turn"),
}
NEEDS = {
    "rows": {"table", "memory", "threads", "parts", "cold", "solvers", "compare"},
    "iterations": {"memory", "threads", "parts", "holes", "disk", "compare"},
    "repeats": {"table", "threads", "holes", "cold", "small", "compare"},
}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _rows(text: str) -> list[str]:
    names = _names(text)
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        message = f"{', '.join(unknown)}; known: {', '.join(WORKLOADS)}"
        raise argparse.ArgumentTypeError(message)
    return names


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks.")
    commands = top.add_subparsers(dest="command", required=True)
    for name, (_, about) in COMMANDS.items():
        one = commands.add_parser(name, help=about, description=about)
        if name == "compare":
            one.add_argument("before", help="a commit")
            one.add_argument("after", help="another one")
        one.add_argument("--size", choices=["full", "tiny"], default="full")
        one.add_argument("--out", type=Path, help="also write the Markdown to this file")
        one.add_argument("--csv", type=Path, help=f"also write {name}.csv and .txt to this folder")
        if name in NEEDS["rows"]:
            rows = ROWS.get(name, list(WORKLOADS))
            one.add_argument("--rows", type=_rows, default=rows, help=f"of {','.join(WORKLOADS)}")
        for option in ("iterations", "repeats"):
            if name in NEEDS[option]:
                one.add_argument(f"--{option}", type=int)
        _own_options(name, one)
    every = commands.add_parser("all", help="all of these but compare, into files")
    every.add_argument("--size", choices=["full", "tiny"], default="full")
    every.add_argument("--csv", type=Path, required=True, help="the folder of the files")
    return top


def _own_options(name: str, one: argparse.ArgumentParser) -> None:
    if name == "table":
        one.add_argument(
            "--peers", type=_names, help="libraries, partwise too; partwise-mu sets its solver"
        )
        one.add_argument("--seeds", type=int, default=1, help="starts")
        one.add_argument(
            "--patience", type=float, default=3, help="times of scikit-learn that a peer may take"
        )
    elif name == "solvers":
        one.add_argument("--seeds", type=int, default=3, help="starts")
    elif name == "threads":
        one.add_argument("--threads", type=int, default=2)
    elif name == "disk":
        one.add_argument("--gigabytes", type=float)
        one.add_argument("--folder", help="where to make the file")
        one.add_argument(
            "--evict", action="store_true", help="let the system forget the file in between"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    if args.command == "all":
        for name in COMMANDS:
            if name != "compare":
                main([name, "--size", args.size, "--csv", str(args.csv)])
        return 0
    work, _ = COMMANDS[args.command]
    table = work(args)
    text = report.markdown(table)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    if args.csv:
        report.write_csv(table, args.csv, args.command)
    return 0
