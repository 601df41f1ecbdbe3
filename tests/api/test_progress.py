"""What a fit says while it runs: nothing, lines, or a bar on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from partwise import NMF, MiniBatchNMF, non_negative_factorization
from partwise.estimators import _progress

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).uniform(0.1, 1, (20, 10))

LINE = re.compile(
    r"^(?P<who>\w+( start \d)?): iteration +(?P<iteration>\d+), "
    r"objective (?P<objective>\S+), KKT residual (?P<kkt>\S+), (?P<seconds>\S+) s$"
)


def lines_of(capsys) -> list[str]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


@quiet
def test_silent_at_verbose_zero(capfd):
    for solver, beta in (("cd", 2), ("mu", 1)):
        model = NMF(3, solver=solver, beta_loss=beta, n_init=2, n_jobs=2, random_state=0)
        model.fit(X)
        model.transform(X)
        model.score(X)
        non_negative_factorization(X, n_components=3, solver=solver, beta_loss=beta)
    online = MiniBatchNMF(3, batch_size=5, random_state=0, max_iter=10).fit(X)
    online.partial_fit(X)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


@quiet
@pytest.mark.parametrize(
    "model",
    [
        NMF(3, solver="cd", max_iter=60, tol=0, verbose=1),
        NMF(3, solver="mu", beta_loss=1, max_iter=60, tol=0, verbose=1),
        NMF(3, solver="mu", beta_loss=1, max_iter=60, tol=0, verbose=True),
        MiniBatchNMF(3, max_iter=60, tol=0, batch_size=5, max_no_improvement=None, verbose=1),
    ],
    ids=["cd", "mu", "True", "minibatch"],
)
def test_a_line_per_interval_with_iteration_objective_residual_and_seconds(model, capsys):
    model.fit(X)
    *lines, last = lines_of(capsys)
    found = [LINE.match(line) for line in lines]
    assert all(found), lines
    iterations = [int(m["iteration"]) for m in found]
    assert iterations == list(range(0, 61, 3))
    for m, i in zip(found, iterations, strict=True):
        assert m["who"] == type(model).__name__
        if i < 60:  # the end of the fit may still clean up what was printed
            assert float(m["objective"]) == pytest.approx(model.objective_history_[i], rel=1e-7)
        assert float(m["kkt"]) >= 0
    assert float(found[0]["kkt"]) > float(found[-1]["kkt"])
    seconds = [float(m["seconds"]) for m in found]
    assert seconds == sorted(seconds)
    assert last.startswith(f"{type(model).__name__}: stopped after 60 iterations, ")
    assert model.stop_reason_ in last


@quiet
@quiet
def test_a_line_more_where_iterations_take_long(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    NMF(3, max_iter=200, tol=0, verbose=1).fit(X)
    assert len(capsys.readouterr().out.splitlines()) == 202


def test_every_iteration_at_verbose_two_and_the_number_of_the_start(capsys):
    NMF(3, max_iter=50, tol=0, verbose=2).fit(X)
    lines = lines_of(capsys)
    assert [int(m["iteration"]) for line in lines[:-1] if (m := LINE.match(line))] == list(
        range(51)
    )
    NMF(3, max_iter=2, tol=0, verbose=1, n_init=2, random_state=0).fit(X)
    lines = lines_of(capsys)
    assert [line.split(":")[0] for line in lines] == ["NMF start 0"] * 4 + ["NMF start 1"] * 4


@quiet
def test_objectives_are_printed_in_the_unit_of_the_data(capsys):
    model = NMF(3, max_iter=2, tol=0, verbose=2).fit(X * 1e100)
    first = LINE.match(lines_of(capsys)[0])
    assert float(first["objective"]) == pytest.approx(model.objective_history_[0], rel=1e-7)
    assert float(first["objective"]) > 1e199


@quiet
def test_verbose_does_not_change_the_answer(capsys):
    for solver in ("cd", "mu"):
        fits = [NMF(3, solver=solver, max_iter=30, verbose=v).fit(X) for v in (0, 1, 2)]
        for other in fits[1:]:
            np.testing.assert_array_equal(other.components_, fits[0].components_)
            assert other.n_iter_ == fits[0].n_iter_
    capsys.readouterr()


CODE = """
import time, warnings
warnings.simplefilter("ignore")
import numpy as np
from partwise import NMF
X = np.random.default_rng(0).uniform(0.1, 1, (20, 10))
NMF(3, max_iter=1, tol=0).fit(X)
model = NMF(3, tol=0, verbose={verbose}, **{params}).fit(
    X, callback=lambda state: time.sleep({sleep}))
print("done", model.n_iter_)
"""


def on_a_terminal(verbose: int, params: dict, sleep: float = 0.02) -> str:
    """Run a fit in a process whose output is a pseudo-terminal; what it wrote there."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    code = CODE.format(verbose=verbose, params=params, sleep=sleep)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0, written.decode()
    return written.decode()


def test_progress_bar_on_a_terminal():
    pytest.importorskip("rich")
    text = on_a_terminal(1, {"max_iter": 40})
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "NMF" in plain
    percents = [int(p) for p in re.findall(r"(\d+)%", plain)]
    assert percents[-1] == 100
    assert len(set(percents)) > 3
    assert re.search(r"\d:\d\d:\d\d", plain), "no time left"
    assert "KKT residual" in plain
    assert "\r" in text
    assert plain.strip().endswith("done 40")


def test_progress_bar_counts_towards_max_time():
    pytest.importorskip("rich")
    text = on_a_terminal(1, {"max_iter": 10**6, "max_time": 0.8})
    percents = [int(p) for p in re.findall(r"(\d+)%", text)]
    assert max(percents) > 50
    assert len(set(percents)) > 3


def test_nothing_on_a_terminal_at_verbose_zero():
    text = on_a_terminal(0, {"max_iter": 3}, sleep=0)
    assert text.strip() == "done 3"


def test_lines_on_a_terminal_without_rich(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    NMF(3, max_iter=2, tol=0, verbose=1).fit(X)
    assert len([line for line in lines_of(capsys) if LINE.match(line)]) == 3
