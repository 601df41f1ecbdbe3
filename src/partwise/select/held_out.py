"""Which entries of X are hidden from a fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array

from partwise._arrays import check_count, check_kind
from partwise._errors import explain
from partwise.data import as_data, checked_weights
from partwise.estimators._runs import seed_of

__all__ = ["HeldOutEntries"]

SCHEMES = ("random", "per_row", "blocks")
# Entries of a sparse X whose zeros are data too, beyond which an array of all is refused.
MANY = 2**27


@dataclass
class HeldOutEntries:
    """Splits of the known entries of X into those that a fit sees and those that are held out.

    Each split draws anew. To the fit what is held out is missing, and the error there tells how
    well the model predicts: ``model.fit(X, weights=known)``.

    Parameters
    ----------
    n_splits : int, default=5
        How many splits.
    fraction : float in (0, 1), default=0.1
        The share of the known entries that each split holds out.
    scheme : {"random", "per_row", "blocks"}, default="random"
        "random" draws from all known entries alike, "per_row" holds out that share of each row,
        as of the ratings of each user, and "blocks" those entries that are in both a random set of
        rows and one of columns (bi-cross-validation), each of √fraction of all. With "blocks"
        what is held out cannot be guessed from its neighbours in a row or a column alone, as in
        images or series whose noise is alike nearby.
    min_known : int or None, default=None
        At least so many known entries are left in each row and each column, or all of those that
        have no more: entries are given back until that holds, so that a split may hold
        out fewer than ``fraction``. None is 1 for `split`, and for `cross_val_loss` the largest
        number of components that it tries: as many entries as there are unknowns in a row of W
        or a column of H, unless penalties determine these.
    random_state : int, RandomState, Generator or None, default=None
        An int makes the same splits in every run.

    Attributes
    ----------
    n_splits, fraction, scheme, min_known, random_state
        The parameters.

    See Also
    --------
    cross_val_loss : The loss on held-out entries for several numbers of components.

    Notes
    -----
    Cost O(N log N) per split in time and O(N) in memory for N known entries; nothing is made
    dense that is not, but for sparse X whose unstored entries are zeros. Of that all
    entries are known, zeros included: what is held out is a sparse sample of them, and what is left
    is a dense array of weights, up to 2²⁷ entries. Larger ones are refused; use
    `cross_val_loss` with ``method="folds"``, or ``unstored="missing"`` if zeros are no data.

    References
    ----------
    Entries: Wold (1978), Technometrics 20, 397-405. Blocks: Owen & Perry (2009), Annals of
    Applied Statistics 3, 564-594.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import HeldOutEntries
    >>> known, held = next(HeldOutEntries(fraction=0.25, random_state=0).split(np.ones((4, 3))))
    >>> int(known.sum()), int(held.sum())
    (9, 3)
    """

    n_splits: int = 5
    fraction: float = 0.1
    scheme: str = "random"
    min_known: int | None = None
    random_state: Any = None

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : Ignored
            Present for consistency.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: Any, weights: Any = None, *, unstored: str = "zero"
    ) -> Iterator[tuple[Any, Any]]:
        """Yield pairs (known, held): the weights that a fit gets, and those that it is held to.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            NaN is missing, and is never held out.
        weights : {array-like, sparse matrix}, optional
            Of the entries of X, or of its rows; what has the weight zero is missing.
        unstored : {"zero", "missing"}, default="zero"
            What entries are that sparse X does not store, as in `NMF`.

        Yields
        ------
        known, held : {ndarray, sparse array} of shape (n_samples, n_features)
            In the dtype of X; their sum is ``weights``, or one wherever X is known. Sparse where X
            is, except for ``known`` where all entries of sparse X are.

        Raises
        ------
        ValueError
            Parameters out of their range, or nothing can be held out.
        """
        self._check()
        entries = _Entries.of(X, weights, unstored)
        seed = seed_of(self.random_state)
        for number in range(self.n_splits):
            hidden = self._hidden(entries, np.random.default_rng([seed, number]))
            if not hidden.any():
                got = f"no entry that can be, of {len(hidden)} known ones"
                wanted = f"at least one, beside {self._least} in each row and each column"
                todo = "Raise fraction, or lower min_known or the numbers of components."
                raise ValueError(explain("held-out entries", got, wanted, todo))
            yield entries.weights_of(~hidden, entries.dense), entries.weights_of(hidden, False)

    def blocks(self, shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows and the columns of the block of each split, for ``scheme="blocks"``.

        Parameters
        ----------
        shape : (int, int)
            That of X.

        Yields
        ------
        rows, columns : ndarray of bool, of shape (n_samples,) and (n_features,)
            True in the block. Of both at least one and not all.
        """
        self._check()
        if self.scheme != "blocks":
            raise ValueError(explain("scheme", repr(self.scheme), "'blocks'"))
        seed = seed_of(self.random_state)
        for number in range(self.n_splits):
            yield self._block(shape, np.random.default_rng([seed, number]))

    def _check(self) -> None:
        check_count(self.n_splits, "n_splits")
        check_count(self._least, "min_known")
        if not isinstance(self.fraction, Real) or not 0 < self.fraction < 1:
            raise ValueError(explain("fraction", repr(self.fraction), "a number between 0 and 1"))
        if self.scheme not in SCHEMES:
            raise ValueError(explain("scheme", repr(self.scheme), f"one of {SCHEMES}"))

    @property
    def _least(self) -> int:
        return 1 if self.min_known is None else self.min_known

    def _block(self, shape: tuple[int, int], rng: np.random.Generator) -> tuple[Any, Any]:
        if min(shape) < 2:
            raise ValueError(explain("X", f"shape {shape}", "two rows and two columns at least"))
        inside = []
        for length in shape:
            count = min(max(1, round(self.fraction**0.5 * length)), length - 1)
            inside.append(np.zeros(length, bool))
            inside[-1][rng.choice(length, count, replace=False)] = True
        return inside[0], inside[1]

    def _hidden(self, entries: _Entries, rng: np.random.Generator) -> np.ndarray:
        # Which of the known entries to hold out.
        if self.scheme == "blocks":
            rows, columns = self._block(entries.shape, rng)
        keys = rng.random(len(entries.rows))
        if self.scheme == "blocks":
            hidden = rows[entries.rows] & columns[entries.columns]
        elif self.scheme == "per_row":
            counts = np.bincount(entries.rows, minlength=entries.shape[0])
            wanted = np.floor(self.fraction * counts + rng.random(len(counts)))
            hidden = _place_in_group(entries.rows, keys) < wanted[entries.rows]
        else:
            hidden = np.zeros(len(keys), bool)
            hidden[np.argsort(keys)[: round(self.fraction * len(keys))]] = True
        for groups in (entries.rows, entries.columns) if hidden.any() else ():
            _give_back(hidden, groups, keys, self._least)
        return hidden


def _place_in_group(groups: np.ndarray, keys: np.ndarray) -> np.ndarray:
    # Of each element, how many of its group have a smaller key.
    order = np.lexsort((keys, groups))
    starts = np.concatenate([[0], np.cumsum(np.bincount(groups))])
    places = np.empty(len(groups), np.int64)
    places[order] = np.arange(len(groups)) - starts[groups[order]]
    return places


def _give_back(hidden: np.ndarray, groups: np.ndarray, keys: np.ndarray, least: int) -> None:
    # Unhide, in place, as few entries of each group as leave it ``least``, or all it has.
    total, taken = np.bincount(groups), np.bincount(groups[hidden], minlength=groups.max() + 1)
    short = np.minimum(least, total) - (total - taken)
    chosen = np.flatnonzero(hidden)
    places = _place_in_group(groups[chosen], keys[chosen])
    hidden[chosen[places < short[groups[chosen]]]] = False


@dataclass
class _Entries:
    """The known entries of X: their places, in rows one after the other, and weights."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]
    sparse: bool
    dense: bool  # those that are known are too many for a sparse array

    @classmethod
    def of(cls, X: Any, weights: Any, unstored: str) -> _Entries:
        if unstored not in ("zero", "missing"):
            raise ValueError(explain("unstored", repr(unstored), "'zero' or 'missing'"))
        check_kind(X, "X")
        floats = [np.float64, np.float32]
        X = check_array(X, accept_sparse="csr", dtype=floats, ensure_all_finite=False)
        if weights is not None:
            weights = checked_weights(weights, X.shape, X.dtype)
        if not sparse.issparse(X):
            known = ~np.isnan(X)
            if weights is not None:
                weights = weights.toarray() if sparse.issparse(weights) else weights
                known &= weights > 0
            return cls._at(np.nonzero(known), weights, X, False)
        if unstored == "zero" and not sparse.issparse(weights):
            _check_size(X.shape)
            known = np.ones(X.shape, bool) if weights is None else weights > 0
            return cls._at(np.nonzero(known), weights, X, True)
        pattern: Any = as_data(weights if unstored == "zero" else X)
        places = np.repeat(np.arange(X.shape[0]), np.diff(pattern.indptr)), pattern.indices
        number = ~np.isnan(pattern.stored)
        return cls._at((places[0][number], places[1][number]), weights, X, False)

    @classmethod
    def _at(cls, places: tuple[Any, ...], weights: Any, X: Any, dense: bool) -> _Entries:
        rows, columns = places
        if not len(rows):
            todo = "Look at the file that X or its weights came from."
            raise ValueError(explain("X", "no known entry", "at least one", todo))
        values = np.ones(len(rows), X.dtype) if weights is None else weights[rows, columns]
        kept, values = np.flatnonzero(values > 0), np.asarray(values)
        kept = kept[np.lexsort((columns[kept], rows[kept]))]
        own = rows[kept], columns[kept], values[kept]
        return cls(*own, X.shape, sparse.issparse(X), dense)

    def weights_of(self, chosen: np.ndarray, dense: bool) -> Any:
        """Return the weights of some of the entries, zero elsewhere."""
        rows, columns, values = self.rows[chosen], self.columns[chosen], self.values[chosen]
        if self.sparse and not dense:
            return sparse.csr_array((values, (rows, columns)), shape=self.shape)
        found = np.zeros(self.shape, values.dtype)
        found[rows, columns] = values
        return found


def _check_size(shape: tuple[int, int]) -> None:
    if shape[0] * shape[1] > MANY:
        got = f"sparse X of {shape[0]} × {shape[1]} whose zeros are data"
        todo = (
            "Use cross_val_loss with scheme='blocks' and method='folds', which makes nothing "
            "dense, or unstored='missing' if what is not stored is not known."
        )
        raise ValueError(explain("held-out entries", got, f"at most {MANY} entries", todo))
