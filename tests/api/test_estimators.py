"""What a user does with the estimators, beyond the numbers of a single fit."""

from __future__ import annotations

import io
import pickle
import time

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from partwise import (
    NMF,
    MiniBatchNMF,
    NonSmoothNMF,
    PositiveMatrixFactorization,
    non_negative_factorization,
)

BETAS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
SOLVED = [("cd", 2.0), *(("mu", beta) for beta in BETAS), ("me", 0.5)]
INITS = ["random", "random-acol", "nndsvd", "nndsvda", "nndsvdar"]
BOTH = pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(seed=0, shape=(30, 12), k=3, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.7, size=(shape[0], k)) @ rng.gamma(0.7, size=(k, shape[1]))
    return (X + 0.05 * rng.uniform(0.5, 1, shape)).astype(dtype)


# --- scikit-learn's contract ---------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        NMF(),
        NMF(2, solver="cd"),
        NMF(2, solver="mu", max_iter=1000),
        NMF(2, beta_loss="kullback-leibler", max_iter=1000),
        NMF(2, allow_negative=True, tol=1e-6, max_iter=5000),
        MiniBatchNMF(),
        MiniBatchNMF(2, beta_loss="kullback-leibler"),
        NonSmoothNMF(2, max_iter=1000),
        PositiveMatrixFactorization(2, n_init=2),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@quiet
@BOTH
def test_clone_and_parameters_round_trip(Estimator):
    model = Estimator(3, init="random", beta_loss=1, alpha_W=0.1, random_state=4)
    params = model.get_params()
    assert clone(model).get_params() == params
    assert Estimator(**params).get_params() == params
    model.set_params(n_components=2, l1_ratio=0.5)
    assert (model.n_components, model.l1_ratio) == (2, 0.5)
    with pytest.raises(ValueError, match="Invalid parameter"):
        model.set_params(components=2)
    fitted = clone(model).fit(data())
    assert not hasattr(clone(fitted), "components_")


@quiet
@BOTH
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_pickle_and_joblib_round_trip(Estimator, beta):
    X = data()
    model = Estimator(3, beta_loss=beta, random_state=0, max_iter=30).fit(X)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(file)):
        np.testing.assert_array_equal(copy.transform(X), model.transform(X))
        np.testing.assert_array_equal(copy.assign(), model.assign())
        assert copy.explained_variance() == model.explained_variance()
        assert copy.stop_reason_ == model.stop_reason_


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_a_pickled_stream_goes_on_as_if_nothing_had_happened(beta):
    X = data(shape=(60, 12))
    model = MiniBatchNMF(3, beta_loss=beta, random_state=0)
    model.partial_fit(X[:20]).partial_fit(X[20:40])
    other = pickle.loads(pickle.dumps(model))
    for stream in (model, other):
        stream.partial_fit(X[40:])
    np.testing.assert_array_equal(model.components_, other.components_)
    assert model.n_steps_ == other.n_steps_ == 3


@quiet
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_partial_fit_on_all_batches_equals_one_pass_of_fit(beta):
    X, H = data(shape=(40, 12)), np.random.default_rng(0).uniform(0.1, 1, (3, 12))
    params = {"n_components": 3, "init": "custom", "beta_loss": beta, "forget_factor": 1.0}
    whole = MiniBatchNMF(
        batch_size=10, max_iter=1, fresh_restarts=True, tol=0, max_no_improvement=None, **params
    ).fit(X, H=H)
    stream = MiniBatchNMF(**params)
    for i in range(0, 40, 10):
        stream.partial_fit(X[i : i + 10], H=H)
    np.testing.assert_allclose(stream.components_, whole.components_, rtol=1e-8, atol=1e-12)
    assert stream.n_steps_ == whole.n_steps_ == 4


@quiet
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5, 3.0])
def test_one_batch_without_memory_takes_the_steps_of_the_batch_solver(beta):
    X = data()
    rng = np.random.default_rng(0)
    start = {"W": rng.uniform(0.1, 1, (30, 3)), "H": rng.uniform(0.1, 1, (3, 12))}
    params = {"init": "custom", "beta_loss": beta, "tol": 0, "max_iter": 7}
    batch = NMF(3, solver="mu", **params).fit(X, **start)
    online = MiniBatchNMF(3, batch_size=30, max_no_improvement=None, **params).fit(X, **start)
    np.testing.assert_allclose(online.components_, batch.components_, rtol=1e-7)


@BOTH
def test_pipeline(Estimator):
    X = data()
    y = (np.arange(30) % 2).astype(int)
    parts = Estimator(3, random_state=0, tol=1e-2, max_iter=500)
    pipe = make_pipeline(MaxAbsScaler(), parts, LogisticRegression())
    assert pipe.fit(X, y).predict(X).shape == (30,)
    assert pipe[:-1].transform(X).shape == (30, 3)


@quiet
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_grid_search_over_the_number_of_components_through_score(beta):
    X = data(shape=(60, 20), k=3)
    grid = GridSearchCV(
        NMF(beta_loss=beta, random_state=0, max_iter=300), {"n_components": [1, 2, 3]}, cv=3
    ).fit(X)
    scores = grid.cv_results_["mean_test_score"]
    assert grid.best_params_ == {"n_components": 3}
    assert (np.diff(scores) > 0).all()
    assert (scores < 0).all()


# --- names ---------------------------------------------------------------------------------


@quiet
@BOTH
def test_set_output_pandas(Estimator):
    pandas = pytest.importorskip("pandas")
    names = [f"gene {j}" for j in range(12)]
    frame = pandas.DataFrame(data(), columns=names, index=[f"cell {i}" for i in range(30)])
    model = Estimator(3, max_iter=20, random_state=0).set_output(transform="pandas")
    W = model.fit_transform(frame)
    assert isinstance(W, pandas.DataFrame)
    prefix = Estimator.__name__.lower()
    assert list(W.columns) == [f"{prefix}{j}" for j in range(3)]
    assert list(W.columns) == list(model.get_feature_names_out())
    assert list(W.index) == list(frame.index)
    assert list(model.transform(frame).index) == list(frame.index)
    assert list(model.feature_names_in_) == names
    assert model.n_features_in_ == 12
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame.rename(columns={"gene 0": "other"}))


@quiet
@BOTH
def test_set_output_polars(Estimator):
    polars = pytest.importorskip("polars")
    names = [f"gene {j}" for j in range(12)]
    frame = polars.DataFrame(data(), schema=names)
    model = Estimator(3, max_iter=20, random_state=0).set_output(transform="polars")
    W = model.fit_transform(frame)
    assert isinstance(W, polars.DataFrame)
    assert W.columns == list(model.get_feature_names_out())
    assert list(model.feature_names_in_) == names
    plain = Estimator(3, max_iter=20, random_state=0).fit_transform(data())
    np.testing.assert_allclose(W.to_numpy(), plain, rtol=1e-6)


@quiet
def test_names_that_are_not_all_strings_are_not_kept():
    pandas = pytest.importorskip("pandas")
    model = NMF(2, max_iter=5).fit(pandas.DataFrame(data()))
    assert not hasattr(model, "feature_names_in_")
    assert [name for name, _ in model.top_features(2)[0]] == list(
        np.argsort(-model.components_[0])[:2]
    )


# --- the number of components, dtypes ----------------------------------------------------------


@quiet
@BOTH
def test_automatic_number_of_components(Estimator):
    X = data()
    H = np.random.default_rng(0).uniform(0.1, 1, (2, 12))
    for k in ("auto", None):
        assert Estimator(k, max_iter=5).fit(X).n_components_ == 12
    assert Estimator("auto", init="custom", max_iter=5).fit(X, H=H).n_components_ == 2
    with pytest.raises(ValueError, match="Expected 12"):
        Estimator(None, init="custom").fit(X, H=H)


@quiet
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_dtype_is_preserved(solver, beta, store):
    for given, wanted in (("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u1", "f8"), ("?", "f8")):
        X = store((10 * data() + 1).astype(given))
        model = NMF(3, solver=solver, beta_loss=beta, max_iter=5)
        model.set_params(alpha_W=1e-4, l1_ratio=1.0)
        W = model.fit_transform(X)
        for array in (W, model.components_, model.transform(X), model.W_):
            assert array.dtype == np.dtype(wanted), given
        assert model.inverse_transform(W).dtype == np.dtype(wanted)
        assert model.objective_history_.dtype == np.float64
        assert isinstance(model.reconstruction_err_, float)
        assert isinstance(model.kkt_, float)
        assert type(model.n_iter_) is int


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_float32_reaches_the_objective_of_float64(solver, beta):
    params = {"solver": solver, "beta_loss": beta, "max_iter": 100, "tol": 0}
    double = NMF(3, **params).fit(data())
    single = NMF(3, **params).fit(data(dtype=np.float32))
    assert single.objective_ == pytest.approx(double.objective_, rel=2e-3)


# --- several starts ----------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("init", [None, *INITS])
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 1.0)])
def test_several_starts_keep_the_best(solver, beta, init):
    X = data(k=5)
    params = {"init": init, "solver": solver, "beta_loss": beta, "max_iter": 20}
    model = NMF(5, n_init=4, random_state=3, **params).fit(X)
    assert model.objectives_.shape == (4,)
    assert len(set(model.objectives_)) == 4
    assert model.objective_ == model.objectives_.min() == model.objective_history_[-1]
    single = NMF(5, random_state=3, **params).fit(X)
    assert single.objectives_[0] == pytest.approx(model.objectives_[0], rel=1e-9)
    assert single.objectives_.shape == (1,)
    for jobs in (2, -1):
        other = NMF(5, n_init=4, n_jobs=jobs, random_state=3, **params).fit(X)
        np.testing.assert_array_equal(other.objectives_, model.objectives_)
        np.testing.assert_array_equal(other.components_, model.components_)


@quiet
def test_several_starts_draw_what_is_not_given():
    X = data(k=5)
    H = np.random.default_rng(0).uniform(0.1, 1, (5, 12))
    model = NMF(5, init="custom", n_init=3, random_state=0, max_iter=10).fit(X, H=H)
    assert len(set(model.objectives_)) == 3
    with pytest.raises(ValueError, match="All starts would be the same"):
        NMF(5, init="custom", n_init=3).fit(X, H=H, W=np.ones((30, 5)))


# --- fixed entries -----------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e200])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fixed_entries_keep_their_start_value_to_the_bit(solver, beta, scale, dtype):
    if dtype is np.float32 and scale != 1:
        scale = 1e-20 if scale < 1 else 1e20
    rng = np.random.default_rng(0)
    X = (data() * scale).astype(dtype)
    root = np.sqrt(scale)
    W = (rng.uniform(0.1, 1, (30, 3)) * root).astype(dtype)
    H = (rng.uniform(0.1, 1, (3, 12)) * root).astype(dtype)
    fixed_W, fixed_H = rng.uniform(size=W.shape) < 0.3, rng.uniform(size=H.shape) < 0.3
    fixed_H[0] = True  # a known profile
    H[0, :3] = 0
    fixed_W[:, 1] = True
    W[2, 1] = 0
    model = NMF(3, init="custom", solver=solver, beta_loss=beta, max_iter=15)
    model.fit(X, W=W, H=H, fixed_W=fixed_W, fixed_H=fixed_H)
    np.testing.assert_array_equal(model.W_[fixed_W], W[fixed_W])
    np.testing.assert_array_equal(model.components_[fixed_H], H[fixed_H])
    # Whatever is not fixed has moved, and to some purpose.
    assert (model.W_[~fixed_W] != W[~fixed_W]).mean() > 0.9
    assert (model.components_[~fixed_H] != H[~fixed_H]).mean() > 0.9
    history = model.objective_history_
    assert history[-1] < history[0] or not 0 < history[0] < np.inf
    for keep in ({"fixed_W": fixed_W}, {"fixed_H": fixed_H}):
        other = NMF(3, init="custom", solver=solver, beta_loss=beta, max_iter=3)
        other.fit(X, W=W, H=H, **keep)
        for name, F, start in (("W", other.W_, W), ("H", other.components_, H)):
            if f"fixed_{name}" in keep:
                mask = keep[f"fixed_{name}"]
                np.testing.assert_array_equal(F[mask], start[mask])


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_a_completely_fixed_factor_leaves_a_projection(solver, beta):
    X = data()
    rng = np.random.default_rng(0)
    H = rng.uniform(0.1, 1, (3, 12))
    W = rng.uniform(0.1, 1, (30, 3))
    model = NMF(3, init="custom", solver=solver, beta_loss=beta, max_iter=1000, tol=1e-6)
    model.fit(X, W=W, H=H, fixed_H=np.ones(H.shape, bool))
    np.testing.assert_array_equal(model.components_, H)
    V = non_negative_factorization(
        X, H=H, update_H=False, solver=solver, beta_loss=beta, tol=1e-6, max_iter=300
    )[0]
    np.testing.assert_allclose(model.W_, V, atol=5e-3 * V.max())


def test_masks_of_fixed_entries_are_checked():
    X, H = data(), np.ones((3, 12))
    free = np.zeros((3, 12), bool)
    with pytest.raises(ValueError, match="init='custom'"):
        NMF(3).fit(X, fixed_H=free)
    with pytest.raises(ValueError, match="needs start values"):
        NMF(3, init="custom").fit(X, H=H, fixed_W=np.zeros((30, 3), bool))
    for bad in (free[:2], free.astype(int), free.T, free[0]):
        with pytest.raises(ValueError, match="boolean array of shape"):
            NMF(3, init="custom").fit(X, H=H, fixed_H=bad)


# --- callbacks, limits ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 1.0)])
@pytest.mark.parametrize("scale", [1.0, 1e250])
def test_callback_sees_the_fit_and_can_stop_it(solver, beta, scale):
    X = data() * scale
    seen = []

    def callback(state):
        seen.append(state)
        assert state.W.shape == (30, 3)
        assert state.components.shape == (3, 12)
        assert 0 <= state.kkt < 10
        assert state.seconds >= 0
        assert state.start == 0
        state.W[:] = -1  # copies: nothing that is done to them reaches the fit
        state.components[:] = np.nan
        product = state.W @ state.components
        if state.iteration == 0:
            assert np.isfinite(product).all()
            assert product.sum() == pytest.approx(X.sum(), rel=1e-6)
        return state.iteration == 6

    model = NMF(3, solver=solver, beta_loss=beta, tol=0).fit(X, callback=callback)
    assert [state.iteration for state in seen] == list(range(7))
    assert model.n_iter_ == 6
    assert "callback" in model.stop_reason_
    assert not model.converged_
    assert np.isfinite(model.components_).all()
    np.testing.assert_array_equal([s.objective for s in seen][:6], model.objective_history_[:6])


@pytest.mark.filterwarnings("error")
def test_a_fit_stopped_by_its_callback_does_not_warn_and_may_stop_before_it_begins():
    model = NMF(3, solver="cd").fit(data(), callback=lambda state: True)
    assert model.n_iter_ == 0
    assert model.objective_history_.shape == (1,)
    assert NMF(3).fit(data(), callback=lambda state: None).n_iter_ > 1
    online = MiniBatchNMF(3, batch_size=10).fit(data(), callback=lambda state: state.iteration == 2)
    assert online.n_iter_ == 2
    assert online.n_steps_ == 6


def test_an_error_in_the_callback_reaches_the_user():
    def callback(state):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        NMF(3).fit(data(), callback=callback)


def test_max_time_ends_the_fit():
    NMF(3, max_iter=2).fit(data(), callback=lambda state: state.iteration == 1)  # compile
    begin = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="max_time=0.2"):
        model = NMF(3, max_iter=10**9, tol=1e-300, max_time=0.2).fit(
            data(), callback=lambda state: time.sleep(0.02)
        )
    assert time.perf_counter() - begin < 5
    assert "max_time" in model.stop_reason_
    assert not model.converged_
    assert model.time_history_.shape == model.objective_history_.shape
    assert (np.diff(model.time_history_) >= 0).all()
    assert model.time_history_[-1] >= 0.2


# --- how it ended --------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
@pytest.mark.parametrize("penalty", [(0.0, 0.0), (0.02, 0.0), (0.02, 0.5), (0.02, 1.0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_penalized_objective_never_rises(solver, beta, penalty, dtype):
    alpha, l1_ratio = penalty
    if solver == "me" and alpha and l1_ratio < 1:
        pytest.skip("the solver says that it does not serve L2 penalties")
    X = data(k=5, dtype=dtype)
    for init in ("random",) if dtype is np.float32 else ("nndsvd",):
        model = NMF(
            4,
            init=init,
            solver=solver,
            beta_loss=beta,
            alpha_W=alpha,
            l1_ratio=l1_ratio,
            max_iter=80,
            tol=0,
            random_state=0,
        ).fit(X)
        history = model.objective_history_
        assert history.shape == (model.n_iter_ + 1,) == (81,)
        rounding = 50 * np.finfo(dtype).eps * history[:-1]
        assert (np.diff(history) <= rounding).all()
        assert history[-1] < 0.95 * history[0]
        if dtype is np.float64 and solver == "mu":
            assert (np.diff(history) < 0).mean() > 0.9


@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_convergence_is_what_it_says(solver, beta):
    model = NMF(3, solver=solver, beta_loss=beta, tol=1e-3, max_iter=20000).fit(data())
    assert model.converged_
    assert model.kkt_ <= 1e-3
    assert str(1e-3) in model.stop_reason_
    assert model.solver_ == solver
    assert model.init_ == "nndsvda"
    assert model.beta_loss_ == beta
    with pytest.warns(ConvergenceWarning) as caught:
        short = NMF(3, solver=solver, beta_loss=beta, tol=1e-9, max_iter=2).fit(data())
    assert len(caught) == 1
    text = str(caught[0].message)
    for part in ("2 iterations", f"{short.kkt_:.2g}", "max_iter", "tol"):
        assert part in text
    assert caught[0].filename == __file__
    assert not short.converged_
    assert short.n_iter_ == 2
    assert short.kkt_ > model.kkt_


@pytest.mark.filterwarnings("error")
def test_no_warning_at_tol_zero_or_when_converged_in_the_last_iteration():
    X = data()
    assert NMF(3, tol=0, max_iter=3).fit(X).n_iter_ == 3
    needed = NMF(3, tol=1e-3, max_iter=1000).fit(X).n_iter_
    assert NMF(3, tol=1e-3, max_iter=needed).fit(X).converged_


@quiet
def test_solver_auto_takes_the_one_that_serves():
    assert NMF(3).fit(data()).solver_ == "cd"
    assert NMF(3, beta_loss="kullback-leibler", max_iter=9).fit(data()).solver_ == "rational"


@quiet
@pytest.mark.parametrize("name", ["frobenius", "kullback-leibler", "itakura-saito"])
def test_named_losses_are_their_numbers(name):
    number = {"frobenius": 2, "kullback-leibler": 1, "itakura-saito": 0}[name]
    one, two = (NMF(3, beta_loss=b, max_iter=10).fit(data()) for b in (name, number))
    np.testing.assert_array_equal(one.W_, two.W_)
    assert one.beta_loss_ == two.beta_loss_ == number


# --- what one does with the parts --------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    X = data(shape=(25, 12), k=4)
    X[7] = 0
    return X, NMF(4, random_state=0, tol=1e-5, max_iter=5000).fit(X)


@quiet
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "how", [{}, {"tol": 0}, {"alpha_W": 0.1}, {"solver": "mu"}, {"n_init": 2}], ids=str
)
def test_a_fit_explains_what_its_factors_do(store, dtype, how):
    # It takes this from the slopes of its stopping test, where they hold nothing else.
    for scale in (1, 2.0**100 if dtype == np.float64 else 2.0**40):
        X = store(data(shape=(25, 12), k=4).astype(dtype) * dtype(scale))
        model = NMF(4, random_state=0, max_iter=30, **how).fit(X)
        for per in (None, "component", "sample", "feature"):
            found = model.explained_variance(per=per)
            wanted = model.explained_variance(X, per=per, W=model.W_)
            np.testing.assert_allclose(found, wanted, atol=1e-10 if dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("own", [True, False], ids=["training", "new"])
def test_explained_variance_is_that_of_the_residuals(fitted, store, own):
    X, model = fitted
    if own:
        W, given = model.W_, None
    else:
        X = data(5, shape=(9, 12), k=4)
        W, given = model.transform(X), store(X)
    residual = X - W @ model.components_
    total = (X**2).sum()

    def share(left, whole):
        return np.array([1 - a / b if b else 1.0 for a, b in zip(left, whole, strict=True)])

    value = model.explained_variance(given)
    assert value == pytest.approx(1 - (residual**2).sum() / total, abs=1e-10)
    np.testing.assert_allclose(
        model.explained_variance(given, per="sample"),
        share((residual**2).sum(axis=1), (X**2).sum(axis=1)),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        model.explained_variance(given, per="feature"),
        share((residual**2).sum(axis=0), (X**2).sum(axis=0)),
        atol=1e-10,
    )
    alone = [
        1 - ((X - np.outer(W[:, j], model.components_[j])) ** 2).sum() / total for j in range(4)
    ]
    np.testing.assert_allclose(model.explained_variance(given, per="component"), alone, atol=1e-10)
    with pytest.raises(ValueError, match="'component', 'sample' or 'feature'"):
        model.explained_variance(per="row")


@pytest.mark.parametrize("by", ["l1", "l2", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalize_keeps_the_product(by, dtype):
    X = data(k=4, dtype=dtype)
    model = NMF(4, random_state=0, tol=1e-3, max_iter=2000).fit(X)
    product, explained = model.W_ @ model.components_, model.explained_variance()
    assert model.normalize(by=by) is model
    norm = {"l1": 1, "l2": 2, "max": np.inf}[by]
    rtol = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(np.linalg.norm(model.components_, ord=norm, axis=1), 1, rtol=rtol)
    np.testing.assert_allclose(model.W_ @ model.components_, product, rtol=10 * rtol)
    assert model.components_.dtype == model.W_.dtype == dtype
    assert model.explained_variance() == explained
    np.testing.assert_allclose(
        model.transform(X) @ model.components_, product, atol=0.05 * product.max()
    )
    with pytest.raises(ValueError, match="'l1'"):
        model.normalize(by="l3")


@pytest.mark.parametrize("by", ["usage", "variance"])
def test_sort_components(by, fitted):
    X, model = fitted
    model = pickle.loads(pickle.dumps(model))
    order = [2, 0, 3, 1]
    model.components_, model.W_ = model.components_[order], model.W_[:, order]
    model._explained.component = model._explained.component[order]
    product = model.W_ @ model.components_
    parts = [np.outer(model.W_[:, j], model.components_[j]) for j in range(4)]
    key = {
        "usage": [part.sum() for part in parts],
        "variance": [1 - ((X - part) ** 2).sum() / (X**2).sum() for part in parts],
    }[by]
    wanted = model.components_[np.argsort(key)[::-1]]
    assert model.sort_components(by=by) is model
    np.testing.assert_array_equal(model.components_, wanted)
    np.testing.assert_allclose(model.W_ @ model.components_, product, rtol=1e-12)
    shares = model.explained_variance(per="component")
    np.testing.assert_allclose(
        shares, model.explained_variance(X, per="component", W=model.W_), rtol=1e-9
    )
    with pytest.raises(ValueError, match="'usage' or 'variance'"):
        model.sort_components(by="name")


@quiet
def test_sort_by_variance_after_normalize_and_for_huge_data():
    X = data(k=4) * 1e300
    model = NMF(4, random_state=0, max_iter=50).fit(X)
    model.normalize("max").sort_components("variance")
    shares = model.explained_variance(per="component")
    assert np.isfinite(shares).all()
    assert (np.diff(shares) <= 0).all()
    assert model.explained_variance() > 0.9
    assert model.explained_variance(X) == pytest.approx(model.explained_variance(), abs=1e-3)


def test_top_features(fitted):
    X, model = fitted
    found = model.top_features(3)
    assert len(found) == 4
    for row, best in zip(model.components_, found, strict=True):
        wanted = sorted(range(12), key=lambda j: -row[j])[:3]
        assert [j for j, _ in best] == wanted
        assert [w for _, w in best] == [row[j] for j in wanted]
        assert all(type(j) is int and type(w) is float for j, w in best)
    assert len(model.top_features()[0]) == 10
    assert len(model.top_features(99)[0]) == 12
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"f{j}" for j in range(12)])
    named = NMF(4, random_state=0, tol=1e-5, max_iter=5000).fit(frame).top_features(3)
    assert [[name for name, _ in best] for best in named] == [
        [f"f{j}" for j, _ in best] for best in found
    ]
    assert all(type(name) is str for best in named for name, _ in best)


def test_assign(fitted):
    X, model = fitted
    wanted = []
    for w in model.W_:
        sizes = [w[j] * sum(model.components_[j]) for j in range(4)]
        wanted.append(int(np.argmax(sizes)) if max(sizes) > 0 else -1)
    assert wanted[7] == -1
    assert len(set(wanted)) > 2
    assert list(model.assign()) == wanted
    assert list(model.assign(X)) == wanted
    scaled = pickle.loads(pickle.dumps(model)).normalize("max")
    assert list(scaled.assign()) == wanted
    assert model.assign(sparse.csr_array(X)).dtype.kind == "i"


@quiet
def test_a_fit_forgets_the_batches_before_it():
    X = data(shape=(60, 12))
    params = {"random_state": 0, "batch_size": 20, "max_iter": 5}
    plain = MiniBatchNMF(3, **params).fit(X).partial_fit(X[:20])
    other = MiniBatchNMF(3, **params).partial_fit(X[::-1]).fit(X).partial_fit(X[:20])
    np.testing.assert_array_equal(other.components_, plain.components_)
    assert other.n_steps_ == plain.n_steps_ == 1


def test_methods_that_need_all_rows_say_so_after_partial_fit():
    model = MiniBatchNMF(3, random_state=0).partial_fit(data())
    for call in (
        model.assign,
        model.explained_variance,
        model.sort_components,
        lambda: NMF().assign(),
        lambda: NMF().top_features(),
        lambda: NMF().normalize(),
        lambda: NMF().score(data()),
    ):
        with pytest.raises(NotFittedError):
            call()
    assert len(model.top_features(2)) == 3
    assert model.assign(data()).shape == (30,)
    assert 0 < model.explained_variance(data()) <= 1
    np.testing.assert_allclose(model.normalize("l1").components_.sum(axis=1), 1)


@quiet
@BOTH
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_score_is_minus_the_mean_misfit(Estimator, beta):
    X, new = data(), data(1)
    model = Estimator(3, beta_loss=beta, random_state=0, max_iter=50).fit(X)
    Y = model.transform(new) @ model.components_
    d = (new - Y) ** 2 / 2 if beta == 2 else new * np.log(new / Y) - new + Y
    assert model.score(new) == pytest.approx(-d.mean(), rel=1e-9)
    assert model.score(sparse.csr_array(new)) == pytest.approx(model.score(new), rel=1e-9)


# --- random states ---------------------------------------------------------------------------


@quiet
@BOTH
def test_random_states(Estimator):
    X = data()
    params = {"n_components": 3, "init": "random", "max_iter": 5}

    def fit(state):
        return Estimator(random_state=state, **params).fit(X)

    seeds = [
        lambda: 5,
        lambda: np.int64(5),
        lambda: np.random.RandomState(5),
        lambda: np.random.default_rng(5),
    ]
    for make in seeds:
        np.testing.assert_array_equal(fit(make()).components_, fit(make()).components_)
    for shared in (np.random.RandomState(5), np.random.default_rng(5)):
        assert not np.array_equal(fit(shared).components_, fit(shared).components_)
    free = fit(None)
    assert not np.array_equal(free.components_, fit(None).components_)
    np.testing.assert_array_equal(fit(free.seed_).components_, free.components_)


# --- one factor known ------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_update_h_false_finds_w_alone(solver, beta):
    X = data()
    H = np.random.default_rng(0).uniform(0.1, 1, (3, 12))
    before = H.copy()
    params = {"solver": solver, "beta_loss": beta, "max_iter": 300}
    params |= {"alpha_W": 1e-3, "l1_ratio": 1.0}
    W, G, _ = non_negative_factorization(X, H=H, update_H=False, **params)
    np.testing.assert_array_equal(G, before)
    np.testing.assert_array_equal(H, before)
    model = NMF(3, **params)
    model.fit(X)
    model.components_ = H
    np.testing.assert_allclose(model.transform(X), W, rtol=1e-10)
    # A row is solved as if it were alone.
    one = non_negative_factorization(X[4:5], H=H, update_H=False, **params)[0]
    if beta == 2:
        # alpha_W counts times n_features, and not times the number of rows.
        np.testing.assert_allclose(one[0], W[4], rtol=1e-7, atol=1e-9 * W.max())
    with pytest.warns(RuntimeWarning, match="initial W is not used"):
        non_negative_factorization(X, W=W, H=H, update_H=False, **params)
    with pytest.raises(ValueError, match="pass H"):
        non_negative_factorization(X, update_H=False)


@quiet
@BOTH
def test_start_for_one_factor_is_used(Estimator):
    X = data()
    rng = np.random.default_rng(0)
    H, W = rng.uniform(0.1, 1, (3, 12)), rng.uniform(0.1, 1, (30, 3))
    seen = []
    for start in ({"H": H}, {"W": W}):
        Estimator(3, init="custom", random_state=0).fit(
            X, **start, callback=lambda state: seen.append((state.W, state.components)) or True
        )
    np.testing.assert_array_equal(seen[0][1], H)
    np.testing.assert_array_equal(seen[1][0], W)
    for first, second in seen:
        assert (first @ second).sum() == pytest.approx(X.sum(), rel=1e-6)
    with pytest.warns(RuntimeWarning, match="provided W or H are ignored"):
        Estimator(3).fit(X, H=H)


# --- scale --------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_scaled_data_give_scaled_factors_after_as_many_iterations(solver, beta, init):
    X = data(shape=(30, 25))
    params = {"init": init, "solver": solver, "beta_loss": beta, "random_state": 0}
    params |= {"max_iter": 40, "tol": 1e-3}
    one = NMF(3, **params).fit(X)
    for c in (1e-12, 1e12, 1e-300, 1e300):
        other = NMF(3, **params).fit(c * X)
        assert other.n_iter_ == one.n_iter_, c
        assert other.converged_ == one.converged_
        assert other.kkt_ == pytest.approx(one.kkt_, rel=1e-3, abs=1e-8)
        for F, G in ((one.W_, other.W_), (one.components_, other.components_)):
            wanted = np.sqrt(c) * F
            np.testing.assert_allclose(G, wanted, rtol=1e-6, atol=1e-6 * wanted.max())
        wanted = np.sqrt(c) * one.transform(X)
        np.testing.assert_allclose(
            other.transform(c * X), wanted, rtol=1e-5, atol=1e-6 * wanted.max()
        )
        assert other.explained_variance() == pytest.approx(one.explained_variance(), rel=1e-6)


@quiet
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_scaled_data_in_single_precision(solver, beta, store):
    X = data(shape=(12, 9), dtype=np.float32)
    params = {"solver": solver, "beta_loss": beta, "max_iter": 20, "tol": 0}
    one = NMF(3, **params).fit(store(X))
    for c in (2.0**-100, 2.0**-40, 2.0**40, 2.0**100):
        other = NMF(3, **params).fit(store((c * X).astype(np.float32)))
        wanted = np.float32(np.sqrt(c)) * one.components_
        np.testing.assert_allclose(other.components_, wanted, rtol=1e-3, atol=1e-4 * wanted.max())


@quiet
@pytest.mark.parametrize("beta", BETAS)
def test_scaled_data_in_mini_batches(beta):
    X = data(shape=(24, 9))
    params = {"beta_loss": beta, "batch_size": 8, "max_iter": 6, "random_state": 0}
    one = MiniBatchNMF(3, **params).fit(X)
    stream = MiniBatchNMF(3, **params).partial_fit(X[:12]).partial_fit(X[12:])
    for c in (1e-12, 1e12, 1e-300, 1e300):
        other = MiniBatchNMF(3, **params).fit(c * X)
        assert other.n_iter_ == one.n_iter_
        np.testing.assert_allclose(other.components_, np.sqrt(c) * one.components_, rtol=1e-5)
        again = MiniBatchNMF(3, **params).partial_fit(c * X[:12]).partial_fit(c * X[12:])
        np.testing.assert_allclose(again.components_, np.sqrt(c) * stream.components_, rtol=1e-5)


# --- regressions ---------------------------------------------------------------------------------


def planted(n_samples=60, seed=0):
    rng = np.random.default_rng(seed)
    W, H = rng.gamma(0.5, size=(n_samples, 5)), rng.gamma(0.5, size=(5, 40))
    return W @ H + 0.01 * rng.random((n_samples, 40))


@quiet
@pytest.mark.parametrize("batch_size", [15, 50, 300])
def test_penalties_do_not_depend_on_the_batch_size(batch_size):
    """H was penalized once per batch as if each were the whole data."""
    X = planted(300)
    params = {"n_components": 5, "alpha_W": 1e-3, "init": "custom"}
    best = NMF(5, alpha_W=1e-3, tol=1e-7, max_iter=3000).fit(X)
    start = {"W": best.W_, "H": best.components_}
    online = MiniBatchNMF(batch_size=batch_size, forget_factor=1.0, tol=0, max_iter=20, **params)
    online.set_params(max_no_improvement=None).fit(X, **start)
    assert online.objective_ == pytest.approx(best.objective_, rel=2e-3)


@quiet
def test_shuffle_is_passed_on():
    X = planted()
    params = {"max_iter": 5, "tol": 0, "random_state": 0}
    plain, shuffled = (NMF(5, shuffle=shuffle, **params).fit(X) for shuffle in (False, True))
    assert not np.array_equal(plain.W_, shuffled.W_)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-8])
def test_projection_is_exact_for_components_of_any_size(size):
    H = np.array([[1.0, 0.0, 0.0], [0.0, size, 0.0]])
    W, _, _ = non_negative_factorization(
        np.array([[1.0, size, 0.0], [2.0, 3 * size, 0.0]]), H=H, init="custom", update_H=False
    )
    np.testing.assert_allclose(W, [[1, 1], [2, 3]], rtol=1e-9)


@quiet
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [-5.0, -3.0, 10.0])
def test_extreme_divergences_stay_finite(beta, dtype):
    X = (planted() + 0.1).astype(dtype)
    for c in (1e-5, 1.0, 1e5):
        model = NMF(3, beta_loss=beta, max_iter=20).fit(dtype(c) * X)
        assert np.isfinite(model.W_).all()
        assert np.isfinite(model.components_).all()


def test_objective_of_an_exact_fit_of_huge_data_is_a_number():
    model = NMF(1).fit(np.full((4, 3), 1e300))
    assert np.isfinite(model.reconstruction_err_)
    assert not np.isnan(model.objective_)


def test_a_start_out_of_all_proportion_is_refused():
    X = planted()
    W, H = np.full((60, 5), 1e200), np.full((5, 40), 1e200)
    with pytest.raises(ValueError, match="wanted a finite one"):
        NMF(5, init="custom").fit(X, W=W, H=H)


@quiet
def test_a_small_row_is_transformed_as_if_alone():
    X = planted()
    model = NMF(5, beta_loss=1, random_state=0).fit(X)
    Z = X.copy()
    Z[3] *= 1e-40
    np.testing.assert_allclose(model.transform(Z)[3], 1e-40 * model.transform(X)[3], rtol=1e-3)


@quiet
def test_a_failed_refit_leaves_the_model_whole():
    X = planted()
    model = NMF(3).fit(X)
    before = model.transform(X)

    def fail(state):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        model.fit(X[:, :7], callback=fail)
    np.testing.assert_array_equal(model.transform(X), before)
    online = MiniBatchNMF(5, init="nndsvd")
    with pytest.raises(ValueError, match="n_components <= min"):
        online.partial_fit(X[:3])
    assert online.partial_fit(X).components_.shape == (5, 40)


@quiet
def test_a_first_batch_of_zeros_is_not_the_end():
    X = planted()
    model = MiniBatchNMF(5, random_state=0).partial_fit(np.zeros((10, 40)))
    for _ in range(20):
        model.partial_fit(X)
    assert model.explained_variance(X) > 0.8


@quiet
def test_a_callback_may_return_a_numpy_bool():
    model = NMF(3).fit(planted(), callback=lambda state: np.bool_(state.iteration == 2))
    assert model.n_iter_ == 2


@quiet
def test_what_fit_transform_returns_belongs_to_the_user():
    model = NMF(3)
    W = model.fit_transform(planted())
    before = model.W_.copy()
    W *= 0
    np.testing.assert_array_equal(model.W_, before)


def test_update_h_false_checks_the_solver():
    with pytest.raises(ValueError, match="not quadratic"):
        non_negative_factorization(
            planted(), H=np.ones((2, 40)), init="custom", update_H=False, solver="cd", beta_loss=1
        )


@quiet
def test_loss_objects_are_saved_or_refused(tmp_path):
    from partwise import load_model, losses, save_model

    class Mine(losses.Beta):
        pass

    model = NMF(2, beta_loss=losses.KullbackLeibler(), max_iter=20).fit(planted())
    again = load_model(save_model(tmp_path / "model", model))
    assert type(again.beta_loss) is losses.KullbackLeibler
    np.testing.assert_allclose(again.transform(planted()), model.transform(planted()), rtol=1e-6)
    with pytest.raises(ValueError, match=r"beta_loss: got .* class of your own"):
        save_model(tmp_path / "mine", NMF(2, beta_loss=Mine(1.5), max_iter=20).fit(planted()))
