"""Partwise of two commits, in turn."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import ROOT
from benchmarks.processes import call
from benchmarks.report import Table, spread


def timed(
    name: str, size: str, iterations: int, origin: str, target: float | None
) -> dict[str, Any]:
    """Return the time to a target, or without one that of so many iterations."""
    import partwise
    from benchmarks import partwise_runs
    from benchmarks.workloads import begun

    if not Path(partwise.__file__).is_relative_to(origin):
        message = f"partwise came from {partwise.__file__}, not from {origin}"
        raise RuntimeError(message)
    work, X, W, H = begun(name, size)
    partwise_runs.fit(X, W, H, work.beta, iterations=partwise_runs.WARM)
    count: int | None = iterations
    if target is not None:
        count = partwise_runs.fewest(X, W, H, work.beta, target, most=10 * iterations)
    if count is None:
        return {}
    return partwise_runs.fit(X, W, H, work.beta, iterations=count)._asdict()


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Hold a working tree of a commit, and yield its folder of sources."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve() / "tree"
        _git("worktree", "add", "--detach", str(folder), revision)
        try:
            yield folder / "src"
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"git {' '.join(arguments)}: {done.stderr.strip()}"
        raise RuntimeError(message)
    return done.stdout.strip()


def table(
    before: str, after: str, size: str, rows: Sequence[str], iterations: int = 50, repeats: int = 5
) -> Table:
    """Run the rows with both commits in turn, to the objective of the first one's iterations."""
    lines: list[Sequence[str]] = []
    short = [_git("rev-parse", "--short", revision) for revision in (before, after)]
    setting = (
        f"{short[0]} ({before}) against {short[1]} ({after}), {size} size; target: the objective "
        f"of {iterations} iterations of the first, {repeats} repeats in turn: median "
        "(least–largest); above 1 the second is faster"
    )
    notes: list[str] = []
    with contextlib.ExitStack() as held:
        # A commit beside itself, which tells the noise, is compiled once.
        trees = {one: held.enter_context(checked_out(one)) for one in dict.fromkeys(short)}
        for name in rows:
            line, note = _row(name, size, iterations, repeats, (trees[short[0]], trees[short[1]]))
            lines += [line] if line else []
            notes += [note] if note else []
            print(f"compared: {name}", file=sys.stderr)
    head = [
        "work", "first (s)", "second (s)", "to the target", "per iteration", "whole fit",
        "iterations",
    ]  # fmt: skip
    return Table("Two commits", head, lines, setting, notes)


def _row(
    name: str, size: str, iterations: int, repeats: int, sources: tuple[Path, Path]
) -> tuple[Sequence[str] | None, str | None]:
    def run(source: Path, target: float | None) -> dict[str, Any]:
        job = {"name": name, "size": size, "iterations": iterations, "target": target}
        return call("compare", "timed", source=source, origin=str(source), **job)

    trial = run(sources[0], None)
    if "missing" in trial:
        return None, f"{name} is left out: {trial['missing']}"
    target = 1.0001 * trial["objective"]
    pairs = [tuple(run(source, target) for source in sources) for _ in range(repeats)]
    found: list[dict[str, list[float]]] = [
        {field: [runs[which].get(field, np.nan) for runs in pairs] for field in trial}
        for which in (0, 1)
    ]

    def ratio(field: str) -> str:
        first, second = (np.array(side[field], dtype=float) for side in found)
        return spread(first / second, "×")

    seconds = [spread(side["seconds"]) for side in found]
    counts = " → ".join(f"{np.median(side['iterations']):.0f}" for side in found)
    note = None
    if any(not run for runs in pairs for run in runs):
        note = f"{name}: the target was not reached within {10 * iterations} iterations"
    line = [name, *seconds, ratio("seconds"), ratio("per_iteration"), ratio("whole"), counts]
    return line, note
