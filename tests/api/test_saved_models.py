"""Folders of models whose fit leaves more behind than factors: what is loaded works as before."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from scipy import sparse

from partwise import (
    NMF,
    MiniBatchNMF,
    NMFImputer,
    NonSmoothNMF,
    PositiveMatrixFactorization,
    Recommender,
    SequentialNMF,
)
from partwise.apportionment import bootstrap, displacement
from partwise.files import load_model, read_info, save_model
from partwise.penalties import L1, Smooth

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NAMES = [f"species {j}" for j in range(7)]


def data(seed=0, holes=False, shape=(30, 7)):
    rng = np.random.default_rng(seed)
    X = rng.gamma(1, size=(shape[0], 2)) @ rng.gamma(1, size=(2, shape[1])) + 0.1
    if holes:
        X[rng.random(shape) < 0.2] = np.nan
    return X


def framed(X):
    return pandas.DataFrame(X, columns=NAMES)


def again(model, folder, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_model(save_model(folder / "model", model, **how))
    assert type(found) is type(model)
    return found


def same(found, wanted, where="model"):
    """Every attribute of one is that of the other, as far down as they go."""
    assert type(found) is type(wanted) or isinstance(wanted, np.generic), where
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype, where
        np.testing.assert_array_equal(found, wanted, err_msg=where)
    elif sparse.issparse(wanted):
        assert found.shape == wanted.shape
        assert (found != wanted).nnz == 0
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for number, pair in enumerate(zip(found, wanted, strict=True)):
            same(*pair, f"{where}.{number}")
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name in wanted:
            same(found[name], wanted[name], f"{where}.{name}")
    elif hasattr(wanted, "__dict__") and not isinstance(wanted, type):
        if not hasattr(wanted, "name"):  # not a loss or a penalty, which have tests of their own
            same(vars(found), vars(wanted), where)
    else:
        assert found == wanted or (found != found and wanted != wanted), where


def test_everything_that_a_fit_leaves_comes_back(tmp_path):
    X, holes = data(), data(holes=True)
    models = {
        "nmf": NMF(2, penalty_H=[L1(0.1), Smooth(0.2)], random_state=0).fit(framed(X)),
        "smooth": NonSmoothNMF(2, theta=0.3, max_iter=30).fit(X.astype(np.float32)),
        "sequential": SequentialNMF(4, random_state=0).fit(holes),
        "recommender": Recommender(2, non_negative=False, random_state=0).fit(holes),
        "imputer": NMFImputer(2, n_bootstraps=3, add_indicator=True, random_state=0).fit(
            framed(holes)
        ),
    }
    for name, model in models.items():
        found = again(model, tmp_path / name)
        model.__dict__.pop("_sklearn_output_config", None)
        same(vars(found), vars(model), name)


def test_positive_matrix_factorization_and_its_error_estimates(tmp_path):
    X = data()
    s = 0.1 * X + 0.02
    X = X + s * np.random.default_rng(1).standard_normal(X.shape)
    X[3, 2] = np.nan
    model = PositiveMatrixFactorization(
        2, weak=["species 5"], bad=["species 6"], n_init=2, random_state=0
    ).fit(framed(X), uncertainty=s)
    found = again(model, tmp_path)
    same(vars(found), vars(model))
    assert found.weak == ["species 5"]
    np.testing.assert_array_equal(found.profiles("species"), model.profiles("species"))
    np.testing.assert_array_equal(
        found.transform(framed(X), uncertainty=s), model.transform(framed(X), uncertainty=s)
    )
    ends = (displacement(one, species=["species 0"], dq_max=[4]) for one in (found, model))
    same(*(vars(one) for one in ends))
    drawn = (bootstrap(one, 3, random_state=0) for one in (found, model))
    same(*(vars(one) for one in drawn))


@pytest.mark.parametrize("previous", ["free", "held"])
def test_sequential_components_at_every_rank(previous, tmp_path):
    X = data(holes=True)
    model = SequentialNMF(4, previous=previous, random_state=0).fit(X)
    found = again(model, tmp_path)
    for k in range(1, 5):
        ours, theirs = found.at_rank(k), model.at_rank(k)
        np.testing.assert_array_equal(ours.components_, theirs.components_)
        np.testing.assert_array_equal(ours.transform(X), theirs.transform(X))
        assert ours.explained_variance() == theirs.explained_variance()
    assert found.suggested_n_components_ == model.suggested_n_components_


@pytest.mark.parametrize("non_negative", [True, False])
def test_recommendations(non_negative, tmp_path):
    R = sparse.csr_array(np.nan_to_num(np.round(data(holes=True), 1)))
    model = Recommender(2, non_negative=non_negative, random_state=0).fit(R)
    found = again(model, tmp_path)
    for user in (0, 5):
        pairs = zip(found.recommend(user, n=3), model.recommend(user, n=3), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(found.recommend_for(R[:2]), model.recommend_for(R[:2]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.score(R) == model.score(R)


@pytest.mark.parametrize("method", ["joint", "two-step"])
def test_imputers(method, tmp_path):
    X = data(holes=True)
    X[:10], X[:, 4] = data()[:10], np.nan
    if method == "two-step":
        X[:10, 4] = np.nan
        X = np.delete(X, 4, axis=1)
    model = NMFImputer(2, method=method, n_bootstraps=3, add_indicator=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
        found = again(model, tmp_path, row_names=None)
        np.testing.assert_array_equal(found.transform(X), model.transform(X))
        for ours, theirs in zip(
            found.impute_with_uncertainty(X), model.impute_with_uncertainty(X), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.get_feature_names_out(), model.get_feature_names_out())


def test_statistics_of_batches_are_left_out(tmp_path):
    model = MiniBatchNMF(2, random_state=0)
    for start in range(0, 30, 10):
        model.partial_fit(data()[start : start + 10])
    found = again(model, tmp_path, W=model.transform(data()))
    assert not hasattr(found, "_memory")
    assert found.n_steps_ == 3
    found.partial_fit(data())


def test_arrays_are_written_once_and_nothing_is_pickled(tmp_path):
    folder = save_model(tmp_path / "m", SequentialNMF(3, random_state=0).fit(data()))
    with np.load(folder / "factors.npz", allow_pickle=False) as stream:
        held = {name: stream[name] for name in stream.files}
    assert sum(value.shape == held["H"].shape for value in held.values()) == 1
    info = read_info(folder)
    del info["state"]["_steps"][0]["named"]["W"]
    (folder / "model.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(ValueError, match="a state that cannot be read"):
        load_model(folder)


def test_what_no_file_can_hold_is_told(tmp_path):
    model = NMF(2, random_state=0).fit(data())
    model.note = "of the user"  # is not ours
    save_model(tmp_path / "a", model)
    model.extra_ = object()
    with pytest.raises(TypeError, match="extra_: got object"):
        save_model(tmp_path / "b", model)
    assert not (tmp_path / "b").exists()
