"""Losses equal closed forms, and the likelihoods that they are made of, by SciPy."""

import numpy as np
import pytest
from scipy import special, stats
from scipy.special import kl_div, rel_entr
from sklearn.metrics import mean_tweedie_deviance

from partwise import losses
from partwise.losses import Alpha, Beta, as_loss

X, Y = (part.ravel() for part in np.meshgrid([0.5, 1.0, 3.0, 20.0], [0.2, 1.0, 2.9, 40.0]))
WHOLE = np.array([1.0, 2.0, 3.0, 20.0])

CLOSED_FORMS = {
    "pearson": lambda x, y: (x - y) ** 2 / (2 * y),
    "neyman": lambda x, y: (x - y) ** 2 / (2 * x),
    "hellinger": lambda x, y: 2 * (np.sqrt(x) - np.sqrt(y)) ** 2,
    "reverse-kullback-leibler": lambda x, y: kl_div(y, x),
    "kullback-leibler": kl_div,
    "poisson": lambda x, y: rel_entr(x, y) - x + y,
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_losses_by_name_are_their_closed_forms(name):
    np.testing.assert_allclose(as_loss(name).value(X, Y), CLOSED_FORMS[name](X, Y), rtol=1e-12)


@pytest.mark.parametrize("alpha", [-2.5, -1, -0.3, 0.3, 0.5, 2, 3])
def test_alpha_divergence_is_its_formula(alpha):
    wanted = (X**alpha * Y ** (1 - alpha) - alpha * X + (alpha - 1) * Y) / (alpha * (alpha - 1))
    np.testing.assert_allclose(Alpha(alpha).value(X, Y), wanted, rtol=1e-10, atol=1e-13)
    other = Alpha(1 - alpha)  # the duality of the family
    np.testing.assert_allclose(Alpha(alpha).value(X, Y), other.value(Y, X), rtol=1e-10)
    np.testing.assert_allclose(Alpha(1).value(X, Y), as_loss(1).value(X, Y), rtol=1e-13)


def test_alpha_divergence_has_the_update_of_its_source():
    """Cichocki et al. (2008), equations 12 and 13: the exponent 1 / α."""
    from tests.laws.declared import ALL_SOLVERS, draw_data, make_problem

    for alpha in (0.5, 2.0, 3.0):
        problem = make_problem(draw_data((13, 9), 0) + 0.1, Alpha(alpha))
        problem.free = ("W",)
        W, H = problem.factors["W"].copy(), problem.factors["H"]
        x = problem.data.to_dense()
        wanted = W * (((x / (W @ H.T)) ** alpha @ H) / H.sum(axis=0)) ** (1 / alpha)
        ALL_SOLVERS["mu"].step(problem, ALL_SOLVERS["mu"].start(problem, None))
        np.testing.assert_allclose(problem.factors["W"], wanted, rtol=1e-12)


# log density of x with mean or location y, up to terms of x alone; and the data it is for.
LIKELIHOODS = {
    "gaussian": (Beta(2.0), lambda x, y: stats.norm.logpdf(x, y), X),
    "poisson": (as_loss("poisson"), lambda x, y: stats.poisson.logpmf(x, y), WHOLE),
    "gamma": (as_loss("gamma"), lambda x, y: stats.expon.logpdf(x, scale=y), X),
    "inverse gaussian": (Beta(-1.0), lambda x, y: stats.invgauss.logpdf(x, y), X),
    "student": (losses.StudentT(0.7, 3), lambda x, y: stats.t.logpdf(x, 3, y, 0.7), X),
    "cauchy": (losses.StudentT(0.7), lambda x, y: stats.cauchy.logpdf(x, y, 0.7), X),
    "hyperbolic": (
        losses.Absolute(0.2),
        lambda x, y: stats.genhyperbolic.logpdf(x, 1, 1, 0, y, 0.2),
        X,
    ),
    "binomial": (losses.Binomial(60), lambda x, y: stats.binom.logpmf(x, 60, y / 60), WHOLE),
    "negative binomial": (
        losses.NegativeBinomial(2.5),
        lambda x, y: stats.nbinom.logpmf(x, 2.5, 2.5 / (2.5 + y)),
        WHOLE,
    ),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_losses_are_differences_of_log_likelihoods(name):
    loss, log_density, data = LIKELIHOODS[name]
    x, y = (part.ravel() for part in np.meshgrid(data, [0.2, 1.0, 2.9, 40.0]))
    wanted = log_density(x, x) - log_density(x, y)
    np.testing.assert_allclose(loss.value(x, y), loss.dispersion * wanted, rtol=1e-9, atol=1e-13)


def density(loss, y):
    """Return the distribution of density ∝ exp(−d(x, y) / φ), by quadrature."""
    x = np.linspace(y - 20, y + 20, 400_001)
    mass = np.cumsum(np.exp(-loss.value(x, np.full_like(x, y)) / loss.dispersion))

    class Tabulated:
        @staticmethod
        def cdf(at):
            return np.interp(at, x, mass / mass[-1])

    return Tabulated


def test_draws_follow_the_distributions_of_scipy():
    rng, n = np.random.default_rng(0), 20_000
    cases = [
        (losses.Frobenius(), stats.norm(2.0)),
        (losses.ItakuraSaito(), stats.expon(scale=2.0)),
        (Beta(-1.0), stats.invgauss(2.0)),
    ]
    cases += [
        (losses.StudentT(0.7, 3), stats.t(3, 2.0, 0.7)),
        (losses.Absolute(0.2), stats.genhyperbolic(1, 1, 0, 2.0, 0.2)),
        (losses.Huber(0.5), density(losses.Huber(0.5), 2.0)),
    ]
    for loss, law in cases:
        assert stats.kstest(loss.draw(np.full(n, 2.0), rng), law.cdf).pvalue > 1e-3, loss.name
    drawn = losses.StudentT(0.7, 3).draw(np.full(n, 2.0), rng, 3 * 0.7**2 / 9)  # eight degrees
    assert stats.kstest(drawn, stats.t(8, 2.0, 0.7 * np.sqrt(3 / 8)).cdf).pvalue > 1e-3
    over = losses.NegativeBinomial(2.5).draw(np.full(n, 2.0), rng)
    assert over.var() == pytest.approx(2.0 + 2.0**2 / 2.5, rel=0.05)
    counts = np.bincount(as_loss(1).draw(np.full(n, 2.0), rng).astype(int), minlength=30)
    np.testing.assert_allclose(counts / n, stats.poisson.pmf(np.arange(30), 2.0), atol=0.015)
    zeros = (Beta(0.5).draw(np.full(n, 2.0), rng) == 0).mean()
    assert zeros == pytest.approx(np.exp(-(2**0.5) / 0.5), abs=0.01)


@pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
def test_tweedie_is_half_the_deviance(power):
    total = losses.Tweedie(power).total(X, Y)
    assert 2 * total / len(X) == pytest.approx(mean_tweedie_deviance(X, Y, power=power))


def test_robust_losses_are_their_closed_forms():
    r = X - Y
    np.testing.assert_allclose(losses.Huber(0.6).value(X, Y), special.huber(0.6, r), rtol=1e-12)
    tiny = losses.Absolute(1e-9).value(X, Y)
    np.testing.assert_allclose(tiny, np.abs(r), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(losses.Absolute(0.6).value(X, Y), special.pseudo_huber(0.6, r) / 0.6)
    for loss in (losses.Huber(1e6), losses.StudentT(1e6)):
        np.testing.assert_allclose(loss.value(X, Y), r**2 / 2, rtol=1e-8)


def test_l21_is_the_norm_of_each_sample_whatever_its_shape():
    rng = np.random.default_rng(0)
    for shape in ((7,), (7, 4), (7, 3, 2)):
        x, y = rng.gamma(1.0, size=(2, *shape))
        r, size = (np.linalg.norm(Z.reshape(7, -1), axis=1) for Z in (x - y, x))
        tiny, wide = losses.L21(1e-9), losses.L21(0.5)
        assert tiny.total(x, y) == pytest.approx(r.sum(), rel=1e-7)
        wanted = np.sqrt(r**2 + size**2 / 4) - size / 2
        found = wide.value(x, y)
        assert found.shape == shape
        np.testing.assert_allclose(found.reshape(7, -1).sum(axis=1), wanted, rtol=1e-12)
        # The derivative of the whole, also where entries of a sample move alone.
        step = 1e-6 * rng.standard_normal(shape)
        numeric = wide.total(x, y + step) - wide.total(x, y - step)
        slope = np.sum((wide.positive(x, y) - wide.negative(x, y)) * step)
        assert 2 * slope == pytest.approx(numeric, rel=1e-6)
    np.testing.assert_array_equal(tiny.positive(0 * x, 0 * y), 0)


def test_l21_draws_a_multivariate_laplace_distribution():
    y = np.full((20_000, 5), 2.0)
    noise = losses.L21().draw(y, np.random.default_rng(0), 0.3) - y
    lengths = np.linalg.norm(noise, axis=1)
    assert stats.kstest(lengths, stats.gamma(5, scale=0.3).cdf).pvalue > 1e-3
    along = stats.beta(2, 2, -1, 2)  # of one entry of a direction among five
    assert stats.kstest(noise[:, 0] / lengths, along.cdf).pvalue > 1e-3


def test_negative_binomial_lies_between_its_limits():
    loss = losses.NegativeBinomial
    np.testing.assert_allclose(loss(1e9).value(X, Y), as_loss(1).value(X, Y), rtol=1e-6)
    np.testing.assert_allclose(loss(1e-6).value(X, Y) / 1e-6, as_loss(0).value(X, Y), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (losses.Huber, "delta"),
        (losses.Absolute, "smoothing"),
        (losses.L21, "smoothing"),
        (losses.StudentT, "scale"),
        (losses.NegativeBinomial, "size"),
        (Alpha, "alpha"),
    ],
)
def test_constants_out_of_their_range_are_refused(make, name):
    for value in (np.nan, np.inf, *([] if make is Alpha else [0, -1])):
        with pytest.raises(ValueError, match=f"{name}: got {value!r}; wanted"):
            make(value)
    with pytest.raises(ValueError, match=r"dispersion: got 0\.5; wanted a number below 0\.49"):
        losses.StudentT(0.7).draw(np.ones(2), np.random.default_rng(0), 0.5)


BREGMAN = {
    2.0: (lambda y: y**2 / 2, lambda y: y, np.ones_like),
    1.0: (lambda y: special.xlogy(y, y) - y, np.log, lambda y: 1 / y),
    0.0: (lambda y: -np.log(y), lambda y: -1 / y, lambda y: y**-2.0),
    3.0: (lambda y: y**3 / 6, lambda y: y**2 / 2, lambda y: y),
}


@pytest.mark.parametrize("beta", sorted(BREGMAN))
def test_bregman_divergence_of_powers_is_the_beta_divergence(beta):
    """With its majorizer, and where x and y nearly agree."""
    loss = losses.Bregman(*BREGMAN[beta], elasticity=(beta - 2, beta - 2))
    known = Beta(beta)
    np.testing.assert_allclose(loss.value(X, Y), known.value(X, Y), rtol=1e-10)
    assert loss.powers == known.powers
    for share in (1e-4, 0.05, -0.09):
        near = X * (1 + share)
        np.testing.assert_allclose(loss.value(X, near), known.value(X, near), rtol=1e-9)
    near = X * (1 + 1e-12)
    square = BREGMAN[beta][2](X) * (X - near) ** 2 / 2
    np.testing.assert_allclose(loss.value(X, near), square, rtol=1e-10)
    assert loss.typical(3.0) == pytest.approx(known.typical(3.0))
    other = loss.rescaled(100.0)
    np.testing.assert_allclose(other.value(100 * X, 100 * Y), loss.value(X, Y), rtol=1e-10)
    assert other.typical(300.0) == pytest.approx(loss.typical(3.0))


def test_bregman_divergences_are_checked():
    with pytest.raises(TypeError, match="curvature: got 3; wanted a function"):
        losses.Bregman(np.exp, np.exp, 3)
    with pytest.raises(ValueError, match=r"elasticity: got .* low ≤ high"):
        losses.Bregman(np.exp, np.exp, np.exp, elasticity=(0, np.inf))
