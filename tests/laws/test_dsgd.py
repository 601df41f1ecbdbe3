"""Stratified stochastic gradient descent: steps, strata, and what it ends at."""

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from partwise import NMF, NonSmoothNMF, UnsupportedCombinationError, kernels
from partwise.data import Listed, Weighted
from partwise.losses import Frobenius
from partwise.models import Bilinear
from partwise.penalties import L1, L2, Fixed, Free, NonNegative, Simplex
from partwise.problem import Problem
from partwise.solvers import StratifiedGradient, as_solver, run
from partwise.solvers.dsgd import _strata

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
K = 3


def weighted(shape=(40, 30), seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.gamma(1, size=(shape[0], K)) @ rng.gamma(1, size=(K, shape[1]))
    X += 0.1 * rng.random(shape)
    V = (rng.random(shape) < 0.5) * rng.uniform(0.5, 2, shape)
    return Weighted(np.where(V > 0, X, 0).astype(dtype), V.astype(dtype))


def listed(data):
    rows, columns = np.nonzero(data.weights)
    part = (data.array[rows, columns], (rows, columns))
    return Listed(sparse.csr_array(part, shape=data.shape), data.weights[rows, columns])


def problem_of(data, obeyed=None, seed=1):
    rng = np.random.default_rng(seed)
    factors = {
        name: rng.uniform(0.2, 1, (rows, K)).astype(data.dtype)
        for name, rows in zip("WH", data.shape, strict=True)
    }
    obeyed = {name: tuple(obeyed or (NonNegative(),)) for name in factors}
    return Problem(data, Bilinear(K), Frobenius(), factors, obeyed)


def naive_steps(places, entries, order, W, H, free, shares, slopes, step, lowest):
    """The same in the words of the definition."""
    for p in order:
        i, j, x, v = places[0][p], places[1][p], entries[0][p], entries[1][p]
        w, h, error = W[i].copy(), H[j].copy(), x - W[i] @ H[j]
        down_w = -v * error * h + shares[0][0][i] * slopes[0] + shares[0][1][i] * w
        down_h = -v * error * w + shares[1][0][j] * slopes[1] + shares[1][1][j] * h
        W[i] = np.where(free[0][i], np.maximum(w - step * down_w, lowest[0]), w)
        H[j] = np.where(free[1][j], np.maximum(h - step * down_h, lowest[1]), h)


@pytest.mark.parametrize("lowest", [(0.0, 0.0), (-np.inf, 0.0), (0.0, -np.inf)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_kernel_is_the_naive_one(masked, lowest):
    lowest = np.array(lowest)
    rng = np.random.default_rng(0)
    W, H = rng.standard_normal((6, K)), rng.standard_normal((5, K))
    places = rng.integers(0, 6, 40), rng.integers(0, 5, 40)
    entries = rng.standard_normal(40), rng.uniform(0.5, 2, 40)
    shares = tuple((rng.random(n), rng.random(n)) for n in (6, 5))
    slopes = rng.random((2, K))
    free = tuple(rng.random(F.shape) < (0.6 if masked else 2) for F in (W, H))
    order, again = np.arange(40), np.arange(40)
    wanted = W.copy(), H.copy()
    from partwise.kernels.stochastic import shuffle

    shuffle(again, 12345)
    assert sorted(again) == list(range(40))
    assert not np.array_equal(again, np.arange(40))
    naive_steps(places, entries, again, *wanted, free, shares, slopes, 0.05, lowest)
    none = (np.empty((0, K), bool),) * 2
    kernels.stochastic_block(
        places,
        entries,
        order,
        (W, H),
        free if masked else none,
        shares,
        slopes,
        0.05,
        lowest,
        12345,
    )
    np.testing.assert_array_equal(order, again)
    np.testing.assert_allclose(W, wanted[0], rtol=1e-12)
    np.testing.assert_allclose(H, wanted[1], rtol=1e-12)


def test_strata_share_out_all_entries_and_their_blocks_touch_nothing_in_common():
    data = weighted((50, 37))
    known = data.entries()
    strata = _strata(known, data.shape, 8)
    seen = []
    for stratum in strata:
        assert len(stratum) == 8
        for axis in (0, 1):
            touched = [set(block.places[axis]) for block in stratum]
            assert sum(map(len, touched)) == len(set.union(*touched))
        seen += [pair for block in stratum for pair in zip(*block.places, strict=True)]
    assert sorted(seen) == list(zip(*known[:2], strict=True))
    sizes = [sum(len(block.order) for block in stratum) for stratum in strata]
    assert max(sizes) < 2 * min(sizes)


def test_blocks_have_work():
    for shape, count in (((20, 20), 1), ((200, 150), 3), ((2, 20_000), 2), ((600, 500), 8)):
        problem = problem_of(weighted(shape))
        assert len(StratifiedGradient().start(problem, None).strata) == count


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bits_do_not_depend_on_threads_or_storage(dtype):
    data = weighted((200, 150))
    X = np.where(data.weights > 0, data.array, np.nan).astype(dtype)
    rows, columns = np.nonzero(~np.isnan(X))
    stored = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    how = {"solver": "dsgd", "init": "random", "random_state": 0, "max_iter": 10, "tol": 0}
    found = []
    for threads in (1, 2, 5):
        with threadpool_limits(limits=threads, user_api="blas"):
            found.append(NMF(K, **how).fit(X))
    found.append(NMF(K, unstored="missing", **how).fit(stored.tocsc()))
    for model in found[1:3]:
        np.testing.assert_array_equal(model.components_, found[0].components_)
        np.testing.assert_array_equal(model.W_, found[0].W_)
    assert found[0].W_.dtype == dtype
    # Starts of both storages differ: the same start is given.
    W, H = np.full((200, K), 0.5, dtype), np.linspace(0.2, 1, 450, dtype=dtype).reshape(K, 150)
    how["init"] = "custom"
    dense = NMF(K, **how).fit(X, W=W, H=H)
    other = NMF(K, unstored="missing", **how).fit(stored.tocsc(), W=W, H=H)
    rounding = 1e-10 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(dense.components_, other.components_, rtol=rounding)


PENALTIES = {
    "plain": (NonNegative(),),
    "L2": (NonNegative(), L2(0.5)),
    "L1 and L2": (NonNegative(), L1(0.3), L2(0.2)),
    "any sign": (Free(), L2(0.5)),
}


@pytest.mark.parametrize("obeyed", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("store", [lambda data: data, listed], ids=["dense", "listed"])
def test_it_never_rises_and_ends_near_coordinate_descent(obeyed, store):
    data = store(weighted())
    found = {}
    for name in ("dsgd", "cd"):
        problem = problem_of(data, obeyed)
        rng = np.random.default_rng(0)
        result = run(problem, as_solver(name, problem), tol=0, max_iter=400, rng=rng)
        history = result.objective_history
        assert (np.diff(history) <= 1e-12 * history[:-1]).all()
        assert problem.objective() == pytest.approx(result.objective, rel=1e-9)
        found[name] = result
    if not problem.signed:
        assert all(F.min() >= 0 for F in found["dsgd"].factors.values())
    assert found["dsgd"].kkt < 2e-3
    if problem.signed:  # where the valley has one bottom
        assert found["dsgd"].objective < 1.001 * found["cd"].objective


def test_blocks_cost_no_accuracy_against_one_sequence_of_steps():
    """Equal epochs: within 1 % of the objective of plain stochastic gradient descent."""
    data = weighted((200, 150), seed=3)
    ends = []
    for blocks in (1, 8):
        problem = problem_of(data, (NonNegative(), L2(1.0)))
        solver = StratifiedGradient(blocks)
        rng = np.random.default_rng(0)
        ends.append(run(problem, solver, tol=0, max_iter=40, rng=rng).objective)
    assert ends[1] == pytest.approx(ends[0], rel=0.01)


@pytest.mark.parametrize("signed", ["W", "H"])
def test_the_other_factor_stays_above_zero(signed):
    problem = problem_of(weighted(), (NonNegative(), L2(0.5)))
    own = {name: (Free(), L2(0.5)) if name == signed else (NonNegative(), L2(0.5)) for name in "WH"}
    problem = Problem(problem.data, problem.model, problem.loss, problem.factors, own)
    problem.data.array[problem.data.weights > 0] -= 3
    found = run(problem, StratifiedGradient(), tol=0, max_iter=30).factors
    assert {name for name, F in found.items() if F.min() < 0} == {signed}


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scale_of_the_data_and_of_the_weights(factor):
    first, data = weighted(), weighted()
    data.array *= factor
    runs = []
    for view, strength in ((first, 0.5), (data, 0.5 * factor)):
        problem = problem_of(view, (NonNegative(), L2(strength)))
        if view is data:
            for F in problem.factors.values():
                F *= factor**0.5
        runs.append(run(problem, StratifiedGradient(), tol=0, max_iter=20))
    np.testing.assert_allclose(runs[1].factors["W"], factor**0.5 * runs[0].factors["W"], rtol=1e-6)
    heavy = Weighted(first.array, 64 * first.weights)
    problem = problem_of(heavy, (NonNegative(), L2(32.0)))
    again = run(problem, StratifiedGradient(), tol=0, max_iter=20)
    np.testing.assert_allclose(again.factors["W"], runs[0].factors["W"], rtol=1e-9)


def test_held_entries_and_rows_without_entries():
    data = weighted()
    data.array[4], data.weights[4] = 0, 0
    problem = problem_of(data, (NonNegative(), L2(0.5)))
    held = np.zeros((40, K), bool)
    held[:, 1] = True
    problem.penalties["W"] = (*problem.penalties["W"], Fixed(held, problem.factors["W"].copy()))
    before = problem.factors["W"].copy()
    run(problem, StratifiedGradient(), tol=0, max_iter=5)
    np.testing.assert_array_equal(problem.factors["W"][:, 1], before[:, 1])
    np.testing.assert_array_equal(problem.factors["W"][4], [0, before[4, 1], 0])
    assert (problem.factors["W"][0] != before[0])[[0, 2]].all()


def test_a_step_that_is_far_too_long_is_undone():
    problem = problem_of(weighted(), (NonNegative(), L2(0.5)))
    result = run(problem, StratifiedGradient(step_size=1e4), tol=0, max_iter=60)
    assert np.isfinite(result.objective)
    assert result.objective < 0.5 * result.objective_history[0]


HOLES = np.where(weighted().weights > 0, weighted().array, np.nan)
REFUSED = {
    "loss": (NMF(K, beta_loss=1), HOLES, "not quadratic"),
    "complete": (NMF(K), np.nan_to_num(HOLES), "every entry of X is known"),
    "model": (NonSmoothNMF(K, theta=0.3), HOLES, "not bilinear"),
    "penalty": (NMF(K, penalty_W=Simplex()), HOLES, "neither linear nor quadratic|ties"),
}


@pytest.mark.parametrize(("model", "X", "words"), REFUSED.values(), ids=REFUSED)
def test_it_says_what_it_does_not_serve(model, X, words):
    with pytest.raises(UnsupportedCombinationError, match=words):
        model.set_params(solver="dsgd").fit(X)
