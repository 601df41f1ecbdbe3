"""Missing parts of images and bands of galaxies, filled."""

from __future__ import annotations

import numpy as np
import pytest

from partwise import NMF, NMFImputer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def images(seed):
    """120 images of 30 × 30, each a mixture of twelve Gaussians, with 8 % of noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:30, :30]
    (across, down), width = rng.uniform(3, 27, (2, 12)), rng.uniform(2, 8, 12)
    parts = np.array(
        [
            np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s)).ravel()
            for a, b, s in zip(across, down, width, strict=True)
        ]
    )
    clean = rng.gamma(2, size=(120, 12)) @ parts
    return np.maximum(clean + 0.08 * clean.mean() * rng.standard_normal(clean.shape), 0)


def disk(radius):
    y, x = np.mgrid[:30, :30]
    return ((x - 15) ** 2 + (y - 15) ** 2 <= radius**2).ravel()


@pytest.fixture(scope="module")
def curves():
    """Error in a hole of radius 4, and change of coefficients by it, for 1, 9, ..., 12 components.

    Components are known from a hundred references; means over twenty targets of each of four
    draws of the parts.
    """
    hole, ranks = disk(4), (1, 9, 10, 11, 12)
    error, change = np.zeros((4, len(ranks))), np.zeros((4, len(ranks)))
    for seed in range(4):
        X = images(seed)
        holes, targets = X.copy(), X[100:]
        holes[100:, hole] = np.nan
        for place, k in enumerate(ranks):
            model = NMFImputer(k, method="two-step", max_iter=1000, tol=1e-5).fit(holes)
            left = (model.transform(holes)[100:] - targets)[:, hole]
            ratios = np.linalg.norm(left, axis=1) / np.linalg.norm(targets[:, hole], axis=1)
            whole, part = (model.nmf_.transform(F[100:]) for F in (X, holes))
            changes = np.linalg.norm(part - whole, axis=1) / np.linalg.norm(whole, axis=1)
            error[seed, place], change[seed, place] = ratios.mean(), changes.mean()
    return error.mean(axis=0), change.mean(axis=0)


def test_the_error_in_a_hole_reaches_a_plateau(curves):
    """Ren et al. (2020), figure 4, in small: the error with nine to twelve components."""
    error, _ = curves
    assert error[-1] <= 0.5 * error[0]
    assert error[1:].max() <= 1.1 * error[1:].min()


def test_a_hole_hardly_changes_the_coefficients(curves):
    """Ren et al. (2020), section 2: negligible alteration where the hole is small."""
    assert curves[1].max() <= 0.02


def test_components_that_are_not_known_do_as_well():
    """Where the references have holes too, elsewhere: all are fitted together."""
    X, rng = images(0), np.random.default_rng(0)
    holes, hole = X.copy(), disk(4)
    holes[100:, hole] = np.nan
    known = NMFImputer(9, method="two-step", max_iter=500).fit_transform(holes)
    for row in range(100):
        y, x = np.mgrid[:30, :30]
        a, b = rng.integers(4, 26, 2)
        holes[row, ((x - a) ** 2 + (y - b) ** 2 <= 16).ravel()] = np.nan
    unknown = NMFImputer(9, max_iter=500).fit_transform(holes)
    error = [np.linalg.norm((f - X)[100:, hole]) for f in (known, unknown)]
    assert error[1] <= 1.1 * error[0]


# --- galaxies ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def galaxies(real_data):
    """Ten bands of 10,000 galaxies with inverse variances, and a tenth of the known ones hidden."""
    found = real_data("kcorrect")
    X, weights = found["X"], found["weights"]
    hidden = (np.random.default_rng(0).random(X.shape) < 0.1) & (weights > 0)
    return X, np.where(hidden, 0, weights), hidden


def test_bands_of_galaxies_are_predicted(galaxies):
    """Median relative error 0.06; 0.75 by column means, 0.41 by NMF with zeros for holes.

    Every band by itself, too. The inverse-variance-weighted fit is of χ²/dof 24 with two
    components, 10 with three: formal errors of half a percent, and galaxies at many redshifts.
    """
    X, weights, hidden = galaxies
    holes = np.where(weights > 0, X, np.nan)
    imputer = NMFImputer(2, allow_negative=True, max_iter=1000).fit(holes, weights=weights)
    chi2 = imputer.nmf_.chi_square(holes, W=imputer.nmf_.W_, weights=weights)
    assert chi2.dof == np.count_nonzero(weights) - 2 * (len(X) + 10 - 2)
    assert 15 < chi2.reduced < 35
    zeros = NMF(2, max_iter=1000).fit(np.maximum(np.nan_to_num(holes), 0))
    guesses = {
        "ours": imputer.transform(holes, weights=weights),
        "means": np.broadcast_to(np.nanmean(holes, axis=0), X.shape),
        "zeros": zeros.W_ @ zeros.components_,
    }
    relative = {
        name: np.divide(np.abs(guess - X), np.abs(X), out=np.full(X.shape, np.nan), where=hidden)
        for name, guess in guesses.items()
    }
    median = {name: np.nanmedian(error) for name, error in relative.items()}
    assert median["ours"] < 0.08
    assert median["means"] > 0.6
    assert median["zeros"] > 0.3
    of_bands = {name: np.nanmedian(error, axis=0) for name, error in relative.items()}
    assert (of_bands["ours"] < np.minimum(of_bands["means"], of_bands["zeros"])).all()
