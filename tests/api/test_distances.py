"""Internet distances from few measurements."""

import numpy as np
import pytest
from scipy import optimize, sparse

from partwise.recipes import IDES, Coordinates, Phoenix, relative_errors

K = 3


def network(n=60, k=K, noise=0.0, seed=0):
    """Return distances of rank k, from row to column and not symmetric."""
    rng = np.random.default_rng(seed)
    D = rng.gamma(2, size=(n, k)) @ rng.gamma(2, size=(k, n))
    D *= np.exp(noise * rng.standard_normal(D.shape))
    np.fill_diagonal(D, 0)
    return D


def median_error(D, found):
    return np.median(relative_errors(D, found))


# --- landmarks -----------------------------------------------------------------------------


def ides(D, landmarks=12, **params):
    """Return the model and the coordinates of all hosts but the first ones, the landmarks."""
    inside = D[:landmarks, :landmarks].copy()
    np.fill_diagonal(inside, np.nan)
    model = IDES(K, **{"random_state": 0, **params}).fit(inside)
    return model, model.locate(D[landmarks:, :landmarks], D[:landmarks, landmarks:].T)


@pytest.mark.parametrize("confidence", [None, 3.0])
def test_landmarks_tell_all_distances_of_an_exact_network(confidence):
    D = network()
    _, found = ides(D, confidence=confidence)
    errors = relative_errors(D[12:, 12:], found.distances())
    assert np.median(errors) < 0.01
    assert np.quantile(errors, 0.9) < 0.1  # some hosts are no sums ≥ 0 of the landmarks' vectors


def test_without_confidence_each_host_is_two_least_squares_problems():
    D = network(noise=0.2)
    model, found = ides(D, confidence=None)
    for i in (0, 7):
        x = optimize.nnls(model.coordinates_.incoming, D[12 + i, :12])[0]
        y = optimize.nnls(model.coordinates_.outgoing, D[:12, 12 + i])[0]
        np.testing.assert_allclose(found.outgoing[i], x, atol=1e-8)
        np.testing.assert_allclose(found.incoming[i], y, atol=1e-8)


def test_confidence_is_what_it_says():
    D = network(noise=0.2)
    model, found = ides(D, confidence=1.5)
    references, smaller = model.coordinates_.incoming, 0
    for host in range(5):
        d = D[12 + host, :12]
        x = optimize.nnls(references * d[:, None] ** -0.5, d**0.5)[0]
        for _ in range(2):
            errors = np.abs(references @ x - d) / d
            weights = np.minimum(1, 1.5 * np.median(errors) / errors) / d
            smaller += np.count_nonzero(weights * d < 0.9)
            root = np.sqrt(weights)
            x = optimize.nnls(references * root[:, None], d * root)[0]
        np.testing.assert_allclose(found.outgoing[host], x, atol=1e-8)
    assert smaller > 10


def test_wrong_measurements_count_less():
    D, rng = network(noise=0.05), np.random.default_rng(1)
    wrong = D * np.where(rng.random(D.shape) < 0.08, 10, 1)
    wrong[:12, :12] = D[:12, :12]
    plain, sure = (ides(wrong, confidence=c)[1].distances() for c in (None, 3.0))
    assert median_error(D[12:, 12:], sure) < 0.5 * median_error(D[12:, 12:], plain)


def test_measurements_that_are_missing_and_one_way_alone():
    D = network()
    model, whole = ides(D)
    to, back = D[12:, :12].copy(), D[:12, 12:].T.copy()
    to[::2, 3], back[::3, 5] = np.nan, np.nan
    found = model.locate(to, back)
    assert median_error(D[12:, 12:], found.distances()) < 0.02
    symmetric = np.minimum(D, D.T)
    one = IDES(K, random_state=0).fit(symmetric[:12, :12]).locate(symmetric[12:, :12])
    both = IDES(K, random_state=0).fit(symmetric[:12, :12])
    both = both.locate(symmetric[12:, :12], symmetric[12:, :12])
    np.testing.assert_array_equal(one.distances(), both.distances())
    single = model.locate(D[20, :12], D[:12, 20])
    np.testing.assert_allclose(single.outgoing[0], whole.outgoing[8], atol=1e-8)


def test_coordinates_tell_some_distances():
    found = Coordinates(np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [2.0, 3.0]]))
    np.testing.assert_array_equal(found.distances(), [[1, 8], [0, 3]])
    np.testing.assert_array_equal(found.distances([1], [1]), [[3]])
    np.testing.assert_array_equal(found.distances(0), [[1, 8]])


# --- neighbours ----------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [None, 3.0])
def test_neighbours_tell_all_distances_of_an_exact_network(confidence):
    D = network(90)
    model = Phoenix(K, n_neighbours=12, confidence=confidence, random_state=0).fit(D)
    errors = relative_errors(np.where(model.measured_, np.nan, D), model.coordinates_.distances())
    assert np.median(errors) < 0.02
    assert len(model.history_) == 21
    assert model.history_[-1] < model.history_[0]


def test_each_host_measures_few_others():
    D = network(90)
    model = Phoenix(K, n_neighbours=12, n_rounds=0, random_state=0).fit(D)
    links = model.measured_
    assert not links.diagonal().any()
    np.testing.assert_array_equal(links, links.T)
    assert links.sum() == 2 * (13 * 12 // 2 + 12 * (90 - 13))
    assert links.sum(axis=1).min() >= 12
    assert model.history_[0] < 0.05  # joining alone places hosts well


def test_what_is_not_measured_is_not_looked_at():
    D = network(60)
    model = Phoenix(K, n_neighbours=10, random_state=0).fit(D)
    other = np.where(model.measured_, D, 1e6)
    np.fill_diagonal(other, 7.0)
    again = Phoenix(K, n_neighbours=10, random_state=0).fit(other)
    np.testing.assert_array_equal(again.coordinates_.outgoing, model.coordinates_.outgoing)


def test_confidence_helps_against_wrong_measurements():
    D, rng = network(90, noise=0.05), np.random.default_rng(1)
    wrong = D * np.where(rng.random(D.shape) < 0.05, 10, 1)
    found = []
    for confidence in (None, 3.0):
        model = Phoenix(K, n_neighbours=20, confidence=confidence, random_state=0).fit(wrong)
        unseen = np.where(model.measured_, np.nan, D)
        found.append(median_error(unseen, model.coordinates_.distances()))
    assert found[1] < 0.5 * found[0]


def test_scale_links_that_cannot_be_measured_and_later_hosts():
    D = network(70, noise=0.1)
    D[np.random.default_rng(0).random(D.shape) < 0.2] = np.nan
    how = {"n_neighbours": 15, "random_state": 0}
    model = Phoenix(K, **how).fit(D[:60, :60])
    assert np.isnan(D[:60, :60][~model.measured_]).any()
    scaled = Phoenix(K, **how).fit(1e3 * D[:60, :60])
    np.testing.assert_array_equal(scaled.measured_, model.measured_)
    distances = model.coordinates_.distances()
    np.testing.assert_allclose(scaled.coordinates_.distances(), 1e3 * distances, rtol=1e-4)
    later = model.locate(D[60:, :60], D[:60, 60:].T)
    found = later.outgoing @ later.incoming.T
    assert median_error(D[60:, 60:], found) < 0.25


# --- what is wrong -------------------------------------------------------------------------

SQUARE, FITTED = network(20), IDES(K, random_state=0).fit(network(20))
WRONG = {
    "shape": (lambda: IDES(K).fit(SQUARE[:4]), "D: got shape"),
    "few": (lambda: IDES(30).fit(SQUARE), "D: got 20 landmarks"),
    "negative": (lambda: Phoenix(K).fit(-SQUARE), "negative or infinite"),
    "infinite": (lambda: FITTED.locate(np.full((1, 20), np.inf)), "to_landmarks: got negative"),
    "width": (lambda: FITTED.locate(SQUARE[:, :7]), r"to_landmarks: got shape \(20, 7\)"),
    "nothing": (lambda: FITTED.locate(np.full((2, 20), np.nan)), "no distance of 2 hosts"),
    "two counts": (lambda: FITTED.locate(SQUARE[:3], SQUARE[:2]), "from_landmarks: got 2 hosts"),
    "confidence": (lambda: IDES(K, confidence=0).fit(SQUARE), "confidence: got 0"),
    "neighbours": (lambda: Phoenix(K, n_neighbours=2).fit(SQUARE), "n_neighbours: got 2"),
    "half a component": (lambda: IDES(2.5).fit(SQUARE), "n_components: got 2.5; wanted an int"),
    "no component": (lambda: Phoenix(0).fit(SQUARE), "n_components: got 0"),
    "rounds": (lambda: Phoenix(K, n_rounds=-1).fit(SQUARE), "n_rounds: got -1; wanted an int"),
    "text": (lambda: IDES(K, confidence="high").fit(SQUARE), "confidence: got 'high'"),
    "complex": (lambda: IDES(K).fit(SQUARE + 1j), "Complex data not supported"),
    "mask": (lambda: IDES(K).fit(np.ma.masked_greater(SQUARE, 9)), "masked entries; wanted NaN"),
    "other shape": (lambda: relative_errors(SQUARE, SQUARE[:2]), "predicted: got shape"),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_host_that_nobody_can_measure():
    D = network(30)
    D[5], D[:, 5] = np.nan, np.nan
    with pytest.raises(ValueError, match="host 5 can measure"):
        Phoenix(K, n_neighbours=5, random_state=2).fit(D)


def test_sparse_distances_are_refused_with_advice():
    with pytest.raises(TypeError, match="toarray"):
        Phoenix(K).fit(sparse.csr_array(SQUARE))


@pytest.mark.parametrize("seed", range(4))
def test_a_host_whose_distances_are_zeros_is_told_whenever_it_joins(seed):
    D = network(30)
    D[5], D[:, 5] = 0, 0
    with pytest.raises(ValueError, match="host 5 can measure"):
        Phoenix(K, n_neighbours=5, random_state=seed).fit(D)


def test_zeros_beside_the_diagonal_are_not_used():
    D, holes = network(40), network(40)
    nowhere = np.random.default_rng(1).random(D.shape) < 0.2
    D[nowhere], holes[nowhere] = 0, np.nan
    first, second = (Phoenix(K, n_neighbours=20, random_state=0).fit(X) for X in (D, holes))
    np.testing.assert_array_equal(first.measured_, second.measured_)
    np.testing.assert_array_equal(first.coordinates_.distances(), second.coordinates_.distances())
