"""Displacement: ends of intervals against constrained fits by a general solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF, PositiveMatrixFactorization
from partwise.apportionment import bootstrap_displacement, displacement

pandas = pytest.importorskip("pandas")


def data(seed=0, shape=(40, 6), k=2, noise=0.1):
    rng = np.random.default_rng(seed)
    true = rng.gamma(0.7, size=(shape[0], k)) @ rng.gamma(0.7, size=(k, shape[1]))
    s = noise * true + 0.05
    return true + s * rng.standard_normal(shape), s


@pytest.fixture(scope="module")
def fitted():
    X, s = data()
    return PositiveMatrixFactorization(2, robust=False, n_init=3, random_state=0).fit(
        X, uncertainty=s
    )


@pytest.fixture(scope="module")
def found(fitted):
    return displacement(fitted)


def smallest_q(model, factor, species, wanted):
    """Return the smallest Q with a profile entry fixed, all else free, by SLSQP."""
    X, s = model._measured_of_fit.values, model.uncertainty_
    n, k = model.W_.shape

    def split(both):
        return both[: n * k].reshape(n, k), both[n * k :].reshape(k, -1)

    def q(both):
        W, H = split(both)
        z = (W @ H - X) / s
        pull = 2 * z / s
        return np.sum(z * z), np.concatenate([(pull @ H.T).ravel(), (W.T @ pull).ravel()])

    def entry(both):
        W, H = split(both)
        return W[:, factor].mean() * H[factor, species] - wanted

    def slope(both):
        W, H = split(both)
        dW, dH = np.zeros_like(W), np.zeros_like(H)
        dW[:, factor] = H[factor, species] / n
        dH[factor, species] = W[:, factor].mean()
        return np.concatenate([dW.ravel(), dH.ravel()])

    start = np.concatenate([model.W_.ravel(), model.components_.ravel()])
    return minimize(
        q, start, jac=True, method="SLSQP", bounds=[(0, None)] * start.size,
        constraints={"type": "eq", "fun": entry, "jac": slope},
        options={"maxiter": 500, "ftol": 1e-9},
    ).fun  # fmt: skip


@pytest.mark.parametrize("entry", [(0, 0), (1, 3), (0, 5)])
def test_ends_are_where_the_smallest_q_has_risen_as_wanted(fitted, found, entry):
    least = fitted.q_true_
    for level, dq in enumerate(found.dq_max[:2]):
        for side in (found.lower, found.upper):
            value = side[level][entry]
            if value > 0:
                rise = smallest_q(fitted, *entry, value) - least
                assert rise == pytest.approx(dq, rel=0.02)
            else:
                assert smallest_q(fitted, *entry, 0.0) - least < dq * 1.01


def test_others_are_free_inside_the_search(fitted, found):
    # With all others held Q rises sooner, so that intervals are narrower.
    V = 1 / fitted.uncertainty_**2
    alone = np.sqrt(4 / (fitted.W_**2).T.dot(V))
    assert np.all(found.upper[0] - found.profiles >= 0.99 * alone)
    assert np.median((found.upper[0] - found.profiles) / alone) > 1.3


def test_larger_rises_go_further(found):
    assert found.dq_max.tolist() == [4, 8, 15, 25]
    assert np.all(np.diff(found.upper, axis=0) > 0)
    assert np.all(np.diff(found.lower, axis=0) <= 0)
    assert np.all((found.lower >= 0) & (found.lower <= found.profiles))
    assert np.all(found.upper >= found.profiles)
    assert found.swaps.shape == (4, 2)
    assert not found.swaps.any()
    assert 0 <= found.largest_decrease < 0.01
    assert found.unfinished == 0


def share_of_truths_inside(fit):
    """Of the profile entries of a source that is often absent, in noise drawn six times."""
    rng = np.random.default_rng(1)
    G = rng.gamma(1, size=(60, 2)) * (rng.random((60, 2)) < 0.6)
    F = np.array([[2.0, 0, 1, 0.5, 0.2], [0, 3.0, 0.4, 1.5, 0.0]])
    true, hits, count = G @ F, 0, 0
    mean = G.mean(axis=0)[:, None] * F
    for _ in range(6):
        s = 0.05 * true + 0.05
        X = true + s * rng.standard_normal(true.shape)
        ends = displacement(fit(X, s), dq_max=[4])
        order = np.argsort(-ends.profiles[:, 0])
        inside = (ends.lower[0][order] <= mean + 1e-9) & (ends.upper[0][order] >= mean - 1e-9)
        hits, count = hits + inside.sum(), count + inside.size
    return hits / count


def test_interval_covers_the_truth_as_often_as_two_standard_deviations():
    model = PositiveMatrixFactorization(2, robust=False, n_init=2, random_state=0)
    share = share_of_truths_inside(lambda X, s: model.fit(X, uncertainty=s))
    assert 0.85 < share <= 1


def test_units_and_threads_and_choice_of_species(fitted, found):
    X, s = data()
    units = 2.0 ** np.array([10, -20, 3, 0, 1, -7])
    options = {"robust": False, "n_init": 3, "random_state": 0}
    names = list("abcdef")
    frame = pandas.DataFrame(X * units, columns=names)
    other = PositiveMatrixFactorization(2, **options).fit(frame, uncertainty=s * units)
    part = displacement(other, species=["b", 4], dq_max=[4], n_jobs=2)
    np.testing.assert_array_equal(part.upper[0][:, [1, 4]], (found.upper[0] * units)[:, [1, 4]])
    assert np.isnan(part.lower[0][:, [0, 2, 3, 5]]).all()
    table = part.to_frame()
    assert table["species"].unique().tolist() == ["b", "e"]
    assert len(table) == 4
    assert (table["lower"] <= table["upper"]).all()
    assert found.table()[0]["factor"] == 1


def test_robust_model_with_missing_and_bad_species():
    X, s = data()
    X[3], X[5, 2], X[6, 1] = np.nan, np.nan, 50.0
    with pytest.warns(UserWarning, match="1 rows"):
        model = PositiveMatrixFactorization(2, n_init=2, random_state=0, bad=[4]).fit(
            X, uncertainty=s
        )
    ends = displacement(model, dq_max=[4])
    assert np.isnan(ends.lower[0][:, 4]).all()
    kept = [0, 1, 2, 3, 5]
    assert np.all(ends.lower[0][:, kept] <= model.components_[:, kept] * (1 + 1e-6))
    assert np.all(ends.upper[0][:, kept] >= model.components_[:, kept] * (1 - 1e-6))


def test_a_model_that_is_no_minimum_is_told():
    X, s = data()
    with pytest.warns(UserWarning, match="Maximum number"):
        model = PositiveMatrixFactorization(
            2, robust=False, n_init=1, max_iter=3, random_state=0
        ).fit(X, uncertainty=s)
    with pytest.warns(UserWarning, match="The model is no minimum"):
        ends = displacement(model, dq_max=[4], species=[0])
    assert ends.largest_decrease > 1


def test_an_entry_that_nothing_holds_is_told():
    # Of the last species nothing is known where the second source is, so that this may emit any
    # amount of it.
    rng = np.random.default_rng(0)
    G = np.kron(np.eye(2), rng.gamma(2, size=(20, 1)) + 0.5)
    F = np.array([[2.0, 0, 1, 1], [0, 2, 1, 1]])
    X = G @ F + 0.05 * rng.standard_normal((40, 4))
    X[20:, 3] = np.nan
    start = {"init": "custom", "n_init": 1}
    model = PositiveMatrixFactorization(2, robust=False, **start)
    model.fit(X, uncertainty=np.full(X.shape, 0.05), W=G, H=F)
    second = int(np.argmax(model.components_[:, 1]))
    with pytest.warns(ConvergenceWarning, match="ends not found"):
        ends = displacement(model, dq_max=[4], species=[3])
    assert ends.unfinished > 0
    assert ends.upper[0][second, 3] > 100 * model.components_[1 - second, 3]


def test_picture(fitted, found):
    pytest.importorskip("matplotlib")
    from partwise.plots import plot_contributions, plot_profiles, plot_q

    figure = found.plot(dq_max=15)
    assert len(figure.axes) == 2
    figure.draw_without_rendering()
    assert "rises by 15" in figure.get_supxlabel()
    bars = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(bars, fitted.profiles("species")[0], rtol=1e-3)
    figure = plot_contributions(fitted)
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), fitted.W_[:, 1])
    ax = plot_q([fitted])
    assert ax.lines[1].get_ydata()[0] == fitted.q_ratio_
    assert len(plot_profiles(fitted).axes) == 2
    with pytest.raises(ValueError, match="3 names; wanted 6"):
        plot_profiles(fitted.profiles(), species=list("abc"))


def test_what_is_refused(fitted):
    X, s = data()
    with pytest.raises(ValueError, match="dq_max"):
        displacement(fitted, dq_max=[0, 4])
    with pytest.raises(ValueError, match="species: got 'Zn'"):
        displacement(fitted, species=["Zn"])
    with pytest.raises(TypeError, match="displacement: got NMF"):
        displacement(NMF(2).fit(np.abs(X)))
    # More factors than there is to explain: one of them is nothing.
    empty = PositiveMatrixFactorization(
        2, robust=False, init="custom", n_init=1, lowest_contribution=-0.2
    )
    W, H = np.ones((40, 2)), np.ones((2, 6))
    W[:, 1] = H[1] = 0
    with pytest.raises(ValueError, match="factor 2 without contributions or profile"):
        displacement(empty.fit(np.ones_like(X), uncertainty=s, W=W, H=H))


# --- contributions below zero -----------------------------------------------------------------


def fit_below(X, s, k=2, lowest=-0.1, **options):
    options = {"robust": False, "n_init": 3, "random_state": 0, "tol": 1e-8, **options}
    model = PositiveMatrixFactorization(k, lowest_contribution=lowest, **options)
    return model.fit(X, uncertainty=s)


@pytest.fixture(scope="module")
def below():
    model = fit_below(*data(2, noise=0.4))
    return model, displacement(model)


def farthest(model, factor, species, sign, rise):
    """Return how far an entry goes, for contributions with mean 1, by SLSQP."""
    X, s = model._measured_of_fit.values, model.uncertainty_
    (n, k), m = model.W_.shape, X.shape[1]

    def q(both):
        W, H = both[: n * k].reshape(n, k), both[n * k :].reshape(k, m)
        z = (W @ H - X) / s
        pull = 2 * z / s
        return np.sum(z * z), np.concatenate([(pull @ H.T).ravel(), (W.T @ pull).ravel()])

    means = np.hstack([np.tile(np.eye(k), n) / n, np.zeros((k, k * m))])
    entry = np.zeros(n * k + k * m)
    entry[n * k + factor * m + species] = 1
    room = model.q_true_ + rise
    found = minimize(
        lambda both: (-sign * both @ entry, -sign * entry),
        np.concatenate([model.W_.ravel(), model.components_.ravel()]), jac=True, method="SLSQP",
        bounds=[(model.lowest_contribution, None)] * (n * k) + [(0, None)] * (k * m),
        constraints=[
            {"type": "eq", "fun": lambda both: means @ both - 1, "jac": lambda _: means},
            {"type": "ineq", "fun": lambda both: room - q(both)[0], "jac": lambda b: -q(b)[1]},
        ],
        options={"maxiter": 1000, "ftol": 1e-10},
    )  # fmt: skip
    return found.x @ entry


@pytest.mark.parametrize("entry", [(0, 0), (1, 3), (0, 5)])
def test_ends_below_zero_are_as_far_as_a_general_solver_goes(below, entry):
    model, found = below
    assert model.W_.min() == pytest.approx(-0.1)
    for side, sign in ((found.lower, -1), (found.upper, 1)):
        assert side[0][entry] == pytest.approx(farthest(model, *entry, sign, 4.0), rel=1e-3)


def test_what_ends_below_zero_are_like(below):
    model, ends = below
    assert ends.unfinished == 0
    assert 0 <= ends.largest_decrease < 0.01
    np.testing.assert_allclose(ends.profiles, model.components_, rtol=1e-3, atol=1e-3)
    assert np.all(np.diff(ends.upper, axis=0) > 0)
    assert np.all(np.diff(ends.lower, axis=0) <= 0)
    assert np.all((ends.lower >= 0) & (ends.lower <= ends.profiles) & (ends.profiles <= ends.upper))


def test_ends_below_zero_and_those_above(fitted, found):
    # Contributions that hardly go below zero: as if they did not.
    near = displacement(fit_below(*data(), lowest=-1e-5), dq_max=[4])
    np.testing.assert_allclose(near.lower[0], found.lower[0], rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(near.upper[0], found.upper[0], rtol=0.01)
    # More is allowed, so that from the Q of the narrower model one gets further.
    model = fit_below(*data())
    gained = fitted.q_true_ - model.q_true_
    assert gained > 0
    wide = displacement(model, dq_max=[4 + gained])
    assert np.all(wide.upper[0] >= found.upper[0] * (1 - 1e-3))
    assert np.all(wide.lower[0] <= found.lower[0] * (1 + 1e-3) + 1e-6)


def test_intervals_below_zero_cover_a_source_that_is_often_absent():
    share = share_of_truths_inside(lambda X, s: fit_below(X, s, n_init=2))
    assert 0.85 < share <= 1


def test_robust_model_below_zero_with_samples_that_are_hardly_known():
    X, s = data()
    X[3], X[6, 1] = np.nan, 50.0
    X[7:12, 1:] = np.nan  # one species for two factors
    with pytest.warns(UserWarning, match="1 rows"):
        model = fit_below(X, s, robust=True, bad=[4])
    ends = displacement(model, dq_max=[4])
    assert ends.unfinished == 0
    assert np.isnan(ends.lower[0][:, 4]).all()
    kept = [0, 1, 2, 3, 5]
    assert np.all(ends.lower[0][:, kept] <= model.components_[:, kept] * (1 + 1e-3))
    assert np.all(ends.upper[0][:, kept] >= model.components_[:, kept] * (1 - 1e-3))


def test_single_precision_units_and_resamples_below_zero(below):
    X, s = data(2, noise=0.4)
    units = 2.0 ** np.array([10, -20, 3, 0, 1, -7])
    part = displacement(fit_below(X * units, s * units), species=[1, 4], dq_max=[4], n_jobs=2)
    np.testing.assert_array_equal(part.upper[0][:, [1, 4]], (below[1].upper[0] * units)[:, [1, 4]])
    single = fit_below(X.astype(np.float32), s, tol=1e-4)
    ends = displacement(single, species=[1], dq_max=[4])
    np.testing.assert_allclose(ends.upper[0][:, 1], below[1].upper[0][:, 1], rtol=1e-2)
    found = bootstrap_displacement(
        below[0], 4, species=[0, 3], dq_max=[0.5, 4], random_state=0, n_jobs=2
    )
    assert found.accepted.sum() >= 3
    assert np.all(found.lower[:, :, [0, 3]] <= found.upper[:, :, [0, 3]])
    assert np.all(found.upper[1][:, [0, 3]] > below[0].components_[:, [0, 3]])
