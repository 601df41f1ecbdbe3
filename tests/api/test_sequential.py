"""SequentialNMF, target modelling and the search for the best factor."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from partwise import NMF, SequentialNMF, best_factor, load_model, save_model
from partwise.estimators.sequential import _share_of_noise

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
K = 3


def planted(shape=(60, 40), k=K, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(1, size=(shape[0], k)) @ rng.gamma(1, size=(k, shape[1]))
    return np.maximum(truth + noise * truth.mean() * rng.standard_normal(shape), 0)


@quiet
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [SequentialNMF(2), SequentialNMF(3, previous="held", tol=1e-6, max_iter=5000)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# --- the ranks -----------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("storage", ["dense", "holes", "weights", "rows", "listed", "sparse"])
def test_residual_variance_is_that_of_the_definition(loss, storage):
    rng = np.random.default_rng(1)
    X = planted() * (rng.random((60, 40)) < (0.4 if storage == "sparse" else 1))
    V = np.ones(X.shape)
    given, weights = X, None
    if storage == "holes":
        V = (rng.random(X.shape) < 0.8).astype(float)
        given = np.where(V > 0, X, np.nan)
    elif storage == "weights":
        V = weights = rng.uniform(0.2, 3, X.shape)
    elif storage == "rows":
        weights = rng.uniform(0.2, 3, len(X))
        V = np.repeat(weights[:, None], X.shape[1], axis=1)
    elif storage == "listed":
        V = rng.uniform(0.5, 2, X.shape) * (rng.random(X.shape) < 0.3)
        given, weights = sparse.csr_array(X + 1e-9), sparse.csr_array(V)
    elif storage == "sparse":
        given = sparse.csr_array(X)
    model = SequentialNMF(
        4, beta_loss=loss, unstored="missing" if storage == "listed" else "zero", random_state=0
    ).fit(given, weights=weights)
    means = (V * X).sum(axis=0) / V.sum(axis=0)
    for k, share in enumerate(model.fractional_residual_variance_, 1):
        rank = model.at_rank(k)
        left = V * (X - rank.W_ @ rank.components_) ** 2
        assert share == pytest.approx(left.sum() / (V * (X - means) ** 2).sum(), rel=1e-6)
        assert rank.components_.shape == (k, 40)
    if storage == "dense" and loss == "frobenius":
        left = 1 - np.cumsum(PCA(4).fit(X).explained_variance_ratio_)
        assert (model.fractional_residual_variance_ > left).all()


@quiet
@pytest.mark.parametrize("previous", ["free", "held"])
def test_every_rank_starts_from_the_one_before(previous):
    X, starts, ends = planted(), {}, {}

    def look(state):
        k = len(state.components)
        if state.iteration == 0:
            starts[k] = state.components
        ends[k] = state.components

    model = SequentialNMF(4, previous=previous, random_state=0).fit(X, callback=look)
    for k in (2, 3, 4):
        np.testing.assert_array_equal(starts[k][:-1], model.at_rank(k - 1).components_)
        assert (starts[k][-1] > 0).all()
    drawn = [starts[k][-1] / np.linalg.norm(starts[k][-1]) for k in (2, 3, 4)]
    assert np.abs(np.corrcoef(drawn)[np.triu_indices(3, 1)]).max() < 0.6
    held = [np.array_equal(ends[k][:-1], starts[k][:-1]) for k in (2, 3, 4)]
    assert all(held) if previous == "held" else not any(held)
    if previous == "held":
        np.testing.assert_allclose(model.persistence_, 1, rtol=1e-12)
        for k in (1, 2, 3):
            np.testing.assert_array_equal(model.at_rank(k).components_, model.components_[:k])


@quiet
@pytest.mark.parametrize(("factor", "dtype"), [(1e-200, "f8"), (1e200, "f8"), (1e36, "f4")])
def test_the_curve_does_not_depend_on_the_unit(factor, dtype):
    X = planted()
    wanted = SequentialNMF(4, random_state=0).fit(X.astype(dtype))
    found = SequentialNMF(4, random_state=0).fit((factor * X).astype(dtype))
    np.testing.assert_allclose(
        found.fractional_residual_variance_, wanted.fractional_residual_variance_, rtol=1e-3
    )
    assert found.suggested_n_components_ == wanted.suggested_n_components_ == K


@quiet
@pytest.mark.parametrize("rank", [0, 4, 2.0, "2", None])
def test_ranks_that_are_not_kept(rank):
    model = SequentialNMF(3, random_state=0).fit(planted())
    with pytest.raises(ValueError, match="of 3 ranks that are kept"):
        model.at_rank(rank)


@quiet
def test_components_keep_their_places():
    """Without that the smallest cosine of these components is 0.02."""
    model = SequentialNMF(6, random_state=1).fit(planted(k=6, noise=0.01))
    smallest = []
    for k in range(2, 7):
        old, new = (
            H / np.linalg.norm(H, axis=1, keepdims=True)
            for H in (model.at_rank(k - 1).components_, model.at_rank(k).components_)
        )
        same = np.sum(old * new[:-1], axis=1)
        assert model.persistence_[k - 1] == pytest.approx(same.min())
        smallest.append(same.min())
        # No other assignment has a larger sum.
        places, order = optimize.linear_sum_assignment(-old @ new.T)
        assert same.sum() == pytest.approx((old @ new.T)[places, order].sum())
    assert model.persistence_[0] == 1
    rank = model.at_rank(3)
    np.testing.assert_allclose(
        rank.transform(planted(k=6, noise=0.01)), rank.W_, rtol=0.1, atol=0.1
    )
    shares = [
        1 - np.sum((planted(k=6, noise=0.01) - np.outer(w, h)) ** 2) / np.sum(
            planted(k=6, noise=0.01) ** 2
        )
        for w, h in zip(rank.W_.T, rank.components_, strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(rank.explained_variance(per="component"), shares, atol=1e-6)


@quiet
@pytest.mark.parametrize("shape", [(60, 20), (40, 40), (100, 200)])
@pytest.mark.parametrize("noise", [0.02, 0.2])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_suggested_rank_is_the_planted_one(shape, noise, share):
    for seed in range(3):
        X = planted(shape, noise=noise, seed=seed)
        X[np.random.default_rng(seed).random(shape) < share] = np.nan
        model = SequentialNMF(K + 3, random_state=0).fit(X)
        assert model.suggested_n_components_ == K


@quiet
def test_a_curve_that_still_falls_suggests_nothing():
    X = planted(k=6, noise=0.01)
    assert SequentialNMF(4, random_state=0).fit(X).suggested_n_components_ is None
    coarse = SequentialNMF(4, random_state=0, plateau=0.99).fit(X)
    assert coarse.suggested_n_components_ == 1
    assert coarse.at_rank(1).suggested_n_components_ == 1


@quiet
def test_the_scale_of_the_data_the_threads_and_the_seed():
    X = planted(k=5)
    how = {"n_components": 5, "random_state": 0}
    model = SequentialNMF(**how).fit(X)
    for scale in (1e-6, 1e6, 1e150):
        other = SequentialNMF(**how).fit(scale * X)
        np.testing.assert_allclose(
            other.fractional_residual_variance_, model.fractional_residual_variance_, rtol=1e-4
        )
    several = [SequentialNMF(**how, n_init=3, n_jobs=jobs).fit(X) for jobs in (1, 2)]
    np.testing.assert_array_equal(*(m.components_ for m in several))
    assert len(several[0].objectives_) == 3
    assert several[0].objective_ == several[0].objectives_.min()
    again = SequentialNMF(5, random_state=model.seed_).fit(X)
    np.testing.assert_array_equal(again.components_, model.components_)
    single = SequentialNMF(3).fit(X.astype(np.float32))
    assert single.components_.dtype == single.W_.dtype == np.float32


@quiet
def test_other_ranks_share_nothing_and_are_checked():
    X = planted()
    model = SequentialNMF(4, random_state=0).fit(X)
    kept = model.components_.copy()
    rank = model.at_rank(2).normalize("l2")
    np.testing.assert_array_equal(
        model.at_rank(2).components_, model.at_rank(4).at_rank(2).components_
    )
    np.testing.assert_array_equal(model.components_, kept)
    assert rank.n_components == rank.n_components_ == len(rank.fractional_residual_variance_) == 2
    with pytest.raises(ValueError, match="got 5 of 4 ranks"):
        model.at_rank(5)
    with pytest.raises(ValueError, match="got 3 of 2 ranks"):
        rank.at_rank(3)


@quiet
def test_parameters_files_and_frames(tmp_path):
    frame = pd.DataFrame(planted(), columns=[f"f{j}" for j in range(40)])
    model = SequentialNMF(2, alpha_W=1e-4, tol=1e-3, plateau=0.1)
    assert set(model.get_params()) == {*NMF().get_params(), "previous", "plateau"}
    assert SequentialNMF().n_components == clone(SequentialNMF()).n_components == 10
    model.fit(frame)
    assert list(model.feature_names_in_) == list(frame)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.at_rank(1).components_, model.at_rank(1).components_)
    loaded = load_model(save_model(tmp_path / "m", model))
    np.testing.assert_array_equal(loaded.components_, model.components_)
    np.testing.assert_array_equal(loaded.at_rank(1).components_, model.at_rank(1).components_)
    with pytest.raises(TypeError, match="fixed_H"):
        SequentialNMF(2).fit(planted(), fixed_H=np.ones((2, 40), bool))
    with pytest.raises(ValueError, match="init"):
        SequentialNMF(2, init="custom").fit(planted())


def test_what_did_not_end_is_told():
    X = planted(k=6, noise=0.01)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = SequentialNMF(4, max_iter=15, random_state=0).fit(X)
    words = [str(w.message) for w in seen if w.category is ConvergenceWarning]
    assert len(words) == 2
    assert "Maximum number of iterations 15" in words[0]
    assert "Of 4 ranks these ended before convergence: [2, 3, 4]" in words[1]
    assert not model.converged_
    stopped = SequentialNMF(4, random_state=0).fit(
        X, callback=lambda state: len(state.components) == 2 and state.iteration == 3
    )
    assert stopped.n_components_ == len(stopped.fractional_residual_variance_) == 2
    assert stopped.n_iter_ == 3
    before = stopped.components_
    with pytest.raises(ValueError, match="Negative"):
        stopped.fit(-X)
    assert stopped.components_ is before


@quiet
def test_rows_of_one_kind_have_no_variance():
    model = SequentialNMF(2).fit(np.tile([1.0, 2.0, 3.0], (5, 1)))
    assert np.isnan(model.fractional_residual_variance_).all()


# --- targets -------------------------------------------------------------------------------


@quiet
def test_what_is_hidden_in_a_target_has_no_influence():
    X = planted()
    model = SequentialNMF(3, random_state=0).fit(X[:50])
    targets, hidden = X[50:], np.zeros(40, bool)
    hidden[5:12] = True
    found = model.model_target(targets, hidden)
    spoiled = np.where(hidden, 1e3, targets)
    np.testing.assert_array_equal(model.model_target(spoiled, hidden), found)
    np.testing.assert_array_equal(model.model_target(np.where(hidden, np.nan, targets)), found)
    for target, row in zip(targets, found, strict=True):
        w, _ = optimize.nnls(model.components_[:, ~hidden].T, target[~hidden])
        np.testing.assert_allclose(row, w @ model.components_, rtol=1e-6, atol=1e-9)
    each = np.zeros(targets.shape, bool)
    each[0] = hidden
    mixed = model.model_target(targets, each)
    np.testing.assert_allclose(mixed[0], found[0])
    np.testing.assert_allclose(mixed[1:], model.model_target(targets)[1:])
    with pytest.raises(
        ValueError, match=r"hidden: got dtype int64.*boolean array of shape \(40,\)"
    ):
        model.model_target(targets, hidden.astype(np.int64))
    np.testing.assert_allclose(
        model.model_target(np.rint(spoiled).astype(int), hidden),
        model.model_target(np.rint(targets), hidden),
    )


# --- the best factor -----------------------------------------------------------------------


def star_and_disk(seed=0, noise=0.01):
    """A speckled star that fills the image, and a disk on a tenth of the pixels."""
    rng = np.random.default_rng(seed)
    star = rng.gamma(2, size=3000)
    disk = np.where(np.arange(3000) < 300, 1.5, 0.0)
    return star, disk, star + disk + noise * rng.standard_normal(3000)


@pytest.mark.parametrize("factor", [0.82, 0.9, 0.987])
def test_the_factor_of_a_model_that_is_too_bright(factor):
    star, disk, target = star_and_disk()
    found = best_factor(target, star / factor)
    assert found == pytest.approx(factor, abs=2e-3)
    left = (target - found * star / factor)[disk > 0]
    assert left.sum() == pytest.approx(disk.sum(), rel=0.02)
    # Of the pixels that it keeps no factor leaves less, by search on a grid.
    rest = target - found * star / factor
    kept = np.abs(rest - np.median(rest)) < 1.0
    grid = np.linspace(0.8, 1, 2001)
    spreads = [(target - f * star / factor)[kept].std() for f in grid]
    assert found == pytest.approx(grid[np.argmin(spreads)], abs=1e-3)


def test_a_compact_star_is_not_left_out_as_a_whole():
    """Pixels chosen for each factor by itself prefer the lower end of the grid here."""
    y, x = np.mgrid[:60, :60] - 29.5
    rng = np.random.default_rng(0)
    star = np.exp(-(x**2 + y**2) / 72)
    disk = 0.2 * np.exp(-(((np.hypot(x, y / 0.5) - 20) / 1.5) ** 2) / 2)
    target = star + disk + 0.003 * rng.standard_normal(star.shape)
    assert best_factor(target, star / 0.95) == pytest.approx(0.95, abs=0.01)


def test_pixels_without_a_value_units_and_bounds():
    star, _, target = star_and_disk()
    found = best_factor(target, star / 0.9)
    holes = np.where(np.arange(3000) % 7 == 0, np.nan, target).reshape(60, 50)
    assert best_factor(holes, star.reshape(60, 50) / 0.9) == pytest.approx(found, abs=1e-3)
    assert best_factor(1e9 * target, 1e9 * star / 0.9) == pytest.approx(found, rel=1e-9)
    # A sky that is bright everywhere is no part of the model, and changes nothing.
    assert best_factor(target + 50, star / 0.9) == pytest.approx(found, rel=1e-9)
    assert best_factor(target, star, bounds=(0.5, 0.7)) == 0.7
    with pytest.warns(UserWarning, match=r"lower of the bounds, 0\.95"):
        assert best_factor(target, star / 0.9, bounds=(0.95, 1)) == 0.95
    assert best_factor(target, np.ones(3000)) == 1.0
    for bad, words in (
        ((target[:5], star), "shape"),
        ((np.full(5, np.nan), np.ones(5)), "no pixel"),
    ):
        with pytest.raises(ValueError, match=words):
            best_factor(*bad)
    with pytest.raises(ValueError, match="bounds"):
        best_factor(target, star, bounds=(1, 0.5))


@quiet
def test_targets_with_names_and_weights():
    X = planted()
    names = [f"pixel {j}" for j in range(40)]
    frame = pd.DataFrame(X, columns=names)
    model = SequentialNMF(2, random_state=0).fit(frame)
    hidden = np.arange(40) < 5
    wanted = SequentialNMF(2, random_state=0).fit(X).model_target(X[:3], hidden)
    found = model.model_target(frame[:3], hidden)  # a warning of names would be an error
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    spoiled = np.where(hidden, np.inf, X[:3])
    plain = SequentialNMF(2, random_state=0).fit(X)
    np.testing.assert_allclose(plain.model_target(spoiled, hidden), wanted, rtol=1e-12)
    V = np.random.default_rng(0).uniform(0.5, 2, (3, 40))
    W = plain.transform(X[:3], weights=np.where(hidden, 0, V))
    for weights in (V, sparse.csr_array(V)):
        found = plain.model_target(X[:3], hidden, weights=weights)
        np.testing.assert_allclose(found, W @ plain.components_, rtol=1e-12)


@quiet
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_the_share_of_noise_is_that_of_the_formula(share):
    X = planted((20, 30))
    X[np.random.default_rng(0).random(X.shape) < share] = np.nan
    model = SequentialNMF(K, random_state=0).fit(X)
    known = np.count_nonzero(~np.isnan(X))
    wanted = (np.sqrt(20 - K) + np.sqrt(30 - K)) ** 2 / (known - K * (20 + 30 - K))
    found = _share_of_noise(model._check_data(X, reset=False), model._steps[-1])
    assert found == pytest.approx(wanted)
