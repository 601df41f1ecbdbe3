"""Laws of a head start: a start is improved on a sample before the first iteration, or left."""

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, losses
from partwise.data import Sparse, Stored, Weighted, as_data
from partwise.data.readers import open_reader
from partwise.models import Bilinear
from partwise.penalties import L1, Free, NonNegative
from partwise.problem import Problem
from partwise.solvers import HALS, CoordinateDescent, MultiplicativeUpdate, RationalDescent, run
from partwise.solvers.head_start import improve_start

K = 3


class Descent(CoordinateDescent):
    """A head start for data of any size."""

    head_start_from = 0


class Rational(RationalDescent):
    head_start_from = 0


SOLVERS = {2: Descent, 1: Rational}
SHAPES = {"tall": (640, 30), "wide": (30, 640)}


def planted(shape, *, kind="dense", dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.5, size=(shape[0], K)) @ rng.gamma(0.5, size=(K, shape[1]))
    X *= rng.gamma(20, 1 / 20, size=shape)
    if kind == "sparse":
        X = sparse.csr_array(rng.poisson(X))
    return X.astype(dtype)


def bound(X, beta=2, *, seed=1, obeyed=None, free=()):
    data = X if hasattr(X, "complete") else as_data(X)
    rng = np.random.default_rng(seed)
    factors = {
        name: rng.random((length, K)).astype(data.dtype)
        for name, length in zip("WH", data.shape, strict=True)
    }
    penalties = dict.fromkeys(factors, (NonNegative(),)) | (obeyed or {})
    return Problem(data, Bilinear(K), losses.as_loss(beta), factors, penalties, free=free)


def solver(beta, *, head_start=True):
    return SOLVERS[beta](head_start=head_start)


CASES = [(2, "dense", "tall"), (2, "dense", "wide"), (1, "dense", "tall"), (1, "dense", "wide"),
         (1, "sparse", "tall")]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("beta", "kind", "shape"), CASES)
def test_a_far_start_is_nearer_before_the_first_iteration(beta, kind, shape, dtype):
    X = planted(SHAPES[shape], kind=kind, dtype=dtype)
    begin = bound(X, beta).objective()
    ahead = run(bound(X, beta), solver(beta), tol=0, max_iter=30)
    plain = run(bound(X, beta), solver(beta, head_start=False), tol=0, max_iter=30)
    assert plain.objective_history[0] == pytest.approx(begin)
    assert ahead.objective_history[0] < 0.7 * begin
    assert ahead.objective_history[2] < plain.objective_history[2]
    assert ahead.objective < 1.2 * plain.objective
    rises = np.diff(ahead.objective_history) / ahead.objective_history[0]
    assert rises.max() < (1e-12 if dtype is np.float64 else 1e-6)
    assert all(F.dtype == dtype for F in ahead.factors.values())


@pytest.mark.parametrize(("beta", "kind", "shape"), CASES)
def test_the_sample_is_the_same_in_every_run(beta, kind, shape):
    X = planted(SHAPES[shape], kind=kind)
    first, second = (run(bound(X, beta), solver(beta), tol=0, max_iter=3) for _ in range(2))
    for name in "WH":
        np.testing.assert_array_equal(first.factors[name], second.factors[name])


@pytest.mark.parametrize(("beta", "kind", "shape"), CASES)
def test_a_solution_is_left_alone(beta, kind, shape):
    """The same bits as without a head start."""
    X, found = planted(SHAPES[shape], kind=kind), {}
    solved = run(bound(X, beta), solver(beta), tol=1e-5, max_iter=2000).factors
    for head_start in (False, True):
        problem = bound(X, beta)
        for name, F in solved.items():
            problem.factors[name][...] = F
        found[head_start] = run(problem, solver(beta, head_start=head_start), tol=0, max_iter=3)
    np.testing.assert_array_equal(found[True].objective_history, found[False].objective_history)


def untouched(problem):
    before = {name: F.copy() for name, F in problem.factors.items()}

    def never(part):
        raise AssertionError

    improve_start(problem, never)
    return all(np.array_equal(problem.factors[name], F) for name, F in before.items())


def test_what_a_sample_cannot_tell_is_left_alone():
    X = planted(SHAPES["tall"])
    weights = np.random.default_rng(0).uniform(1, 2, X.shape)
    assert untouched(bound(X, obeyed={"W": (NonNegative(), L1(0.1))}))
    assert untouched(bound(X, obeyed={"W": (Free(),)}))
    assert untouched(bound(X, free=("W",)))
    assert untouched(bound(X + 0.1, 0))
    assert untouched(bound(planted(SHAPES["tall"], kind="sparse")))
    assert untouched(bound(X[: 4 * 20 * K - 1]))
    assert untouched(bound(Weighted(X, weights)))


@pytest.mark.parametrize("made", [HALS, MultiplicativeUpdate, lambda: Descent(head_start=False)])
def test_methods_of_the_literature_begin_where_they_are_told(made, monkeypatch):
    monkeypatch.setattr("partwise.solvers.loop.improve_start", None)
    how = made()
    how.head_start_from = 0
    problem = bound(planted(SHAPES["tall"]))
    begin = problem.objective()
    assert run(problem, how, tol=0, max_iter=1).objective_history[0] == pytest.approx(begin)


def test_rows_and_columns_of_nothing_do_no_harm():
    X = planted(SHAPES["tall"], kind="sparse").toarray()
    X[::5] = 0
    X[:, 4] = 0
    for beta, data in ((1, sparse.csr_array(X)), (1, X.astype(float)), (2, X.astype(float))):
        result = run(bound(data, beta), solver(beta), tol=1e-4, max_iter=500)
        assert result.converged
        assert all(np.isfinite(F).all() and (F >= 0).all() for F in result.factors.values())
        assert np.isfinite(result.objective_history).all()


def test_columns_that_the_sample_has_nothing_of_are_found_by_all_rows():
    """Words of few documents, most of which the sample does not have."""
    X = planted((640, 60), kind="sparse").toarray()
    rng = np.random.default_rng(3)
    X[:, 30:] = 0
    X[rng.integers(0, 640, 30), np.arange(30, 60)] = 5
    problem = bound(sparse.csr_array(X), 1)
    result = run(problem, Rational(), tol=1e-4, max_iter=500)
    plain = run(bound(sparse.csr_array(X), 1), Rational(head_start=False), tol=1e-4, max_iter=500)
    assert result.objective < 1.05 * plain.objective
    assert (result.factors["H"][30:].sum(axis=1) > 0).all()


def sampled(data):
    problem = bound(data)
    start = problem.objective()
    known = improve_start(
        problem, lambda part: run(part, CoordinateDescent(), tol=0, max_iter=5).objective_history
    )
    assert known == pytest.approx(problem.objective())
    assert known < start
    return problem.factors


def test_data_on_disk_get_the_same_head_start(tmp_path):
    X = planted(SHAPES["tall"])
    np.save(tmp_path / "X.npy", X)
    stored = Stored(open_reader(np.load(tmp_path / "X.npy", mmap_mode="r")))
    stored.block_bytes = 100 * X.shape[1] * 8
    memory, disk = sampled(X), sampled(stored)
    for name in "WH":
        np.testing.assert_allclose(disk[name], memory[name], rtol=1e-10)


def test_a_start_that_all_data_find_better_is_given_back():
    """What a sample knows may be less than what a start has of rows that are not in it."""
    X = planted(SHAPES["tall"])
    problem = bound(X)
    solved = run(bound(X), Descent(), tol=1e-5, max_iter=2000).factors
    for name, F in solved.items():
        problem.factors[name][...] = F
    begin = problem.objective()

    def spoil(part):
        for F in part.factors.values():
            F[...] = 100
        return [1.0, 0.1]

    assert improve_start(problem, spoil) == pytest.approx(begin)
    for name, F in solved.items():
        np.testing.assert_array_equal(problem.factors[name], F)


def test_a_sample_of_nothing_tells_nothing():
    seen = []
    X = planted(SHAPES["tall"])
    improve_start(bound(X), lambda part: seen.append(part.data.to_dense()) or [1.0, 1.0])
    inside = (X[:, None] == seen[0]).all(axis=2).any(axis=1)
    X = np.where(inside[:, None], 0, X)
    for beta in (1, 2):
        assert run(bound(X, beta), solver(beta), tol=1e-3, max_iter=500).converged


def test_a_head_start_has_none_of_its_own(monkeypatch):
    """Samples of samples would be judged by how little is left to do."""
    from partwise.solvers import loop

    calls = []
    whole = loop.improve_start
    monkeypatch.setattr(
        loop, "improve_start", lambda *given: calls.append(given[0].data.shape) or whole(*given)
    )
    X = planted((4000, 30))
    run(bound(X), Descent(), tol=0, max_iter=1)
    assert calls == [(4000, 30)]


def test_sparse_squares_on_disk_are_left_alone_as_in_memory(tmp_path):
    pytest.importorskip("anndata")
    import anndata

    path = tmp_path / "X.h5ad"
    anndata.AnnData(sparse.csr_matrix(planted(SHAPES["tall"], kind="sparse"))).write_h5ad(path)
    stored = Stored(open_reader(anndata.read_h5ad(path, backed="r").X))
    assert untouched(bound(stored))


def test_the_sample_is_a_part_of_the_data(monkeypatch):
    """An eighth of the rows, of sparse data without columns that hardly occur there."""
    seen = []

    def look(part):
        seen.append(part.data)
        return [1.0, 1.0]

    X = planted(SHAPES["wide"])
    assert improve_start(bound(X), look) is None
    rows = seen[0].to_dense()
    assert rows.shape == (80, 30)
    assert (rows[:, None] == X.T).all(axis=2).any(axis=1).all()
    counts = planted((640, 60), kind="sparse")
    improve_start(bound(counts, 1), look)
    assert isinstance(seen[1], Sparse)
    assert seen[1].column_counts.min() >= 3
    monkeypatch.setattr("partwise.solvers.head_start.ENTRIES", 70 * 30)
    improve_start(bound(X), look)
    assert seen[2].shape == (70, 30)


def test_a_time_limit_holds_for_the_head_start_too():
    X = planted((4000, 200))
    result = run(bound(X), Descent(), tol=0, max_iter=10_000, max_time=0.05)
    assert result.stop_reason.startswith("max_time")


def test_an_estimator_has_it_for_large_data():
    X = planted((4000, 1400))  # above 1.6e7 entries times components
    how = {"init": "random", "random_state": 0, "tol": 0, "max_iter": 2}
    ahead = NMF(K, **how).fit(X)
    plain = NMF(K, solver=CoordinateDescent(head_start=False), **how).fit(X)
    assert ahead.objective_history_[0] < 0.5 * plain.objective_history_[0]
