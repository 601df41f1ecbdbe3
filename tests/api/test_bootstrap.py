"""Bootstrap of positive matrix factorization, alone and with displacement."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from partwise import PositiveMatrixFactorization
from partwise.apportionment import (
    block_length,
    bootstrap,
    bootstrap_displacement,
    displacement,
)
from partwise.apportionment._base import correlations, matched
from partwise.apportionment.bootstrap import Resamples

pandas = pytest.importorskip("pandas")


def data(seed=0, n=120, noise=0.05):
    rng = np.random.default_rng(seed)
    G = rng.gamma(1, size=(n, 2)) * (rng.random((n, 2)) < 0.7)
    F = np.array([[2.0, 0, 1, 0.5, 0.2], [0, 3.0, 0.4, 1.5, 0.1]])
    s = noise * (G @ F) + 0.03
    return G @ F + s * rng.standard_normal(s.shape), s, G, F


def fit(X, s, k=2, **options):
    options = {"robust": False, "n_init": 2, "random_state": 0, **options}
    return PositiveMatrixFactorization(k, **options).fit(X, uncertainty=s)


@pytest.fixture(scope="module")
def model():
    return fit(*data()[:2])


def test_rows_are_blocks_of_consecutive_samples_with_known_entries():
    X, s, _, _ = data(n=30)
    X[[4, 17]] = np.nan
    with pytest.warns(UserWarning, match="2 rows"):
        fitted = fit(X, s)
    seen = np.delete(np.arange(30), [4, 17])
    drawn = Resamples(fitted, 50, 5, None, 0)
    counts = np.zeros(30)
    for number in range(50):
        rows = drawn.rows(number)
        assert len(rows) == 28
        places = np.searchsorted(seen, rows)
        np.testing.assert_array_equal(seen[places], rows)
        steps = np.diff(places) % 28
        assert np.all(steps[np.arange(1, 28) % 5 != 0] == 1)
        counts += np.bincount(rows, minlength=30)
    assert np.all(counts[seen] > 10)
    assert not np.array_equal(drawn.rows(0), drawn.rows(1))


def test_every_resample_is_the_fit_of_its_rows(model):
    found = bootstrap(model, 3, block_size=10, random_state=3)
    drawn = Resamples(model, 3, 10, None, 3)
    X, s, _, _ = data()
    for number in range(3):
        rows = drawn.rows(number)
        byhand = fit(X[rows], s[rows], n_init=5)
        assert found.q_true[number] == pytest.approx(byhand.q_true_, rel=1e-5)
        order = matched(correlations(byhand.W_, model.W_[rows]))
        np.testing.assert_allclose(
            found.profiles[number], byhand.components_[order], rtol=0.02, atol=2e-3
        )


def test_mapping_counts_and_percentiles(model):
    found = bootstrap(model, 30, random_state=0)
    assert found.mapping.tolist() == [[30, 0, 0], [0, 30, 0]]
    assert found.converged.all()
    spread = found.percentiles()
    assert spread.shape == (5, 2, 5)
    assert np.all(np.diff(spread, axis=0) >= 0)
    byhand = np.percentile(found.profiles[:, 1, 3], [5, 25, 50, 75, 95])
    np.testing.assert_allclose(spread[:, 1, 3], byhand)
    table = found.to_frame()
    assert table.columns.tolist() == [
        "factor", "species", "profile", "p5", "p25", "p50", "p75", "p95",
    ]  # fmt: skip
    assert len(table) == 10


def test_spread_is_that_of_fits_to_new_data():
    # The truth: the same sources and another set of days and errors, again and again.
    drawn = np.array([fit(*data(seed)[:2]).profiles() for seed in range(25)])
    order = np.argsort(-drawn[:, :, 0], axis=1)
    drawn = np.take_along_axis(drawn, order[:, :, None], axis=1)
    found = bootstrap(fit(*data()[:2]), 60, block_size=1, random_state=0)
    order = np.argsort(-found.base[:, 0])
    ours, true = found.profiles.std(axis=0)[order], drawn.std(axis=0)
    big = drawn.mean(axis=0) > 0.2
    assert 0.6 < np.median(ours[big] / true[big]) < 1.6


def test_factors_that_are_not_found_again_show_in_the_mapping():
    X, s, _, _ = data(n=60)
    found = bootstrap(fit(X, s, k=3), 20, random_state=0, threshold=0.95, n_init=2)
    assert found.mapping.sum(axis=1).tolist() == [20, 20, 20]
    assert found.mapping[2].tolist() != [0, 0, 20, 0]  # the third is none
    assert found.mapping[0, 0] == found.mapping[1, 1] == 20
    none = bootstrap(fit(X, s), 2, random_state=0, threshold=0.9999999)
    assert none.mapping[:, -1].tolist() == [2, 2]
    assert np.isnan(none.percentiles()).all()


def test_seed_and_threads_do_not_change_the_answer(model):
    one = bootstrap(model, 6, random_state=7)
    two = bootstrap(model, 6, random_state=one.seed, n_jobs=2)
    np.testing.assert_array_equal(one.profiles, two.profiles)
    np.testing.assert_array_equal(one.mapping, two.mapping)
    other = bootstrap(model, 6, random_state=8)
    assert not np.array_equal(one.profiles, other.profiles)


def test_all_kinds_of_models_are_refitted():
    X, s, _, _ = data()
    X[3, 2] = 40.0
    X[5, 1] = np.nan
    for options in (
        {"robust": True},
        {"missing": "median", "weak": [4]},
        {"bad": [3], "modelling_uncertainty": 0.05},
        {"lowest_contribution": -0.2, "robust": True},
    ):
        fitted = fit(X, s, **options)
        found = bootstrap(fitted, 4, random_state=0, block_size=10)
        assert found.mapping[:, :2].tolist() == [[4, 0], [0, 4]]
        np.testing.assert_allclose(np.median(found.profiles, axis=0), fitted.profiles(), atol=0.6)


def test_length_of_blocks():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((500, 4))
    assert block_length(noise) <= 3
    walk = noise.copy()
    for i in range(1, 500):
        walk[i] += 0.9 * walk[i - 1]
    # For an autoregressive process of first order the length is known.
    a = 0.9
    known = (2 * (2 * a / (1 - a**2)) ** 2 / (4 / 3)) ** (1 / 3) * 500 ** (1 / 3)
    assert 0.6 * known < block_length(walk) < 1.6 * known
    assert block_length(np.ones((20, 2))) == 1
    assert block_length(walk[:6]) <= 2


def test_fits_that_do_not_converge_are_told():
    X, s, _, _ = data()
    with pytest.warns(ConvergenceWarning):
        fitted = fit(X, s, max_iter=2)
    with pytest.warns(ConvergenceWarning, match="bootstrap: 2 of 2 fits did not converge"):
        bootstrap(fitted, 2, random_state=0)


def test_what_is_refused(model):
    with pytest.raises(ValueError, match="n_resamples: got 0"):
        bootstrap(model, 0)
    with pytest.raises(ValueError, match="threshold: got 1"):
        bootstrap(model, 2, threshold=1.0)
    with pytest.raises(ValueError, match="block_size: got 0"):
        bootstrap(model, 2, block_size=0)
    with pytest.raises(TypeError, match="bootstrap: got str"):
        bootstrap("model")


# --- with displacement ------------------------------------------------------------------------


def test_displacement_in_resamples(model):
    species = [0, 3]
    both = bootstrap_displacement(model, 12, species=species, random_state=0, dq_max=[4, 1])
    assert both.accepted.all()
    assert (both.unmapped, both.swapped, both.fell) == (0, 0, 0)
    assert both.dq_max.tolist() == [1, 4]
    assert np.isnan(both.lower[:, :, [1, 2, 4]]).all()
    alone = displacement(model, dq_max=[4], species=species)
    boot = bootstrap(model, 12, random_state=0)
    low, high = boot.percentiles((5, 95))
    for j in species:
        # Both kinds of uncertainty are in it: it is wider than either.
        assert np.all(both.lower[1][:, j] <= alone.lower[0][:, j] + 1e-9)
        assert np.all(both.upper[1][:, j] >= alone.upper[0][:, j] - 1e-9)
        assert np.all(both.lower[1][:, j] <= low[:, j])
        assert np.all(both.upper[1][:, j] >= high[:, j])
    assert len(both.to_frame()) == 2 * 2 * 2
    same = bootstrap_displacement(
        model, 12, species=species, random_state=both.seed, dq_max=[1, 4], n_jobs=2
    )
    np.testing.assert_array_equal(same.upper, both.upper)


def test_displacement_in_one_resample_is_that_of_its_model(model):
    both = bootstrap_displacement(model, 1, species=[2], random_state=5, block_size=8, dq_max=[4])
    rows = Resamples(model, 1, 8, None, 5).rows(0)
    X, s, _, _ = data()
    refitted = fit(X[rows], s[rows], n_init=5)
    alone = displacement(refitted, species=[2], dq_max=[4])
    order = matched(correlations(refitted.W_, model.W_[rows]))
    np.testing.assert_allclose(both.upper[0][:, 2], alone.upper[0][order, 2], rtol=2e-3)
    np.testing.assert_allclose(both.lower[0][:, 2], alone.lower[0][order, 2], rtol=2e-3, atol=1e-3)


def test_resamples_that_are_not_like_the_model_do_not_count(model):
    both = bootstrap_displacement(
        model, 2, species=[0], random_state=0, dq_max=[4], threshold=0.9999999
    )
    assert both.unmapped == 2
    assert not both.accepted.any()
    assert np.isnan(both.lower).all()
    assert both.table() == []


def test_pictures(model):
    pytest.importorskip("matplotlib")
    figure = bootstrap(model, 3, random_state=0).plot()
    figure.draw_without_rendering()
    both = bootstrap_displacement(model, 2, species=[0], random_state=0, dq_max=[4]).plot()
    both.draw_without_rendering()
    assert "2 resamples" in both.get_supxlabel()
