"""Laws that reach the kernels of weighted data with data that need none, and compare.

An estimator turns weights of one, and of whole rows, into data without weights before a kernel
sees them. Problems are made here from the views themselves, and of weights that are the product of
one of the row and one of the column, which are rows and columns that are repeated.
"""

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, MiniBatchNMF, losses
from partwise.data import Dense, Listed, MemoryReader, StoredObserved, Weighted
from partwise.models import Bilinear
from partwise.problem import Problem, Quadratics
from partwise.solvers import SOLVERS, CoordinateDescent, mini_batch, run
from tests.laws.declared import LOSSES, draw_data, label
from tests.laws.test_listed import Own, Shared
from tests.laws.test_observed import SOLVING, K, start_of

SHAPE = (13, 9)
ROWS, COLUMNS = np.arange(13) % 3 + 1, np.arange(9) % 2 + 1
EXACT = {"rtol": 1e-10, "atol": 1e-13}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class InBlocks(StoredObserved):
    block_bytes = 400


def listed(X, V):
    rows, columns = np.nonzero(V)
    matrix = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    return Listed(matrix, V[rows, columns])


def in_blocks(X, V):
    return InBlocks(MemoryReader(X), MemoryReader(V), unstored="zero")


def columns_first(X, V):
    return Weighted(np.asfortranarray(X), np.asfortranarray(V))


STORAGES = {
    "dense": Weighted,
    "columns first": columns_first,
    "listed": listed,
    "in blocks": in_blocks,
}
KINDS = ["ones", "ones and a border", "times", "times and a border"]
SERVED = [loss for loss in LOSSES if not loss.rowwise]


class Pair:
    """The same problem twice: in a view with weights, and in one without of repeated entries.

    A border is a row and a column of which nothing is known.
    """

    def __init__(self, loss, storage, kind, k=K, seed=1, free=()):
        X = draw_data(SHAPE, seed, loss, zeros=0.2)
        if 0 < loss.degree < 1:  # models of zeros end at the floor, which means of factors tell
            X[2], X[:, 1] = 0.3, 0.3
        ones = kind.startswith("ones")
        self.times = [np.ones_like(n) if ones else n for n in (ROWS, COLUMNS)]
        self.kept = [np.repeat(np.arange(len(n)), n) for n in self.times]
        rng = np.random.default_rng(seed)
        self.start = {
            n: rng.uniform(0.2, 1, (size, k)) for n, size in zip("WH", SHAPE, strict=True)
        }
        V = np.multiply.outer(*self.times).astype(float)
        repeated = X[np.ix_(*self.kept)]
        factors = {n: F[rows] for (n, F), rows in zip(self.start.items(), self.kept, strict=True)}
        self.plain = Problem(Dense(repeated), Bilinear(k), loss, factors, free=free)
        given = {n: F.copy() for n, F in self.start.items()}
        if kind.endswith("border"):
            X, V = (np.pad(part, ((0, 1), (0, 1))) for part in (X, V))
            given = {n: np.pad(F, ((0, 1), (0, 0)), constant_values=0.5) for n, F in given.items()}
        data = STORAGES[storage](X, V)
        self.weighted = Problem(data, Bilinear(k), loss, given, free=free)

    def repeated(self, name, F):
        """Return rows of a factor of the weighted problem as those of the plain one."""
        return F[: len(self.start[name])][self.kept["WH".index(name)]]

    def of_each(self, name):
        """Return how often each row of a factor of the plain problem is there, (rows, 1)."""
        number = "WH".index(name)
        return self.times[number][self.kept[number]][:, None]

    def check_factors(self, **exact):
        for name, F in self.weighted.factors.items():
            np.testing.assert_allclose(
                self.repeated(name, F), self.plain.factors[name], **(exact or EXACT), err_msg=name
            )

    def to_plain(self):
        """Put the factors of the weighted problem into the plain one."""
        for name, F in self.weighted.factors.items():
            self.plain.factors[name] = np.ascontiguousarray(self.repeated(name, F))


def served(solver, loss, storage):
    pair = Pair(loss, storage, "ones")
    return all(solver().lacks(problem) is None for problem in (pair.weighted, pair.plain))


def differs(name, loss, kind):
    """Return whether steps of a solver, or their number, are others for complete data."""
    if loss.quadratic:
        return name in ("pgd", "amu")
    # It knows means of factors, or the smallest entry, which is larger times its weight.
    of_weights = name in ("newton", "newton-mu") and kind.startswith("times")
    return of_weights or (name == "pgd" and kind != "ones")


def kinds_for(name, loss):
    """Return the kinds whose steps are the same: the plainest one and the richest one."""
    return [KINDS[0], *[kind for kind in KINDS[1:] if not differs(name, loss, kind)][-1:]]


PAIRS = [
    (loss, name, storage)
    for loss in SERVED
    for name in SOLVING
    for storage in STORAGES
    if served(SOLVERS[name], loss, storage)
]


def cases(kinds):
    """Return losses, solvers, storages and kinds; ``kinds`` tells those of a pair."""
    return [
        pytest.param(*pair, kind, id=f"{label(pair[0])} {pair[1]} {pair[2]} {kind}")
        for pair in PAIRS
        for kind in kinds(*pair)
    ]


SAME_STEPS = cases(
    lambda loss, name, _: [k for k in kinds_for(name, loss) if not differs(name, loss, k)]
)
# The same in every storage, but for the squared loss; runs to the end take long.
OTHER_STEPS = cases(
    lambda loss, name, storage: [
        kind
        for kind in (("ones", KINDS[-1]) if loss.quadratic else KINDS[-1:])
        if differs(name, loss, kind) and (loss.quadratic or storage in ("dense", "listed"))
    ]
)


def test_no_view_of_these_is_taken_for_complete_data():
    for storage in STORAGES:
        for kind in KINDS:
            assert not Pair(losses.Frobenius(), storage, kind).weighted.data.complete
    assert {name for _, name, _ in PAIRS} == set(SOLVING)
    assert {name for _, name, _ in PAIRS} == {case.values[1] for case in SAME_STEPS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("loss", SERVED, ids=label)
def test_objective_and_slopes_are_those_without_weights(loss, storage, kind):
    pair = Pair(loss, storage, kind)
    weighted, plain = pair.weighted, pair.plain
    assert weighted.objective() == pytest.approx(plain.objective(), rel=1e-10)
    assert weighted.data.mean == pytest.approx(plain.data.mean, rel=1e-12)
    assert weighted.floor == pytest.approx(plain.floor, rel=1e-12)
    assert weighted.level == pytest.approx(plain.level, rel=1e-12)
    assert weighted.reference == pytest.approx(plain.reference, rel=1e-10)
    for name in "WH":
        found, wanted = weighted.split(name), plain.split(name)
        for part in ("positive", "negative"):
            F = pair.repeated(name, getattr(found, part))
            scale = np.abs(wanted.positive).max()
            np.testing.assert_allclose(
                F / pair.of_each(name), getattr(wanted, part), rtol=1e-10, atol=1e-12 * scale
            )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", STORAGES)
def test_quadratics_of_rows_are_the_gram_matrix_of_all(storage, kind):
    pair = Pair(losses.Frobenius(), storage, kind)
    for name in "WH":
        wanted = Quadratics.of_all(pair.plain.statistics(name, "normal"))
        if storage == "in blocks":
            found = pair.weighted._summed_up(name, "quadratics")
        else:
            found = pair.weighted.statistics(name, "quadratics")
        for part in ("grams", "cross"):
            rows = pair.repeated(name, getattr(found, part)) / pair.of_each(name)
            np.testing.assert_allclose(rows, getattr(wanted, part), **EXACT)
        assert found.squares.sum() == pytest.approx(pair.plain.data.sum_of_squares(), rel=1e-12)


@pytest.mark.parametrize(("loss", "name", "storage", "kind"), SAME_STEPS)
def test_sweeps_are_those_without_weights(loss, name, storage, kind):
    """Three iterations, of the factors, and of the objective that each solver tells."""
    pair = Pair(loss, storage, kind)
    found, wanted = (
        run(problem, SOLVERS[name](), tol=0, max_iter=3) for problem in (pair.weighted, pair.plain)
    )
    np.testing.assert_allclose(found.objective_history, wanted.objective_history, rtol=1e-10)
    pair.check_factors(rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("k", [2, 35])
def test_extrapolated_sweeps_are_those_without_weights(k, storage, kind):
    """Few components have Gram matrices of each row, many are swept entry by entry."""
    pair = Pair(losses.Frobenius(), storage, kind, k=k)
    for problem in (pair.weighted, pair.plain):
        run(problem, CoordinateDescent(repeats=1), tol=0, max_iter=20 if k < 9 else 3)
    pair.check_factors(rtol=1e-8 if k < 9 else 1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("free", ["W", "H"])
def test_the_exact_solution_of_one_factor_is_that_without_weights(free, storage, kind):
    pair = Pair(losses.Frobenius(), storage, kind, free=(free,))
    for problem in (pair.weighted, pair.plain):
        run(problem, CoordinateDescent(), tol=0, max_iter=2)
    pair.check_factors()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", ["dense", "columns first", "listed"])
@pytest.mark.parametrize("k", [2, 5])
def test_rows_searched_along_rays_end_at_a_solution_of_the_plain_problem(k, storage, kind):
    pair = Pair(losses.Frobenius(), storage, kind, k=k)
    solver = Shared()
    assert solver.start(pair.weighted, None).searching == (k == 2)
    result = run(pair.weighted, solver, tol=1e-9, max_iter=20_000)
    assert result.converged
    pair.to_plain()
    assert pair.plain.objective() == pytest.approx(result.objective, rel=1e-10)
    assert pair.plain.kkt() < 1e-8
    own = Pair(losses.Frobenius(), storage, kind, k=k)
    assert run(own.weighted, Own(), tol=1e-9, max_iter=20_000).converged
    own.to_plain()
    assert own.plain.kkt() < 1e-8


@pytest.mark.parametrize(("loss", "name", "storage", "kind"), OTHER_STEPS)
def test_other_steps_end_at_a_solution_of_the_plain_problem(loss, name, storage, kind):
    pair = Pair(loss, storage, kind)
    result = run(pair.weighted, SOLVERS[name](), tol=1e-3, max_iter=20_000)
    assert result.converged
    pair.to_plain()
    assert pair.plain.objective() == pytest.approx(result.objective, rel=1e-10)
    assert pair.plain.kkt() < 2e-3


@pytest.mark.filterwarnings("ignore:1 rows and 1 columns of X have no known entry")
@pytest.mark.parametrize("unknown", ["NaN", "weights", "listed"])
@pytest.mark.parametrize(("loss", "name"), dict.fromkeys(pair[:2] for pair in PAIRS))
def test_fits_with_a_border_of_which_nothing_is_known_are_those_without(loss, name, unknown):
    if differs(name, loss, "ones and a border"):
        pytest.skip("Its steps, or their number, are others for complete data.")
    X, how = draw_data(SHAPE, 3, loss, zeros=0), {"beta_loss": loss, "solver": name, "tol": 0}
    W, H = start_of(SHAPE)
    wanted = NMF(K, init="custom", max_iter=3, **how).fit(X, W=W, H=H)
    place = ((0, 1), (0, 1))
    known, more = np.pad(np.ones(SHAPE), place), {}
    bordered, weights = np.pad(X, place, constant_values=np.nan), None
    if unknown == "weights":
        weights = known
    elif unknown == "listed":
        rows, columns = known.nonzero()
        bordered = sparse.csr_array((bordered[rows, columns], (rows, columns)), known.shape)
        more = {"unstored": "missing"}
    start = {"W": np.pad(W, ((0, 1), (0, 0))), "H": np.pad(H, ((0, 0), (0, 1)))}
    found = NMF(K, init="custom", max_iter=3, **how, **more).fit(bordered, weights=weights, **start)
    np.testing.assert_allclose(found.components_[:, :-1], wanted.components_, **EXACT)
    np.testing.assert_allclose(found.W_[:-1], wanted.W_, **EXACT)
    np.testing.assert_allclose(found.objective_history_, wanted.objective_history_, rtol=1e-10)
    assert found.solver_ == wanted.solver_


@pytest.mark.filterwarnings("ignore:0 rows and 1 columns of X have no known entry")
@pytest.mark.parametrize(
    "loss",
    [loss for loss in SERVED if loss.powers is not None and loss.largest == np.inf],
    ids=label,
)
def test_batches_with_a_column_of_which_nothing_is_known_are_those_without(loss, monkeypatch):
    # As many sweeps in each batch, which else end when a row, or a block of rows, hardly moves.
    monkeypatch.setattr(mini_batch, "SWEEPS", (2, 0.0))
    X, (W, H) = draw_data(SHAPE, 3, loss, zeros=0), start_of(SHAPE)
    how = {"beta_loss": loss, "batch_size": 5, "init": "custom", "tol": 0, "max_iter": 4}
    wanted = MiniBatchNMF(K, **how).fit(X, W=W, H=H)
    given = np.pad(X, ((0, 0), (0, 1)), constant_values=np.nan)
    found = MiniBatchNMF(K, **how).fit(given, W=W, H=np.pad(H, ((0, 0), (0, 1))))
    np.testing.assert_allclose(found.components_[:, :-1], wanted.components_, rtol=1e-10)
    assert found.objective_ == pytest.approx(wanted.objective_, rel=1e-10)
