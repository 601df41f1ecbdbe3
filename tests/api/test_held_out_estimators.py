"""Held-out entries of estimators that are more than W H: ratings, uncertainties, filled entries."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from partwise import (
    NMF,
    HeldOutEntries,
    NMFImputer,
    PositiveMatrixFactorization,
    Recommender,
    cross_val_loss,
    estimators,
)
from partwise.estimators._judged import Judged
from partwise.penalties import L2, Box
from tests.api.test_held_out import full, listed

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PMF = PositiveMatrixFactorization
TOLD = ("held_out", "fitted", "n_iter", "converged")


def ratings(k=3, signed=True, share=0.4, shape=(100, 50), seed=0):
    """Return noisy ratings of rank k with NaN for those that were not given."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if signed else lambda size: rng.gamma(0.6, size=size)
    taste = draw((shape[0], k)) @ draw((k, shape[1]))
    R = taste + 0.2 * taste.std() * rng.standard_normal(shape)
    R = R + 3 if signed else np.maximum(R, 0)
    return np.where(rng.random(shape) < share, R, np.nan)


def measured(k=3, shape=(100, 20), seed=0):
    """Return noisy mixtures of k sources, some entries missing, and their uncertainties."""
    rng = np.random.default_rng(seed)
    true = rng.gamma(0.7, size=(shape[0], k)) @ rng.gamma(0.7, size=(k, shape[1]))
    s = 0.1 * true + 0.05
    X = true + s * rng.standard_normal(shape)
    X[rng.random(shape) < 0.05] = np.nan
    s[3, 4] = np.nan
    return X, s


R = ratings()
STARS = np.clip(np.round(R), 2, 4)
X, S = measured()
JUDGED = {
    "ratings": (Recommender(alpha=0.1, max_iter=60, random_state=0), listed(R), None),
    "ratings of any sign": (
        Recommender(non_negative=False, alpha=0.1, max_iter=60, random_state=0),
        R,
        None,
    ),
    "sources": (PMF(n_init=2, max_iter=40, random_state=0), X, S),
    "sources and medians": (PMF(n_init=1, max_iter=40, missing="median", random_state=0), X, S),
    "filled": (NMFImputer(max_iter=40, allow_negative=True, random_state=0), X, None),
}
each_judged = pytest.mark.parametrize(("est", "X", "S"), JUDGED.values(), ids=JUDGED)


def test_every_estimator_that_factorizes_can_be_judged():
    public = [getattr(estimators, name) for name in estimators.__all__]
    found = [c for c in public if inspect.isclass(c) and issubclass(c, BaseEstimator)]
    assert len(found) >= 7
    assert all(issubclass(cls, Judged) for cls in found)


# --- the loss ------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, listed])
@pytest.mark.parametrize("params", [{}, {"non_negative": False}, {"biases": True}], ids=str)
def test_ratings_are_judged_as_they_are_predicted(params, kind, weighted, clip):
    est = Recommender(alpha=0.1, clip=clip, max_iter=30, random_state=0, **params)
    R = STARS
    V = np.random.default_rng(1).uniform(0.5, 2, R.shape)
    given = kind(R)
    weights = None if not weighted else V if kind is np.asarray else listed(R, V)
    cv = HeldOutEntries(2, random_state=3)
    found = cross_val_loss(est, given, [2, 3], cv=cv, weights=weights)
    assert found.loss == "Half squared error"
    for split, (known, held) in enumerate(cv.split(given, weights, unstored="missing")):
        known, held = full(known), full(held)
        model = clone(est).set_params(n_components=3)
        seen = np.where(known > 0, R, np.nan)
        model.fit(kind(seen), weights=known if kind is np.asarray else listed(seen, known))
        Y = model.base_ + model.user_biases_[:, None] + model.item_biases_
        Y = Y + model.W_ @ model.components_
        clipped = np.clip(Y, R[known > 0].min(), R[known > 0].max())
        assert (Y != clipped)[held > 0].sum() > 5
        Y = clipped if clip else Y
        for U, told in ((held, found.held_out), (known, found.fitted)):
            wanted = (U * np.nan_to_num(R - Y) ** 2).sum() / 2 / U.sum()
            assert told[1, split] == pytest.approx(wanted, rel=1e-9)
        score = model.score(R, weights=held)
        assert found.held_out[1, split] == pytest.approx(score**2 / 2, rel=1e-9)
        if not clip:
            assert found.fitted[1, split] == pytest.approx(model.rmse_**2 / 2, rel=1e-7)


PARAMS = {
    "robust": {"outlier_distance": 1.5},
    "plain": {"robust": False},
    "species": {"weak": [1, -2], "bad": [3]},
    "model": {"modelling_uncertainty": 0.2},
    "medians": {"missing": "median"},
    "below zero": {"lowest_contribution": -0.2, "robust": False},
}


@quiet
@pytest.mark.parametrize("params", PARAMS.values(), ids=PARAMS)
def test_sources_are_judged_by_what_entries_add_to_q(params):
    est = PMF(n_init=1, max_iter=30, random_state=0, **params)
    cv = HeldOutEntries(2, random_state=1)
    found = cross_val_loss(est, X, [1, 3], cv=cv, uncertainty=S)
    assert found.loss == ("Huber's loss of scaled residuals" if est.robust else "Q(true)")
    counted = ~np.isnan(X) & ~np.isnan(S)
    counted[:, est.bad or []] = False
    width = np.hypot(S, est.modelling_uncertainty * X)
    width[:, est.weak or []] *= 3
    distance = est.outlier_distance if est.robust else np.inf
    for split, (known, held) in enumerate(cv.split(np.where(counted, X, np.nan))):
        model = clone(est).set_params(n_components=3)
        model.fit(np.where(known > 0, X, np.nan), uncertainty=S)
        z = np.abs(X - model.W_ @ model.components_) / width
        cost = np.where(z > distance, distance * (2 * z - distance), z**2)
        assert found.held_out[1, split] == pytest.approx(cost[held > 0].mean(), rel=1e-9)
        assert found.fitted[1, split] == pytest.approx(cost[known > 0].mean(), rel=1e-9)
        if est.missing == "exclude":
            total = found.fitted[1, split] * np.count_nonzero(known)
            assert total == pytest.approx(2 * model.objective_, rel=1e-6)


def test_species_may_be_named_and_uncertainties_left_out():
    pandas = pytest.importorskip("pandas")
    names = [f"species {j}" for j in range(X.shape[1])]
    est = PMF(n_init=1, random_state=0, weak=[names[2]], bad=[names[5], names[0]])
    found = cross_val_loss(est, pandas.DataFrame(X, columns=names), [2], cv=2)
    again = cross_val_loss(clone(est).set_params(weak=[2], bad=[0, 5]), X, [2], cv=2)
    ones = cross_val_loss(est, pandas.DataFrame(X, columns=names), [2], uncertainty=S * 0 + 1, cv=2)
    for name in TOLD:
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    assert ones.held_out == pytest.approx(found.held_out, rel=0.3)  # without the entry (3, 4)
    assert est.weak == [names[2]]


@quiet
@pytest.mark.parametrize("beta", [2, 1])
@pytest.mark.parametrize("method", ["joint", "two-step"])
def test_imputers_are_judged_by_what_they_fill_in(method, beta):
    rng = np.random.default_rng(0)
    Z = rng.gamma(1.0, size=(40, 3)) @ rng.gamma(1.0, size=(3, 20)) + rng.gamma(1.0, size=(40, 20))
    V = rng.uniform(0.5, 2, Z.shape)
    est = NMFImputer(method=method, beta_loss=beta, max_iter=50, tol=1e-6, n_bootstraps=5)
    cv = HeldOutEntries(2, scheme="blocks", random_state=0)
    found = cross_val_loss(est, Z, [1, 2], cv=cv, weights=V)
    for split, (known, held) in enumerate(cv.split(Z, V)):
        model = clone(est).set_params(n_components=2, n_bootstraps=0)
        model.fit(Z, weights=known)
        Y = model.transform(np.where(known > 0, Z, np.nan), weights=known)
        rest = (Z - Y) ** 2 / 2 if beta == 2 else Z * np.log(Z / Y) - Z + Y
        wanted = (held * rest).sum() / held.sum()
        assert found.held_out[1, split] == pytest.approx(wanted, rel=1e-9)


def test_an_imputer_learns_as_nmf_does():
    how = {"max_iter": 2000, "tol": 1e-7, "random_state": 0}
    Z = np.abs(X)
    first = cross_val_loss(NMFImputer(**how), Z, [2], cv=3)
    second = cross_val_loss(NMF(**how), Z, [2], cv=3)
    np.testing.assert_allclose(first.held_out, second.held_out, rtol=1e-3)
    np.testing.assert_allclose(first.fitted, second.fitted, rtol=1e-5)


@quiet
def test_no_refits_are_made_to_judge(monkeypatch):
    monkeypatch.setattr(NMFImputer, "_drawn", lambda *_: pytest.fail("a refit"))
    cross_val_loss(NMFImputer(n_bootstraps=50, max_iter=5), np.abs(X), [1], cv=1)


# --- what a fit sees -----------------------------------------------------------------------


@quiet
@each_judged
@pytest.mark.parametrize("planted", [np.nan, 1e300, -1e300])
def test_what_is_held_out_changes_no_bit_of_a_fit(est, X, S, planted):
    est = clone(est).set_params(n_components=2)
    X, weights, more = clone(est)._entries(X, None, S)
    known, held = next(HeldOutEntries(random_state=0).split(X, weights, unstored=est._unstored))
    changed = X.copy()
    if sparse.issparse(X):
        changed.data[np.asarray(held[X.nonzero()]) > 0] = planted
        assert (changed != X).nnz == held.nnz
    else:
        changed[held > 0] = planted
    first, second = clone(est), clone(est)
    first._fit_to(X, known, **more)
    second._fit_to(changed, known, **more)
    first, second = (getattr(model, "nmf_", model) for model in (first, second))
    for name in ("W_", "components_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for name in ("base_", "range_", "objective_"):
        assert getattr(first, name, None) == getattr(second, name, None)


@quiet
@each_judged
def test_huge_held_out_values_are_told_of_and_not_fitted(est, X, S):
    cv = HeldOutEntries(1, random_state=0)
    X, weights, _ = clone(est)._entries(X, None, S)
    _, held = next(cv.split(X, weights, unstored=est._unstored))
    huge = X + 1e6 * (held > 0)
    first, second = (cross_val_loss(est, Z, [2], cv=cv, uncertainty=S) for Z in (X, huge))
    for name in TOLD[1:]:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert second.held_out > 1e4 * first.held_out


@quiet
@each_judged
def test_splits_are_the_same_for_all_numbers_of_components(est, X, S, monkeypatch):
    seen = {}

    def note(self, X, known, **more):
        seen.setdefault(self.n_components, []).append(full(known))
        return fit_to(self, X, known, **more)

    fit_to = type(est)._fit_to
    monkeypatch.setattr(type(est), "_fit_to", note)
    first = cross_val_loss(est, X, [1, 3], cv=2, uncertainty=S)
    np.testing.assert_array_equal(seen[1], seen[3])
    assert not np.array_equal(*seen[1])
    beside = cross_val_loss(est, X, [1, 3], cv=2, uncertainty=S, n_jobs=2)
    for name in TOLD:
        np.testing.assert_array_equal(getattr(first, name), getattr(beside, name))


def test_ratings_are_never_made_dense():
    """An array of that shape would take 160 GB."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, 100, 4000) * 2000, rng.integers(0, 60, 4000) * 1500
    values = rng.random(4000) + 1
    Z = sparse.coo_array((values, places), shape=(200_000, 100_000)).tocsr()
    est = Recommender(max_iter=2, random_state=0, tol=0)
    cv = HeldOutEntries(1, fraction=0.01, random_state=0)
    for weights in (None, Z):
        with pytest.warns(UserWarning, match="199900 users and 99940 items"):
            found = cross_val_loss(est, Z, [2], cv=cv, weights=weights)
        assert np.isfinite(found.held_out).all()


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_the_unit_of_ratings_does_not_matter(factor):
    est = Recommender(non_negative=False, alpha=0.1, max_iter=300, random_state=0)
    first = cross_val_loss(est, R, [2], cv=2)
    scaled = cross_val_loss(est, factor * R, [2], cv=2)
    np.testing.assert_array_equal(scaled.n_iter, first.n_iter)
    assert (scaled.held_out == (np.inf if factor > 1 else 0)).all()  # squares of these are none
    single = cross_val_loss(est, R.astype(np.float32), [2], cv=2)
    np.testing.assert_allclose(single.held_out, first.held_out, rtol=0.02)


# --- the rank ------------------------------------------------------------------------------

RANKS = {
    "ratings of any sign": (
        Recommender(non_negative=False, biases=False, alpha=0.05, max_iter=500, random_state=0),
        R,
        None,
    ),
    "ratings with biases": (
        Recommender(non_negative=False, alpha=0.05, alpha_biases=0.5, random_state=0),
        listed(R + np.random.default_rng(5).standard_normal((len(R), 1))),
        None,
    ),
    "parts of ratings": (
        Recommender(alpha=0.05, max_iter=500, random_state=0),
        listed(ratings(signed=False)),
        None,
    ),
    "robust": (PMF(n_init=2, random_state=0), X, S),
    "plain": (PMF(n_init=2, robust=False, random_state=0), X, S),
    "medians": (PMF(n_init=2, missing="median", random_state=0), X, S),
    "filled": (NMFImputer(max_iter=500, allow_negative=True), X, None),
}


@quiet
@pytest.mark.parametrize(("est", "X", "S"), RANKS.values(), ids=RANKS)
def test_the_minimum_falls_on_the_planted_rank(est, X, S):
    found = cross_val_loss(est, X, range(1, 6), cv=4, uncertainty=S)
    assert found.n_components_min == found.n_components_1se == 3
    if S is not None:
        assert 0.6 < found.fitted[2].mean() < 1 < found.held_out[2].mean() < 1.5


# --- rows and columns that can be estimated --------------------------------------------------


def fits(monkeypatch, est, Z, ks, **how):
    """Return how many entries every row and every column has in the fits, at least."""
    seen = []

    def note(self, X, known, **more):
        known = full(known) > 0
        seen.append((known.sum(axis=1).min(), known.sum(axis=0).min()))
        return fit_to(self, X, known, **more)

    with monkeypatch.context() as patched:
        fit_to = type(est)._fit_to
        patched.setattr(type(est), "_fit_to", note)
        cross_val_loss(est, Z, ks, **how)
    return np.min(seen, axis=0).tolist()


FEW = np.abs(ratings(share=0.6, shape=(60, 13), seed=4))[2:]
FEW = FEW[(~np.isnan(FEW)).sum(axis=1) >= 5]
LEAST = {
    "nmf": (NMF(max_iter=5), 5),
    "imputer": (NMFImputer(max_iter=5), 5),
    "sources": (PMF(n_init=1, max_iter=5), 5),
    "no penalty": (Recommender(alpha=0, max_iter=5), 5),
    "one penalty": (NMF(max_iter=5, alpha_W=0.1, alpha_H=0.0), 5),
    "constraints": (NMF(max_iter=5, penalty_W=Box(0, 9), penalty_H=Box(0, 9)), 5),
    "both penalties": (NMF(max_iter=5, alpha_W=0.1), 2),
    "objects": (NMF(max_iter=5, penalty_W=L2(0.1), alpha_H=0.1), 2),
    "ratings": (Recommender(max_iter=5), 2),
}


@quiet
@pytest.mark.parametrize(("est", "least"), LEAST.values(), ids=LEAST)
@pytest.mark.parametrize("scheme", ["random", "per_row"])
def test_rows_and_columns_keep_what_determines_them(est, least, scheme, monkeypatch):
    cv = HeldOutEntries(3, fraction=0.3, scheme=scheme, random_state=0)
    found = fits(monkeypatch, est, FEW, [1, 5], cv=cv)
    assert min(found) >= least
    if least < 5:  # nothing is given back that need not be
        assert min(found) < 5
    # What the user says holds; without the rule some row would have less.
    cv.min_known = 1
    assert min(fits(monkeypatch, est, FEW, [1, 5], cv=cv)) < 5
    cv.min_known = 4
    assert min(fits(monkeypatch, est, FEW, [1, 5], cv=cv)) == 4


def test_biases_without_penalty_are_one_more_unknown():
    free = {"alpha": 0.0, "alpha_biases": 0.0}
    assert Recommender(**free)._least_known(4) == 4
    assert Recommender(**free, biases=True)._least_known(4) == 5
    assert Recommender(**free, non_negative=False)._least_known(4) == 5
    assert Recommender(non_negative=False)._least_known(4) == 1


@quiet
def test_ample_data_are_split_as_by_one_known_entry():
    Z = np.random.default_rng(0).gamma(1.0, size=(40, 30))
    first = cross_val_loss(NMF(max_iter=5), Z, [1, 6], cv=3)
    second = cross_val_loss(
        NMF(max_iter=5), Z, [1, 6], cv=HeldOutEntries(3, min_known=1, random_state=0)
    )
    np.testing.assert_array_equal(first.held_out, second.held_out)
    (known, _), (again, _) = (
        next(HeldOutEntries(min_known=least, random_state=0).split(Z)) for least in (None, 1)
    )
    np.testing.assert_array_equal(known, again)


@quiet
def test_few_entries_that_can_be_held_out_are_told():
    Z = np.random.default_rng(0).gamma(1.0, size=(40, 8))
    cv = HeldOutEntries(3, fraction=0.4, random_state=0)
    with pytest.warns(UserWarning, match=r"0\.12 of the known .* instead of 0\.4, .* keeps 7 of"):
        cross_val_loss(NMF(max_iter=5), Z, [1, 7], cv=cv)
    words = r"no entry that can be.*beside 8 in each row and each column\. Raise.*components"
    with pytest.raises(ValueError, match=words):
        cross_val_loss(NMF(max_iter=5), Z, [1, 8])
    cv.min_known = 1
    cross_val_loss(NMF(max_iter=5), Z, [1, 8], cv=cv)  # a warning would be an error


# --- what is refused -----------------------------------------------------------------------

MISUSE = {
    "weights": (PMF(), {"weights": np.ones_like(X)}, r"weights: got an array; .*uncertainty=1"),
    "uncertainty of ratings": (Recommender(), {"uncertainty": S}, "None for Recommender"),
    "uncertainty of holes": (NMFImputer(), {"uncertainty": S}, "None for NMFImputer"),
    "its shape": (PMF(), {"uncertainty": S[1:]}, r"uncertainty: got shape \(99, 20\)"),
    "its sign": (PMF(), {"uncertainty": -S}, "wanted numbers > 0"),
    "species": (PMF(bad=["lead"]), {}, "bad: got 'lead'"),
    "all bad": (PMF(bad=range(20)), {}, "all species with data"),
    "folds of ratings": (Recommender(), {"method": "folds"}, "Use method='missing'"),
    "folds of sources": (PMF(), {"method": "folds"}, "Use method='missing'"),
    "folds of holes": (NMFImputer(), {"method": "folds"}, "Use method='missing'"),
}


@pytest.mark.parametrize(("est", "how", "words"), MISUSE.values(), ids=MISUSE)
def test_misuse_says_what_to_do(est, how, words):
    with pytest.raises(ValueError, match=words):
        cross_val_loss(est, X, [1, 2], **how)
