"""Solvers side by side: equal starts, true numbers, and what is told about them."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import partwise
from partwise import NMF, Comparison, UnsupportedCombinationError, compare
from partwise._tables import aligned
from partwise.penalties import L1, Simplex
from partwise.solvers import SOLVERS, CoordinateDescent, MultiplicativeUpdate

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.gamma(0.5, size=(30, 3)) @ RNG.gamma(0.5, size=(3, 12)) + RNG.uniform(0.01, 0.1, (30, 12))
S = sparse.csr_array(np.where(RNG.uniform(size=X.shape) < 0.4, X, 0))
THREE = ["cd", "mu", "pgd"]


class Recording(CoordinateDescent):
    """Coordinate descent that keeps what it began with, and a number that it drew."""

    def __init__(self, **options):
        super().__init__(**options)
        self.starts = []

    def start(self, problem, rng):
        factors = {name: F.copy() for name, F in problem.factors.items()}
        self.starts.append((factors, rng.integers(2**31)))
        return super().start(problem, rng)


def numbers(found):
    """Return everything but the seconds."""
    rows = [
        {key: value for key, value in row.items() if "seconds" not in key} for row in found.table()
    ]
    return rows, [r.objective_history.tolist() for r in found.runs]


# --- equal starts --------------------------------------------------------------------------


def test_all_solvers_begin_with_the_same_arrays():
    first, second = Recording(), Recording(extrapolate=False)
    compare(X, 3, solvers={"a": first, "b": second}, seeds=[5, 6], max_iter=4)
    assert len(first.starts) == 3  # one of the warm-up
    for (mine, drawn), (other, also_drawn) in zip(first.starts, second.starts, strict=True):
        assert drawn == also_drawn
        for name, F in mine.items():
            np.testing.assert_array_equal(F, other[name])
    assert not np.array_equal(first.starts[1][0]["W"], first.starts[2][0]["W"])


@pytest.mark.parametrize(
    "init", ["random", "random-acol", "nndsvda", "kmeans", "best-random", None]
)
def test_the_first_objective_of_a_seed_is_that_of_every_solver(init):
    found = compare(X, 3, solvers=["cd", "anls-bpp", "nenmf", "pgd"], init=init, max_iter=3)
    for seed in found.seeds:
        first = {r.objective_history[0] for r in found.runs if r.seed == seed}
        assert len(first) == 1, (init, seed)


@quiet
@pytest.mark.parametrize("solver", ["cd", "mu", CoordinateDescent(shuffle=True)])
@pytest.mark.parametrize("init", ["random", "kmeans"])
def test_a_run_is_the_fit_of_its_own(solver, init):
    other = "hals" if solver != "cd" else "mu"
    options = {"init": init, "max_iter": 20, "alpha_W": 1e-3, "penalty_H": L1(0.01)}
    found = compare(X, 3, solvers={"other": other, "mine": solver}, seeds=[0, 7], **options)
    for seed in (0, 7):
        model = NMF(3, solver=solver, random_state=seed, **options).fit(X)
        (r,) = (r for r in found.runs if (r.solver, r.seed) == ("mine", seed))
        np.testing.assert_array_equal(r.objective_history, model.objective_history_)
        assert (r.kkt, r.n_iter, r.converged) == (model.kkt_, model.n_iter_, model.converged_)
        assert r.stop_reason == model.stop_reason_
        assert len(r.time_history) == len(r.objective_history)


def test_the_input_is_untouched_and_numbers_repeat():
    for data in (X, S):
        values = data.data if sparse.issparse(data) else data
        before = bytes(values)
        first = compare(data, 3, solvers=THREE, seeds=2, max_iter=15)
        np.random.default_rng(3).random()
        second = compare(data, 3, solvers=THREE, seeds=2, max_iter=15)
        assert numbers(first) == numbers(second)
        assert bytes(values) == before


def test_the_order_of_solvers_turns_with_the_seeds_and_the_tables_do_not(capsys):
    found = compare(X, 3, solvers=THREE, seeds=[4, 5, 6, 7], max_iter=3, verbose=1)
    told = [line.split("'")[1] for line in capsys.readouterr().out.splitlines()]
    assert told == [*THREE, "mu", "pgd", "cd", "pgd", "cd", "mu", *THREE]
    assert [(r.solver, r.seed) for r in found.runs] == [(s, i) for i in (4, 5, 6, 7) for s in THREE]


def test_silent_unless_asked(capfd):
    compare(X, 3, solvers=THREE, seeds=1, max_iter=3)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_everything_is_compiled_before_it_is_timed():
    from partwise.kernels.extrapolation import extrapolate

    before = len(extrapolate.signatures)
    seen = []

    class Watching(Recording):
        def start(self, problem, rng):
            seen.append(len(extrapolate.signatures))
            return super().start(problem, rng)

    # Extrapolation begins late, with penalties at the seventh iteration.
    compare(X.astype(np.float32), 3, solvers=[Watching()], seeds=1, max_iter=30, tol=0, alpha_W=0.1)
    assert seen[0] == before
    assert seen[1] == len(extrapolate.signatures)


# --- what they are compared by ---------------------------------------------------------------


def test_excess_is_over_the_lowest_objective_of_the_seed():
    found = compare(X, 3, solvers=THREE, seeds=3, max_iter=60)
    for seed in found.seeds:
        runs = [r for r in found.runs if r.seed == seed]
        lowest = min(r.objective_history.min() for r in runs)
        assert min(r.excess_history.min() for r in runs) == 0
        for r in runs:
            np.testing.assert_allclose(
                r.excess_history, r.objective_history / lowest - 1, atol=1e-12
            )
            for share in (1e-2, 1e-3, 1e-4):
                seconds, count = r.reached(share)
                near = r.objective_history <= (1 + share) * lowest
                assert count == (np.flatnonzero(near)[0] if near.any() else np.inf)
                assert seconds == (r.time_history[int(count)] if near.any() else np.inf)


def test_the_summary_has_medians_and_counts():
    found = compare(X, 3, solvers=["cd", "mu"], seeds=5, max_iter=40)
    for row in found.table("solver"):
        mine = [other for other in found.table() if other["solver"] == row["solver"]]
        assert row["runs"] == len(mine) == 5
        assert row["converged"] == sum(other["converged"] for other in mine)
        assert row["stop_reason"] in [other["stop_reason"] for other in mine]
        for key in ("objective", "excess", "kkt", "n_iter", "iterations_to_1%", "seconds_to_0.01%"):
            assert row[key] == np.median([other[key] for other in mine]), key


def test_the_summary_says_why_runs_ended_that_did_not_converge():
    found = compare(X, 3, solvers=["cd"], seeds=3, max_iter=2)
    runs = [
        replace(r, converged=r.seed > 0, stop_reason="time is over" if r.seed == 0 else "done")
        for r in found.runs
    ]
    (row,) = replace(found, runs=tuple(runs)).table("solver")
    assert (row["converged"], row["runs"], row["stop_reason"]) == (2, 3, "time is over")
    assert "not converged: cd: time is over" in repr(replace(found, runs=tuple(runs)))


def test_exact_fits_are_equal_to_rounding():
    """Objectives of 1e-25 and 1e-28 are the same fit."""
    exact = RNG.random((20, 2)) @ RNG.random((2, 10))
    found = compare(exact, 2, solvers=["cd", "anls-bpp"], seeds=2, tol=1e-12, max_iter=2000)
    assert all(r.objective_history[-1] < 1e-20 for r in found.runs)
    assert all(r.reached(1e-4)[1] <= r.n_iter for r in found.runs)


@pytest.mark.parametrize("power", [-300, -20, 20, 300])
def test_excess_does_not_depend_on_the_unit_of_the_data(power):
    plain = compare(X, 3, solvers=["cd", "mu"], seeds=1, max_iter=25)
    scaled = compare(np.ldexp(X, power), 3, solvers=["cd", "mu"], seeds=1, max_iter=25)
    for a, b in zip(plain.runs, scaled.runs, strict=True):
        np.testing.assert_allclose(a.excess_history, b.excess_history, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            np.ldexp(a.objective_history, 2 * power), b.objective_history, rtol=1e-9
        )


def test_max_time_ends_a_run():
    found = compare(X, 3, solvers=["mu"], seeds=1, tol=0, max_iter=10**6, max_time=0.02)
    (r,) = found.runs
    assert "max_time" in r.stop_reason
    assert 0.02 <= r.time_history[-1] < 5
    assert np.all(np.diff(r.time_history) > 0)


# --- which solvers ---------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [2, 1, 0, 0.5])
def test_by_default_all_run_that_can(beta):
    found = compare(X, 2, beta_loss=beta, seeds=1, max_iter=2)
    assert {*found.solvers} | {*found.left_out} == {*SOLVERS}
    assert not {*found.solvers} & {*found.left_out}
    assert len(found.solvers) >= 3
    for name, why in found.left_out.items():
        with pytest.raises(UnsupportedCombinationError) as caught:
            compare(X, 2, beta_loss=beta, seeds=1, max_iter=2, solvers=["mu", name])
        assert f"solver {name!r} {why}." in str(caught.value)
        assert name in repr(found)


def test_penalties_decide_who_can_serve():
    found = compare(X, 3, penalty_W=Simplex(), seeds=1, max_iter=5)
    assert found.solvers == ("pgd", "admm")
    with pytest.raises(UnsupportedCombinationError, match="'cd' needs"):
        compare(X, 3, penalty_W=Simplex(), solvers=[CoordinateDescent()])


def test_labels_of_ones_own():
    solvers = {"one": CoordinateDescent(repeats=1), "ten": "cd", "best": "auto"}
    found = compare(X, 3, solvers=solvers, seeds=1, max_iter=10)
    assert found.solvers == ("one", "ten", "best")
    one, ten, best = found.runs
    np.testing.assert_array_equal(ten.objective_history, best.objective_history)
    assert not np.array_equal(one.objective_history, ten.objective_history)
    named = compare(X, 3, solvers=["hals", MultiplicativeUpdate()], seeds=1, max_iter=2)
    assert named.solvers == ("hals", "mu")


def test_float32_sparse_and_stored_data(tmp_path, monkeypatch):
    single = compare(X.astype(np.float32), 3, solvers=THREE, seeds=1, max_iter=10)
    assert single.dtype == "float32"
    dense = compare(S.toarray(), 3, beta_loss=1, seeds=1, max_iter=10)
    thin = compare(S, 3, beta_loss=1, seeds=1, max_iter=10)
    assert thin.solvers == dense.solvers
    np.save(tmp_path / "X.npy", S.toarray())
    monkeypatch.setattr("partwise.estimators._checks.FITS", 0)
    stored = compare(tmp_path / "X.npy", 3, beta_loss=1, seeds=1, max_iter=10)
    in_memory = {"rational", "ccd", "newton", "newton-mu"}
    assert {*dense.solvers} - {*stored.solvers} == in_memory
    assert all("data in memory" in stored.left_out[name] for name in in_memory)
    runs = {r.solver: r.objective_history for r in dense.runs}
    for r in (*thin.runs, *stored.runs):
        np.testing.assert_allclose(r.objective_history, runs[r.solver], rtol=1e-9)


def test_a_start_of_ones_own():
    found = compare(X, 3, solvers=THREE, seeds=1, max_iter=3, init=lambda X, k, seed: _ones(X, k))
    first = {r.objective_history[0] for r in found.runs}
    assert len(first) == 1
    np.testing.assert_allclose(first.pop(), 0.5 * np.sum((X - 0.75) ** 2))
    assert found.init == "<lambda>"


def _ones(X, k):
    return np.full((X.shape[0], k), 0.5), np.full((k, X.shape[1]), 0.5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"solvers": ["cd", "xyz"]},
            ValueError,
            "got 'xyz' in it; wanted Solver objects",
        ),
        ({"solvers": [3]}, ValueError, "got 3 in it"),
        ({"solvers": "cd"}, TypeError, r"got 'cd'; wanted several of them. Put it in brackets"),
        ({"solvers": []}, ValueError, "solvers: got none; wanted one or more"),
        ({"solvers": {}}, ValueError, "solvers: got none; wanted one or more"),
        (
            {"solvers": ["cd", CoordinateDescent()]},
            ValueError,
            r"the labels \['cd', 'cd'\]; .* Name them yourself: solvers={'label': solver",
        ),
        ({"seeds": 0}, ValueError, "seeds: got 0; wanted a number of seeds ≥ 1"),
        ({"seeds": True}, ValueError, "seeds: got True"),
        ({"seeds": []}, ValueError, r"seeds: got \[\]"),
        ({"seeds": [1, 1]}, ValueError, r"seeds: got \[1, 1\]; .* different integers"),
        ({"seeds": [0.5]}, ValueError, r"seeds: got \[0.5\]"),
        ({"seeds": [-1]}, ValueError, r"seeds: got \[-1\]"),
        ({"seeds": 1.5}, TypeError, "seeds: got 1.5"),
        ({"init": "custom"}, ValueError, "got init='custom'; .* from a function: init=lambda"),
        ({"init": "foo"}, ValueError, "'init' parameter"),
        ({"max_iter": 0}, ValueError, "'max_iter' parameter"),
        ({"penalty_W": ["l1"]}, TypeError, "wanted penalty objects"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(options, error, message):
    with pytest.raises(error, match=message):
        compare(X, 3, **options)
    with pytest.raises(ValueError, match="egative"):
        compare(-X, 3)


# --- how it looks ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return compare(X, 3, seeds=3, max_iter=30)


def without(monkeypatch, package):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_the_frame_has_the_rows_of_the_table(found):
    pandas = pytest.importorskip("pandas")
    for by, length in (("run", 3 * len(found.solvers)), ("solver", len(found.solvers))):
        frame = found.to_frame(by)
        assert isinstance(frame, pandas.DataFrame)
        assert frame.shape[0] == length
        assert frame.to_dict("records") == found.table(by)
    with pytest.raises(ValueError, match="by: got 'seed'; wanted 'run' or 'solver'"):
        found.to_frame("seed")


def test_it_is_printed_without_pandas(found, monkeypatch):
    without(monkeypatch, "pandas")
    text = repr(found)
    lines = text.splitlines()
    assert "30 × 12 float64, 3 components, β = 2, init='random'" in lines[0]
    assert "medians over the seeds 0, 1, 2" in lines[1]
    assert lines[3].split("  ")[0] == "solver"
    assert len({len(line) for line in lines[3 : 4 + len(found.solvers)]}) == 1
    assert [line.split()[0] for line in lines[4 : 4 + len(found.solvers)]] == [*found.solvers]
    assert max(map(len, lines[: 4 + len(found.solvers)])) < 130
    assert "cannot serve: rational, me" in text
    assert "not converged: " in text
    assert "max_iter=30 iterations are done" in text
    with pytest.raises(ImportError, match=r"got no pandas; .*partwise\[files\].*table\(\)"):
        found.to_frame()


def test_one_seed_and_no_left_out_are_told(found):
    text = repr(compare(X, 3, solvers=["cd"], seeds=[8], tol=0.1))
    assert "equal starts, seed 8" in text
    assert "cannot serve" not in text
    assert "not converged" not in text


def test_starts_that_do_not_draw_are_told():
    for init, same in (("nndsvda", True), (None, True), ("random", False)):
        found = compare(X, 3, solvers=["cd"], seeds=2, init=init, max_iter=5)
        first, second = (r.objective_history[0] for r in found.runs)
        assert bool(first == second) is same
        assert ("whose starts are the same" in repr(found)) is same


def drawn(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def test_the_picture_has_seconds_and_iterations(found):
    figures = pytest.importorskip("matplotlib.figure")
    figure = drawn(found.plot())
    assert isinstance(figure, figures.Figure)
    left, right = figure.axes
    assert [ax.get_xlabel() for ax in (left, right)] == ["time (s)", "iterations"]
    assert "excess over the best objective" in left.get_ylabel()
    assert {ax.get_yscale() for ax in (left, right)} == {"log"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*found.solvers]
    looks = {}
    for ax, places in ((left, "time_history"), (right, None)):
        lines = iter(ax.get_lines())
        for label in found.solvers:
            runs = [r for r in found.runs if r.solver == label]
            mine = [next(lines) for _ in range(4)]
            for line, r in zip(mine, runs, strict=False):
                np.testing.assert_array_equal(line.get_ydata(), r.excess_history)
                x = np.arange(r.n_iter + 1) if places is None else r.time_history
                np.testing.assert_array_equal(line.get_xdata(), x)
            assert mine[-1].get_label() == label
            assert mine[-1].get_linewidth() > 2 * mine[0].get_linewidth()
            looks.setdefault(label, set()).update((i.get_color(), i.get_linestyle()) for i in mine)
        assert next(lines, None) is None
    assert all(len(own) == 1 for own in looks.values())
    assert len(set.union(*looks.values())) == len(found.solvers)


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_thick_line_is_the_median(seeds):
    pytest.importorskip("matplotlib")
    found = compare(X, 3, solvers=THREE, seeds=seeds, max_iter=30)
    _, right = found.plot().axes
    thick = {line.get_label(): line for line in right.get_lines()}
    for label in found.solvers:
        runs = [r.excess_history for r in found.runs if r.solver == label]
        x, y = thick[label].get_data()
        ends = [[run[min(i, len(run) - 1)] for run in runs] for i in x]
        np.testing.assert_allclose(y, np.median(ends, axis=1), rtol=1e-9, atol=1e-17)


def test_colours_differ_for_those_who_see_no_red_or_green():
    """Machado, Oliveira & Fernandes (2009), full protanopia and deuteranopia."""
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_rgb

    from partwise.plots._style import LINES

    colours = np.array([to_rgb(colour) for colour in LINES])
    protan = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    deutan = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    for seen in (np.eye(3), np.array(protan), np.array(deutan)):
        shown = colours @ seen.T
        apart = np.linalg.norm(shown[:, None] - shown, axis=-1) + 9 * np.eye(len(shown))
        assert apart.min() > 0.15


@pytest.mark.parametrize("options", [{"seeds": 1, "max_iter": 1}, {"seeds": 2, "tol": 0.5}])
def test_short_runs_can_be_drawn(options):
    pytest.importorskip("matplotlib")
    drawn(compare(X, 3, solvers={"a $ label": "cd"}, **options).plot())
    drawn(compare(np.zeros((4, 3)), 2, solvers=["cd", "mu"], **options).plot())


def test_the_picture_needs_a_comparison_and_matplotlib(found, monkeypatch):
    from partwise.plots import plot_comparison

    with pytest.raises(ValueError, match=r"got NMF; wanted what partwise.compare returned"):
        plot_comparison(NMF(2))
    without(monkeypatch, "matplotlib")
    with pytest.raises(ImportError, match=r"partwise\[plots\]"):
        found.plot()


def test_it_is_made_of_public_names():
    assert isinstance(compare(X, 2, solvers=["cd"], seeds=1, max_iter=2), Comparison)
    assert partwise.compare is compare


def test_columns_of_text_are_aligned():
    assert aligned([["a", "b", ""], ["long", "1.5", "x"]]) == ["a       b   ", "long  1.5  x"]
