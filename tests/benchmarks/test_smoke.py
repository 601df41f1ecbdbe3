"""Every benchmark runs at its tiny size, and its table is whole."""

import csv
import math
import shutil

import numpy as np
import pytest
from scipy import special

from benchmarks import cli, partwise_runs
from benchmarks.data import ROOT
from benchmarks.objective import objective
from benchmarks.peers import PEERS, quiet
from benchmarks.workloads import WORKLOADS, start
from partwise.data import as_data
from partwise.losses import as_loss
from partwise.models import Bilinear
from partwise.problem import Problem
from partwise.solvers import SOLVERS


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that runs a command and returns the rows of its table as dicts."""

    def run(command, *arguments):
        out = tmp_path / "out.md"
        size = ["--size", "tiny", "--out", str(out), "--csv", str(tmp_path)]
        assert cli.main([command, *size, *map(str, arguments)]) == 0
        assert capsys.readouterr().out == out.read_text(encoding="utf-8") + "\n"
        assert "numpy" in (tmp_path / f"{command}.txt").read_text(encoding="utf-8")
        with (tmp_path / f"{command}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return run


def value(cell):
    return float(cell.split()[0].rstrip("×"))


def assert_whole(rows, names, columns):
    assert [row[next(iter(row))] for row in rows] == list(names)
    for row in rows:
        for column in columns:
            assert math.isfinite(value(row[column])), (row, column)


def test_table(run):
    peers = "partwise,scikit-learn,scikit-learn mini-batch"
    rows = run("table", "--repeats", 1, "--peers", peers)
    found = {(row["work"], row["library"]): row for row in rows}
    for name in WORKLOADS:
        assert value(found[name, "scikit-learn"]["times faster"]) == 1
        ours = found[name, "partwise"]
        assert value(ours["times faster"]) > 0
        assert value(ours["over two products"]) > 0
        assert (name, "scikit-learn mini-batch") in found


def test_table_piece_by_piece(run, tmp_path):
    run("table", "--repeats", 1, "--peers", "partwise,scikit-learn", "--rows", "small,bands")
    rows = run("table", "--repeats", 1, "--peers", "partwise-cd", "--rows", "faces,bands")
    assert [row["work"] for row in rows] == ["small", "small", "faces", "bands"]
    notes = (tmp_path / "table.txt").read_text(encoding="utf-8").splitlines()
    for name in ("small", "faces", "bands"):
        assert len([line for line in notes if line.startswith(f"- {name}:")]) == 1


def test_memory(run):
    rows = run("memory", "--rows", "small,counts")
    assert_whole(rows, ["small", "counts"], ["X (MB)", "factors (MB)", "beyond X (MB)"])


def test_threads(run):
    rows = run("threads", "--rows", "small", "--repeats", 1, "--iterations", 5)
    assert_whole(rows, ["small"], ["times faster", "whole fit"])


def test_holes(run):
    rows = run("holes", "--iterations", 5, "--repeats", 1)
    assert len(rows) == 2
    for row in rows:
        assert 0 < value(row["times as long"])


def test_parts(run):
    rows = run("parts", "--iterations", 3, "--rows", "tfidf,counts,faces,powers")
    for name in ("tfidf", "counts", "faces", "powers"):
        found = {row["part"]: row for row in rows if row["work"] == name}
        whole = value(found["iteration"]["ms"])
        assert value(found["iteration"]["of the iteration"]) == 100
        assert 0 < value(found["two products with X"]["ms"])
        if WORKLOADS[name].beta == 2:
            parts = [value(row["ms"]) for part, row in found.items() if part[0] != "("]
            assert sum(parts) == pytest.approx(2 * whole, rel=0.03)
        else:
            assert value(found["(divisions of all sweeps)"]["ms"]) > 0


def test_cold(run):
    rows = run("cold", "--rows", "small", "--repeats", 1)
    assert_whole(rows, ["small"], ["empty cache", "warm cache"])


def test_small(run):
    rows = run("small")
    assert [row["library"] for row in rows[:2]] == ["scikit-learn", "partwise"]
    assert_whole(rows, [row["data"] for row in rows], ["ms", "times faster"])


def test_disk(run, tmp_path):
    (row,) = run("disk", "--folder", tmp_path, "--iterations", 3)
    assert all(value(cell) > 0 for cell in row.values())


def test_solvers(run):
    rows = run("solvers", "--rows", "small,counts", "--seeds", 1)
    for work in ("small", "counts"):
        found = {row["solver"]: row for row in rows if row["work"] == work}
        X, k = WORKLOADS[work].make("tiny")
        model = Bilinear(k)
        factors = {n: np.ones((size, k)) for n, size in model.dimensions(X.shape).items()}
        problem = Problem(as_data(X), model, as_loss(WORKLOADS[work].beta), factors)
        able = [name for name, make in SOLVERS.items() if make().lacks(problem) is None]
        assert set(found) == set(able)
        for row in found.values():
            excesses = [float(row[f"in {times} ×"].rstrip(" %")) for times in (1, 3, 10)]
            assert all(excess >= 0 for excess in excesses)
        assert min(float(row["in 10 ×"].rstrip(" %")) for row in found.values()) < 1


def test_compare(run):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("commits are compared in a clone")
    job = ["--rows", "small", "--repeats", 1, "--iterations", 10]
    rows = run("compare", "HEAD", "HEAD", *job)
    assert_whole(rows, ["small"], ["to the target", "per iteration", "whole fit"])


def test_rows_without_their_data_are_left_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PARTWISE_DATA", str(tmp_path))
    assert cli.main(["table", "--rows", "faces", "--repeats", "1", "--peers", "partwise"]) == 0
    assert "faces is left out" in capsys.readouterr().out


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peers_descend(peer):
    if why := peer.missing():
        pytest.skip(why)
    served = 0
    for work in WORKLOADS.values():
        X, k = work.make("tiny")
        if not peer.serves(X, work.beta):
            continue
        served += 1
        W, H = start(X, k, 0)
        with quiet():
            iterate = peer.start(X, W, H, work.beta, 0)
            found_W, found_H, seconds, done = iterate(20)
        assert (found_W.shape, found_H.shape) == (W.shape, H.shape)
        assert found_W.dtype == found_H.dtype == X.dtype
        assert done >= 20
        assert seconds > 0
        before = objective(X, W, H, work.beta)
        assert objective(X, found_W, found_H, work.beta) < 0.9 * before
    assert served


@pytest.mark.parametrize("name", WORKLOADS)
def test_objective(name, monkeypatch):
    """Blocks and stored entries only, against the plain sum."""
    monkeypatch.setattr("benchmarks.objective.BLOCK", 1000)
    work = WORKLOADS[name]
    X, k = work.make("tiny")
    W, H = start(X, k, 0)
    x = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)
    y = W.astype(float) @ H.astype(float)
    plain = {
        2: lambda: 0.5 * np.linalg.norm(x - y) ** 2,
        1.5: lambda: np.sum((x**1.5 + 0.5 * y**1.5 - 1.5 * x * y**0.5) / 0.75),
        1: lambda: special.kl_div(x, y).sum(),
        0: lambda: np.sum(x / y - np.log(x / y) - 1),
    }[work.beta]()
    assert objective(X, W, H, work.beta) == pytest.approx(plain, rel=1e-9)


def test_starts_have_the_mean_of_the_data():
    X, k = WORKLOADS["counts"].make("tiny")
    W, H = start(X, k, 3)
    assert (W @ H).mean() == pytest.approx(X.mean())


def test_fewest_iterations_to_a_target():
    X, k = WORKLOADS["small"].make("tiny")
    W, H = start(X, k, 0)
    target = partwise_runs.fit(X, W, H, 2, iterations=20).objective * (1 + 1e-9)  # rounding
    fewest = partwise_runs.fewest(X, W, H, 2, target)
    assert fewest <= 20
    assert partwise_runs.fit(X, W, H, 2, iterations=fewest).objective <= target
    assert partwise_runs.fit(X, W, H, 2, iterations=fewest - 1).objective > target
    assert partwise_runs.fewest(X, W, H, 2, 0.0, most=5) is None
