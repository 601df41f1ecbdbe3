"""Positive matrix factorization: what is minimized, its conventions, and its numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, PositiveMatrixFactorization

PMF = PositiveMatrixFactorization
pandas = pytest.importorskip("pandas")


def measured(seed=0, shape=(80, 9), k=3, noise=0.05, outliers=0):
    """Return noisy mixtures, their uncertainties, and the true contributions and profiles.

    Each source is absent from some samples and some species, so that the answer is unique.
    """
    rng = np.random.default_rng(seed)
    G = rng.gamma(1.0, size=(shape[0], k)) * (rng.random((shape[0], k)) < 0.7)
    F = rng.gamma(1.0, size=(k, shape[1])) * (rng.random((k, shape[1])) < 0.7)
    F[:, :k] += 3 * np.eye(k)
    F[:, :k] *= np.eye(k)
    true = G @ F
    s = noise * true + 0.02
    X = true + s * rng.standard_normal(shape)
    if outliers:
        rows, columns = rng.integers(shape[0], size=outliers), rng.integers(shape[1], size=outliers)
        X[rows, columns] += 40 * s[rows, columns]
    return X, s, G, F


def fit(X, s, k=3, **options):
    options = {"robust": False, "n_init": 2, "random_state": 0, **options}
    return PMF(k, **options).fit(X, uncertainty=s)


def huber(z, a=4.0):
    near = np.minimum(np.abs(z), a)
    return float(np.sum(near * (2 * np.abs(z) - near)))


# --- what is minimized ------------------------------------------------------------------------


def test_plain_q_is_the_weighted_squared_loss_of_nmf():
    X, s, _, _ = measured()
    ours = fit(X, s)
    theirs = NMF(
        3, init="random", allow_negative=True, random_state=0, tol=1e-6, max_iter=5000
    ).fit(X, weights=1 / s**2)
    assert ours.q_true_ == pytest.approx(2 * theirs.objective_, rel=1e-6)
    assert ours.objective_ == pytest.approx(ours.q_true_ / 2, rel=1e-9)
    assert ours.reconstruction_err_ == pytest.approx(ours.q_true_**0.5, rel=1e-9)


def test_robust_fit_minimizes_hubers_loss_and_never_rises():
    X, s, _, _ = measured(outliers=25)
    model = fit(X, s, robust=True, tol=1e-8)
    z = (X - model.W_ @ model.components_) / s
    assert 2 * model.objective_ == pytest.approx(huber(z), rel=1e-9)
    assert np.diff(model.objective_history_).max() <= 0
    assert model.converged_
    place, shape = model.W_.size, model.W_.shape

    def objective(both):  # a solver that knows nothing of weights
        W, H = both[:place].reshape(shape), both[place:].reshape(3, -1)
        z = (X - W @ H) / s
        pull = -2 * np.clip(z, -4, 4) / s
        return huber(z), np.concatenate([(pull @ H.T).ravel(), (W.T @ pull).ravel()])

    start = np.concatenate([model.W_.ravel(), model.components_.ravel()])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * start.size)
    assert found.fun >= 2 * model.objective_ * (1 - 1e-6)
    outside = np.abs(z[np.abs(z) > 4])
    assert len(outside) > 10
    assert model.q_robust_ + np.sum(4 * outside - 16) == pytest.approx(2 * model.objective_)


def test_outliers_do_not_rule_a_robust_fit():
    X, s, _, F = measured(outliers=25)

    def error(model):
        shares, true = model.profiles("factor") / 100, F / F.sum(axis=1, keepdims=True)
        return sum(np.abs(shares - t).sum(axis=1).min() for t in true)

    assert error(fit(X, s, robust=True)) < 0.5 * error(fit(X, s, robust=False))


def test_far_outlier_distance_is_the_plain_q():
    X, s, _, _ = measured()
    plain, far = fit(X, s), fit(X, s, robust=True, outlier_distance=1e6)
    assert far.q_true_ == pytest.approx(plain.q_true_, rel=1e-6)
    assert far.q_robust_ == far.q_true_


# --- the numbers ------------------------------------------------------------------------------


def test_every_q_by_hand():
    X, s, _, _ = measured(outliers=10)
    X[3, 4], s[5, 6], X[7] = np.nan, np.nan, np.nan
    with pytest.warns(UserWarning, match="1 rows and 0 columns"):
        model = fit(X, s, robust=True, weak=[8])
    true = robust = 0.0
    of_species, of_samples = np.zeros(9), np.zeros(80)
    known = strong = 0
    for i in range(80):
        for j in range(9):
            if np.isnan(X[i, j]) or np.isnan(s[i, j]):
                assert np.isnan(model.scaled_residuals_[i, j])
                assert np.isnan(model.uncertainty_[i, j])
                continue
            width = s[i, j] * (3 if j == 8 else 1)
            z = (X[i, j] - model.W_[i] @ model.components_[:, j]) / width
            assert model.scaled_residuals_[i, j] == pytest.approx(z, abs=1e-10)
            scale = np.sqrt(abs(z) / 4) if abs(z) > 4 else 1.0
            true += z**2
            robust += (z / scale) ** 2
            of_species[j] += z**2
            of_samples[i] += z**2
            known, strong = known + 1, strong + (j != 8)
    assert known == 80 * 9 - 9 - 2
    expected = strong - 3 * (79 + 9)
    assert model.q_true_ == pytest.approx(true)
    assert model.q_robust_ == pytest.approx(robust)
    assert model.q_expected_ == expected
    assert model.q_ratio_ == pytest.approx(true / expected)
    np.testing.assert_allclose(model.q_ratio_of_species_, of_species / (expected / 8))
    np.testing.assert_allclose(model.q_ratio_of_samples_, of_samples / (expected / 79))
    assert np.all(model.W_[7] == 0)
    np.testing.assert_allclose(np.delete(model.W_, 7, 0).mean(axis=0), 1)


def test_q_of_a_right_model_is_what_is_expected():
    X, s, _, _ = measured(shape=(400, 20))
    model = fit(X, s, n_init=4)
    assert model.q_ratio_ == pytest.approx(1, abs=0.05)


def test_profiles_and_their_units():
    X, s, _, _ = measured()
    model = fit(X, s)
    H = model.profiles()
    np.testing.assert_allclose(H, model.components_, rtol=1e-12)
    np.testing.assert_allclose(model.W_.mean(axis=0), 1)
    np.testing.assert_allclose(model.profiles("species").sum(axis=0), 100)
    np.testing.assert_allclose(model.profiles("factor").sum(axis=1), 100)
    shares = model.profiles("species").mean(axis=1)
    assert np.all(np.diff(shares) <= 0)
    with pytest.raises(ValueError, match="unit: got 'mass'; wanted one of"):
        model.profiles("mass")


def test_table_of_base_runs():
    X, s, _, _ = measured()
    model = fit(X, s, n_init=5)
    runs = model.base_runs_
    assert {len(column) for column in runs.values()} == {5}
    assert runs["q_true"].min() == pytest.approx(model.q_true_, rel=1e-9)
    np.testing.assert_allclose(2 * runs["objective"], runs["q_true"], rtol=1e-9)
    assert pandas.DataFrame(runs)["converged"].all()


def test_runs_side_by_side_and_seeds_give_the_same_bits():
    X, s, _, _ = measured()
    one, two = fit(X, s, n_init=4), fit(X, s, n_init=4, n_jobs=2)
    np.testing.assert_array_equal(one.W_, two.W_)
    again = fit(X, s, n_init=4, random_state=one.seed_)
    np.testing.assert_array_equal(one.components_, again.components_)


# --- conventions ------------------------------------------------------------------------------


def test_what_stands_under_a_missing_entry_changes_nothing():
    X, s, _, _ = measured()
    hole = np.random.default_rng(1).random(X.shape) < 0.1
    holes = fit(np.where(hole, np.nan, X), s)
    other = fit(np.where(hole, -999.0, X), np.where(hole, np.nan, s))
    np.testing.assert_array_equal(holes.W_, other.W_)
    np.testing.assert_array_equal(holes.components_, other.components_)


def test_medians_for_what_is_missing():
    X, s, _, _ = measured()
    hole = np.random.default_rng(1).random(X.shape) < 0.1
    medians = np.array([np.median(X[~hole[:, j], j]) for j in range(9)])
    model = fit(np.where(hole, np.nan, X), s, missing="median")
    byhand = fit(np.where(hole, medians, X), np.where(hole, 4 * medians, s))
    np.testing.assert_array_equal(model.W_, byhand.W_)
    new = X[:5].copy()
    new[:, 2] = np.nan
    filled, wide = new.copy(), s[:5].copy()
    filled[:, 2], wide[:, 2] = medians[2], 4 * medians[2]
    np.testing.assert_array_equal(
        model.transform(new, uncertainty=s[:5]), byhand.transform(filled, uncertainty=wide)
    )


def test_weak_species_by_name_and_number():
    X, s, _, _ = measured()
    names = [f"S{j}" for j in range(9)]
    named = fit(pandas.DataFrame(X, columns=names), pandas.DataFrame(s), weak=["S2", "S5"])
    numbered = fit(X, s, weak=[2, 5])
    wide = s.copy()
    wide[:, [2, 5]] *= 3
    byhand = fit(X, wide)
    np.testing.assert_array_equal(named.W_, numbered.W_)
    np.testing.assert_array_equal(named.W_, byhand.W_)
    assert byhand.q_expected_ - named.q_expected_ == 2 * 80


def test_bad_species_are_left_out():
    X, s, _, _ = measured()
    model, byhand = fit(X, s, bad=[4], tol=1e-8), fit(np.delete(X, 4, 1), np.delete(s, 4, 1))
    assert model.q_true_ == pytest.approx(byhand.q_true_, rel=1e-6)
    assert model.q_expected_ == byhand.q_expected_
    assert np.all(model.components_[:, 4] == 0)
    wrong = X.copy()
    wrong[:, 4] = -7
    np.testing.assert_array_equal(model.W_, fit(wrong, s, bad=[4], tol=1e-8).W_)


def test_modelling_uncertainty_is_added_in_squares():
    X, s, _, _ = measured()
    model = fit(X, s, modelling_uncertainty=0.1)
    np.testing.assert_allclose(model.uncertainty_, np.sqrt(s**2 + (0.1 * X) ** 2))
    byhand = fit(X, np.sqrt(s**2 + (0.1 * X) ** 2))
    assert model.q_true_ == pytest.approx(byhand.q_true_, rel=1e-9)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("lowest", [0.0, -0.2])
def test_units_of_species_do_not_matter(robust, lowest):
    X, s, _, _ = measured(outliers=5)
    units = 2.0 ** np.array([20, -20, 3, 0, 1, -7, 30, 2, -1])
    options = {"robust": robust, "lowest_contribution": lowest}
    one, other = fit(X, s, **options), fit(X * units, s * units, **options)
    assert one.q_true_ == other.q_true_
    np.testing.assert_array_equal(one.W_, other.W_)
    np.testing.assert_array_equal(one.components_ * units, other.components_)
    third = fit(X * 1e-6, s * 1e-6, **options)
    assert third.q_true_ == pytest.approx(one.q_true_, rel=1e-5)


@pytest.mark.parametrize("lowest", [0.0, -0.2])
def test_single_precision_stays(lowest):
    X, s, _, _ = measured()
    exact = fit(X, s, lowest_contribution=lowest)
    with np.errstate(all="raise", under="ignore"):
        model = fit(X.astype(np.float32), s, tol=1e-4, lowest_contribution=lowest)
    assert model.W_.dtype == model.components_.dtype == np.float32
    assert model.transform(X.astype(np.float32), uncertainty=s).dtype == np.float32
    assert model.q_true_ == pytest.approx(exact.q_true_, rel=1e-3)


# --- below zero -------------------------------------------------------------------------------


def test_contributions_may_go_below_zero_to_a_share_of_the_mean():
    X, s, _, _ = measured(noise=0.3)
    zero, below = fit(X, s), fit(X, s, lowest_contribution=-0.03, tol=1e-8)
    assert below.W_.min() == pytest.approx(-0.03, abs=1e-9)
    np.testing.assert_allclose(below.W_.mean(axis=0), 1)
    assert below.q_true_ < zero.q_true_ * (1 - 1e-4)
    assert below.converged_
    assert np.diff(below.objective_history_).max() <= 1e-12 * below.objective_
    assert len(below.objective_history_) == len(below.time_history_) == below.n_iter_ + 1
    rng = np.random.default_rng(0)
    for _ in range(200):  # nothing that is allowed nearby is better
        W = below.W_ + 1e-4 * rng.standard_normal(below.W_.shape)
        W = np.maximum(W, -0.03 * W.mean(axis=0))
        W = np.maximum(W, -0.03 * W.mean(axis=0))
        H = np.maximum(below.components_ + 1e-5 * rng.standard_normal((3, 9)), 0)
        assert np.sum(((X - W @ H) / s) ** 2) > below.q_true_ * (1 - 1e-9)


def test_contributions_below_zero_with_missing_samples_and_outliers():
    X, s, _, _ = measured(outliers=10)
    X[7] = np.nan
    with pytest.warns(UserWarning, match="1 rows"):
        model = fit(X, s, robust=True, lowest_contribution=-0.2)
    z = (X - model.W_ @ model.components_) / s
    assert 2 * model.objective_ == pytest.approx(huber(z[~np.isnan(X)]), rel=1e-9)
    assert np.all(model.W_[7] == 0)
    np.testing.assert_allclose(np.delete(model.W_, 7, 0).mean(axis=0), 1)
    assert model.score(X, uncertainty=s) > -10


# --- new samples ------------------------------------------------------------------------------


@pytest.mark.parametrize("robust", [False, True])
def test_transform_agrees_with_the_fit(robust):
    X, s, _, _ = measured(outliers=10)
    model = fit(X, s, robust=robust, tol=1e-9)
    np.testing.assert_allclose(model.transform(X, uncertainty=s), model.W_, atol=1e-4)
    one = [model.transform(X[[i]], uncertainty=s[[i]])[0] for i in range(len(X))]
    np.testing.assert_allclose(one, model.transform(X, uncertainty=s), atol=1e-8)
    minimized = -model.score(X, uncertainty=s) * X.size
    assert minimized == pytest.approx(2 * model.objective_, rel=1e-5)


def test_factors_that_are_given_are_where_a_fit_starts():
    X, s, _, _ = measured()
    model = fit(X, s)
    warm = PMF(3, robust=False, init="custom", n_init=1)
    warm.fit(X, uncertainty=s, W=model.W_, H=model.components_)
    assert warm.n_iter_ < model.n_iter_
    assert warm.q_true_ == pytest.approx(model.q_true_, rel=1e-6)


# --- what is refused --------------------------------------------------------------------------


def test_bad_input_says_what_to_do():
    X, s, _, _ = measured()
    wrong = s.copy()
    wrong[2, 3] = 0
    with pytest.raises(
        ValueError, match=r"1 that are not positive numbers, the first 0 at \(2, 3\)"
    ):
        fit(X, wrong)
    with pytest.raises(ValueError, match="uncertainty: got shape"):
        fit(X, s[:, :3])
    with pytest.raises(ValueError, match="weak: got 'Zn'; wanted a column's number"):
        fit(X, s, weak=["Zn"])
    with pytest.raises(ValueError, match="bad: got 9"):
        fit(X, s, bad=[9])
    with pytest.raises(ValueError, match="bad: got all species"):
        fit(X, s, bad=list(range(9)))
    with pytest.raises(ValueError, match="no known entry"):
        fit(np.full((4, 3), np.nan), None)
    with pytest.raises(ValueError, match="missing='median'"):
        fit(np.where(X > np.median(X), np.nan, -1.0), s, missing="median")
    with pytest.raises(ValueError, match="'lowest_contribution'"):
        fit(X, s, lowest_contribution=0.1)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 3"):
        fit(X, s, max_iter=3)
