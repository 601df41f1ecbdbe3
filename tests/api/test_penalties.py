"""Penalty objects in the estimators: what solves them, what they mean, what is refused."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from partwise import (
    NMF,
    MiniBatchNMF,
    UnsupportedCombinationError,
    losses,
    non_negative_factorization,
)
from partwise import penalties as P

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
LINKS = np.eye(8, k=1)
# For H: each with the solver that 'auto' takes for the squared loss.
OBJECTS = [
    (P.L1(0.1), "cd"),
    (P.L2(0.1), "cd"),
    (P.SquaredL1(0.1), "cd"),
    (P.Orthogonal(0.1), "cd"),
    (P.GroupLasso(0.1), "pgd"),
    (P.Box(0.0, 0.7), "pgd"),
    (P.Simplex(each="component"), "pgd"),
    (P.Hoyer(0.4), "pgd"),
    (P.TotalVariation(0.1), "pgd"),
    (P.TotalVariation(0.1, shape=(2, 4)), "pgd"),
    (P.Smooth(0.1), "pgd"),
    (P.Graph(0.1, LINKS), "pgd"),
    (P.Labels(0.1, [0, 0, 1, 1, -1, -1, 2, 2]), "pgd"),
    (P.Monotone(), "pgd"),
    (P.Unimodal(), "pgd"),
    (P.MinVolume(0.1), "cd"),
    (P.OnePerRow(), "pgd"),
    (P.Decorrelated(0.1), "pgd"),
    (P.Prox(lambda F: 0.0, lambda F, t: np.maximum(F, 0)), "pgd"),
]
NAMES = [repr(penalty)[:40] for penalty, _ in OBJECTS]


def draw(seed=0, rows=12):
    return np.random.default_rng(seed).gamma(1.0, size=(rows, 8)) + 0.1


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler", "itakura-saito", 0.5])
@pytest.mark.parametrize(("penalty", "solver"), OBJECTS, ids=NAMES)
def test_every_penalty_goes_with_every_loss_and_storage(penalty, solver, loss):
    if loss == "itakura-saito" and isinstance(penalty, P.OnePerRow):
        pytest.skip("a feature of one component, a sample without it: infinite")
    X, ends = draw(), []
    for data in (X, sparse.csr_array(X), X.astype(np.float32)):
        model = NMF(3, beta_loss=loss, penalty_H=penalty, max_iter=25, tol=0).fit(data)
        history = model.objective_history_
        rise = 1e-9 if data.dtype == np.float64 else 2e-5
        assert np.all(np.diff(history) <= rise * np.abs(history[:-1]))
        assert model.components_.dtype == data.dtype
        assert np.isfinite(penalty.value(np.ascontiguousarray(model.components_.T)))
        assert (
            model.objective_
            == pytest.approx(
                model.reconstruction_err_**2 / 2
                + penalty.value(model.components_.T.astype(np.float64)),
                rel=1e-4,
            )
            or penalty.constraint
        )
        ends.append((model.solver_, model.objective_))
    assert solver == model.solver_ or loss != "frobenius"
    if ends[1][0] == ends[0][0]:  # some solvers are not for sparse data
        assert ends[1][1] == pytest.approx(ends[0][1], rel=1e-6)


@pytest.mark.parametrize(
    ("solver", "loss"), [("cd", 2), ("rational", 1), ("amu", 0.5), ("me", 0.5), ("mu", 1)]
)
def test_other_solvers_say_what_they_lack(solver, loss):
    with pytest.raises(UnsupportedCombinationError) as error:
        NMF(3, solver=solver, beta_loss=loss, penalty_H=P.TotalVariation(1.0)).fit(draw())
    for words in (f"'{solver}' needs", "total variation of H ties its rows together", "'pgd'"):
        assert words in str(error.value)
    with pytest.raises(UnsupportedCombinationError, match="of W is neither linear nor quadratic"):
        NMF(3, solver=solver, beta_loss=loss, penalty_W=P.OnePerRow()).fit(draw())


def test_rational_steps_refuse_what_ties_components_together():
    with pytest.raises(UnsupportedCombinationError, match="ties components together"):
        NMF(3, solver="rational", beta_loss=1, penalty_W=P.SquaredL1(0.1)).fit(draw())
    assert NMF(3, beta_loss=1, penalty_W=P.SquaredL1(0.1)).fit(draw()).solver_ == "amu"


def test_penalties_without_a_joint_prox_are_refused():
    with pytest.raises(UnsupportedCombinationError, match="sum of each row and bounds have no"):
        NMF(3, penalty_W=[P.Simplex(), P.Box()]).fit(draw())
    # Smooth ones go with all, and bounds with total variation.
    NMF(3, penalty_W=[P.Simplex(), P.Smooth(1.0), P.L1(0.1)], max_iter=3).fit(draw())
    NMF(3, penalty_W=[P.Box(), P.TotalVariation(1.0)], max_iter=3).fit(draw())


def test_wrong_objects_are_refused():
    with pytest.raises(ValueError, match="graph made for 8 samples"):
        NMF(3, penalty_W=P.Graph(1.0, LINKS)).fit(draw())
    with pytest.raises(TypeError, match="'l1' in it"):
        NMF(3, penalty_W=["l1"]).fit(draw())
    with pytest.raises(ValueError, match="penalty_W"):
        NMF(3, penalty_W=0.1).fit(draw())


def test_objects_mean_what_alpha_means():
    X = draw()
    with_alpha = NMF(3, alpha_W=0.01, alpha_H=0.02, l1_ratio=0.25).fit(X)
    objects = {
        "penalty_W": P.elastic_net(0.01 * 8, 0.25),
        "penalty_H": list(P.elastic_net(0.02 * 12, 0.25)),
    }
    other = NMF(3, **objects).fit(X)
    np.testing.assert_array_equal(with_alpha.components_, other.components_)
    _, H, _ = non_negative_factorization(X, n_components=3, **objects)
    np.testing.assert_array_equal(H, other.components_)


def test_strengths_follow_the_unit_of_the_data():
    """A penalty of a fit to c X is that of X, rescaled; in units of their own, too."""
    X, c = draw(), 2.0**100
    for penalty in (P.TotalVariation(0.3), P.Hoyer(0.4, norm=1.5), P.MinVolume(0.4)):
        one = NMF(3, penalty_H=penalty, max_iter=20, tol=0).fit(X)
        scaled = penalty.rescaled(c**2, c**-0.5)
        other = NMF(3, penalty_H=scaled, max_iter=20, tol=0).fit(c * X)
        np.testing.assert_allclose(other.components_, c**0.5 * one.components_, rtol=1e-6)


@pytest.mark.parametrize(
    "penalty", [P.Simplex(), P.Box(0.0, 0.5), P.OnePerRow(), P.Orthogonal(0.2)]
)
@pytest.mark.parametrize("loss", [2, 1])
def test_transform_obeys_the_penalty_row_by_row(penalty, loss):
    X, new = draw(), draw(1, rows=5)
    model = NMF(3, beta_loss=loss, penalty_W=penalty, tol=1e-4, max_iter=500).fit(X)
    W = model.transform(new)
    assert penalty.value(W) < np.inf
    before = model.components_.copy()
    for i in range(len(new)):
        alone = model.transform(new[i : i + 1])[0]
        np.testing.assert_allclose(alone, W[i], atol=2e-3 * W.max())
    np.testing.assert_array_equal(model.components_, before)


def test_transform_of_what_ties_samples_together_is_joint():
    X = draw(rows=30)
    model = NMF(3, penalty_W=P.Smooth(50.0), penalty_H=P.Simplex(each="component")).fit(X)
    together = np.abs(np.diff(model.transform(X), axis=0)).mean()
    alone = np.vstack([model.transform(X[i : i + 1]) for i in range(30)])
    assert together < 0.3 * np.abs(np.diff(alone, axis=0)).mean()


def test_fixed_entries_and_a_penalty():
    X = draw()
    H = np.random.default_rng(0).random((3, 8))
    fixed = np.zeros(H.shape, bool)
    fixed[0] = True
    model = NMF(3, init="custom", penalty_W=P.TotalVariation(0.1), max_iter=20, tol=0)
    model.fit_transform(X, H=H, fixed_H=fixed)
    np.testing.assert_array_equal(model.components_[0], H[0])


def test_penalties_survive_a_clone():
    model = NMF(3, penalty_W=[P.Simplex(2.0)], penalty_H=P.Graph(1.0, LINKS))
    assert "Simplex(total=2.0, each='row', at_most=False)" in repr(model)
    assert clone(model).penalty_H.weights.shape == (8, 8)


def test_penalties_that_leave_nothing_are_warned_about():
    with pytest.warns(UserWarning, match="drove all components to zero"):
        NMF(3, penalty_W=P.L1(1e4), penalty_H=P.L1(1e4)).fit(draw())


@pytest.mark.parametrize("batch_size", [60, 20])
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_batches_share_the_penalties_of_all_rows(loss, batch_size):
    """They end near the optimum of the whole, that of a penalty on H counted once."""
    rng = np.random.default_rng(0)
    X = rng.random((60, 5)) @ rng.random((5, 20))
    each = {"penalty_W": P.L2(0.5), "penalty_H": P.L2(0.5)}
    whole = NMF(3, beta_loss=loss, max_iter=2000, **each).fit(X)
    how = {"max_iter": 300, "tol": 0, "max_no_improvement": None, "batch_size": batch_size}
    batches = MiniBatchNMF(3, beta_loss=loss, **how, **each).fit(X)
    assert batches.objective_ == pytest.approx(whole.objective_, rel=0.01)
    stronger = MiniBatchNMF(3, beta_loss=loss, **how, penalty_W=P.L2(0.5), penalty_H=P.L2(2.0))
    assert stronger.fit(X).objective_ > 1.2 * batches.objective_


def test_batches_keep_fixed_entries_and_refuse_what_they_cannot_serve():
    X = draw()
    mask = np.arange(24).reshape(8, 3) < 5
    model = MiniBatchNMF(3, batch_size=6, tol=0, max_iter=3, penalty_H=P.Fixed(mask, 0.4 * mask))
    assert (model.fit(X).components_.T[mask] == 0.4).all()
    assert (model.partial_fit(X[:6]).components_.T[mask] == 0.4).all()
    for name, penalty in (("W", P.Simplex()), ("H", P.Smooth(1.0))):
        with pytest.raises(UnsupportedCombinationError, match=f"of {name} .*Use NMF"):
            MiniBatchNMF(3, **{f"penalty_{name}": penalty}).fit(X)


@pytest.mark.parametrize("solver", ["cd", "mu", "pgd"])
def test_fixed_entries_as_an_object_take_their_values(solver):
    mask = np.arange(24).reshape(8, 3) < 5
    model = NMF(3, solver=solver, max_iter=5, tol=0, penalty_H=P.Fixed(mask, 0.4 * mask))
    assert (model.fit(draw()).components_.T[mask] == 0.4).all()


@pytest.mark.parametrize("solver", ["cd", "hals", "anls-bpp", "nenmf", "gcd", "pgd"])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_volumes_by_a_quadratic_above_them(solver, storage):
    """Solvers of quadratics lower what "pgd" lowers, never rise, and tell the true objective."""
    rng = np.random.default_rng(0)
    X = rng.dirichlet(np.full(4, 0.5), 100) @ rng.random((4, 30))
    volume, size = P.MinVolume(0.5, delta=0.1), P.L2(0.1)
    how = {"init": "random", "random_state": 0, "max_iter": 400, "tol": 1e-5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NMF(4, solver=solver, penalty_H=volume, penalty_W=size, **how).fit(storage(X))
    W, H = model.W_, model.components_.T
    wanted = 0.5 * np.sum((X - W @ H.T) ** 2) + volume.value(H) + size.value(W)
    assert model.objective_ == pytest.approx(wanted, rel=1e-9)
    assert (np.diff(model.objective_history_) <= 1e-12 * wanted).all()
    best = NMF(4, penalty_H=volume, penalty_W=size, **{**how, "max_iter": 3000}).fit(X)
    assert best.solver_ == "cd"
    assert best.converged_
    assert best.objective_ * (1 - 1e-9) <= model.objective_ <= best.objective_ * 1.03


# --- what is wrong -------------------------------------------------------------------------

MASK = np.eye(8, 3) > 0
REFUSED = {
    "mask of integers": (lambda: P.Fixed(np.eye(8, 3, dtype=int), np.ones((8, 3))), "^mask: got"),
    "other shapes": (lambda: P.Fixed(MASK, np.ones((7, 3))), r"^values: .* shape \(8, 3\)"),
    "text": (lambda: P.Fixed(MASK, np.full((8, 3), "1")), "^values: .*real numbers"),
    "not finite": (lambda: P.Fixed(MASK, np.full((8, 3), np.nan)), "^values: .*finite numbers"),
    "NaN links": (lambda: P.Graph(1.0, np.full((12, 12), np.nan)), "^weights: .*finite"),
    "infinite links": (lambda: P.Graph(1.0, np.full((12, 12), np.inf)), "^weights: .*finite"),
    "links in a row": (lambda: P.Graph(1.0, np.ones(12)), r"^weights: got shape \(12,\)"),
    "an integer": (lambda: P.TotalVariation(1.0, 12), "^shape: got 12; wanted a tuple"),
    "two signs": (lambda: P.TotalVariation(1.0, (-3, -4)), "^shape: got"),
    "no axis": (lambda: P.TotalVariation(1.0, ()), "^shape: got"),
    "divergence": (lambda: losses.Beta(np.nan), "^beta: got nan"),
    "power": (lambda: losses.Tweedie(np.inf), "^beta: got -inf"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_wrong_parameters_are_refused_where_they_are_given(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_fixed_entries_of_lists_and_integers_and_unknown_values():
    X = draw() * 1e-200
    values = np.where(MASK, 0, np.nan)
    plain = NMF(3, penalty_H=P.Fixed(MASK, np.zeros((8, 3))), max_iter=20, tol=0).fit(X)
    for mask, given in ((MASK.tolist(), values.tolist()), (MASK, np.zeros((8, 3), int))):
        model = NMF(3, penalty_H=P.Fixed(mask, given), max_iter=20, tol=0).fit(X)
        np.testing.assert_array_equal(model.components_, plain.components_)
    with pytest.raises(ValueError, match=r"Fixed: got a mask of shape \(8, 3\).*\(8, 2\)"):
        NMF(2, penalty_H=P.Fixed(MASK, np.zeros((8, 3)))).fit(X)


def test_a_prox_returns_a_factor():
    wrong = P.Prox(lambda F: 0.0, lambda F, step: F[:1], name="mine")
    with pytest.raises(ValueError, match=r"mine: got an array of shape \(1, 3\) from prox"):
        NMF(3, penalty_H=wrong).fit(draw())
    with pytest.raises(TypeError, match="prox: got 2; wanted a function"):
        P.Prox(np.sum, 2)
