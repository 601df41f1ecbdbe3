"""Laws of weights and missing entries: what is not known counts for nothing."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, MiniBatchNMF, SequentialNMF, kernels, losses
from partwise._errors import UnsupportedCombinationError
from partwise.data import Listed, Weighted, as_data
from partwise.data.base import even_blocks
from partwise.models import Bilinear
from partwise.penalties import L1, L2, Simplex
from partwise.problem import Problem
from partwise.solvers import SOLVERS, CoordinateDescent, run
from tests.laws.declared import LOSSES, draw_data, label
from tests.oracle import naive

K = 3
SOLVING = [
    *("cd", "hals", "a-hals", "rational", "amu", "me", "mu", "pgd"),
    *("ccd", "newton", "newton-mu", "mirror"),
]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def start_of(shape, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 1, (shape[0], K)).astype(dtype), rng.uniform(
        0.2, 1, (K, shape[1])
    ).astype(dtype)


def fit(X, W, H, weights=None, **params):
    model = NMF(K, init="custom", **{"tol": 0, "max_iter": 3, **params})
    return model.fit(X, W=W.copy(), H=H.copy(), weights=weights)


def able(loss, name, weights):
    data = Weighted(np.where(weights > 0, 1.0, 0.0), weights)
    factors = dict(
        zip("WH", (F if n == 0 else F.T for n, F in enumerate(start_of((13, 9)))), strict=True)
    )
    problem = Problem(
        data, Bilinear(K), loss, {n: np.ascontiguousarray(F) for n, F in factors.items()}
    )
    return SOLVERS[name]().lacks(problem) is None


def holes(shape, seed=5, share=0.35):
    weights = (np.random.default_rng(seed).random(shape) > share).astype(float)
    weights[0], weights[:, 0] = 1, 1
    return weights


PAIRS = [
    pytest.param(loss, name, id=f"{label(loss)} {name}")
    for loss in LOSSES
    for name in SOLVING
    if able(loss, name, holes((13, 9)))
]


def test_every_loss_has_a_solver():
    served = {pair.values[0].name for pair in PAIRS}
    bounded = {loss.name for loss in LOSSES if loss.largest < np.inf}  # served with bounds only
    assert served | bounded == {loss.name for loss in LOSSES}


@pytest.mark.parametrize(("loss", "name"), PAIRS)
def test_three_ways_to_say_missing_are_one(loss, name):
    X, weights = draw_data((13, 9), 1, loss, zeros=0.2), holes((13, 9))
    W, H = start_of(X.shape)
    how = {"solver": name, "beta_loss": loss}
    first = fit(np.where(weights > 0, X, np.nan), W, H, **how)
    rows, columns = np.nonzero(weights)
    stored = sparse.coo_array((X[rows, columns], (rows, columns)), shape=X.shape)
    for other in (
        fit(np.where(weights > 0, X, -1e30), W, H, weights, **how),
        fit(X, W, H, sparse.csr_array(weights), **how),
    ):
        np.testing.assert_array_equal(other.components_, first.components_)
    listed = fit(stored, W, H, unstored="missing", **how)
    np.testing.assert_allclose(listed.components_, first.components_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(listed.objective_, first.objective_, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("loss", "name"), PAIRS)
def test_integer_weights_are_repeated_rows(loss, name):
    X, times = draw_data((13, 9), 2, loss, zeros=0.2), np.arange(13) % 3 + 1
    if name == "pgd" or (name == "amu" and loss.quadratic):
        pytest.skip("Its steps, or their number, are others for complete data.")
    if name in ("newton", "newton-mu"):
        pytest.skip("Its damping knows the smallest entry, which is larger times its weight.")
    W, H = start_of(X.shape)
    how = {"solver": name, "beta_loss": loss}
    weighted = fit(X, W, H, times, **how)
    repeated = fit(np.repeat(X, times, axis=0), np.repeat(W, times, axis=0), H, **how)
    np.testing.assert_allclose(weighted.components_, repeated.components_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-10)


ROWS = np.arange(13) % 3 + 1.0


@pytest.mark.parametrize("kind", ["rows alone", "dense", "sparse", "of rows"])
@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF, SequentialNMF])
def test_weights_of_samples_are_those_of_their_entries(Estimator, kind):
    X = draw_data((13, 9), 2, losses.Frobenius())
    inner = {
        "rows alone": None, "dense": holes(X.shape), "sparse": sparse.csr_array(holes(X.shape)),
        "of rows": ROWS[::-1],
    }[kind]  # fmt: skip
    every = ROWS if inner is None else ROWS * inner if kind == "of rows" else None
    if every is None:
        every = ROWS[:, None] * (inner.toarray() if kind == "sparse" else inner)
    model = Estimator(2, random_state=0, max_iter=20)
    found = clone(model).fit(X, weights=inner, sample_weight=ROWS)
    wanted = clone(model).fit(X, weights=every)
    np.testing.assert_allclose(found.components_, wanted.components_, rtol=1e-5)
    score = found.score(X, weights=inner, sample_weight=ROWS)
    assert score == pytest.approx(found.score(X, weights=every), rel=1e-6)
    twice = clone(model).fit(X, weights=inner, sample_weight=2)
    plain = clone(model).fit(X, weights=inner)
    products = [fit.W_ @ fit.components_ for fit in (twice, plain)]
    np.testing.assert_allclose(*products, rtol=1e-4, atol=1e-4)


def test_batches_have_weights_of_samples():
    X = draw_data((13, 9), 2, losses.Frobenius())
    first = MiniBatchNMF(2, random_state=0).partial_fit(X, sample_weight=ROWS)
    second = MiniBatchNMF(2, random_state=0).partial_fit(X, weights=ROWS)
    np.testing.assert_array_equal(first.components_, second.components_)


def test_bad_weights_of_samples_say_so(tmp_path):
    X = draw_data((13, 9), 2, losses.Frobenius())
    with pytest.raises(ValueError, match=r"sample_weight.*\(13, 9\).*\(13,\)"):
        NMF(2).fit(X, sample_weight=np.ones(X.shape))
    for both in ({}, {"weights": -ROWS}, {"weights": -np.ones(X.shape)}):
        with pytest.raises(ValueError, match=r"sample_weight: got entries from -3"):
            NMF(2).fit(X, sample_weight=-ROWS, **both)
    for shape in ((1, 9), (1,), (9,)):
        with pytest.raises(ValueError, match=r"^weights: got shape"):
            NMF(2).fit(X, sample_weight=ROWS, weights=np.ones(shape))
    with pytest.raises(TypeError, match="masked"):
        NMF(2).fit(X, sample_weight=np.ma.masked_array(ROWS, ROWS > 2))
    np.save(tmp_path / "V.npy", np.ones(X.shape))
    with pytest.raises(ValueError, match=r"weights outside memory.*[Mm]ultiply"):
        NMF(2).fit(X, weights=str(tmp_path / "V.npy"), sample_weight=ROWS)


@pytest.mark.parametrize(("loss", "name"), PAIRS)
def test_weights_of_one_are_none(loss, name):
    X = draw_data((13, 9), 3, loss, zeros=0.2)
    W, H = start_of(X.shape)
    plain = fit(X, W, H, solver=name, beta_loss=loss)
    ones = fit(X, W, H, np.ones(X.shape), solver=name, beta_loss=loss)
    np.testing.assert_array_equal(plain.components_, ones.components_)


@pytest.mark.parametrize(("loss", "name"), PAIRS)
@pytest.mark.parametrize("obeyed", [None, L1(0.1), L2(0.1)], ids=["plain", "L1", "L2"])
def test_objective_never_rises_and_is_that_of_the_definition(loss, name, obeyed):
    X = draw_data((13, 9), 4, loss, zeros=0.2)
    weights = holes(X.shape) * np.random.default_rng(1).uniform(0.2, 3, X.shape)
    W, H = start_of(X.shape)
    how = {"solver": name, "beta_loss": loss, "max_iter": 30}
    try:
        model = fit(X, W, H, weights, penalty_W=obeyed, penalty_H=obeyed, **how)
    except UnsupportedCombinationError:
        assert obeyed is not None
        return
    history = model.objective_history_
    assert (np.diff(history) <= 1e-9 * np.abs(history[:-1])).all()
    Y = np.maximum(model.W_ @ model.components_, 1e-30)
    misfit = naive.misfit(loss, X, Y, weights)
    cost = 0 if obeyed is None else obeyed.value(model.W_) + obeyed.value(model.components_)
    assert model.objective_ == pytest.approx(misfit + cost, rel=1e-8)


@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_split_is_the_gradient(loss):
    X = draw_data((6, 5), 5, loss, zeros=0.2)
    weights = holes(X.shape) * np.random.default_rng(1).uniform(0.5, 2, X.shape)
    W, H = start_of(X.shape)
    factors = {"W": W, "H": np.ascontiguousarray(H.T)}
    data = Weighted(np.where(weights > 0, X, 0), weights)
    problem = Problem(data, Bilinear(K), loss, factors)
    for name in "WH":
        split, F = problem.split(name), problem.factors[name]
        for place in ((0, 0), (2, 1), (4, 2)):
            kept = F[place]
            ends = []
            for step in (1e-6, -1e-6):
                F[place] = kept + step
                ends.append(problem.objective())
            F[place] = kept
            slope = (ends[0] - ends[1]) / 2e-6
            assert (split.positive - split.negative)[place] == pytest.approx(
                slope, abs=2e-5, rel=2e-5
            )


def naive_sweep(X, V, F, A, slope, curve, free):
    F = F.copy()
    for i in range(len(F)):
        for l in range(F.shape[1]):
            rest = X[i] - A @ F[i]
            bend = (V[i] * A[:, l] ** 2).sum() + curve
            fall = (V[i] * rest * A[:, l]).sum() - slope[l] - curve * F[i, l]
            if free[i, l] and bend > 0:
                F[i, l] = max(0, F[i, l] + fall / bend)
    return F, 0.5 * (V * (X - F @ A.T) ** 2).sum()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (19, 70)])
def test_a_sweep_is_the_naive_one(shape, dtype):
    rng = np.random.default_rng(shape[1])
    X, V = rng.random(shape), holes(shape) * rng.uniform(0.1, 3, shape)
    A, F = rng.random((shape[1], 5)), rng.random((shape[0], 5))
    free, slope = rng.random(F.shape) < 0.9, rng.uniform(0, 0.1, 5)
    wanted, value = naive_sweep(X, V, F, A, slope, 0.3, free)
    exact = {"rtol": 1e-4 if dtype is np.float32 else 1e-10, "atol": 1e-5}
    dense, listed = (F.astype(dtype) for _ in range(2))
    X, V, A, slope = (B.astype(dtype) for B in (X, V, A, slope))
    how = (slope, dtype(0.3), free, np.arange(5), (1, 0.1, 0.0), 0.0)
    found = kernels.observed_dense(X, V, A, dense, *how)
    np.testing.assert_allclose(dense, wanted, **exact)
    rows = sparse.csr_array(V)
    known = X[rows.nonzero()]
    again = kernels.observed_sparse(rows.indptr, rows.indices, known, rows.data, A, listed, *how)
    np.testing.assert_allclose(listed, wanted, **exact)
    assert found[0] == pytest.approx(value, rel=1e-4)
    assert again[0] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("storage", ["dense", "listed"])
def test_transform_is_exact(storage):
    rng = np.random.default_rng(0)
    X, weights = rng.random((11, 9)), holes((11, 9)) * rng.uniform(0.5, 2, (11, 9))
    model = NMF(K, unstored="missing").fit(X)
    rows, columns = np.nonzero(weights)
    stored = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    W = model.transform(X if storage == "dense" else stored, weights=weights)
    for i in range(len(X)):
        root = np.sqrt(weights[i])
        best, _ = optimize.nnls(root[:, None] * model.components_.T, root * X[i])
        np.testing.assert_allclose(W[i], best, atol=1e-9)


def test_sparse_zero_with_sparse_weights_knows_its_zeros():
    rng = np.random.default_rng(0)
    X = rng.random((8, 7)) * (rng.random((8, 7)) < 0.5)
    weights = holes(X.shape) * 2
    W, H = start_of(X.shape)
    dense = fit(X, W, H, weights)
    for V in (sparse.csr_array(weights), weights):
        found = fit(sparse.csr_array(X), W, H, V)
        np.testing.assert_allclose(found.components_, dense.components_, rtol=1e-10)


@pytest.mark.parametrize("beta", [2, 1, 0])
def test_rows_and_columns_without_known_entries(beta):
    X = np.random.default_rng(0).random((12, 8)) + 0.1
    X[3], X[:, 5] = np.nan, np.nan
    with pytest.warns(UserWarning, match="1 rows and 1 columns of X have no known entry") as seen:
        model = NMF(K, beta_loss=beta, max_iter=1000).fit(X)
    assert sum("no known entry" in str(w.message) for w in seen) == 1
    assert not model.W_[3].any()
    assert not model.components_[:, 5].any()
    filled = model.inverse_transform(model.W_)
    unknown = np.isnan(X).all(axis=0) | np.isnan(X).all(axis=1)[:, None]
    np.testing.assert_array_equal(filled == 0, unknown)
    assert np.isfinite(model.objective_)
    with pytest.warns(UserWarning, match="transform: 1 of 12 rows have no known entry"):
        assert not model.transform(X)[3].any()


@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0, 0.97),
    beta=st.sampled_from([2, 1, 0, 1.5]),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    dtype=st.sampled_from([np.float64, np.float32]),
    k=st.integers(1, 6),
)
def test_nan_never_reaches_a_factor(seed, share, beta, scale, dtype, k):
    rng = np.random.default_rng(seed)
    X = (scale * (rng.random((9, 7)) + 0.01)).astype(dtype)
    X[rng.random(X.shape) < share] = np.nan
    X[4, 4] = scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NMF(k, beta_loss=beta, max_iter=20, random_state=seed).fit(X)
        W = model.transform(X)
    for F in (model.W_, model.components_, W, model.objective_history_):
        assert np.isfinite(F).all()
    assert model.W_.dtype == dtype


@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0, 0.97),
    pair=st.sampled_from([pair.values for pair in PAIRS]),
    storage=st.sampled_from(["NaN", "weights", "listed"]),
    junk=st.sampled_from([np.nan, np.inf, -1.0, 0.0]),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_what_is_missing_never_reaches_a_factor_of_any_solver(
    seed, share, pair, storage, junk, scale, dtype
):
    loss, solver = pair
    rng = np.random.default_rng(seed)
    if loss.largest < np.inf:
        scale = 1.0
    X = (scale * (0.05 + 0.9 * rng.random((9, 7)))).astype(dtype)
    known = rng.random(X.shape) >= share
    known[4, 4] = True
    weights = None
    if storage == "weights":
        weights = np.where(known, rng.uniform(0.1, 10, X.shape), 0)
    elif storage == "listed":
        rows, columns = known.nonzero()
        X, how = sparse.csr_array((X[known], (rows, columns)), X.shape), {"unstored": "missing"}
    if storage != "listed":
        X, how = np.where(known, X, dtype(junk if storage == "weights" else np.nan)), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NMF(K, beta_loss=loss, solver=solver, max_iter=8, random_state=seed, **how)
        model.fit(X, weights=weights)
        W = model.transform(X, weights=weights)
    for F in (model.W_, model.components_, W, model.objective_history_):
        assert np.isfinite(F).all()
    assert model.W_.dtype == dtype


def test_scale_of_the_data_and_of_the_weights_change_nothing_else():
    X, weights = draw_data((20, 15), 6, zeros=0.1), holes((20, 15)) * 1.5
    models = [
        NMF(K, random_state=0, max_iter=500).fit(c * X, weights=d * weights)
        for c, d in ((1, 1), (1e6, 1), (1e-6, 1), (1, 64.0), (1, 2.0**-30))
    ]
    for model, c in zip(models[1:], (1e6, 1e-6, 1, 1), strict=True):
        assert model.n_iter_ == models[0].n_iter_
        np.testing.assert_allclose(model.W_, c**0.5 * models[0].W_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("loss", "name"), PAIRS)
def test_weights_of_any_size_are_the_same_fit(loss, name):
    X, weights = draw_data((13, 9), 1, loss, zeros=0.2), holes((13, 9))
    W, H = start_of(X.shape)
    plain = fit(X, W, H, weights, solver=name, beta_loss=loss)
    for size in (2.0**-660, 2.0**660):
        model = fit(X, W, H, size * weights, solver=name, beta_loss=loss)
        np.testing.assert_array_equal(model.W_, plain.W_)
        np.testing.assert_array_equal(model.objective_history_ / size, plain.objective_history_)
        assert model.reconstruction_err_ == pytest.approx(size**0.5 * plain.reconstruction_err_)
        assert model.score(X, weights=size * weights) == pytest.approx(
            plain.score(X, weights=weights)
        )


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("size", [2.0**-100, 2.0**100])
def test_penalties_keep_their_share_beside_weights_of_any_size(beta, size):
    X, weights = draw_data((13, 9), 1).astype(np.float32), holes((13, 9))
    models = [
        NMF(K, beta_loss=beta, alpha_W=c * 0.01, penalty_H=L1(c), random_state=0, max_iter=500).fit(
            X, weights=c * weights
        )
        for c in (1, size)
    ]
    np.testing.assert_allclose(models[1].W_, models[0].W_, rtol=1e-4)
    assert models[1].objective_ == pytest.approx(size * models[0].objective_, rel=1e-4)


def test_signed_noise_without_clipping():
    rng = np.random.default_rng(0)
    W, H = rng.gamma(1, size=(200, 2)), rng.gamma(1, size=(2, 50)) * 0.05
    X = W @ H + rng.normal(0, 0.3, (200, 50))
    with pytest.raises(ValueError, match="Negative values"):
        NMF(2).fit(X)
    fitted = NMF(2, allow_negative=True, max_iter=2000).fit(X)
    clipped = NMF(2, max_iter=2000).fit(np.maximum(X, 0))
    truth = (W @ H).mean()
    bias = [(m.W_ @ m.components_).mean() / truth - 1 for m in (fitted, clipped)]
    assert abs(bias[0]) < 0.1
    assert bias[1] > 0.5
    assert fitted.converged_
    with pytest.raises(ValueError, match="squared loss"):
        NMF(2, allow_negative=True, beta_loss=1).fit(X)


BAD = {
    "shape": ((np.ones((3, 4)),), "shape"),
    "negative": ((-np.ones((13, 9)),), "≥ 0"),
    "infinite": ((np.full((13, 9), np.inf),), "≥ 0"),
    "nan": ((np.full((13, 9), np.nan),), "≥ 0"),
    "nothing": ((np.zeros((13, 9)),), "no known entry"),
    "complex": ((np.ones((13, 9), complex),), "complex numbers; wanted real"),
    "sparse complex": ((sparse.csr_array(np.ones((13, 9), complex)),), "complex numbers"),
    "text": ((np.full((13, 9), "1"),), "wanted numbers"),
    "list of text": (([["1"] * 9] * 13,), "wanted numbers"),
}


@pytest.mark.parametrize(("weights", "words"), BAD.values(), ids=BAD)
def test_bad_weights_say_so(weights, words):
    with pytest.raises(ValueError, match=words):
        NMF(2).fit(np.ones((13, 9)), weights=weights[0])


@pytest.mark.parametrize("entry", [1.0, -1.0, np.inf, np.nan])
def test_weights_of_rows_that_are_all_zero_say_so(entry):
    with pytest.raises(ValueError, match="no known entry"):
        NMF(2).fit(np.full((13, 9), entry), weights=np.zeros(13))


@pytest.mark.parametrize("turned", [False, True])
def test_a_stored_nan_is_missing_where_unstored_entries_are(turned):
    X = sparse.random_array((30, 20), density=0.4, format="csr", rng=0)
    X.data += 0.1
    marked, without = X.copy(), X.tocoo()
    marked.data[3] = np.nan
    left = np.arange(X.nnz) != 3
    where = tuple(c[left] for c in without.coords)
    without = sparse.csr_array((without.data[left], where), shape=X.shape)
    how = {"unstored": "missing", "init": "random", "random_state": 0, "max_iter": 20, "tol": 0}
    models = [NMF(3, **how).fit(Y.tocsc() if turned else Y) for Y in (marked, without)]
    for name in ("W_", "components_", "objective_"):
        np.testing.assert_array_equal(*(getattr(model, name) for model in models))


@pytest.mark.filterwarnings("ignore:1 rows and 0 columns of X")
def test_a_stored_nan_is_refused_where_unstored_entries_are_zeros():
    X = sparse.random_array((30, 20), density=0.4, format="csr", rng=0)
    X.data[3] = np.nan
    row, column = (c[3] for c in X.tocoo().coords)
    dense, rows = np.ones(X.shape), np.ones(30)
    dense[row - 1], rows[row - 1] = 0, 0
    for weights in (None, dense, sparse.csr_array(dense), rows, np.ones(30)):
        with pytest.raises(ValueError, match="NaN"):
            NMF(3).fit(X, weights=weights)
    dense[row, column] = 0
    for weights in (dense, sparse.csr_array(dense)):
        assert np.isfinite(NMF(3, max_iter=2, tol=0).fit(X, weights=weights).objective_)


@pytest.mark.parametrize("unstored", ["zero", "missing"])
def test_sparse_data_of_which_nothing_is_known(unstored):
    none, X = sparse.csr_array((13, 9)), sparse.csr_array(np.ones((13, 9)))
    with pytest.raises(ValueError, match="no known entry"):
        NMF(2, unstored=unstored).fit(X, weights=none)
    with pytest.raises(ValueError, match="no known entry"):
        NMF(2, unstored="missing").fit(none)


def test_masks_of_weights_are_not_ignored():
    weights = np.ma.array(np.ones((13, 9)), mask=np.eye(13, 9) > 0)
    with pytest.raises(TypeError, match="weights: got a masked array with 9 masked"):
        NMF(2).fit(np.ones((13, 9)), weights=weights)


@pytest.mark.parametrize("least", [1e-60, 1e60])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_weights_that_single_precision_cannot_hold_are_told(least, storage):
    X, weights = draw_data((13, 9), 6), np.ones((13, 9))
    weights[2, 3] = least
    NMF(2).fit(X, weights=storage(weights))
    with pytest.raises(ValueError, match=r"can hold.*float64"):
        NMF(2).fit(X.astype(np.float32), weights=storage(weights))


def test_solvers_that_cannot_say_which_can():
    X = np.random.default_rng(0).random((13, 9))
    X[0, 0] = np.nan
    for name in set(SOLVERS) - {*SOLVING, "dsgd"}:
        with pytest.raises(UnsupportedCombinationError, match=r"missing or have weights.*'cd'"):
            NMF(2, solver=name).fit(X)


def test_inputs_are_not_modified():
    X, weights = draw_data((13, 9), 7), holes((13, 9))
    X[2, 2] = np.nan
    kept = X.copy(), weights.copy()
    NMF(2).fit(X, weights=weights)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(weights, kept[1])


def test_explained_and_score_are_those_of_known_entries():
    rng = np.random.default_rng(1)
    X, weights = rng.random((20, 15)), holes((20, 15)) * rng.uniform(0.5, 2, (20, 15))
    model = NMF(K).fit(X, weights=weights)
    Y = model.W_ @ model.components_
    left = weights * (X - Y) ** 2
    assert model.explained_variance() == pytest.approx(1 - left.sum() / (weights * X**2).sum())
    np.testing.assert_allclose(
        model.explained_variance(per="feature"),
        1 - left.sum(axis=0) / (weights * X**2).sum(axis=0),
    )
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(left.sum()))
    best = model.transform(X, weights=weights) @ model.components_
    mean = (weights * (X - best) ** 2).sum() / weights.sum() / 2
    assert model.score(X, weights=weights) == pytest.approx(-mean)


def test_few_known_entries_are_visited_alone():
    X = np.full((60, 50), np.nan)
    rng = np.random.default_rng(0)
    X[rng.integers(0, 60, 200), rng.integers(0, 50, 200)] = 1.5
    from partwise.estimators._observed import observe

    view = observe(X, None, unstored="zero", subject="X", signed=False)
    assert isinstance(view, Listed)
    assert view.stored.size < 201


@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_penalized_fits_converge(beta):
    X, weights = draw_data((30, 20), 8, zeros=0.1) + 0.1, holes((30, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        NMF(2, beta_loss=beta, alpha_W=0.01, max_iter=5000, tol=1e-3).fit(X, weights=weights)
        NMF(2, beta_loss=beta, penalty_W=Simplex(), max_iter=20000, tol=1e-2).fit(
            X, weights=weights
        )


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_extrapolation_does_not_move_scales(beta):
    """Only the product of the factors' scales is in the objective: nothing held them together."""
    rng = np.random.default_rng(0)
    X = rng.gamma(1, size=(60, 4)) @ rng.gamma(1, size=(4, 40)) + 0.1
    data = as_data(X)
    factors = {"W": rng.random((60, 4)), "H": rng.random((40, 4))}
    problem = Problem(data, Bilinear(4), losses.as_loss(beta), factors)
    result = run(problem, SOLVERS["amu"](), tol=0, max_iter=400)
    ratio = result.factors["W"].mean() / result.factors["H"].mean()
    assert 1e-2 < ratio < 1e2
    assert problem.objective() == pytest.approx(result.objective, rel=1e-9)


def test_single_sweeps_are_monotone_in_single_precision():
    X, weights = draw_data((40, 30), 9, dtype=np.float32), holes((40, 30)).astype(np.float32)
    W, H = start_of(X.shape, dtype=np.float32)
    model = fit(X, W, H, weights, solver=CoordinateDescent(repeats=1), max_iter=60)
    history = model.objective_history_
    assert (np.diff(history) <= 1e-5 * history[:-1]).all()
    assert model.W_.dtype == np.float32


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("unstored", ["zero", "missing"])
@pytest.mark.parametrize("mean", [0.05, -0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_data_below_zero_have_a_start(storage, unstored, mean, weighted):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(mean, 1, (20, 15)), None
    if weighted:
        weights = holes((20, 15)) * rng.uniform(0.5, 2, (20, 15))
    model = NMF(K, allow_negative=True, unstored=unstored, max_iter=3000, tol=1e-5)
    model.fit(storage(X), weights=weights)
    assert model.converged_
    assert model.W_.min() >= 0
    assert model.components_.min() >= 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_move_alike_by_gram_matrices_and_by_entries(dtype):
    """Few components have Gram matrices of each row, many are swept entry by entry."""
    from partwise.problem import Entries
    from partwise.solvers.rows import observed_rows

    rng = np.random.default_rng(0)
    X, V = rng.random((21, 17)), holes((21, 17)) * rng.uniform(0.1, 3, (21, 17))
    data = Weighted(np.where(V > 0, X, 0).astype(dtype), V.astype(dtype))
    A, F = rng.random((17, 4)).astype(dtype), rng.random((21, 4)).astype(dtype)
    free, slope = rng.random(F.shape) < 0.9, rng.uniform(0, 0.1, (1, 4)).astype(dtype)
    by_grams, by_entries = F.copy(), F.copy()
    how = (free, np.arange(4), (3, 0.05))
    entries = Entries(data, A, slope, 0.3)
    value, _ = observed_rows(by_grams, entries, *how, exact=False)
    sides = (data.array, data.weights, A, by_entries, slope[0], dtype(0.3))
    other, _ = kernels.observed_dense(*sides, *how[:-1], (*how[-1], 0.0), 0.0)
    tolerance = 1e-10 if dtype is np.float64 else 2e-4
    np.testing.assert_allclose(by_grams, by_entries, rtol=tolerance, atol=tolerance)
    assert value == pytest.approx(other, rel=tolerance)


def test_an_exact_fit_has_its_own_value():
    """Where squares cancel against products the residual is formed."""
    rng = np.random.default_rng(0)
    X, weights = rng.random((20, 3)) @ rng.random((3, 15)), holes((20, 15)) * 1.3
    model = NMF(3, max_iter=5000, tol=1e-9).fit(X, weights=weights)
    left = 0.5 * (weights * (X - model.W_ @ model.components_) ** 2).sum()
    assert model.objective_ == pytest.approx(left, rel=1e-6)
    assert left < 1e-12


def errors_with_weights(power, axis, share, seed):
    """Return χ² per degree of freedom; errors with weights, without, with zeros for holes.

    Noise is a share of the mean of X, or of each of its features where ``axis`` is 0.
    """
    rng = np.random.default_rng(seed)
    truth = rng.gamma(power, size=(300, 5)) @ rng.gamma(power, size=(5, 400))
    sigma = truth.mean(axis=axis) * np.exp(rng.uniform(np.log(0.02), np.log(0.5), truth.shape))
    X, known = truth + sigma * rng.standard_normal(truth.shape), rng.random(truth.shape) >= share
    how = {"allow_negative": True, "max_iter": 1000, "tol": 1e-6}
    weighted = NMF(5, **how).fit(X, weights=known / sigma**2)
    models = weighted, *(NMF(5, **how).fit(np.where(known, X, hole)) for hole in (np.nan, 0))
    judged = ~known if share else known
    errors = [np.linalg.norm((m.W_ @ m.components_ - truth)[judged]) for m in models]
    freedom = known.sum() - 5 * (300 + 400 - 5)
    return 2 * weighted.objective_ / freedom, *(errors / np.linalg.norm(truth[judged]))


@pytest.mark.parametrize(("share", "most"), [(0.0, 0.0042), (0.2, 0.005), (0.5, 0.007)])
@pytest.mark.parametrize("noise_of", ["features", "all"])
def test_uncertainties_are_used_well(noise_of, share, most):
    """Zhu (2016): 300 × 400 of rank 5, noise from 2 to 50 % of the mean, entries missing.

    Few entries of the factors are large. With one size of noise for all features standard errors
    without weights and with them are as √(E σ² · E σ⁻²) = 3.9 to one if nothing bounds the factors;
    the means of features add to that. Medians of three draws, or one.
    """
    power, axis, draws, times = (0.15, 0, 3, 4) if noise_of == "features" else (0.27, None, 1, 3.2)
    found = [errors_with_weights(power, axis, share, seed) for seed in range(draws)]
    reduced, weighted, plain, zeros = np.median(found, axis=0)
    assert 0.95 < reduced < 1.02
    assert weighted < most
    assert plain > times * weighted
    if share:
        assert zeros > 0.2


@pytest.mark.parametrize("price", [0.0, 0.2])
def test_an_entry_that_rests_on_nothing_falls_to_a_penalty_alone(price):
    """Nothing known speaks of it: it stays, unless L1 pushes it to zero."""
    from partwise.problem import Entries
    from partwise.solvers.rows import observed_rows

    V, A = np.ones((1, 4)), np.ones((4, 2))
    V[0, 2:], A[:2, 1] = 0, 0  # the second component is only where nothing is known
    slope, order, free = np.full((1, 2), price), np.arange(2), np.empty((0, 2), bool)
    rows = sparse.csr_array(V)
    for data in (Weighted(V.copy(), V), Listed(rows, rows.data)):
        F = np.full((1, 2), 0.5)
        observed_rows(F, Entries(data, A, slope, 0.0), free, order, (1, 0.1), exact=False)
        assert F[0, 1] == (0.5 if price == 0 else 0.0)
        assert F[0, 0] == pytest.approx(1 - price / 2)


def test_what_starts_are_made_from():
    """Dense holes are filled by means of their row and column, lists are scaled to the sum."""
    X, V = draw_data((13, 9), 1), holes((13, 9))
    V[4] = 0
    rows, columns = ((V * X).sum(axis=axis) / np.maximum(V.sum(axis=axis), 1) for axis in (1, 0))
    guess = np.outer(rows, columns) / ((V * X).sum() / V.sum())
    dense = Weighted(V * X, V)
    np.testing.assert_allclose(dense.filled().to_dense(), np.where(V > 0, X, guess), rtol=1e-12)
    listed = Listed(sparse.csr_array(V * (X + 1e-9)), np.full(np.count_nonzero(V), 2.0))
    full = listed.filled().to_dense()
    assert full.sum() == pytest.approx(listed.sum())
    assert listed.sum() == pytest.approx(117 * (V * (X + 1e-9)).sum() / V.sum())
    np.testing.assert_array_equal(full > 0, V > 0)


@pytest.mark.parametrize("height", [5, 10_000])
def test_sums_of_squares_are_weighted_in_every_storage(height, monkeypatch):
    monkeypatch.setattr(Weighted, "blocks", lambda self, **_: even_blocks(self.shape[0], height))
    X, V = draw_data((13, 9), 1), holes((13, 9)) * draw_data((13, 9), 2)
    weighted = Weighted(np.where(V > 0, X, 0), V)
    matrix = sparse.csr_array(V)
    data = sparse.csr_array((X[V > 0], matrix.indices, matrix.indptr), shape=X.shape)
    for view in (weighted, Listed(data, matrix.data)):
        for sums, axis in zip(view.square_sums(), (1, 0), strict=True):
            np.testing.assert_allclose(sums, (V * X**2).sum(axis=axis), rtol=1e-12)
