"""Laws of losses, penalties and models, each alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partwise import losses
from partwise.data import as_data
from partwise.models import Bilinear
from partwise.penalties import Decorrelated, Fixed, NonNegative, conflict, joint_prox
from tests.laws.declared import (
    DTYPES,
    LOSSES,
    MAJORIZED,
    MODELS,
    PENALTIES,
    SHAPES,
    STORAGES,
    draw_data,
    label,
    made_for,
    seeds,
    stored,
)


def domain_points(loss, seed):
    """Return x, y in the domain of a loss, its edges included."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.gamma(0.5, size=40) + 1e-3, [1e-6, 1.0, 1e6, 3.0, 3.0]])
    y = np.concatenate([rng.gamma(0.5, size=40) + 1e-3, [1.0, 1e-6, 1e6, 3.0, 3.0 + 1e-9]])
    if not loss.needs_positive_data:
        x[:5] = 0
    return np.minimum(x, loss.largest), np.minimum(y, 0.9 * loss.largest)


@pytest.mark.parametrize("loss", LOSSES, ids=label)
@given(seed=seeds)
def test_loss_parts_are_its_derivative(loss, seed):
    x, y = domain_points(loss, seed)
    down, up = loss.positive(x, y), loss.negative(x, y)
    assert down.min() >= 0
    assert up.min() >= 0
    step = 1e-6 * y
    numeric = (loss.value(x, y + step) - loss.value(x, y - step)) / (2 * step)
    scale = down + up + loss.value(x, y) / y
    np.testing.assert_allclose((down - up) / scale, numeric / scale, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=label)
@given(seed=seeds, c=st.floats(1e-6, 1e6))
def test_loss_is_a_divergence(loss, seed, c):
    x, y = domain_points(loss, seed)
    value = loss.value(x, y)
    assert value.min() >= 0
    assert loss.total(x, y) == pytest.approx(value.sum(), rel=1e-12)
    positive = x[x > 0]
    np.testing.assert_allclose(loss.value(positive, positive), 0, atol=1e-300)
    scaled = loss.rescaled(c).value(c * x, c * y) / c**loss.degree
    # c x and c y are rounded, which counts where they nearly agree
    np.testing.assert_allclose(scaled, value, rtol=1e-8, atol=1e-22)
    if loss.flat_positive is not None:
        np.testing.assert_allclose(loss.positive(x, y), loss.flat_positive)
        np.testing.assert_allclose(loss.value(0 * y, y), loss.flat_positive * y)


@pytest.mark.parametrize("loss", MAJORIZED, ids=label)
@given(seed=seeds, at=st.floats(0.01, 100))
def test_loss_powers_are_a_majorizer(loss, seed, at):
    """−N y^p / p + P y^q / q, matched in slope at one y, lies above the loss everywhere."""
    x, y = domain_points(loss, seed)
    x = x[(x > 1e-3) & (x < 1e3)]
    p, q = loss.powers
    assert p <= 1 <= q  # so that it is convex, and can be shared among components

    def power(y, exponent):
        return np.log(y) if exponent == 0 else y**exponent / exponent

    here = np.full_like(x, at)
    N = loss.negative(x, here) * at ** (1 - p)
    P = loss.positive(x, here) * at ** (1 - q)
    y = y[(y > 1e-3) & (y < 1e3)][: len(x)]
    x, here, N, P = x[: len(y)], here[: len(y)], N[: len(y)], P[: len(y)]
    above = (
        loss.value(x, here)
        + P * (power(y, q) - power(here, q))
        - N * (power(y, p) - power(here, p))
    )
    value = loss.value(x, y)
    size = value + loss.value(x, here)
    for z in (y, here):
        size = size + P * np.abs(power(z, q)) + N * np.abs(power(z, p))
    assert np.all(above >= value - 1e-9 * size)


@pytest.mark.parametrize("loss", [d for d in LOSSES if d.dispersion], ids=label)
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_draws_are_of_the_density_of_the_loss(loss, share):
    """Their mean is y, and so the mean slope at y is zero, to five standard errors."""
    y = np.repeat([0.3, 2.0, 9.0], 100_000)
    x = loss.draw(y, np.random.default_rng(1), share * loss.dispersion)
    assert x.shape == y.shape
    slopes = loss.positive(x, y) - loss.negative(x, y)
    for values in (slopes, x - y):
        for part in values.reshape(3, -1):
            assert abs(part.mean()) <= 5 * part.std() / np.sqrt(part.size)
    again = loss.draw(y[:10], np.random.default_rng(1))
    np.testing.assert_array_equal(again, loss.draw(y[:10], np.random.default_rng(1)))
    if loss.degree and not loss.quadratic:
        c = 100.0  # the same noise in another unit
        other = loss.rescaled(c).draw(
            c * y, np.random.default_rng(1), share * loss.dispersion * c**loss.degree
        )
        np.testing.assert_allclose(np.median(other), c * np.median(x), rtol=0.02)


@pytest.mark.parametrize("loss", [d for d in LOSSES if d.dispersion is None], ids=label)
def test_losses_without_a_distribution_do_not_draw(loss):
    with pytest.raises(NotImplementedError, match="wanted a loss with a distribution"):
        loss.draw(np.ones(3), np.random.default_rng(0))
    with pytest.raises(ValueError, match="dispersion: got 0"):
        losses.Frobenius().draw(np.ones(3), np.random.default_rng(0), 0)


def all_penalties(shape, seed):
    return [*PENALTIES, *made_for(shape, seed)]


def prox_cost(penalty, F, step):
    """Return the function that the proximal point minimizes, and its slack."""

    def cost(Z):
        return 0.5 * np.sum((Z - F) ** 2) + step * penalty.value(Z)

    iterative = len(getattr(penalty, "shape", None) or ()) > 1
    return cost, penalty.tol**2 * np.sum(F**2) if iterative else 0.0


@settings(max_examples=15)
@given(seed=seeds, step=st.floats(0.01, 10))
def test_penalty_prox_beats_brute_force(seed, step):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((6, 3))
    for penalty in all_penalties(F.shape, seed):
        if isinstance(penalty, Decorrelated):
            with pytest.raises(NotImplementedError, match="decorrelation has a gradient"):
                penalty.prox(F, step)
            continue
        before = F.copy()
        best = penalty.prox(F, step)
        np.testing.assert_array_equal(F, before)
        cost, slack = prox_cost(penalty, F, step)
        assert np.isfinite(cost(best)), label(penalty)
        assert best.min() >= 0 or penalty.stage != "alone", label(penalty)
        for size in (1e-3, 0.1, 1.0):
            for _ in range(10):
                other = best + size * rng.standard_normal(F.shape) * (rng.random(F.shape) < 0.3)
                if penalty.stage == "alone":
                    other = np.maximum(other, 0)
                # A point of the constraint nearby, where most others are outside.
                for Z in (other, penalty.prox(other, step)):
                    assert cost(Z) >= cost(best) * (1 - 1e-12) - slack - 1e-12, label(penalty)


@settings(max_examples=15)
@given(seed=seeds)
def test_constraints_are_projections(seed):
    """A point of the set stays, whatever the step; the dtype stays; a start gets inside."""
    rng = np.random.default_rng(seed)
    for dtype in DTYPES:
        F = rng.standard_normal((6, 3)).astype(dtype)
        for penalty in all_penalties(F.shape, seed):
            if not penalty.constraint:
                continue
            best = penalty.prox(F, 1.0)
            assert best.dtype == dtype, label(penalty)
            assert penalty.value(best) == 0, label(penalty)
            again = penalty.prox(best, 3.0)
            near = 4 * np.finfo(dtype).eps * max(1, np.abs(best).max())
            np.testing.assert_allclose(again, best, rtol=0, atol=near, err_msg=label(penalty))
            assert penalty.value(penalty.entered(np.abs(F) * dtype(100))) == 0, label(penalty)


@settings(max_examples=15)
@given(seed=seeds, step=st.floats(0.01, 10))
def test_prox_of_a_convex_penalty_is_firmly_non_expansive(seed, step):
    rng = np.random.default_rng(seed)
    F, G = 2 * rng.standard_normal((2, 6, 3))
    for penalty in all_penalties(F.shape, seed):
        if penalty.convex:
            moved = penalty.prox(F, step) - penalty.prox(G, step)
            inner = np.sum(moved * (F - G))
            slack = 1e-5 if getattr(penalty, "shape", None) else 1e-12
            assert np.sum(moved**2) <= inner + slack, label(penalty)


@settings(max_examples=15)
@given(seed=seeds, value=st.floats(0.1, 10), argument=st.floats(0.1, 10))
def test_penalty_forms_agree(seed, value, argument):
    """Shift, slope, gradient, rescaling, rows and columns say the same as the value does."""
    rng = np.random.default_rng(seed)
    F = rng.random((6, 3)) + 0.1
    for penalty in all_penalties(F.shape, seed):
        if penalty.shifts:
            gram, cross = penalty.shift(np.zeros((3, 3)), np.zeros((6, 3)))
            quadratic = 0.5 * np.sum((F @ gram) * F) - np.sum(F * cross)
            if not penalty.constraint:
                assert quadratic == pytest.approx(penalty.value(F), abs=1e-12), label(penalty)
            assert np.min(penalty.slope(F)) >= 0
        if penalty.smooth:
            way = rng.random(F.shape)
            numeric = (penalty.value(F + 1e-6 * way) - penalty.value(F - 1e-6 * way)) / 2e-6
            slope = np.sum(penalty.gradient(F) * way)
            assert slope == pytest.approx(numeric, abs=1e-6), label(penalty)


@settings(max_examples=15)
@given(seed=seeds, value=st.floats(0.1, 10), argument=st.floats(0.1, 10), step=st.floats(0.1, 5))
def test_rescaled_penalties_are_exact(seed, value, argument, step):
    """Value: v p(a Z). Its proximal point is that of p at a F with the step v a², over a."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((6, 3))
    for penalty in all_penalties(F.shape, seed):
        other = penalty.rescaled(value, argument)
        assert type(other) is type(penalty)
        at = np.abs(F) if penalty.stage == "alone" else F
        wanted = value * penalty.value(argument * at)
        assert other.value(at) == pytest.approx(wanted, rel=1e-9, abs=1e-12), label(penalty)
        if isinstance(penalty, Decorrelated):
            continue
        found = other.prox(F, step)
        wanted = penalty.prox(argument * F, step * value * argument**2) / argument
        near = 1e-5 if getattr(penalty, "shape", None) else 1e-9
        np.testing.assert_allclose(found, wanted, atol=near, err_msg=label(penalty))


@settings(max_examples=15)
@given(seed=seeds, step=st.floats(0.1, 5))
def test_separable_penalties_are_sums(seed, step):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((6, 3))
    for penalty in all_penalties(F.shape, seed):
        at = F if penalty.stage != "alone" else np.abs(F)
        if penalty.constraint and seed % 2:
            at = penalty.prox(F, step)
        if penalty.separable in ("entries", "rows"):
            pieces = [(penalty.rows(i), i) for i in (slice(0, 2), np.arange(2, 6))]
            parts = [(part, at[i], F[i]) for part, i in pieces]
            axis = 0
        elif penalty.separable == "columns":
            parts = [(penalty, at[:, [j]], F[:, [j]]) for j in range(3)]
            axis = 1
        else:
            continue
        total = sum(part.value(piece) for part, piece, _ in parts)
        assert total == pytest.approx(penalty.value(at), rel=1e-10, abs=1e-12), label(penalty)
        joined = np.concatenate([part.prox(piece, step) for part, _, piece in parts], axis=axis)
        np.testing.assert_allclose(
            joined, penalty.prox(F, step), rtol=1e-10, atol=1e-12, err_msg=label(penalty)
        )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("step", [0.1, 1.5])
def test_pairs_that_go_together_have_an_exact_prox(seed, step):
    """Every pair that is not refused, with non-negativity: no other point is better."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((6, 3))
    for first, second in itertools.combinations(all_penalties(F.shape, seed), 2):
        obeyed = (NonNegative(), first, second)
        if conflict(obeyed) is not None:
            continue
        parts = [p for p in obeyed if not p.smooth]
        best = joint_prox(obeyed, F, step)

        def cost(Z, parts=parts):
            return 0.5 * np.sum((Z - F) ** 2) + step * sum(p.value(Z) for p in parts)

        assert best.min() >= 0
        assert np.isfinite(cost(best)), (label(first), label(second))
        for size in (1e-3, 0.1):
            for _ in range(3):
                other = best + size * rng.standard_normal(F.shape) * (rng.random(F.shape) < 0.5)
                for Z in (np.maximum(other, 0), joint_prox(obeyed, other, step)):
                    assert cost(Z) >= cost(best) - 1e-8, (label(first), label(second))


def test_fixed_entries_follow_their_rows():
    rng = np.random.default_rng(0)
    values, mask = rng.random((6, 3)), rng.random((6, 3)) < 0.5
    part = Fixed(mask, values).rows(slice(2, 5))
    np.testing.assert_array_equal(part.free(), ~mask[2:5])
    assert part.value(values[2:5]) == 0
    assert part.value(values[2:5] + mask[2:5]) == np.inf
    assert Fixed(mask, values).rescaled(3.0, 2.0).value(values / 2) == 0


@pytest.mark.parametrize("penalty", [p for p in PENALTIES if p.bounded], ids=repr)
@given(seed=seeds)
def test_quadratics_above_a_penalty_touch_it(penalty, seed):
    F, Z = np.random.default_rng(seed).random((2, 6, 3))
    above = penalty.majorized(F)
    assert above.shifts
    rise = penalty.value(Z) - penalty.value(F)
    assert above.value(Z) - above.value(F) >= rise - 1e-12
    gram, cross = above.shift(np.zeros((3, 3)), np.zeros((6, 3)))
    np.testing.assert_allclose(F @ gram - cross, penalty.gradient(F), rtol=1e-9)
    assert above.value(Z) == pytest.approx(0.5 * np.sum((Z.T @ Z) * gram), rel=1e-9)


def test_non_negativity_is_a_set():
    assert NonNegative().value(np.array([[0.0, 1.0]])) == 0
    assert NonNegative().value(np.array([[-1e-9, 1.0]])) == np.inf


@pytest.mark.parametrize("name", sorted(MODELS))
@given(seed=seeds)
def test_model_adjoint_and_gram(name, seed):
    rng = np.random.default_rng(seed)
    model, shape = MODELS[name], SHAPES[name]
    factors = {f: rng.random((d, model.n_components)) for f, d in model.dimensions(shape).items()}
    R = rng.standard_normal(shape)
    for factor in model.names:
        D, E = (rng.standard_normal(factors[factor].shape) for _ in range(2))
        moved = model.forward({**factors, factor: D})
        assert np.sum(moved * R) == pytest.approx(
            np.sum(D * model.adjoint(R, factors, factor)), rel=1e-9, abs=1e-9
        )
        other = model.forward({**factors, factor: E})
        gram = model.gram(factors, factor)
        assert np.sum(moved * other) == pytest.approx(np.sum((D @ gram) * E), rel=1e-9, abs=1e-9)
        ones = np.broadcast_to(model.adjoint_of_ones(factors, factor), D.shape)
        np.testing.assert_allclose(ones, model.adjoint(np.ones(shape), factors, factor))
    assert model.total(factors) == pytest.approx(model.forward(factors).sum(), rel=1e-12)
    rows = {**factors, model.names[0]: factors[model.names[0]][1:3]}
    np.testing.assert_allclose(model.forward(rows), model.forward(factors)[1:3])


@pytest.mark.parametrize("storage", STORAGES)
@given(seed=seeds)
def test_views_hold_the_same_numbers(storage, seed):
    rng = np.random.default_rng(seed)
    X = draw_data((13, 9), seed)
    data = stored(X, storage)
    W, H = rng.random((13, 3)), rng.random((9, 3))
    np.testing.assert_allclose(data @ H, X @ H)
    np.testing.assert_allclose(data.T @ W, X.T @ W)
    np.testing.assert_array_equal(data.to_dense(), X)
    assert data.sum() == pytest.approx(X.sum())
    assert data.sum_of_squares() == pytest.approx((X**2).sum())
    assert data.smallest() == X.min()
    assert data.nonzeros() == np.count_nonzero(X)
    for found, axis in zip(data.square_sums(), (1, 0), strict=True):
        np.testing.assert_allclose(found, (X**2).sum(axis=axis))
    assert data.size == X.size
    index = rng.permutation(13)[:5]
    np.testing.assert_array_equal(data.rows(index).to_dense(), X[index])
    np.testing.assert_array_equal(data.rows(slice(3, 11)).to_dense(), X[3:11])
    covered = np.concatenate([np.arange(13)[b] for b in data.blocks(densify=True)])
    np.testing.assert_array_equal(covered, np.arange(13))
    for asked in ({}, {"densify": True}, {"height": 4}):
        pieces = list(data.stream(**asked))
        np.testing.assert_array_equal(
            np.concatenate([np.arange(13)[rows] for rows, _ in pieces]), np.arange(13)
        )
        for rows, piece in pieces:
            np.testing.assert_array_equal(piece.to_dense(), X[rows])
    assert [rows.stop - rows.start for rows, _ in pieces] == [4, 4, 4, 1]
    np.testing.assert_allclose(data.gram_times(H), X.T @ X @ H)
    if data.is_sparse:
        at = Bilinear(3).at(data, {"W": W, "H": H})
        np.testing.assert_allclose(
            data.like(at).to_dense(), np.where(data.like(np.ones_like(at)).to_dense(), W @ H.T, 0)
        )


def test_views_leave_their_input_alone():
    X = draw_data((6, 5), 0)
    X.flags.writeable = False
    assert np.shares_memory(as_data(X).to_dense(), X)
    from scipy import sparse

    doubled = sparse.csr_array(
        (np.ones(4), np.array([1, 1, 0, 2]), np.array([0, 3, 4])), shape=(2, 3)
    )
    before = doubled.data.copy(), doubled.indices.copy()
    np.testing.assert_array_equal(as_data(doubled).to_dense(), [[1, 2, 0], [0, 0, 1]])
    np.testing.assert_array_equal(doubled.data, before[0])
    np.testing.assert_array_equal(doubled.indices, before[1])
