"""Round-trip times between 490 hosts (PlanetLab): most are predicted from few measurements."""

from __future__ import annotations

import numpy as np
import pytest

from partwise.recipes import IDES, Phoenix, relative_errors


@pytest.fixture(scope="module")
def times(real_data):
    """Milliseconds from host to host; the diagonal is zero."""
    return np.asarray(real_data("latency")["X"], float)


def landmark_errors(D, count, seed, **params):
    """Return the relative errors between hosts that are no landmarks."""
    order = np.random.default_rng(seed).permutation(len(D))
    inside, outside = order[:count], order[count:]
    model = IDES(8, random_state=0, **params).fit(D[np.ix_(inside, inside)])
    to, back = D[np.ix_(outside, inside)], D[np.ix_(inside, outside)].T
    rest = D[np.ix_(outside, outside)]
    return relative_errors(rest, model.locate(to, back).distances())


@pytest.mark.parametrize(("count", "bounds"), [(20, (0.09, 0.45)), (32, (0.075, 0.38))])
def test_landmarks(times, count, bounds):
    """Medians over eight random sets of landmarks of the median and the 90th percentile."""
    found = [landmark_errors(times, count, seed) for seed in range(8)]
    assert np.median([np.median(errors) for errors in found]) <= bounds[0]
    assert np.median([np.quantile(errors, 0.9) for errors in found]) <= bounds[1]


@pytest.fixture(scope="module")
def by_neighbours(times):
    """Held-out relative errors with 32 neighbours, k = 10, with confidence and without."""
    found = {}
    for confidence in (3.0, None):
        for seed in range(3):
            model = Phoenix(10, confidence=confidence, random_state=seed).fit(times)
            assert model.measured_.mean() < 0.13
            unseen = np.where(model.measured_, np.nan, times)
            errors = relative_errors(unseen, model.coordinates_.distances())
            found[confidence, seed] = np.median(errors), np.quantile(errors, 0.9)
    return found


def test_neighbours(by_neighbours):
    for (confidence, _), (median, high) in by_neighbours.items():
        if confidence is not None:
            assert median <= 0.085
            assert high <= 0.384


def test_confidence_does_not_hurt(by_neighbours):
    for seed in range(3):
        for sure, plain in zip(by_neighbours[3.0, seed], by_neighbours[None, seed], strict=True):
            assert sure <= plain
