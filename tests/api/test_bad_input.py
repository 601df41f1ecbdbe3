"""Bad input: what was got, what was wanted and what to do; and odd input that is fine."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, MiniBatchNMF, NMFImputer, Recommender, non_negative_factorization

BETAS = [0.5, 1.0, 1.5, 2.0, 3.0]
SOLVED = [("cd", 2.0), *(("mu", beta) for beta in BETAS), ("me", 0.5)]
BOTH = pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF])
STORES = {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_array}
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
GOOD = rng.uniform(0.5, 1, (6, 5))


def spoiled(value, *places):
    X = GOOD.copy()
    for place in places:
        X[place] = value
    return X


def message_of(call, kind=ValueError) -> str:
    """The one line of the error that a call raises, as a user reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind) as error:
            call()
    return str(error.value)


def says(text: str, *parts: str) -> None:
    for part in parts:
        assert re.search(part, text, re.IGNORECASE), (part, text)


ENTRIES = {
    "negative": (-2.0, r"negative", r"≥ 0", r"np\.maximum\(X, 0\)"),
    "NaN": (np.nan, r"contains NaN", r"finite", r"Impute or drop"),
    "inf": (np.inf, r"contains inf", r"finite", r"overflow"),
}


@BOTH
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bad_entries_are_counted_and_located(Estimator, store, kind, dtype):
    value, what, wanted, todo = ENTRIES[kind]
    if kind == "NaN" and store == "dense":
        pytest.skip("NaN in dense X is missing.")
    X = STORES[store](spoiled(value, (3, 4), (2, 1), (5, 0)).astype(dtype))
    before = X.toarray().copy() if sparse.issparse(X) else X.copy()
    fitted = Estimator(2, tol=0, max_iter=1, random_state=0).fit(GOOD.astype(dtype))
    kept = fitted.components_.copy()
    calls = {
        "fit": lambda: Estimator(2).fit(X),
        "transform": lambda: fitted.transform(X),
        "score": lambda: fitted.score(X),
        "assign": lambda: fitted.assign(X),
        "explained_variance": lambda: fitted.explained_variance(X),
    }
    if Estimator is MiniBatchNMF:
        calls["partial_fit"] = lambda: fitted.partial_fit(X)
    for name, call in calls.items():
        text = message_of(call)
        says(text, what, wanted, todo, r"\b3\b.* entries", r"first at \(2, 1\)")
        assert Estimator.__name__ in text, name
    if kind == "negative":
        says(message_of(calls["fit"]), "smallest -2")
    after = X.toarray() if sparse.issparse(X) else X
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(fitted.components_, kept)


def test_a_tiny_negative_entry_is_still_named():
    says(message_of(lambda: NMF(2).fit(spoiled(-1e-18, (0, 0)))), "-1e-18", r"\(0, 0\)")


@BOTH
@pytest.mark.parametrize(
    ("X", "parts"),
    [
        (GOOD[:0], [r"0 sample", r"minimum of 1"]),
        (GOOD[:, :0], [r"0 feature", r"minimum of"]),
        (GOOD[:, :1], [r"1 feature", r"minimum of 2"]),
        (GOOD[0], [r"1D array|1-?dim", r"reshape"]),
        (GOOD[None], [r"dim 3|3-?dim", r"2"]),
        (np.float64(3), [r"scalar|0-?dim", r"2"]),
        (GOOD + 1j, [r"complex", r"real|not supported|supported"]),
        (GOOD.astype(str), [r"dtype <U", r"numbers", r"astype\(float\)"]),
        (np.array([["a", 1.0], [2, 3]], object), [r"objects", r"numbers", r"astype\(float\)"]),
        (GOOD.astype("M8[s]"), [r"datetime64", r"numbers"]),
        ([[1.0, 2.0], [3.0]], [r"inhomogeneous|sequence"]),
    ],
    ids=[
        "no rows",
        "no columns",
        "one column",
        "1-D",
        "3-D",
        "scalar",
        "complex",
        "strings",
        "objects",
        "dates",
        "ragged",
    ],
)
def test_shapes_and_dtypes_that_are_no_data_matrix(Estimator, X, parts):
    model = Estimator(2)
    says(message_of(lambda: model.fit(X), (ValueError, TypeError)), *parts)
    assert not hasattr(model, "components_")


@BOTH
def test_masked_arrays_are_refused_where_the_mask_would_be_ignored(Estimator):
    X = np.ma.masked_array(GOOD, mask=GOOD > 0.9)
    text = message_of(lambda: Estimator(2).fit(X), TypeError)
    says(text, rf"{int((GOOD > 0.9).sum())} masked", r"plain array", r"\.filled")
    says(
        message_of(lambda: Estimator(2, max_iter=1, tol=0).fit(GOOD).transform(X), TypeError),
        "masked",
    )
    open_mask = np.ma.masked_array(GOOD, mask=False)
    assert Estimator(2, max_iter=1, tol=0).fit(open_mask).n_iter_ == 1


@BOTH
@pytest.mark.parametrize("k", [0, -3, 2.0, 2.5, "three", True])
def test_number_of_components(Estimator, k):
    if k is True:
        pytest.skip("a bool is an int in Python, and scikit-learn's check lets it pass")
    text = message_of(lambda: Estimator(k).fit(GOOD))
    says(text, "n_components", re.escape(repr(k)), "int")


PARAMETERS = {
    "init": "zeros",
    "beta_loss": "frobenious",
    "tol": -1,
    "max_iter": 0,
    "alpha_W": -1,
    "alpha_H": -1,
    "l1_ratio": 2,
    "random_state": "seed",
}


@BOTH
@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_named_with_what_is_allowed(Estimator, name):
    value = PARAMETERS[name]
    text = message_of(lambda: Estimator(2, **{name: value}).fit(GOOD))
    says(text, f"'{name}'", re.escape(repr(value)), "must be")


@pytest.mark.parametrize(
    ("name", "value"),
    [("solver", "steepest"), ("n_init", 0), ("n_jobs", 1.5), ("max_time", 0), ("max_time", -1)],
)
def test_parameters_of_nmf(name, value):
    text = message_of(lambda: NMF(2, **{name: value}).fit(GOOD))
    says(text, f"'{name}'", re.escape(repr(value)), "must be")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["beta_loss", "alpha_W", "alpha_H", "tol"])
def test_parameters_that_are_not_finite(name, value):
    if name == "tol" and value == np.inf:
        pytest.skip("an infinite tolerance is a strange but clear wish")
    text = message_of(lambda: NMF(2, **{name: value}).fit(GOOD))
    says(text, name)


@BOTH
def test_start_factors(Estimator):
    X = GOOD
    W, H = rng.uniform(0.1, 1, (6, 2)), rng.uniform(0.1, 1, (2, 5))
    model = Estimator(2, init="custom")
    name = Estimator.__name__

    def fit(**start):
        return lambda: model.fit(X, **start)

    cases = [
        (fit(), ValueError, ["custom", "neither W nor H", "W, H or both"]),
        (fit(W=W[:4], H=H), ValueError, ["input W", "Expected 6", "got 4"]),
        (fit(W=W[:, :1], H=H), ValueError, ["input W", "Expected 2", "got 1"]),
        (fit(W=W, H=H[:, :3]), ValueError, ["input H", "Expected 5", "got 3"]),
        (fit(W=W, H=H[:1]), ValueError, ["input H", "Expected 2", "got 1"]),
        (fit(H=H[0]), ValueError, ["input H", "1 dimension", "2-dimensional"]),
        (fit(W=-W, H=H), ValueError, ["input W", "negative", "12 ", r"\(0, 0\)", "≥ 0"]),
        (fit(W=W, H=H * np.nan), ValueError, ["input H", "NaN", "10 ", r"\(0, 0\)"]),
        (fit(W=W * np.inf, H=H), ValueError, ["input W", "inf", "12 "]),
        (fit(W=W, H=0 * H), ValueError, ["input H", "full of zeros", "positive"]),
        (fit(W=0 * W), ValueError, ["input W", "full of zeros", "positive"]),
        (
            fit(W=W.astype("f4"), H=H),
            TypeError,
            ["input W", "same dtype", "float32", "float64", "astype"],
        ),
        (fit(W=W, H=H.astype(int) + 1), TypeError, ["input H", "int64", "float64"]),
        (fit(W=W.astype(str), H=H), ValueError, ["input W", "dtype <U", "numbers"]),
        (fit(W=W + 1j, H=H), (TypeError, ValueError), ["input W", "complex"]),
        (fit(W=np.ma.masked_array(W, W > 0.5)), TypeError, ["input W", "masked"]),
    ]
    for call, kind, parts in cases:
        text = message_of(call, kind)
        says(text, *parts)
        assert name in text
        assert not hasattr(model, "components_")


def test_sparse_start_factors_say_what_to_do():
    H = sparse.csr_array(rng.uniform(0.1, 1, (2, 5)))
    text = message_of(lambda: NMF(2, init="custom").fit(GOOD, H=H), (TypeError, ValueError))
    says(text, "input H", "sparse", "toarray")


def test_function_without_h():
    text = message_of(lambda: non_negative_factorization(GOOD, update_H=False))
    says(text, "update_H=False", "pass H")


@BOTH
@pytest.mark.parametrize("beta", [0.0, -1.0, "itakura-saito"])
@pytest.mark.parametrize("store", STORES)
def test_data_outside_the_domain_of_a_divergence(Estimator, beta, store):
    X = STORES[store](spoiled(0.0, (1, 2)))
    text = message_of(lambda: Estimator(2, beta_loss=beta).fit(X))
    says(text, "zeros", "entries > 0", "Use beta_loss > 0", "changes the answer")
    model = Estimator(2, beta_loss=beta, max_iter=2, tol=0).fit(GOOD)
    says(message_of(lambda: model.transform(X)), "zeros", "entries > 0")


def test_a_solver_that_cannot_serve_names_those_that_can():
    for beta in (1, 0.5, 3.0):
        text = message_of(lambda b=beta: NMF(2, solver="cd", beta_loss=b).fit(GOOD))
        says(text, "'cd'", "needs", "not quadratic", "Solvers that can: .*'mu'", "auto")


@BOTH
def test_other_features_than_in_the_fit(Estimator):
    model = Estimator(2, max_iter=2, tol=0).fit(GOOD)
    text = message_of(lambda: model.transform(GOOD[:, :4]))
    says(text, "4 features", "expecting 5")
    if Estimator is MiniBatchNMF:
        stream = Estimator(2).partial_fit(GOOD)
        says(message_of(lambda: stream.partial_fit(GOOD[:, :4])), "4 features", "5 features")
        assert stream.n_steps_ == 1


@BOTH
def test_a_failed_refit_leaves_the_old_fit_as_it_was(Estimator):
    model = Estimator(2, max_iter=3, tol=0, random_state=0).fit(GOOD)
    W = model.transform(GOOD)
    kept = {key: np.copy(value) for key, value in vars(model).items() if key.endswith("_")}
    for bad in (spoiled(-1.0, (0, 0)), GOOD[0], GOOD.astype(str), GOOD[:, :1]):
        message_of(lambda X=bad: model.fit(X), (ValueError, TypeError))
    message_of(lambda: model.fit(spoiled(np.inf, (0, 0))[:, :4]))
    for key, value in kept.items():
        np.testing.assert_array_equal(getattr(model, key), value)
    np.testing.assert_array_equal(model.transform(GOOD), W)


# --- odd, but fine -----------------------------------------------------------------------------

TINY = np.finfo(np.float64).tiny
ODD = {
    "all zero": np.zeros((6, 5)),
    "zero rows and columns": spoiled(0.0, np.s_[2], np.s_[:, 1], np.s_[:, 4]),
    "one row": GOOD[:1],
    "one entry": np.where(np.arange(30).reshape(6, 5) == 7, 3.0, 0.0),
    "constant": np.full((6, 5), 2.0),
    "subnormal": GOOD * 1e-310,
    "smallest": np.full((6, 5), 5e-324),
    "subnormal among others": spoiled(TINY / 8, (0, 0), (3, 2)),
    "huge": GOOD * 1e308,
    "huge and tiny": GOOD * np.logspace(-140, 140, 30).reshape(6, 5),
    "two columns": GOOD[:, :2],
}


@pytest.mark.filterwarnings("error", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("solver", "beta"), [*SOLVED, ("mu", 0.0), ("mini", 2.0), ("mini", 1.0)])
def test_odd_data_fit_without_nan_or_noise(solver, beta, odd):
    X = ODD[odd]
    if beta == 0 and X.min() == 0:
        pytest.skip("outside the domain of the Itakura-Saito divergence")
    for store in (np.asarray, sparse.csr_array):
        for k in (1, 3) if store is np.asarray else (8,):
            if solver == "mini":
                model = MiniBatchNMF(k, beta_loss=beta, batch_size=2, random_state=0)
                model.set_params(max_iter=10)
            else:
                model = NMF(k, solver=solver, beta_loss=beta, random_state=0, max_iter=40)
            W = model.fit_transform(store(X))
            H = model.components_
            for F in (W, H, model.transform(store(X))):
                assert np.isfinite(F).all()
                assert (F >= 0).all()
            assert W.shape == (len(X), k)
            assert not np.isnan(model.reconstruction_err_)
            assert not np.isnan(model.objective_history_).any()
            assert np.isfinite(model.kkt_)
            assert np.isfinite(model.explained_variance(per="sample")).all()
            assert np.isfinite(model.explained_variance(per="component")).all()
            assert not np.isnan(model.score(store(X)))


@pytest.mark.filterwarnings("error", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e30, 1e38])
def test_odd_data_in_single_precision(solver, beta, scale):
    X = np.maximum(GOOD * 3 * scale, 1.4e-45).astype(np.float32)
    model = NMF(3, solver=solver, beta_loss=beta, max_iter=40, random_state=0)
    W = model.fit_transform(X)
    assert W.dtype == np.float32
    assert np.isfinite(W).all()
    assert np.isfinite(model.components_).all()
    assert not np.isnan(model.reconstruction_err_)
    if scale in (1e-30, 1e30):
        assert model.explained_variance() > 0.9


@quiet
@pytest.mark.parametrize("odd", ["subnormal among others", "huge", "constant", "one row"])
@pytest.mark.parametrize(("solver", "beta"), SOLVED)
def test_odd_data_are_fitted_and_not_only_survived(solver, beta, odd):
    X = ODD[odd]
    model = NMF(4, solver=solver, beta_loss=beta, random_state=0, max_iter=200).fit(X)
    largest = X.max()
    left = np.abs(X / largest - (model.W_ / largest) @ model.components_)
    assert left.max() < 0.2
    assert model.explained_variance() > 0.95


@pytest.mark.parametrize(
    ("X", "advice"),
    [
        (np.ones((3, 3)) * 1j, "np.abs"),
        (np.ones((2, 2, 2)), "reshape"),
        (np.ones(3), "[Rr]eshape"),
        (np.ones((0, 3)), "Look at the filter"),
        (np.ones((3, 1)), "pass more columns"),
    ],
    ids=["complex", "3-D", "1-D", "empty", "one column"],
)
def test_refused_shapes_and_types_come_with_advice(X, advice):
    with pytest.raises(ValueError, match=advice):
        NMF(1).fit(X)


@pytest.mark.parametrize("W", [np.ones((6, 3)), np.ones(2), np.ones((1, 2, 2))])
def test_inverse_transform_wants_what_transform_returns(W):
    model = NMF(2, max_iter=500).fit(GOOD)
    text = message_of(lambda: model.inverse_transform(W))
    says(text, re.escape(f"got shape {W.shape}"), r"wanted \(n_samples, 2\)")


def test_inverse_transform_takes_lists_sparse_matrices_and_frames():
    pandas = pytest.importorskip("pandas")
    model = NMF(2, max_iter=500).fit(GOOD)
    wanted = model.W_ @ model.components_
    for kind in (np.ndarray.tolist, sparse.csr_array, pandas.DataFrame):
        found = model.inverse_transform(kind(model.W_))
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3"])
def test_a_number_of_features_is_one(n):
    model = NMF(2, max_iter=500).fit(GOOD)
    says(message_of(lambda: model.top_features(n)), r"^n: got", "integer ≥ 1")


def test_a_factor_of_other_data_is_refused():
    model = NMF(2, max_iter=500).fit(GOOD)
    for call in (model.explained_variance, model.residuals, model.chi_square):
        text = message_of(lambda call=call: call(GOOD, W=np.ones((3, 2))))
        says(text, r"^W: got shape \(3, 2\)", r"wanted \(6, 2\)")


def test_rows_of_which_nothing_is_known_are_told():
    model = NMF(2, max_iter=500).fit(GOOD)
    X = spoiled(np.nan, (2, slice(None)), (4, slice(None)))
    for call in (model.transform, model.score, model.explained_variance, model.chi_square):
        with pytest.warns(UserWarning, match="2 of 6 rows have no known entry"):
            call(X)
    with pytest.warns(UserWarning, match="2 of 6 rows"):
        assert not model.transform(X)[[2, 4]].any()


@pytest.mark.parametrize("method", ["transform", "score", "explained_variance", "assign"])
def test_rows_that_are_not_found_are_told_whoever_asks(method):
    model = NMF(2, beta_loss=1, max_iter=500).fit(GOOD).set_params(max_iter=1, tol=1e-9)
    with pytest.warns(ConvergenceWarning, match="6 of 6 rows did not reach"):
        getattr(model, method)(GOOD)


@pytest.mark.parametrize("Estimator", [NMF, MiniBatchNMF, NMFImputer, Recommender])
def test_what_is_no_matrix_of_numbers_says_what_to_do(Estimator):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(GOOD).assign(kind="leaf")
    frame.columns = frame.columns.astype(str)
    says(message_of(lambda: Estimator(2).fit(frame)), "string to float: 'leaf'", "Encode or drop")
    infinite = spoiled(np.inf, (3, 4))
    says(message_of(lambda: Estimator(2).fit(infinite)), r"contains inf.*first at \(3, 4\)")
    says(message_of(lambda: Estimator(2).fit(GOOD + 1j)), "Complex data", "Wanted real")
    says(message_of(lambda: Estimator(2).fit(GOOD[:0])), "0 sample", "Look at the filter")
