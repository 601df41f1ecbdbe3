"""An iteration on data with missing entries beside one on the same data without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from benchmarks import partwise_runs
from benchmarks.peers import rest
from benchmarks.report import Table, number, spread
from benchmarks.workloads import start

HEAD = ["data", "k", "complete (ms per iteration)", "with holes", "times as long"]


class Case(NamedTuple):
    """Data of a shape, of which a share is known; what is not is a NaN, or is not stored."""

    name: str
    shape: tuple[int, int]
    known: float
    listed: bool
    components: Sequence[int]

    def make(self, seed: int = 0) -> tuple[Any, Any, dict[str, Any]]:
        """Return complete data, the same with holes, and what tells a fit of them."""
        rng = np.random.default_rng(seed)
        if self.listed:
            X = sparse.random_array(
                self.shape, density=self.known, rng=rng, format="csr", data_sampler=rng.random
            )
            return X, X, {"unstored": "missing"}
        X = rng.random(self.shape)
        return X, np.where(rng.random(self.shape) < self.known, X, np.nan), {}


CASES = {
    "full": [
        Case("half of 2,000 × 1,000 missing", (2000, 1000), 0.5, False, (5, 10, 20, 50)),
        Case("1 % of 2,000 × 1,000 listed", (2000, 1000), 0.01, True, (10,)),
        Case("1 % of 20,000 × 10,000 listed", (20000, 10000), 0.01, True, (5, 10, 20)),
    ],
    "tiny": [
        Case("half of 60 × 40 missing", (60, 40), 0.5, False, (3,)),
        Case("a tenth of 60 × 40 listed", (60, 40), 0.1, True, (3,)),
    ],
}


def table(size: str, iterations: int = 30, repeats: int = 3) -> Table:
    """Measure both in turn, from the same start."""
    lines = []
    for case in CASES[size]:
        whole, holes, told = case.make()
        for k in case.components:
            taken: tuple[list[float], list[float]] = [], []
            W, H = start(whole, k, 0)
            for repeat in range(repeats + 1):
                for X, how, found in ((whole, {}, taken[0]), (holes, told, taken[1])):
                    rest()
                    run = partwise_runs.fit(X, W, H, 2, iterations=iterations, **how)
                    if repeat:  # the first one compiles
                        found.append(run.per_iteration)
            times = [after / before for before, after in zip(*taken, strict=True)]
            columns = (spread(1e3 * second for second in some) for some in taken)
            lines.append([case.name, number(k), *columns, spread(times, "×")])
    setting = f"{size} size, {iterations} iterations, {repeats} repeats: median (least–largest)"
    notes = [
        "random data; listed: sparse data whose unstored entries are missing, beside the same data "
        "with zeros there",
        "an iteration with holes goes further than one without, or less far: times to a solution "
        "are another thing",
    ]
    return Table("Missing entries", HEAD, lines, setting, notes)
