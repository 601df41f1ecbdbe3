"""Distances in a network, of which few are measured: each host gets two vectors.

The distance from host i to host j is predicted as ``outgoing[i] · incoming[j]``. Unlike a distance
in space it need not be symmetric, nor obey the triangle inequality, and neither do delays in the
Internet. `IDES` measures distances to and from a few landmarks, `Phoenix` those of each host to a
few random others.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted

from partwise import NMF, non_negative_factorization

__all__ = ["IDES", "Coordinates", "Phoenix", "relative_errors"]

# How often a host is placed again with what its errors say about its measurements.
AGAIN = 2


@dataclass(frozen=True)
class Coordinates:
    """The two vectors of each host.

    Attributes
    ----------
    outgoing, incoming : ndarray of shape (n_hosts, n_components)
        Non-negative; the distance from i to j is ``outgoing[i] · incoming[j]``.
    """

    outgoing: np.ndarray
    incoming: np.ndarray

    def distances(self, sources: Any = None, targets: Any = None) -> np.ndarray:
        """Return predicted distances.

        Parameters
        ----------
        sources, targets : array-like of int, optional
            Numbers of hosts; all, unless given.

        Returns
        -------
        ndarray of shape (n_sources, n_targets)
            In the unit of the measurements. Cost O(n_sources · n_targets · k).
        """
        rows = slice(None) if sources is None else np.atleast_1d(sources)
        columns = slice(None) if targets is None else np.atleast_1d(targets)
        found: np.ndarray = self.outgoing[rows] @ self.incoming[columns].T
        return found


class IDES(BaseEstimator):
    """Predict all distances of a network from those to and from a few landmarks.

    The distances between landmarks are factorized, D ≈ X Yᵀ with X, Y ≥ 0. Each other host then
    finds its own vectors by two non-negative least squares problems, from its distances to the
    landmarks and from the landmarks to it: ``min Σ_l v_l (d_l − x · y_l)²``. L landmarks and 2 N L
    measurements give the N² distances of N hosts.

    Parameters
    ----------
    n_components : int, default=8
        Length k of the vectors; at most the number of landmarks.
    confidence : float or None, default=3.0
        A measurement d weighs v = c / d, with c = 1 as long as its relative error is at most
        ``confidence`` times the median of those of its host, and less in proportion beyond. None:
        all weigh alike, as in the source.
    random_state : int, RandomState, Generator or None, default=None
        For the factorization.

    Attributes
    ----------
    coordinates_ : Coordinates
        Those of the landmarks.

    Notes
    -----
    Cost O(L² k) per iteration of the fit, and O(L k² + k³) to place a host. Landmarks are few, and
    hosts are placed without knowing of each other.

    References
    ----------
    Mao, Saul & Smith (2006), IEEE Journal on Selected Areas in Communications 24, 2273-2284.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.recipes import IDES
    >>> rng = np.random.default_rng(0)
    >>> D = rng.gamma(2, size=(60, 3)) @ rng.gamma(2, size=(3, 60))
    >>> ides = IDES(3, random_state=0).fit(D[:10, :10])
    >>> found = ides.locate(D[10:, :10], D[:10, 10:].T).distances()
    >>> bool(np.median(np.abs(found / D[10:, 10:] - 1)) < 0.05)
    True
    """

    def __init__(
        self, n_components: int = 8, *, confidence: float | None = 3.0, random_state: Any = None
    ) -> None:
        self.n_components = n_components
        self.confidence = confidence
        self.random_state = random_state

    def fit(self, D: Any, y: Any = None) -> IDES:
        """Factorize the distances between landmarks.

        Parameters
        ----------
        D : array-like of shape (n_landmarks, n_landmarks)
            From row to column, ≥ 0; NaN where not measured.
        y : Ignored
            Present for consistency.

        Returns
        -------
        self
        """
        _check_count("n_components", self.n_components)
        _check_confidence(self.confidence)
        D = _checked(D, "D")
        _enough(D, self.n_components, "landmarks")
        self.coordinates_ = _factorized(D, self.n_components, self.random_state)
        return self

    def locate(self, to_landmarks: Any, from_landmarks: Any = None) -> Coordinates:
        """Place hosts by their distances to and from the landmarks.

        Parameters
        ----------
        to_landmarks : array-like of shape (n_hosts, n_landmarks)
            NaN where not measured. Zeros, of a landmark to itself, are not used.
        from_landmarks : array-like of shape (n_hosts, n_landmarks), optional
            From the landmarks to each host; the same as ``to_landmarks``, unless given.

        Returns
        -------
        Coordinates
            Of the hosts, each found on its own.
        """
        check_is_fitted(self, "coordinates_")
        return _located(self, (to_landmarks, from_landmarks), "landmarks")


class Phoenix(BaseEstimator):
    """Predict all distances of a network from those of each host to a few random others.

    Hosts join one after another, in random order. The first ``n_neighbours + 1`` measure all
    distances between them, which are factorized. Each further host measures those to and
    from ``n_neighbours`` random hosts that are there already, and finds its two vectors from their
    vectors by non-negative least squares. After that come rounds in which every host does the same
    again with all that it has measured. No host knows more than its neighbours.

    Parameters
    ----------
    n_components : int, default=10
        Length k of the vectors, at most ``n_neighbours``.
    n_neighbours : int, default=32
        Hosts that each host measures as it joins.
    n_rounds : int, default=20
        Rounds after all have joined.
    confidence : float or None, default=3.0
        As for `IDES`: a measurement whose relative error is large beside others of its host, since
        it is wrong or the other host is badly placed, weighs less. None: all weigh alike.
    random_state : int, Generator or None, default=None
        For the order, the neighbours, and the factorization.

    Attributes
    ----------
    coordinates_ : Coordinates
        Of all hosts.
    measured_ : ndarray of bool, of shape (n_hosts, n_hosts)
        The distances that were used.
    history_ : ndarray of shape (n_rounds + 1,)
        The median relative error of the measured distances, when all have joined and after each
        round.

    Notes
    -----
    Cost O(n_neighbours · k²) for each host and round. The confidence of the source is another
    function of the relative errors, to the same end.

    References
    ----------
    Chen, Wang, Wang, Shi, Hui, Deng & Li (2011), IEEE Transactions on Network and Service
    Management 8, 334-347.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.recipes import Phoenix, relative_errors
    >>> rng = np.random.default_rng(0)
    >>> D = rng.gamma(2, size=(60, 3)) @ rng.gamma(2, size=(3, 60))
    >>> model = Phoenix(3, n_neighbours=10, random_state=0).fit(D)
    >>> unseen = np.where(model.measured_, np.nan, D)
    >>> errors = relative_errors(unseen, model.coordinates_.distances())
    >>> bool(np.median(errors) < 0.05)
    True
    """

    def __init__(
        self,
        n_components: int = 10,
        *,
        n_neighbours: int = 32,
        n_rounds: int = 20,
        confidence: float | None = 3.0,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.n_neighbours = n_neighbours
        self.n_rounds = n_rounds
        self.confidence = confidence
        self.random_state = random_state

    def fit(self, D: Any, y: Any = None) -> Phoenix:
        """Let all hosts join and place themselves.

        Parameters
        ----------
        D : array-like of shape (n_hosts, n_hosts)
            The distances that could be measured, from row to column, ≥ 0; NaN where not. Only few
            are looked at, see ``measured_``; the diagonal is not. Zeros are not used
            either.
        y : Ignored
            Present for consistency.

        Returns
        -------
        self
        """
        for name, least in (("n_components", 1), ("n_neighbours", 1), ("n_rounds", 0)):
            _check_count(name, getattr(self, name), least)
        _check_confidence(self.confidence)
        D = _checked(D, "D")
        _enough(D, self.n_components, "hosts")
        if self.n_neighbours < self.n_components:
            message = (
                f"n_neighbours: got {self.n_neighbours}; wanted at least n_components="
                f"{self.n_components}, as many measurements as there are unknowns."
            )
            raise ValueError(message)
        np.fill_diagonal(D, np.nan)
        D[D == 0] = np.nan  # of which there is no relative error
        rng = np.random.default_rng(self.random_state)
        vectors, self.measured_ = self._join(D, rng)
        seen = np.where(self.measured_, D, np.nan)
        history = [np.median(relative_errors(seen, vectors[0] @ vectors[1].T))]
        for _ in range(self.n_rounds):
            vectors[0] = _moved(seen, vectors[0], vectors[1], self.confidence)
            vectors[1] = _moved(seen.T, vectors[1], vectors[0], self.confidence)
            history.append(np.median(relative_errors(seen, vectors[0] @ vectors[1].T)))
        self.coordinates_, self.history_ = Coordinates(*vectors), np.array(history)
        return self

    def _join(self, D: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        order = rng.permutation(len(D))
        first, known = order[: self.n_neighbours + 1], ~np.isnan(D)
        for host in first:
            self._measurable(host, first, known)
        begun = _factorized(D[np.ix_(first, first)], self.n_components, int(rng.integers(2**31)))
        vectors = [np.zeros((len(D), self.n_components)) for _ in range(2)]
        vectors[0][first], vectors[1][first] = begun.outgoing, begun.incoming
        links = np.zeros(D.shape, bool)
        links[np.ix_(first, first)] = True
        for place in range(len(first), len(D)):
            host = order[place]
            able = self._measurable(host, order[:place], known)
            chosen = rng.choice(able, min(self.n_neighbours, len(able)), replace=False)
            links[host, chosen] = links[chosen, host] = True
            sides = D[host, chosen], D[chosen, host]
            for own, other, measured in zip(vectors, vectors[::-1], sides, strict=True):
                own[host] = _placed(measured[None], other[chosen], self.confidence)[0]
        return vectors, links & known

    def _measurable(self, host: int, there: np.ndarray, known: np.ndarray) -> np.ndarray:
        # The hosts that it can measure, of those that are there.
        able: np.ndarray = there[known[host, there] & known[there, host]]
        if len(able) < self.n_components:
            message = (
                f"D: got {len(able)} hosts that host {host} can measure as it joins; wanted at "
                f"least n_components={self.n_components}. Drop that host, or lower n_components."
            )
            raise ValueError(message)
        return able

    def locate(self, to_hosts: Any, from_hosts: Any = None) -> Coordinates:
        """Place further hosts, while the others stay where they are.

        Parameters
        ----------
        to_hosts : array-like of shape (n_new, n_hosts)
            Distances to hosts of the fit; NaN where not measured.
        from_hosts : array-like of shape (n_new, n_hosts), optional
            From the hosts of the fit; the same as ``to_hosts``, unless given.

        Returns
        -------
        Coordinates
            Of the new hosts, each found on its own.
        """
        check_is_fitted(self, "coordinates_")
        return _located(self, (to_hosts, from_hosts), "hosts")


def relative_errors(D: Any, predicted: Any) -> np.ndarray:
    """Return ``|predicted − D| / D`` of all distances that are known and positive.

    Parameters
    ----------
    D : array-like
        Distances; NaN where not known.
    predicted : array-like of the same shape
        What is predicted for them.

    Returns
    -------
    ndarray of shape (n_known,)
        In the order of the rows.

    Examples
    --------
    >>> from partwise.recipes import relative_errors
    >>> relative_errors([[0.0, 2.0], [4.0, float("nan")]], [[1.0, 3.0], [4.0, 1.0]])
    array([0.5, 0. ])
    """
    D, predicted = np.asarray(D, float), np.asarray(predicted, float)
    if D.shape != predicted.shape:
        message = f"predicted: got shape {predicted.shape}; wanted that of D, {D.shape}."
        raise ValueError(message)
    known = D > 0
    errors: np.ndarray = np.abs(predicted[known] - D[known]) / D[known]
    return errors


# --- placing hosts -------------------------------------------------------------------------


def _factorized(D: np.ndarray, k: int, random_state: Any) -> Coordinates:
    # Landmarks are few, and some sets of them converge slowly.
    model = NMF(k, max_iter=10_000, random_state=random_state)
    outgoing = model.fit_transform(D)
    return Coordinates(outgoing, np.ascontiguousarray(model.components_.T))


def _located(model: Any, given: tuple[Any, Any], what: str) -> Coordinates:
    there, count = model.coordinates_, len(model.coordinates_.outgoing)
    to = _measurements(given[0], f"to_{what}", count)
    back = to if given[1] is None else _measurements(given[1], f"from_{what}", count)
    if len(to) != len(back):
        message = f"from_{what}: got {len(back)} hosts; wanted the {len(to)} of to_{what}."
        raise ValueError(message)
    sides = (to, there.incoming), (back, there.outgoing)
    return Coordinates(*(_placed(D, references, model.confidence) for D, references in sides))


def _placed(D: np.ndarray, references: np.ndarray, confidence: float | None) -> np.ndarray:
    # The vectors of hosts from their distances D (hosts, references), each on its own: first by
    # all measurements, then with what their errors say.
    found = _solved(D, references, _weights(D, None, confidence))
    for _ in range(0 if confidence is None else AGAIN):
        found = _moved(D, found, references, confidence)
    return found


def _moved(
    D: np.ndarray, vectors: np.ndarray, references: np.ndarray, confidence: float | None
) -> np.ndarray:
    return _solved(D, references, _weights(D, vectors @ references.T, confidence))


def _weights(D: np.ndarray, model: np.ndarray | None, confidence: float | None) -> np.ndarray:
    # c / d, see IDES.
    known = D > 0
    if confidence is None:
        return known.astype(float)
    weights = np.divide(1.0, D, out=np.zeros(D.shape), where=known)
    if model is None:
        return weights
    errors = np.where(known, np.abs(model - D) * weights, np.nan)
    usual = confidence * np.nanmedian(errors, axis=1, keepdims=True)
    share = np.divide(usual, errors, out=np.ones(D.shape), where=errors > usual)
    return weights * share


def _solved(D: np.ndarray, references: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = np.where(weights > 0, D, 0.0)
    components = np.ascontiguousarray(references.T)
    return non_negative_factorization(known, H=components, update_H=False, weights=weights)[0]


# --- checks --------------------------------------------------------------------------------


def _checked(D: Any, subject: str, count: int | None = None) -> np.ndarray:
    # Distances as a float array of its own: square, or with ``count`` columns.
    if np.ma.is_masked(D):
        message = f"{subject}: got masked entries; wanted NaN if not measured. Use .filled(np.nan)."
        raise ValueError(message)
    how: dict[str, Any] = {"ensure_all_finite": False, "ensure_min_samples": 0}
    D = np.atleast_2d(check_array(D, dtype=float, copy=True, ensure_2d=False, **how))
    wanted = "a square matrix" if count is None else f"(n_hosts, {count})"
    if D.shape[1] != (len(D) if count is None else count):
        message = f"{subject}: got shape {D.shape}; wanted {wanted}."
        raise ValueError(message)
    if np.any(D < 0) or np.isinf(D).any():
        message = f"{subject}: got negative or infinite distances; wanted ≥ 0, NaN if not measured."
        raise ValueError(message)
    return D


def _enough(D: np.ndarray, n_components: int, what: str) -> None:
    if len(D) < n_components:
        message = f"D: got {len(D)} {what}; wanted at least n_components={n_components}."
        raise ValueError(message)


def _measurements(D: Any, subject: str, count: int) -> np.ndarray:
    D = _checked(D, subject, count)
    without = np.flatnonzero(~(D > 0).any(axis=1))
    if without.size:
        message = (
            f"{subject}: got no distance of {without.size} hosts, the first in row {without[0]}; "
            "wanted at least one, and better as many as there are components. Drop these hosts."
        )
        raise ValueError(message)
    return D


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        message = f"{name}: got {value!r}; wanted an integer ≥ {least}."
        raise ValueError(message)


def _check_confidence(confidence: Any) -> None:
    if confidence is not None and not (isinstance(confidence, Real) and float(confidence) > 0):
        message = f"confidence: got {confidence!r}; wanted a number > 0, or None."
        raise ValueError(message)
