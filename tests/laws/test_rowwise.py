"""Laws of a loss of whole samples where entries are missing or have weights."""

import numpy as np
import pytest
from scipy import optimize, sparse

from partwise import NMF, HeldOutEntries, MiniBatchNMF, NMFImputer, cross_val_loss
from partwise.data import Listed, Sparse, Stored, Weighted, as_data, dense, listed
from partwise.estimators import _checks
from partwise.losses import L21
from partwise.models import Bilinear
from partwise.problem import Problem
from tests.api.test_losses import cosines
from tests.laws.declared import draw_data
from tests.laws.test_observed import K, fit, holes, start_of
from tests.oracle import naive

LOSS, SHAPE = L21(0.01), (23, 9)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def some_weights(shape=SHAPE, seed=1):
    """A sample that is not known, one that is known in one place, holes, and many sizes."""
    rng = np.random.default_rng(seed)
    V = holes(shape) * 10.0 ** rng.uniform(-3, 3, shape)
    V[1], V[2, 1:] = 0, 0
    return V


def in_list(*arrays, weights):
    """The same arrays as lists of what is known, and where samples begin in them."""
    pattern = sparse.csr_array(weights > 0)
    starts = np.array([0, *np.cumsum((weights > 0).sum(axis=1))])
    assert np.array_equal(starts, pattern.indptr)
    return *(A[weights > 0] for A in (*arrays, weights)), starts


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(_checks, "FITS", 0)
    monkeypatch.setattr(Stored, "block_bytes", SHAPE[1] * 8 * 5)

    def write(array, name="X"):
        np.save(tmp_path / f"{name}.npy", array)
        return tmp_path / f"{name}.npy"

    return write


# ---------------------------------------------------------------- the loss


def test_cost_and_slopes_are_the_naive_ones():
    rng = np.random.default_rng(0)
    X, Y, V = rng.gamma(1, size=SHAPE), rng.gamma(1, size=SHAPE), some_weights()
    X[5] = 0
    X = np.where(V > 0, X, Y)
    wanted = naive.l21(X, Y, V, 0.01)
    lists = in_list(X, Y, weights=V)
    assert LOSS.weighted_total(X, Y, V) == pytest.approx(wanted, rel=1e-12)
    assert LOSS.weighted_total(*lists) == pytest.approx(wanted, rel=1e-12)
    down, up = LOSS.weighted_slopes(X, Y, V)
    for found, whole in zip(LOSS.weighted_slopes(*lists), (down, up), strict=True):
        np.testing.assert_allclose(found, whole[V > 0], rtol=1e-12)
        assert (whole[V == 0] == 0).all()
        assert (whole >= 0).all()
    for i, j in np.ndindex(SHAPE):
        ends, step = [], 1e-6 * Y[i, j]
        for sign in (1, -1):
            moved = Y.copy()
            moved[i, j] += sign * step
            one = slice(i, i + 1)
            ends.append(naive.l21(X[one], moved[one], V[one], 0.01))
        numeric = (ends[0] - ends[1]) / (2 * step)
        size = down[i, j] + up[i, j]
        rounding = 4e-16 * ends[0] / step
        assert up[i, j] - down[i, j] == pytest.approx(numeric, abs=1e-7 * size + rounding)


@pytest.mark.parametrize("shape", [(7,), (7, 4), (7, 3, 2)])
def test_weights_of_one_and_of_whole_samples(shape):
    rng = np.random.default_rng(0)
    X, Y, ones = rng.gamma(1, size=shape), rng.gamma(1, size=shape), np.ones(shape)
    down, up = LOSS.weighted_slopes(X, Y, ones)
    np.testing.assert_array_equal(down, LOSS.negative(X, Y))
    np.testing.assert_array_equal(up, LOSS.positive(X, Y))
    assert LOSS.weighted_total(X, Y, ones) == pytest.approx(LOSS.total(X, Y), rel=1e-14)
    times = (np.arange(7) % 4).reshape(-1, *(1,) * (len(shape) - 1))
    kept = np.repeat(np.arange(7), times.ravel())
    repeated = LOSS.total(X[kept], Y[kept])
    assert LOSS.weighted_total(X, Y, times * ones) == pytest.approx(repeated, rel=1e-14)
    for found, plain in zip(LOSS.weighted_slopes(X, Y, times * ones), (down, up), strict=True):
        np.testing.assert_allclose(found, times * plain, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_of_any_size_beside_each_other(dtype):
    """Samples, and weights, whose squares are no numbers any more."""
    rng = np.random.default_rng(0)
    X, Y, V = rng.gamma(1, size=(6, 5)), rng.gamma(1, size=(6, 5)), some_weights((6, 5))
    V[0, 2], V[1] = 0, rng.random(5)
    X, Y, V = (A.astype(dtype) for A in (X, Y, V))
    most = 100 if dtype is np.float32 else 600
    sizes = np.array([-most, -most // 2, 0, 5, most // 2, most])[:, None]
    one = [LOSS.weighted_total(*(A[i : i + 1] for A in (X, Y, V))) for i in range(6)]
    assert min(one) > 0
    wanted = np.ldexp(one, sizes[:, 0])
    x, y, v = np.ldexp(X, sizes), np.ldexp(Y, sizes), np.ldexp(V, -(sizes // 4))
    y[0, 2] = np.finfo(dtype).max / 4  # nothing is known of it
    x[0, 2] = y[0, 2]
    slopes = list(LOSS.weighted_slopes(X, Y, V))
    for given in ((x, y, v), in_list(x, y, weights=v)):
        for i in range(6):
            if len(given) == 3:
                row = [A[i : i + 1] for A in given]
            else:
                inside = slice(given[3][i], given[3][i + 1])
                row = [*(A[inside] for A in given[:3]), given[3][i : i + 2] - given[3][i]]
            cost = np.ldexp(LOSS.weighted_total(*row), sizes[i, 0] // 4)
            assert cost == pytest.approx(wanted[i], rel=1e-12)
        for found, plain in zip(LOSS.weighted_slopes(*given), slopes, strict=True):
            assert found.dtype == dtype
            moved = np.ldexp(plain, -(sizes // 4))
            np.testing.assert_allclose(found, moved if len(given) == 3 else moved[v > 0], rtol=1e-6)
    plain = [LOSS.total(X[i : i + 1], Y[i : i + 1]) for i in range(6)]
    x[0, 2], y[0, 2] = np.ldexp([X[0, 2], Y[0, 2]], -most)
    for i in range(6):
        found = LOSS.total(x[i : i + 1], y[i : i + 1])
        assert found == pytest.approx(np.ldexp(plain[i], sizes[i, 0]), rel=1e-12)


def test_another_loss_of_samples_says_what_it_lacks():
    class Plain(L21):
        weighted_slopes = L21.__mro__[1].weighted_slopes
        weighted_total = L21.__mro__[1].weighted_total

    X = draw_data(SHAPE, 1)
    assert np.isfinite(NMF(2, beta_loss=Plain(), max_iter=3).fit(X).objective_)
    with pytest.raises(NotImplementedError, match=r"missing or have weights.*weighted_slopes"):
        NMF(2, beta_loss=Plain()).fit(X, weights=holes(SHAPE))


# ---------------------------------------------------------------- fits


@pytest.mark.parametrize("storage", ["dense", "listed", "disk"])
@pytest.mark.parametrize("solver", ["mu", "amu", "pgd"])
def test_descent_in_pieces_of_whole_samples(solver, storage, on_disk, monkeypatch):
    """Cut small, with the sum of squares of a sample never in two pieces."""
    monkeypatch.setattr(dense, "SMALL", 0)
    monkeypatch.setattr(dense, "PIECE", 45)
    monkeypatch.setattr(Listed, "piece", 900.0)
    X, V = draw_data(SHAPE, 4, zeros=0.2), some_weights()
    V[1], V[2] = V[0], V[0]
    view = Weighted(np.where(V > 0, X, 0), V)
    assert len(view.spans(20 * K, densify=True)) > 3 < len(listed(view).spans(20 * K))
    (W, H), how = start_of(SHAPE), {"solver": solver, "beta_loss": LOSS, "max_iter": 30}
    if storage == "listed":
        rows, columns = np.nonzero(V)
        given = sparse.csr_array((X[rows, columns], (rows, columns)), shape=SHAPE)
        model = fit(given, W, H, sparse.csr_array(V), unstored="missing", **how)
    elif storage == "disk":
        model = fit(on_disk(X), W, H, on_disk(V, "V"), **how)
    else:
        model = fit(X, W, H, V, **how)
    history = model.objective_history_
    assert (np.diff(history) <= 1e-12 * history[:-1]).all()
    assert history[-1] < 0.9 * history[0]
    wanted = naive.l21(X, model.W_ @ model.components_, V, 0.01)
    assert model.objective_ == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("storage", ["dense", "listed", "disk"])
def test_samples_with_holes_that_count_several_times(storage, on_disk):
    X, V, times = draw_data(SHAPE, 2), holes(SHAPE), np.arange(SHAPE[0]) % 3 + 1
    V[5] *= 0.3
    (W, H), kept = start_of(SHAPE), np.repeat(np.arange(SHAPE[0]), times)
    how = {"solver": "mu", "beta_loss": LOSS, "max_iter": 20}
    wanted = fit(X[kept], W[kept], H, V[kept], **how)
    each = times[:, None] * V
    if storage == "dense":
        model = NMF(K, init="custom", tol=0, **how)
        found = [model.fit(X, W=W, H=H, weights=V, sample_weight=times)]
    elif storage == "listed":
        rows, columns = np.nonzero(V)
        given = sparse.csr_array((X[rows, columns], (rows, columns)), shape=SHAPE)
        found = [fit(given, W, H, sparse.csr_array(each), unstored="missing", **how)]
    else:
        found = [fit(on_disk(X), W, H, on_disk(each, "V"), **how)]
    for model in found:
        np.testing.assert_allclose(model.components_, wanted.components_, rtol=1e-9)
        assert model.objective_ == pytest.approx(wanted.objective_, rel=1e-10)


@pytest.mark.parametrize("c", [1e-140, 1e140])
@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_units_of_data_and_weights(c, size):
    X, V = draw_data(SHAPE, 4), some_weights()
    V[1], V[2] = V[0], V[0]
    how = {"beta_loss": LOSS, "init": "random", "random_state": 0, "max_iter": 30, "tol": 0}
    one = NMF(K, **how).fit(X, weights=V)
    other = NMF(K, **how).fit(c * X, weights=size * V)
    np.testing.assert_allclose(other.components_, np.sqrt(c) * one.components_, rtol=1e-6)
    assert other.objective_ / c / size == pytest.approx(one.objective_, rel=1e-9)
    assert other.score(c * X, weights=size * V) / c == pytest.approx(
        one.score(X, weights=V), rel=1e-6
    )


@pytest.mark.filterwarnings("ignore:1 rows and 0 columns of X", "ignore:transform. 1 of 23 rows")
@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
def test_what_stands_where_nothing_is_known_changes_no_bit(Estimator, on_disk):
    X, V, found = draw_data(SHAPE, 4), some_weights(), []
    how = {"beta_loss": LOSS, "init": "random", "random_state": 0, "max_iter": 9, "tol": 0}
    for junk in (np.nan, np.inf, -1.0, 0.0, 7.0):
        spoiled = np.where(V > 0, X, junk)
        for given, weights in ((spoiled, V), (on_disk(spoiled), on_disk(V, "V"))):
            model = Estimator(K, **how).fit(given, weights=weights)
            W = model.transform(given, weights=weights)
            found.append((model.components_.tobytes(), model.W_.tobytes(), W.tobytes()))
            assert not model.W_[1].any()
            assert np.isfinite(model.objective_)
    assert len(set(found[::2])) == len(set(found[1::2])) == 1


def test_listed_data_and_their_model_are_never_dense(monkeypatch):
    rng = np.random.default_rng(0)
    X = sparse.random_array((60, 40), density=0.05, rng=rng, format="csr")
    monkeypatch.setattr(Sparse, "to_dense", None)
    monkeypatch.setattr(Bilinear, "forward", None)
    how = {"unstored": "missing", "beta_loss": LOSS, "init": "random", "max_iter": 3, "tol": 0}
    for solver in ("mu", "amu", "pgd"):
        with pytest.warns(UserWarning, match="no known entry"):
            model = NMF(K, solver=solver, **how).fit(X)
        with pytest.warns(UserWarning, match="no known entry"):
            assert np.isfinite(model.score(X))


@pytest.mark.parametrize("storage", ["dense", "listed"])
def test_rows_of_new_samples_are_the_best_ones(storage):
    X, V = draw_data(SHAPE, 3), holes(SHAPE) * np.random.default_rng(1).uniform(0.2, 3, SHAPE)
    H = start_of(SHAPE)[1]
    model = NMF(K, beta_loss=LOSS, unstored="missing", max_iter=2000).fit(X)
    model.set_params(tol=1e-6).components_ = H
    given, weights = X, V
    if storage == "listed":
        rows, columns = np.nonzero(V)
        given = sparse.csr_array((X[rows, columns], (rows, columns)), shape=SHAPE)
        weights = sparse.csr_array(V)
    W, total = model.transform(given, weights=weights), 0.0
    for i in range(SHAPE[0]):
        one = slice(i, i + 1)

        def cost(w, one=one):
            return naive.l21(X[one], (w @ H)[None], V[one], 0.01) / V[one].max()

        best = optimize.minimize(cost, W[i], bounds=[(0, None)] * K, method="L-BFGS-B")
        here = cost(W[i])
        assert here <= best.fun + 1e-5 * (best.fun + 0.01)
        total += here * V[i].max()
        alone = model.transform(given[i : i + 1], weights=weights[i : i + 1])
        np.testing.assert_allclose(alone[0], W[i], rtol=1e-6, atol=1e-9)
    assert -model.score(given, weights=weights) * V.sum() == pytest.approx(total, rel=1e-6)


# ---------------------------------------------------------------- what it is for


def outlying(seed):
    """A few samples that are no mixtures of the parts, and holes everywhere."""
    rng = np.random.default_rng(seed)
    W = rng.gamma(1.0, size=(120, 4)) * (rng.random((120, 4)) < 0.6)
    H = rng.gamma(1.0, size=(4, 60)) * (rng.random((4, 60)) < 0.6)
    truth = W @ H
    X = np.maximum(truth + 0.02 * rng.standard_normal(truth.shape), 0)
    wrong = rng.choice(120, 6, replace=False)
    X[wrong] = 5 * X.mean() * rng.gamma(1.0, size=(6, 60))
    return np.where(rng.random(X.shape) < 0.8, X, np.nan), H, truth, wrong


def test_outlying_samples_with_holes_do_not_move_the_parts():
    X, H, truth, wrong = outlying(0)
    how = {"init": "random", "random_state": 0, "n_init": 3, "max_iter": 400, "tol": 0}
    assert cosines(H, NMF(4, **how).fit(X).components_).min() < 0.95
    assert cosines(H, NMF(4, beta_loss="l21", **how).fit(X).components_).min() >= 0.99
    filled = NMFImputer(4, beta_loss="l21", **how).fit_transform(X)
    hidden = np.isnan(X)
    hidden[wrong] = False
    assert np.median(np.abs(filled - truth)[hidden]) < 0.02
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])


@pytest.mark.parametrize("kind", ["dense", "listed"])
def test_the_loss_on_held_out_entries_is_that_of_the_held_out_part(kind):
    X, V = draw_data(SHAPE, 3) + 0.1, holes(SHAPE)
    given, unstored, weights = np.where(V > 0, X, np.nan), "zero", 2 * V
    if kind == "listed":
        rows, columns = np.nonzero(V)
        given = sparse.csr_array((X[rows, columns], (rows, columns)), shape=SHAPE)
        unstored, weights = "missing", sparse.csr_array(2 * V)
    cv = HeldOutEntries(2, fraction=0.2, random_state=0)
    est = NMF(beta_loss=LOSS, unstored=unstored, max_iter=9, random_state=0, init="random")
    found = cross_val_loss(est, given, [2], cv=cv, weights=weights)
    for split, (known, held) in enumerate(cv.split(given, weights, unstored=unstored)):
        model = NMF(**{**est.get_params(), "n_components": 2}).fit(given, weights=known)
        Y = model.W_ @ model.components_
        for part, told in ((held, found.held_out), (known, found.fitted)):
            part = part.toarray() if sparse.issparse(part) else part
            wanted = naive.l21(X, Y, part, 0.01) / part.sum()
            assert told[0, split] == pytest.approx(wanted, rel=1e-9)


def test_reference_costs_do_not_depend_on_the_storage():
    X, V = draw_data(SHAPE, 3), some_weights()
    view = Weighted(np.where(V > 0, X, 0), V)
    costs = [
        Problem(data, Bilinear(K), LOSS, dict.fromkeys("WH", np.ones((1, K)))).reference
        for data in (view, listed(view))
    ]
    level = (V * X).sum() / V.sum()
    wanted = naive.l21(X, np.full(SHAPE, level), V, 0.01) + 0.5 * V.sum() * level
    np.testing.assert_allclose(costs, wanted, rtol=1e-12)
    times = np.arange(SHAPE[0]) % 3 + 1
    kept = as_data(np.repeat(X, times, axis=0))
    weighted = Weighted(X, np.tile(times[:, None], (1, SHAPE[1])).astype(float))
    repeated, found = (
        Problem(data, Bilinear(K), LOSS, dict.fromkeys("WH", np.ones((1, K)))).reference
        for data in (kept, weighted)
    )
    assert found == pytest.approx(repeated, rel=1e-12)
