"""NMFImputer: what is filled, from what, and how surely."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from partwise import NMF, NMFImputer

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
K = 3
EXACT = {"tol": 1e-7, "max_iter": 5000}


def planted(shape=(60, 20), share=0.3, noise=0.0, seed=0, dtype=np.float64):
    """Data of rank K with holes, and without; ten rows and three columns are complete."""
    rng = np.random.default_rng(seed)
    truth = rng.gamma(1, size=(shape[0], K)) @ rng.gamma(1, size=(K, shape[1]))
    X = truth + noise * truth.mean() * rng.standard_normal(shape)
    missing = rng.random(shape) < share
    missing[:10], missing[:, :3] = False, False
    return np.where(missing, np.nan, X).astype(dtype), truth


@quiet
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        NMFImputer(),
        NMFImputer(2, method="two-step", beta_loss="kullback-leibler", max_iter=1000),
        NMFImputer(2, allow_negative=True, keep_empty_features=True, n_bootstraps=2),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", ["joint", "two-step"])
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_holes_of_data_of_low_rank_come_back(method, loss):
    X, truth = planted()
    filled = NMFImputer(K, method=method, beta_loss=loss, **EXACT).fit_transform(X)
    assert np.abs(filled - truth)[np.isnan(X)].max() < 2e-3 * truth.max()


@quiet
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_known_entries_keep_their_bits_and_the_input_its_holes(dtype):
    X, _ = planted(noise=0.1, dtype=dtype)
    X = np.abs(X)
    before = X.copy()
    model = NMFImputer(K, random_state=0).fit(X)
    filled = model.transform(X)
    known = ~np.isnan(X)
    assert filled.dtype == dtype
    assert filled[known].tobytes() == X[known].tobytes()
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(X, before)
    Y = model.nmf_.transform(X) @ model.nmf_.components_
    np.testing.assert_allclose(filled[~known], Y[~known], rtol=1e-5)
    np.testing.assert_array_equal(filled, NMFImputer(K, random_state=0).fit_transform(X))
    np.testing.assert_array_equal(
        model.transform(np.asfortranarray(X)), np.vstack([model.transform(row[None]) for row in X])
    )


@quiet
def test_two_steps_learn_from_complete_rows_alone():
    X, _ = planted(noise=0.1)
    X = np.abs(X)
    model = NMFImputer(K, method="two-step").fit(X)
    alone = NMF(K).fit(X[~np.isnan(X).any(axis=1)])
    np.testing.assert_array_equal(model.nmf_.components_, alone.components_)
    changed = np.where(np.isnan(X).any(axis=1, keepdims=True), 3 * X, X)
    again = NMFImputer(K, method="two-step").fit(changed)
    np.testing.assert_array_equal(model.nmf_.components_, again.nmf_.components_)
    joint = NMFImputer(K).fit(X), NMFImputer(K).fit(changed)
    assert not np.array_equal(*(m.nmf_.components_ for m in joint))
    with pytest.raises(ValueError, match=r"50 rows, all with a missing entry.*'joint'"):
        NMFImputer(K, method="two-step").fit(X[np.isnan(X).any(axis=1)][:50])


@quiet
def test_weights_are_those_of_nmf():
    X, _ = planted(noise=0.1)
    X = np.abs(X)
    rng = np.random.default_rng(0)
    count = rng.integers(1, 4, len(X))
    how = {"tol": 0, "max_iter": 300, "init": "nndsvda"}
    weighted = NMFImputer(K, **how).fit(X, weights=count)
    repeated = NMFImputer(K, **how).fit(np.repeat(X, count, axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=2e-3)
    # What counts for nothing changes nothing else, and is no hole.
    V = (rng.random(X.shape) < 0.9).astype(float)
    V[:10], V[:, :3] = 1, 1
    wrong = np.where(V > 0, X, 1e3)
    model = NMFImputer(K).fit(wrong, weights=V)
    filled = model.transform(wrong, weights=sparse.csr_array(V))
    hidden = NMFImputer(K).fit_transform(np.where(V > 0, X, np.nan))
    holes = np.isnan(wrong)
    np.testing.assert_array_equal(filled[holes], hidden[holes])
    np.testing.assert_array_equal(filled[~holes], wrong[~holes])


@quiet
def test_rows_without_a_known_entry_are_filled_with_the_mean_of_the_model():
    X, _ = planted(noise=0.1)
    X = np.abs(X)
    X[20] = np.nan
    with pytest.warns(UserWarning, match="1 rows of X have no known entry.*mean_") as seen:
        filled = NMFImputer(K, random_state=0).fit(X).transform(X)
    assert len([w for w in seen if w.category is UserWarning]) == 1
    model = NMFImputer(K, random_state=0).fit(np.delete(X, 20, axis=0))
    np.testing.assert_array_equal(filled[20], model.mean_)
    np.testing.assert_allclose(
        model.mean_, model.nmf_.inverse_transform(model.nmf_.W_).mean(axis=0)
    )
    with pytest.warns(UserWarning, match="1 rows of X"):
        np.testing.assert_array_equal(model.transform(X[20:21]), model.mean_[None])


@quiet
@pytest.mark.parametrize("keep", [False, True])
def test_features_without_a_known_entry_are_dropped_or_zero(keep):
    X, _ = planted(noise=0.1)
    frame = pd.DataFrame(np.abs(X), columns=[f"f{j}" for j in range(20)])
    frame["f5"] = np.nan
    done = "filled with 0" if keep else "dropped"
    imputer = NMFImputer(K, keep_empty_features=keep).set_output(transform="pandas")
    with pytest.warns(UserWarning, match=rf"{done}.*\['f5'\]") as seen:
        filled = imputer.fit_transform(frame)
    assert len([w for w in seen if w.category is UserWarning]) == 1
    assert list(filled.columns) == [c for c in frame if keep or c != "f5"]
    if keep:
        assert (filled["f5"] == 0).all()
    late = frame.assign(f5=1.0)
    assert ("f5" in imputer.transform(late)) == keep
    np.testing.assert_array_equal(
        imputer.transform(late).drop(columns="f5", errors="ignore"),
        filled.drop(columns="f5", errors="ignore"),
    )
    if keep:
        assert (imputer.transform(late)["f5"] == 1).all()


@quiet
def test_frames_indicators_and_pipelines():
    X, _ = planted(noise=0.1)
    frame = pd.DataFrame(np.abs(X), columns=[f"f{j}" for j in range(20)], index=np.arange(60)[::-1])
    imputer = NMFImputer(K, add_indicator=True).set_output(transform="pandas")
    filled = imputer.fit_transform(frame)
    holes = frame.isna().any()
    assert list(filled.columns) == [*frame, *(f"missingindicator_{c}" for c in frame if holes[c])]
    assert list(filled.index) == list(frame.index)
    np.testing.assert_array_equal(filled.iloc[:, 20:], frame.isna().loc[:, holes])
    assert list(imputer.get_feature_names_out()) == list(filled.columns)
    again = pickle.loads(pickle.dumps(imputer))
    pd.testing.assert_frame_equal(again.transform(frame), filled)
    target = np.nan_to_num(X).sum(axis=1)
    search = GridSearchCV(
        make_pipeline(NMFImputer(), LinearRegression()), {"nmfimputer__n_components": [1, 3]}, cv=2
    ).fit(frame, target)
    assert search.best_estimator_["nmfimputer"].n_components in (1, 3)


@quiet
def test_parameters_of_nmf_reach_it():
    given = {
        "init": "random", "solver": "mu", "beta_loss": 1.5, "tol": 1e-3, "max_iter": 7,
        "random_state": 3, "alpha_W": 0.01, "alpha_H": 0.02, "l1_ratio": 0.5, "shuffle": True,
        "n_init": 2, "n_jobs": 2, "max_time": 9.0,
    }  # fmt: skip
    model = NMFImputer(2, **given).fit(np.abs(planted(noise=0.1)[0]))
    params = model.nmf_.get_params()
    assert {name: params[name] for name in given} == given
    names = set(NMF().get_params()) - {"unstored"}
    own = {"method", "add_indicator", "keep_empty_features", "n_bootstraps"}
    assert set(NMFImputer().get_params()) == names | own
    assert clone(model).get_params() == model.get_params()


# --- uncertainty ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("shape", [(300, 40), (300, 16)])
def test_about_two_thirds_of_the_errors_are_within_one_deviation(shape):
    X, truth = planted(shape, share=0.4, noise=0.05)
    how = {"allow_negative": True, "n_bootstraps": 40, "random_state": 0, "max_iter": 500}
    model = NMFImputer(K, **how).fit(X)
    filled, std = model.impute_with_uncertainty(X)
    holes = np.isnan(X)
    np.testing.assert_array_equal(filled, model.transform(X))
    assert not std[~holes].any()
    ratio = (filled - truth)[holes] / std[holes]
    assert 0.58 < np.mean(np.abs(ratio[np.isfinite(ratio)]) < 1) < 0.75
    # With less noise it is less sure of being wrong.
    quieter = planted(shape, share=0.4, noise=0.01)[0]
    less = NMFImputer(K, **how).fit(quieter).impute_with_uncertainty(quieter)[1]
    assert np.nanmedian(less[holes]) < np.nanmedian(std[holes]) / 3


@quiet
def test_deviations_do_not_depend_on_threads_other_rows_or_units():
    X = planted(noise=0.05)[0]
    how = {"allow_negative": True, "n_bootstraps": 6, "tol": 1e-5, "max_iter": 500}

    def deviations(X, weights=None, **more):
        model = NMFImputer(K, **how, random_state=more.pop("random_state", 0), **more)
        return model.fit(X, weights=weights), model.impute_with_uncertainty(X, weights=weights)[1]

    model, std = deviations(X)
    for other in (deviations(X, n_jobs=3), deviations(X, random_state=np.random.RandomState(5))):
        again = deviations(X, random_state=other[0].nmf_.seed_)[1]
        np.testing.assert_array_equal(other[1], again)
    np.testing.assert_array_equal(deviations(X, n_jobs=3)[1], std)
    # Refits draw nothing from the user's generator.
    states = np.random.RandomState(5), np.random.RandomState(5)
    NMFImputer(K, allow_negative=True, random_state=states[0]).fit(X)
    deviations(X, random_state=states[1])
    assert states[0].randint(2**31 - 1) == states[1].randint(2**31 - 1)
    np.testing.assert_array_equal(model.impute_with_uncertainty(X[30:33])[1], std[30:33])
    for unit in (2.0**40, 2.0**700, 2.0**-700):
        np.testing.assert_allclose(deviations(unit * X)[1], unit * std, rtol=1e-6, atol=0)
    assert not np.array_equal(deviations(X, random_state=1)[1], std)
    weighted = deviations(X, np.full(X.shape, 0.25))[1]
    np.testing.assert_allclose(weighted, std, rtol=1e-6)


@quiet
def test_nothing_is_said_of_what_is_not_determined():
    X = planted(noise=0.05)[0]
    X[30, K:] = np.nan  # as many known entries as go into W
    X[31] = np.nan
    X[:, 7] = np.nan
    model = NMFImputer(
        K, allow_negative=True, n_bootstraps=3, keep_empty_features=True, add_indicator=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled, std = model.fit(X).impute_with_uncertainty(X)
    assert filled.shape == std.shape == (60, 20 + np.isnan(X).any(axis=0).sum())
    holes = np.isnan(X)
    assert np.isnan(std[:, :20][30:32][holes[30:32]]).all()
    assert np.isnan(std[:, 7]).all()
    rest = np.delete(np.delete(std[:, :20], [30, 31], axis=0), 7, axis=1)
    assert np.isfinite(rest).all()
    assert not std[:, 20:].any()
    with pytest.raises(ValueError, match=r"n_bootstraps: got 0.*n_bootstraps=50"):
        NMFImputer(K).fit(np.abs(X[:, :7])).impute_with_uncertainty(X)


@quiet
def test_refits_that_do_not_converge_are_told_once():
    X = np.abs(planted(noise=0.05)[0])
    with pytest.warns(ConvergenceWarning, match="4 of 4 refits did not converge") as seen:
        NMFImputer(K, n_bootstraps=4, max_iter=2).fit(X)
    assert sum("refits" in str(w.message) for w in seen) == 1


@quiet
def test_rows_that_are_not_found_are_told_once():
    X, _ = planted()
    model = NMFImputer(K, beta_loss=1, n_bootstraps=6, max_iter=3, tol=1e-8).fit(10 * X)
    for ask, count in ((model.transform, 60), (model.impute_with_uncertainty, 360)):
        with pytest.warns(ConvergenceWarning) as seen:
            ask(10 * X)
        words = [str(w.message) for w in seen if f"of {count} rows" in str(w.message)]
        assert len(words) == 1


BAD = {
    "sparse": (sparse.csr_array(np.eye(4)), TypeError, "Sparse data was passed"),
    "masked": (np.ma.masked_less(np.eye(4), 0.5), TypeError, "masked entries"),
    "nothing": (np.full((4, 3), np.nan), ValueError, "no known entry"),
    "negative": (-np.ones((4, 3)), ValueError, "Negative values"),
    "infinite": (np.full((4, 3), np.inf), ValueError, "inf"),
}


@pytest.mark.parametrize(("X", "kind", "words"), BAD.values(), ids=BAD)
def test_bad_data_say_so(X, kind, words):
    with pytest.raises(kind, match=words):
        NMFImputer(2).fit(X)


@quiet
def test_deviations_are_those_of_the_refits():
    X = planted(noise=0.05)[0][:40]
    how = {"allow_negative": True, "n_bootstraps": 3, "max_iter": 500, "random_state": 0}
    model = NMFImputer(K, **how).fit(X)
    values = []
    for number, components in enumerate(model.bootstrap_components_):
        drawn = model._drawn(number, 1, X.shape[1])
        assert not np.array_equal(drawn[:5], model._drawn(number, 0, 5))  # rows have their own
        refit = copy.copy(model.nmf_)
        refit.components_ = components
        values.append(refit.transform(X, weights=~np.isnan(X) * drawn) @ components)
    known = (~np.isnan(X)).sum(axis=1, keepdims=True)
    wanted = np.std(values, axis=0, ddof=1) * np.sqrt(known / (known - K))
    holes = np.isnan(X)
    found = model.impute_with_uncertainty(X)[1]
    np.testing.assert_allclose(found[holes], wanted[holes], rtol=1e-8)
