"""The table: time of every library to the objective of scikit-learn's 100 iterations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks import floor, partwise_runs
from benchmarks.data import MissingDataError
from benchmarks.objective import objective
from benchmarks.peers import PEERS, SCIKIT_LEARN, Iterate, Peer, rest
from benchmarks.report import Table, middle, number, spread
from benchmarks.workloads import WORKLOADS, Workload, start

REFERENCE_ITERATIONS = 100
SLACK = 1.0001
HEAD = [
    "work", "library", "seconds", "whole fit", "iterations", "times faster", "ms per iteration",
    "over two products", "over two reads",
]  # fmt: skip

MARK = " †"
EXPLANATIONS = [
    "median (least–largest)",
    "† cannot be given a start and draws its own",
    "gensim keeps W of the last batch only; the best W counts, at no cost to it",
]

Timed = Callable[[], "Lap | None"]


class Lap(NamedTuple):
    """One measurement of one library; the ratio is of whole calls."""

    seconds: float
    whole: float
    iterations: float
    per_iteration: float
    ratio: float = np.nan


class Start(NamedTuple):
    """X, the start, and the target that all libraries run to."""

    X: Any
    W: np.ndarray
    H: np.ndarray
    beta: float
    target: float
    patience: float


def libraries(names: Sequence[str] | None) -> tuple[list[str], list[Peer], list[str]]:
    """Return Partwise's solvers, the peers to run, and a note on each that is left out.

    ``partwise`` is Partwise with its default solver, ``partwise-NAME`` with that of a name.
    """
    solvers = [name for name in names or ["partwise"] if name.split("-")[0] == "partwise"]
    known = {peer.name for peer in PEERS}
    unknown = sorted(set(names or []) - known - set(solvers))
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known: partwise, {', '.join(known)}")
    wanted = [peer for peer in PEERS if names is None or peer.name in names]
    missing = {peer.name: peer.missing() for peer in wanted}
    notes = [f"{name} is left out: {why}" for name, why in missing.items() if why]
    return solvers, [peer for peer in wanted if not missing[peer.name]], notes


def table(
    size: str,
    rows: Sequence[str],
    peers: Sequence[str] | None = None,
    repeats: int = 3,
    seeds: int = 1,
    patience: float = 3.0,
) -> Table:
    """Measure the rows and return the table."""
    solvers, others, notes = libraries(peers)
    rate = floor.read_rate(256 if size == "full" else 8)
    lines: list[Sequence[str]] = []
    laps: dict[str, list[Lap]] = {}
    for name in rows:
        try:
            found = race(WORKLOADS[name], size, solvers, others, repeats, seeds, patience)
        except MissingDataError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        laps[name] = found.laps.get("partwise", [])
        lines += found.lines(rate)
        notes += found.notes
    notes += [*_precision(laps), *EXPLANATIONS]
    return Table("Time to the same objective", HEAD, lines, f"{size} size", notes)


class Race:
    """All laps of one row, by library."""

    def __init__(self, work: Workload, size: str, told: str) -> None:
        self.work = work
        self.what = work.what if size == "full" else f"planted data instead of: {work.what}"
        self.told = told
        self.X, self.k = work.make(size)
        self.laps: dict[str, list[Lap]] = {}
        self.notes: list[str] = []
        self.marks: dict[str, str] = {}

    def add(self, name: str, lap: Lap | None, reference: float) -> None:
        laps = self.laps.setdefault(name, [])
        if lap is None:
            laps.append(Lap(np.nan, np.nan, np.nan, np.nan))
        else:
            laps.append(lap._replace(ratio=reference / lap.whole))

    def lines(self, rate: float) -> Iterator[Sequence[str]]:
        products = floor.products(self.X, *start(self.X, self.k, 0))
        reads = floor.two_reads(self.X, rate)
        n, m = self.X.shape
        self.notes.append(
            f"{self.work.name}: {self.what}, {n:,} × {m:,}, k = {self.k}; {self.told}; two "
            f"products take {number(1e3 * products)} ms, two reads of X {number(1e3 * reads)} ms "
            f"at {number(rate / 1e9)} GB/s"
        )
        for name, laps in self.laps.items():
            reached = [lap for lap in laps if np.isfinite(lap.seconds)]
            per_iteration = middle(lap.per_iteration for lap in reached)
            yield [
                self.work.name,
                name + self.marks.get(name, ""),
                spread(lap.seconds for lap in reached),
                spread(lap.whole for lap in reached),
                number(middle(lap.iterations for lap in reached)),
                _ratio(laps, reached),
                number(1e3 * per_iteration),
                number(per_iteration / products, "×"),
                number(per_iteration / reads, "×"),
            ]


def _ratio(laps: Sequence[Lap], reached: Sequence[Lap]) -> str:
    if not reached:
        return "not reached"
    missed = len(laps) - len(reached)
    told = spread((lap.ratio for lap in reached), "×")
    return told + (f", {missed} of {len(laps)} not reached" if missed else "")


def race(
    work: Workload,
    size: str,
    solvers: Sequence[str],
    others: Sequence[Peer],
    repeats: int,
    seeds: int,
    patience: float,
) -> Race:
    """Run every library in turn, ``repeats`` times from each of ``seeds`` starts."""
    found = Race(work, size, f"{repeats} repeats from each of {seeds} starts")
    X, k = found.X, found.k
    for seed in range(seeds):
        W, H = start(X, k, seed)
        reference = SCIKIT_LEARN.start(X, W, H, work.beta, seed)
        found_W, found_H, seconds, done = reference(REFERENCE_ITERATIONS)
        target = SLACK * objective(X, found_W, found_H, work.beta)
        course = Start(X, W, H, work.beta, target, patience * seconds)
        entrants = _entrants(found, course, solvers, others, seed)
        for repeat in range(repeats):
            if repeat:
                rest()
                seconds = reference(REFERENCE_ITERATIONS)[2]
            if SCIKIT_LEARN in others:
                lap = Lap(seconds, seconds, done, seconds / done)
                found.add(SCIKIT_LEARN.name, lap, seconds)
            for name, lap_of in entrants.items():
                rest()
                found.add(name, lap_of(), seconds)
                print(f"{work.name}: {name}, seed {seed}, repeat {repeat}", file=sys.stderr)
    return found


def _entrants(
    found: Race, course: Start, solvers: Sequence[str], others: Sequence[Peer], seed: int
) -> dict[str, Timed]:
    """Return what times each library once; all are warm, and know how long they have to run."""
    entrants: dict[str, Timed] = {}
    for name in solvers:
        solver = name.partition("-")[2] or "auto"
        partwise_runs.fit(*course[:4], solver=solver, iterations=partwise_runs.WARM)
        fewest = partwise_runs.fewest(*course[:5], solver=solver)
        entrants[name] = partial(_partwise_lap, course, solver, fewest)
    for peer in others:
        if peer is SCIKIT_LEARN or not peer.serves(course.X, course.beta):
            continue
        try:
            iterate = peer.start(*course[:4], seed)
            iterate(3)
            fewest, excess = shortest(iterate, course)
        except Exception as error:  # a peer that breaks on a row must not end the others
            found.notes.append(f"{found.work.name}: {peer.name} fails: {error!s:.200}")
            continue
        if peer.own_start:
            found.marks[peer.name] = MARK
        if fewest is None:
            found.notes.append(
                f"{found.work.name}, seed {seed}: {peer.name} was given up "
                f"{100 * excess:.2g} % above the target"
            )
        entrants[peer.name] = partial(_peer_lap, iterate, fewest)
    return entrants


def _partwise_lap(course: Start, solver: str, iterations: int | None) -> Lap | None:
    if iterations is None:
        return None
    run = partwise_runs.fit(*course[:4], solver=solver, iterations=iterations)
    return Lap(run.seconds, run.whole, run.iterations, run.per_iteration)


def _peer_lap(iterate: Iterate, fewest: int | None) -> Lap | None:
    if fewest is None:
        return None
    _, _, seconds, done = iterate(fewest)
    return Lap(seconds, seconds, done, seconds / done)


def shortest(iterate: Iterate, course: Start) -> tuple[int | None, float]:
    """Return the fewest iterations to the target to within a tenth, and the last excess.

    Doubles, then bisects; None if a run longer than the patience ends above the target.
    """

    def try_out(n: int) -> tuple[float, float, int]:
        W, H, seconds, done = iterate(n)
        value = objective(course.X, W, H, course.beta)
        return value / course.target - 1, seconds, done

    low, high = 0, 8
    while True:
        excess, seconds, done = try_out(high)
        if excess <= 0:
            break
        if seconds > course.patience or not np.isfinite(excess):
            return None, excess
        low, high = done, 2 * max(done, high)
    high = max(high, done)
    while high - low > max(1, high // 10):
        middle = (low + high) // 2
        excess, _, done = try_out(middle)
        if excess > 0:
            low = middle
        else:
            high = middle
    return high, excess


# --- notes -------------------------------------------------------------------------------


def _precision(laps: dict[str, list[Lap]]) -> list[str]:
    double, single = laps.get("tfidf"), laps.get("tfidf32")
    if not double or not single:
        return []
    told = [
        number(
            middle(getattr(x, field) for x in double) / middle(getattr(x, field) for x in single),
            "×",
        )
        for field in ("seconds", "per_iteration")
    ]
    return [f"tfidf: float32 is {told[0]} as fast to the target, {told[1]} per iteration"]
