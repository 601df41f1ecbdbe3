"""What every loss declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from partwise import kernels
from partwise._errors import explain

__all__ = ["Loss", "Parts", "positive"]

# The two parts of a gradient, falling and rising; the latter None where all its rows are one.
Parts = tuple[np.ndarray, np.ndarray | None]


class Loss(ABC):
    """A cost d(x, y) ≥ 0 of a datum x and its model y, zero where they agree.

    ``negative − positive`` are the two non-negative parts of −∂d/∂y. All three functions
    take arrays of one shape, y > 0, and return arrays of that shape.

    Attributes
    ----------
    name : str
        The name in messages.
    powers : tuple of float, or None
        (p, q) with p ≤ 1 ≤ q such that d(x, ·) has a majorizer ``a y^p/p·(−1) + b y^q/q``
        with a, b ≥ 0 that touches at the current y; multiplicative updates then have the
        exponent 1 / (q − p). See `partwise.solvers.MultiplicativeUpdate`. None where none is
        known: then proximal gradient steps serve the loss.
    degree : float
        d(c x, c y) = c^degree d(x, y), where d on the left is `rescaled`.
    quadratic : bool
        d(x, y) = ½ (x − y)²: Gram and cross products tell everything.
    flat_positive : float or None
        The value of ``positive`` where it is one constant for all x and y, and then
        d(0, y) = flat_positive · y: entries that are not stored cost nothing to visit.
    needs_positive_data : bool
        The domain excludes x = 0.
    largest : float
        The domain ends there, x ≤ largest.
    dispersion : float or None
        The φ for which exp(−d(x, y) / φ), times a function of x, is the density of x that the
        loss is made for; `draw` draws from it. None where there is no such distribution.
    rowwise : bool
        d is a cost of whole samples, of all entries of X with one index along its first axis,
        which `value` shares among them. Arrays are whole samples then, and `weighted_slopes` and
        `weighted_total` say what weights of entries mean.
    rational : bool
        The part of −∂d/∂y that pulls y up is x / y^(2 − degree) with degree 0 or 1, a pole:
        steps of a rational model apply.
    """

    name: str
    powers: tuple[float, float] | None
    degree: float
    quadratic: bool = False
    flat_positive: float | None = None
    needs_positive_data: bool = False
    largest: float = np.inf
    dispersion: float | None = None
    rowwise: bool = False
    rational: bool = False

    @abstractmethod
    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return d(x, y)."""

    @abstractmethod
    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the part of −∂d/∂y that pulls y up."""

    @abstractmethod
    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the part of ∂d/∂y that pushes y down."""

    def total(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return Σ d(x, y), accumulated in float64."""
        return float(self.value(x, y).sum(dtype=np.float64))

    def weighted_slopes(
        self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the two parts of −∂/∂y of Σ w d(x, y), `negative` and `positive` with weights.

        Parameters
        ----------
        x, y, weights : ndarray of one shape
            Weights ≥ 0; where one is 0 the entry is missing, and x is any number.
        starts : ndarray of shape (n_samples + 1,), optional
            Where samples begin, and the last one ends, in arrays that list known entries, sample
            by sample. None where the first axis of the arrays is that of samples.
        """
        self._sums_entries()
        yield weights * self.negative(x, y)
        yield weights * self.positive(x, y)

    def weighted_total(
        self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray | None = None
    ) -> float:
        """Return Σ w d(x, y) in float64; x may be below zero where the loss is quadratic.

        The arrays are those of `weighted_slopes`.
        """
        self._sums_entries()
        weights = weights.astype(np.float64)
        if self.quadratic:
            rest = x.astype(np.float64) - y
            return 0.5 * kernels.inner(rest * rest, weights)
        return kernels.inner(self.value(x, y).astype(np.float64), weights)

    def _sums_entries(self) -> None:
        if self.rowwise:
            todo = "Write its weighted_slopes and weighted_total, or use another loss."
            got = "entries of X that are missing or have weights"
            raise NotImplementedError(
                explain(f"the {self.name}", got, "every entry of a sample alike", todo)
            )

    def rescaled(self, c: float) -> Loss:
        """Return the loss of data in another unit: its d(c x, c y) is c^degree d(x, y).

        Itself, unless a constant of the loss has the unit of the data.
        """
        return self

    def typical(self, mean: float) -> float:
        """Return mean² times the curvature of d(mean, ·) at the mean: what an entry may cost."""
        return float(mean**self.degree)

    def draw(
        self, y: np.ndarray, rng: np.random.Generator, dispersion: float | None = None
    ) -> np.ndarray:
        """Return data of the distribution that the loss is made for, with mean y.

        Parameters
        ----------
        y : ndarray
            Means > 0, of any shape.
        rng : numpy.random.Generator
            Where the draws come from.
        dispersion : float, optional
            The φ of exp(−d / φ), in the unit of X to the power of ``degree``; that of the loss,
            unless said.

        Returns
        -------
        ndarray
            Of the shape of y, in float64; entries < 0 where noise is added to y.

        Raises
        ------
        NotImplementedError
            The loss belongs to no distribution, or to one that is not on offer.
        """
        phi = self.dispersion if dispersion is None else float(dispersion)
        if self.dispersion is None or phi is None:
            todo = "Draw from the distribution that you have in mind with NumPy."
            raise NotImplementedError(
                explain("draw", f"the {self.name}", "a loss with a distribution", todo)
            )
        if not (0 < phi < np.inf):
            raise ValueError(explain("dispersion", f"{phi:g}", "a number > 0"))
        return np.asarray(self._drawn(np.asarray(y, np.float64), rng, phi))

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        # Where `dispersion` is a number.
        raise NotImplementedError

    def constant(self, x: np.ndarray, weights: np.ndarray | None = None) -> float:
        """Return what Σ d(x, y) of a `rational` loss has that does not depend on y, in float64.

        ``weights``: of every entry, for the Kullback-Leibler divergence.
        """
        return 0.0

    def flat(self, mean: float) -> float | None:
        """Return the average d(x, mean of x), less that of `constant`, where the mean tells it."""
        return None

    def split(self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float) -> Parts | None:
        """Return (negative, positive) of dense X and the model ``Y = F Aᵀ``, times A.

        ``positive`` is None where it is ``flat_positive`` times the column sums of A. None
        where the loss has no form that does without an array of the size of X.
        """
        return None

    def splits(
        self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float
    ) -> tuple[Parts, Parts] | None:
        """Return `split`, and that of the transposed problem, from one look at X."""
        return None

    def total_of(self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float) -> float | None:
        """Return Σ d(X, F Aᵀ), or None where the loss needs the model as an array."""
        return None


def positive(name: str, value: float) -> float:
    """Return a constant of a loss, checked."""
    if not (0 < float(value) < np.inf):
        raise ValueError(explain(name, repr(value), "a number > 0"))
    return float(value)
