"""Recommender: what it minimizes, predicts, and recommends."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from partwise import Recommender, UnsupportedCombinationError

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
USERS, ITEMS, K = 80, 40, 3
KINDS = {
    "parts": {"non_negative": True},
    "parts and biases": {"non_negative": True, "biases": True},
    "any sign": {"non_negative": False},
    "any sign, no biases": {"non_negative": False, "biases": False},
    "parts, by ratings": {"non_negative": True, "scale_alpha": "both"},
    "any sign, by ratings of items": {"non_negative": False, "scale_alpha": "items"},
    "any sign, by ratings of users": {"non_negative": False, "scale_alpha": "users"},
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def planted(seed=0, share=0.5, noise=0.1, low=-5.0):
    """Return ratings with NaN for those that are not known, and all of them without noise."""
    rng = np.random.default_rng(seed)
    taste = rng.standard_normal((USERS, K)) @ rng.standard_normal((K, ITEMS))
    whole = taste + rng.standard_normal((USERS, 1)) + rng.standard_normal(ITEMS) + 2
    whole = np.maximum(whole, low)
    R = whole + noise * rng.standard_normal(whole.shape)
    return np.where(rng.random(R.shape) < share, R, np.nan), whole


R, WHOLE = planted()
KNOWN = ~np.isnan(R)


def stored(X):
    rows, columns = np.nonzero(~np.isnan(X))
    return sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)


def fitted(X=R, **params):
    return Recommender(**{"n_components": K, "alpha": 0.1, "random_state": 0, **params}).fit(X)


def predictions(model):
    return model.predict(np.arange(len(model.W_))[:, None], np.arange(model.components_.shape[1]))


# --- the fit -------------------------------------------------------------------------------


def naive_objective(model, X, V):
    known = V > 0
    mean = (V * np.where(known, X, 0)).sum() / V.sum()
    spread = np.sqrt((V * np.where(known, X - mean, 0) ** 2).sum() / V.sum())
    Y = (
        model.base_
        + model.user_biases_[:, None]
        + model.item_biases_
        + model.W_ @ model.components_
    )
    rest = np.where(known, X - Y, 0)
    q, p = (
        V.sum(axis=axis) / V.sum(axis=axis).mean() if model.scale_alpha in names else 1.0
        for axis, names in ((1, ("users", "both")), (0, ("items", "both")))
    )
    factors = (q * (model.W_**2).T).sum() + (p * model.components_**2).sum()
    biases = (q * model.user_biases_**2).sum() + (p * model.item_biases_**2).sum()
    unit = spread * sum(np.sqrt(V.sum() / length) for length in X.shape)
    cost = model.alpha * unit * factors + model.alpha_biases * biases
    return 0.5 * ((V * rest**2).sum() + cost)


@quiet
@each_kind
@pytest.mark.parametrize("store", [np.asarray, stored], ids=["dense", "sparse"])
@pytest.mark.parametrize("solver", ["cd", "dsgd"])
def test_it_minimizes_what_it_says(kind, store, solver):
    V = np.where(KNOWN, np.random.default_rng(1).uniform(0.5, 2, R.shape), 0)
    model = fitted(solver=solver, max_iter=300, **kind)
    for weights in (None, V):
        given = stored(np.where(KNOWN, V, np.nan)) if store is stored else V
        model.fit(store(R), weights=None if weights is None else given)
        wanted = naive_objective(model, R, KNOWN * 1.0 if weights is None else V)
        assert model.objective_ == pytest.approx(wanted, rel=1e-8)
        assert model.objective_history_[-1] == model.objective_
        assert (np.diff(model.objective_history_) <= 1e-9 * model.objective_).all()
        if kind["non_negative"]:
            parts = model.W_, model.components_, model.user_biases_, model.item_biases_
            assert all(part.min() >= 0 for part in parts)
            assert model.base_ == np.nanmin(R)
        else:
            assert model.W_.min() < 0 > model.components_.min()
    if solver == "cd":
        assert model.converged_
        again = model._fold_in(model._ratings(store(R), given, reset=False))
        for part, held in zip(again, (model.user_biases_, model.W_), strict=True):
            np.testing.assert_allclose(part, held, atol=0.05 * np.abs(held).max())


def test_rmse_is_that_of_known_ratings():
    model = fitted(max_iter=500)
    rest = (R - model.base_ - model.W_ @ model.components_)[KNOWN]
    assert model.rmse_ == pytest.approx(np.sqrt(np.mean(rest**2)), rel=1e-9)
    assert model.range_ == (np.nanmin(R), np.nanmax(R))


@pytest.mark.parametrize(("kind", "bound"), [("any sign", 0.2), ("parts", 0.5)])
def test_planted_ratings_are_predicted(kind, bound):
    """Taste of any sign, of noise 0.1; parts ≥ 0 need more components for it."""
    k = K if kind == "any sign" else 2 * K
    model = fitted(n_components=k, alpha=0.01, max_iter=2000, **KINDS[kind])
    error = np.sqrt(np.mean((predictions(model) - WHOLE)[~KNOWN] ** 2))
    assert error < bound * WHOLE.std()
    assert model.score(stored(np.where(KNOWN, np.nan, WHOLE))) == pytest.approx(-error)


@each_kind
def test_storage_does_not_matter(kind):
    first = predictions(fitted(**kind, max_iter=1000, tol=1e-6))
    for X in (stored(R), stored(R).tocsc(), stored(R).tocoo()):
        np.testing.assert_allclose(
            predictions(fitted(X, **kind, max_iter=1000, tol=1e-6)), first, atol=1e-2
        )


def test_stored_zeros_are_ratings():
    X = np.where(KNOWN, np.round(R), np.nan)
    assert (X == 0).any()
    matrix = stored(X)
    assert (matrix.data == 0).any()
    np.testing.assert_allclose(predictions(fitted(matrix)), predictions(fitted(X)), atol=0.1)


@each_kind
@pytest.mark.parametrize("factor", [1e-200, 1e-6, 1e6, 1e200])
def test_the_unit_of_ratings_does_not_matter(kind, factor):
    first, second = fitted(**kind), fitted(factor * R, **kind)
    assert second.n_iter_ == first.n_iter_
    np.testing.assert_allclose(predictions(second), factor * predictions(first), rtol=1e-6)
    np.testing.assert_allclose(
        second.transform(factor * R), factor**0.5 * first.transform(R), rtol=1e-6, atol=0
    )
    assert second.rmse_ == pytest.approx(factor * first.rmse_)
    assert second.score(factor * R) == pytest.approx(factor * first.score(R))
    if 1e-100 < factor < 1e100:
        assert second.objective_ == pytest.approx(factor**2 * first.objective_)


@each_kind
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_unit_of_ratings_does_not_matter_in_single_precision(kind, factor):
    first = fitted(R.astype(np.float32), **kind)
    second = fitted((factor * R).astype(np.float32), **kind)
    size = np.abs(predictions(first)).max()
    np.testing.assert_allclose(
        predictions(second) / factor, predictions(first), rtol=1e-3, atol=1e-3 * size
    )


def test_the_zero_of_ratings_does_not_matter():
    for kind in KINDS.values():
        low = {"lowest": -6.0} if kind["non_negative"] else {}
        high = {"lowest": 94.0} if kind["non_negative"] else {}
        first, second = fitted(**kind, **low), fitted(R + 100, **kind, **high)
        np.testing.assert_allclose(predictions(second), predictions(first) + 100, rtol=1e-6)


@quiet
@pytest.mark.parametrize("solver", ["cd", "dsgd"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bits_threads_and_precision(solver, dtype):
    X = stored(R.astype(dtype))
    kept = X.data.copy(), X.indices.copy()
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            found.append(fitted(X, solver=solver, non_negative=False))
    for name in ("W_", "components_", "user_biases_", "item_biases_"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
        assert getattr(found[0], name).dtype == dtype
    assert predictions(found[0]).dtype == dtype
    np.testing.assert_array_equal(X.data, kept[0])
    np.testing.assert_array_equal(X.indices, kept[1])
    assert clone(found[0]).get_params() == found[0].get_params()


@quiet
def test_nothing_is_made_dense():
    """An array of that shape would take 160 GB."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, 100, 2000) * 2000, rng.integers(0, 60, 2000) * 1500
    X = sparse.coo_array((rng.random(2000), places), shape=(200_000, 100_000)).tocsr()
    for solver in ("cd", "dsgd"):
        with pytest.warns(UserWarning, match="199900 users and 99940 items"):
            model = Recommender(2, max_iter=2, solver=solver, random_state=0).fit(X)
        items, ratings = model.recommend([0, 2000], n=3)
        assert (items % 1500 == 0).all()
        assert np.isfinite(ratings).all()
        assert np.isfinite(model.score(X))


# --- predictions and recommendations -------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return fitted(non_negative=False)


def test_predictions(model):
    raw = model.base_ + model.user_biases_[:, None] + model.item_biases_
    raw = raw + model.W_ @ model.components_
    clipped = np.clip(raw, np.nanmin(R), np.nanmax(R))
    assert (clipped != raw).any()
    np.testing.assert_allclose(predictions(model), clipped)
    np.testing.assert_allclose(model.predict([3, 5], [7, 2]), clipped[[3, 5], [7, 2]])
    assert model.predict(3, 7).shape == ()
    free = clone(model).set_params(clip=False).fit(R)
    np.testing.assert_allclose(predictions(free), raw)
    with pytest.raises(ValueError, match="users: got 80; wanted integers from 0 to 79"):
        model.predict(80, 0)
    with pytest.raises(ValueError, match="items"):
        model.predict(0, [0.5])


def test_recommendations_are_the_best_that_are_not_rated(model):
    raw = model.base_ + model.user_biases_[:, None] + model.item_biases_
    raw = raw + model.W_ @ model.components_
    items, ratings = model.recommend(np.arange(USERS), n=5)
    assert items.shape == ratings.shape == (USERS, 5)
    for user in range(USERS):
        left = np.where(KNOWN[user], -np.inf, raw[user])
        np.testing.assert_array_equal(items[user], np.argsort(-left)[:5])
        np.testing.assert_allclose(ratings[user], np.sort(left)[::-1][:5])
    single, _ = model.recommend(4, n=5)
    np.testing.assert_array_equal(single, items[4])
    best, _ = model.recommend(4, n=1, include_rated=True)
    assert best[0] == np.argmax(raw[4])
    few, none = model.recommend(4, n=100)
    left = int((~KNOWN[4]).sum())
    assert (few[:left] >= 0).all()
    assert (few[left:] == -1).all()
    assert np.isnan(none[left:]).all()
    with pytest.raises(ValueError, match="n: got 0"):
        model.recommend(4, n=0)


@each_kind
def test_a_new_user_is_folded_in_exactly(kind):
    model = fitted(**kind, alpha_biases=2.0)
    rng = np.random.default_rng(3)
    new = np.where(rng.random((5, ITEMS)) < 0.4, rng.normal(0, 2, (5, ITEMS)), np.nan)
    new = np.maximum(new, model.base_) if model.non_negative else new
    W = model.transform(stored(new))
    biases = model._fold_in(model._ratings(new, None, reset=False))[0]
    np.testing.assert_allclose(W, model.transform(new), atol=1e-8)
    penalty = 0.1 * np.nanstd(R) * sum(np.sqrt(KNOWN.sum() / length) for length in R.shape)
    has_bias = model._layout.extra > 0
    for i, row in enumerate(new):
        seen = ~np.isnan(row)
        design = np.column_stack([np.ones(seen.sum()), model.components_[:, seen].T])
        share = seen.sum() / KNOWN.sum(axis=1).mean()
        share = share if model.scale_alpha in ("users", "both") else 1.0
        root = np.sqrt(share * np.diag([2.0 if has_bias else 1e12, *[penalty] * K]))
        rest = row[seen] - model.base_ - model.item_biases_[seen]
        tall, right = np.vstack([design, root]), np.concatenate([rest, np.zeros(K + 1)])
        solve = optimize.nnls if model.non_negative else np.linalg.lstsq
        wanted = solve(tall, right)[0]
        np.testing.assert_allclose([biases[i], *W[i]], wanted, atol=1e-5)


def test_recommendations_for_new_users(model):
    items, ratings = model.recommend_for(stored(R[:6]), n=4)
    own, _ = model.recommend(np.arange(6), n=4)
    assert (items == own).mean() > 0.8  # the fit is near where it would not move
    row = {int(i): float(R[2, i]) for i in np.flatnonzero(KNOWN[2])}
    single, values = model.recommend_for(row, n=4)
    np.testing.assert_array_equal(single, items[2])
    np.testing.assert_allclose(values, ratings[2])
    assert not set(single) & set(row)
    every, _ = model.recommend_for(row, n=ITEMS, include_rated=True)
    assert sorted(every) == list(range(ITEMS))
    with pytest.raises(ValueError, match="items: got"):
        model.recommend_for({ITEMS: 1.0})


def test_users_and_items_without_ratings():
    X = R.copy()
    X[3], X[:, 5] = np.nan, np.nan
    for kind in KINDS.values():
        with pytest.warns(UserWarning, match="1 users and 1 items have no rating"):
            found = fitted(X, **kind)
        with pytest.warns(UserWarning, match="1 users and 1 items have no rating"):
            loose = fitted(X, **kind, alpha=0.0, alpha_biases=0.0)
        assert not found.W_[3].any()
        assert not loose.W_[3].any()
        assert not loose.components_[:, 5].any()
        assert not found.components_[:, 5].any()
        assert found.user_biases_[3] == found.item_biases_[5] == 0
        assert 5 not in found.recommend(0, n=ITEMS)[0]
        assert found.predict(3, 7) == pytest.approx(found.base_ + found.item_biases_[7])


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="biases: got alpha=0 and alpha_biases=5"):
        fitted(alpha=0.0, non_negative=False)
    with pytest.raises(ValueError, match="lowest: got 0, and a rating of"):
        fitted(lowest=0.0)
    with pytest.raises(ValueError, match="the 80 of the fit"):
        fitted().score(R[:5])
    with pytest.raises(ValueError, match="no known entry"):
        fitted(np.full((4, 3), np.nan))
    with pytest.raises(UnsupportedCombinationError, match="'cd'"):
        fitted(solver="anls-bpp")
    with pytest.warns(ConvergenceWarning, match="Recommender: max_iter=1"):
        fitted(max_iter=1)


def test_complete_and_constant_ratings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in KINDS.values():
            whole = fitted(WHOLE, **kind)
            assert whole.rmse_ < WHOLE.std()
            same = fitted(np.full((6, 5), 3.0), lowest=None, **kind)
            assert np.isfinite(predictions(same)).all()
    loose = fitted(WHOLE, alpha=0.0, alpha_biases=0.0, non_negative=False, n_components=K + 2)
    assert loose.rmse_ < 0.05 * WHOLE.std()


# --- as an estimator of scikit-learn -------------------------------------------------------


class AsTransformer(Recommender):
    """`predict` takes users and items, and not a matrix, which the checks would give it."""

    predict = score = property()


@quiet
@pytest.mark.filterwarnings("ignore:.*have no rating:UserWarning")
@parametrize_with_checks([AsTransformer(2), AsTransformer(2, non_negative=False)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_a_refused_fit_leaves_the_model_as_it_was():
    model = fitted(lowest=-6.0)
    before = predictions(model)
    with pytest.raises(ValueError, match=r"lowest: got -6, and a rating of .*; wanted a finite"):
        model.fit(R[:, :5] - 100)
    np.testing.assert_array_equal(predictions(model), before)


@pytest.mark.parametrize("lowest", [np.nan, -np.inf, np.inf])
def test_the_lowest_rating_is_a_number(lowest):
    with pytest.raises(ValueError, match=r"lowest: got .*; wanted a finite number"):
        fitted(lowest=lowest)


def test_a_dict_of_ratings_needs_no_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(R, columns=[f"joke {item}" for item in range(ITEMS)])
    model = fitted(frame)
    items, _ = model.recommend_for({3: 1.0, 5: 2.0}, 4)  # a warning would be an error
    np.testing.assert_array_equal(items, fitted().recommend_for({3: 1.0, 5: 2.0}, 4)[0])
    with pytest.raises(ValueError, match=r"ratings: got \{\}; wanted one rating"):
        model.recommend_for({})


def test_the_score_of_held_out_ratings_is_theirs_alone():
    rng = np.random.default_rng(0)
    held = np.where(KNOWN, rng.random(R.shape) < 0.2, 0) * rng.uniform(0.5, 2, R.shape)
    model = Recommender(K, alpha=0.1, random_state=0).fit(R, weights=np.where(held > 0, 0, 1))
    errors = (predictions(model) - R)[held > 0]
    wanted = -np.sqrt(np.average(errors**2, weights=held[held > 0]))
    assert model.score(R, weights=held) == pytest.approx(wanted)
    assert model.score(stored(R), weights=sparse.csr_array(held)) == pytest.approx(wanted)
    assert model.score(np.where(held > 0, R, np.nan)) == pytest.approx(-np.sqrt(np.mean(errors**2)))
