"""The loss on entries that a fit did not see, for several numbers of components."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from partwise._arrays import check_count
from partwise._errors import explain
from partwise._tables import Grouped, aligned
from partwise._threads import side_by_side
from partwise.data import as_data
from partwise.estimators import _runs
from partwise.estimators._judged import Judged
from partwise.select.held_out import HeldOutEntries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CrossValLoss", "cross_val_loss"]


@dataclass(frozen=True, repr=False)
class CrossValLoss(Grouped):
    """What `cross_val_loss` found; printed, it is a table.

    Attributes
    ----------
    n_components : ndarray of int, of shape (n_ks,)
        The numbers of components, in rising order.
    held_out, fitted : ndarray of shape (n_ks, n_splits)
        The mean loss per entry, of those that were held out and of those that were fitted.
    n_iter, converged, seconds : ndarray of shape (n_ks, n_splits)
        Of the fits: iterations, whether the stopping rule held, and time.
    loss : str
        The loss, in words.
    n_components_min : int
        Where the mean of ``held_out`` over the splits is lowest.
    n_components_1se : int
        The smallest number whose mean is within one standard error of the lowest one, the
        standard error being that of the mean of the splits there.
    """

    n_components: np.ndarray
    held_out: np.ndarray
    fitted: np.ndarray
    n_iter: np.ndarray
    converged: np.ndarray
    seconds: np.ndarray
    loss: str

    @property
    def n_components_min(self) -> int:
        return int(self.n_components[np.argmin(self.held_out.mean(axis=1))])

    @property
    def n_components_1se(self) -> int:
        means, errors = self.held_out.mean(axis=1), _standard_errors(self.held_out)
        lowest = int(np.argmin(means))
        return int(self.n_components[np.argmax(means <= means[lowest] + errors[lowest])])

    def table(self, by: str = "split") -> list[dict[str, Any]]:
        """Return the numbers as a list of rows.

        Parameters
        ----------
        by : {"split", "n_components"}, default="split"
            One row for each number of components and split, or for each number the means over its
            splits; there ``held_out_error`` is the standard error of ``held_out_loss``, and
            ``converged`` the number of fits that did.

        Returns
        -------
        list of dict
            ``n_components``, ``split``, the mean ``held_out_loss`` and ``fitted_loss`` per
            entry, ``n_iter``, ``converged`` and ``seconds`` of the fit.
        """
        if by not in ("split", "n_components"):
            raise ValueError(explain("by", repr(by), "'split' or 'n_components'"))
        columns = {
            "held_out_loss": self.held_out,
            "fitted_loss": self.fitted,
            "n_iter": self.n_iter,
            "converged": self.converged,
            "seconds": self.seconds,
        }
        splits = self.held_out.shape[1]
        if by == "split":
            return [
                {"n_components": int(k), "split": split}
                | {name: values[place, split].item() for name, values in columns.items()}
                for place, k in enumerate(self.n_components)
                for split in range(splits)
            ]
        means = {name: values.mean(axis=1) for name, values in columns.items()}
        means |= {"held_out_error": _standard_errors(self.held_out)}
        means |= {"converged": self.converged.sum(axis=1)}
        return [
            {"n_components": int(k), "splits": splits}
            | {name: values[place].item() for name, values in means.items()}
            for place, k in enumerate(self.n_components)
        ]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the held-out and the fitted loss against the number of components.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default on a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            What `partwise.plots.plot_held_out` makes.
        """
        from partwise.plots import plot_held_out

        return plot_held_out(self, ax)

    def __repr__(self) -> str:
        marks = {self.n_components_1se: "one standard error", self.n_components_min: "minimum"}
        head = ["k", "held out", "± s.e.", "fitted", "iterations", "converged", "seconds", ""]
        cells = [
            [
                str(row["n_components"]),
                f"{row['held_out_loss']:.5g}",
                f"{row['held_out_error']:.1e}",
                f"{row['fitted_loss']:.5g}",
                f"{row['n_iter']:.0f}",
                f"{row['converged']} of {row['splits']}",
                f"{row['seconds']:.2g}",
                marks.get(row["n_components"], ""),
            ]
            for row in self.table("n_components")
        ]
        splits = self.held_out.shape[1]
        title = f"{self.loss} per entry, means of {splits} splits"
        return "\n".join([title, "", *aligned([head, *cells])])


def _standard_errors(values: np.ndarray) -> np.ndarray:
    # Of the means of rows; of one value there is none, and none is taken.
    count = values.shape[1]
    return values.std(axis=1, ddof=1) / count**0.5 if count > 1 else np.zeros(len(values))


# --- the fits ------------------------------------------------------------------------------


def cross_val_loss(
    estimator: Any,
    X: Any,
    n_components: Iterable[int],
    *,
    cv: int | HeldOutEntries = 5,
    weights: Any = None,
    uncertainty: Any = None,
    method: str = "missing",
    n_jobs: int | None = None,
) -> CrossValLoss:
    """Fit for several numbers of components without some entries of X, and tell the loss there.

    What is told is the mean of the loss d of the estimator, without penalties, over the entries
    that were held out, ``Σ v d(x, x̂) / Σ v`` with the weights v and the prediction x̂, and the same
    over those that were fitted. The first has its minimum where more components begin to fit noise.

    d is that of ``beta_loss`` and x̂ an entry of W H for `NMF` and what derives from it, and for
    `MiniBatchNMF`; of `NMFImputer` x̂ is what it fills in. For `Recommender` d is ½ (x − x̂)² and
    x̂ what `Recommender.predict` returns, with biases, and clipped if ``clip`` is True: half the
    square of `Recommender.score`. For `PositiveMatrixFactorization` v is 1 and d what an entry
    adds to Q, z² or Huber's loss of z, as in `PositiveMatrixFactorization.score`, near 1 for a
    right model.

    Parameters
    ----------
    estimator : NMF, MiniBatchNMF, NonSmoothNMF, SequentialNMF, NMFImputer, Recommender or \
PositiveMatrixFactorization
        Its parameters are those of every fit; it is not fitted itself.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As for the estimator; what is missing is never held out.
    n_components : iterable of int
        The numbers of components to try.
    cv : int or HeldOutEntries, default=5
        The splits, the same for every number of components; an int is ``HeldOutEntries(cv,
        random_state=0)``. With ``min_known=None`` every row and column keeps as many known
        entries as the largest number of components, so that all of them can be estimated; see
        Notes.
    weights : {array-like, sparse matrix}, optional
        Of the entries of X, as in `NMF.fit`; not for `PositiveMatrixFactorization`.
    uncertainty : array-like of shape (n_samples, n_features), optional
        Of the entries of X, as in `PositiveMatrixFactorization.fit_transform`, and for that alone.
    method : {"missing", "folds"}, default="missing"
        "missing": each fit sees X with the held-out entries missing. "folds", for
        ``scheme="blocks"`` and X that is known everywhere: the fit sees the rows and columns
        outside of the block alone; then W of the rows of the block is found from its other columns,
        and H of its columns from its other rows, by `transform`, and their product
        predicts the block. No fit has missing entries, so that this serves every storage and
        loss, large sparse X whose zeros are data among them.
    n_jobs : int or None, default=None
        Threads for fits side by side. Results do not depend on it.

    Returns
    -------
    CrossValLoss
        A table when printed; `CrossValLoss.plot` draws the curves.

    Raises
    ------
    TypeError
        An estimator that cannot be judged so.
    ValueError
        Parameters out of their range; a method that does not go with X, ``cv`` or the estimator;
        nothing can be held out.

    Warns
    -----
    ConvergenceWarning
        Some fits did not converge: once, with how many.
    UserWarning
        Rows and columns with few known entries left less than half of ``fraction`` to be held out.

    See Also
    --------
    HeldOutEntries : The splits.

    Notes
    -----
    Cost: one fit for each number and split, of data with missing entries or of a part of X. Of
    sparse X neither X nor its reconstruction is made dense, except with ``method="missing"``
    where unstored entries are zeros (see `HeldOutEntries`). A model entry of zero over a count
    above zero has an infinite divergence; it is taken at the floor of 1e-30 times the mean (1e-12
    in float32) and dominates.

    A row with fewer known entries than components has more unknowns than equations, and what is
    predicted there is chance. Unless ``min_known`` says how many entries stay, it is the largest
    of ``n_components``, with one more for the biases of `Recommender`; or 1 where the
    parameters of the estimator penalize both factors, as those of `Recommender` do unless ``alpha``
    is 0, since a penalty determines what data do not.

    Of `PositiveMatrixFactorization` no entries of ``bad`` species are held out; ``weak`` and
    ``modelling_uncertainty`` widen the uncertainty of held-out entries as that of others. With
    ``missing="median"`` held-out entries are medians of the others to the fit, as missing ones
    are; the loss is of what was measured alone, held out and fitted.

    The L2,1 norm is that of the held-out, or of the fitted, part of each row. It grows with the
    root of the number of entries: per entry it is larger for the few that were held out.

    For the splits of rows alone, which tell about new samples of known components, use `score`.

    References
    ----------
    Wold (1978), Technometrics 20, 397-405. "folds": Owen & Perry (2009), Annals of Applied
    Statistics 3, 564-594, section 5. One standard error: Breiman, Friedman, Olshen & Stone (1984),
    Classification and Regression Trees, section 3.4.3.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import NMF, cross_val_loss
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(20 * rng.gamma(1, size=(60, 2)) @ rng.gamma(1, size=(2, 30)))
    >>> found = cross_val_loss(NMF(beta_loss="poisson", max_iter=1000), X, [1, 2, 3, 4], cv=3)
    >>> found.n_components_min
    2
    """
    est, ks, cv = _unfitted(estimator), _numbers(n_components), _splitter(cv)
    if method not in ("missing", "folds"):
        raise ValueError(explain("method", repr(method), "'missing' or 'folds'"))
    if method == "folds" and not est._folds:
        got, todo = type(est).__name__, "Use method='missing'."
        raise ValueError(explain("method='folds'", got, "NMF, or one derived from it", todo))
    X, weights, more = est._entries(X, weights, uncertainty)
    if method == "missing":
        tasks = _with_missing(est, X, weights, more, ks, cv)
    else:
        tasks = _with_folds(est, X, weights, ks, cv)
    # Around all of them: in threads of their own they would undo each other's filters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows = side_by_side(lambda fit: fit(), tasks, n_jobs)
    # The splits one after the other, each with all numbers.
    columns = [np.array(column).reshape(-1, len(ks)).T for column in zip(*rows, strict=True)]
    names = ("held_out", "fitted", "n_iter", "converged", "seconds")
    told: dict[str, Any] = dict(zip(names, columns, strict=True))
    found = CrossValLoss(np.array(ks), **told, loss=est._loss_name)
    undone = int(np.count_nonzero(~found.converged))
    if undone and est.tol > 0:
        message = f"cross_val_loss: {undone} of {len(rows)} fits did not converge. Raise max_iter."
        _runs.warn(message, ConvergenceWarning)
    return found


def _unfitted(estimator: Any) -> Any:
    if not isinstance(estimator, Judged):
        got = getattr(estimator, "__name__", type(estimator).__name__)
        wanted = (
            "NMF(), MiniBatchNMF(), NMFImputer(), Recommender(), PositiveMatrixFactorization(), "
            "or one derived from these"
        )
        raise TypeError(explain("estimator", got, wanted))
    est = clone(estimator)
    est._validate_params()
    return est


def _numbers(n_components: Any) -> list[int]:
    ks = list(n_components) if isinstance(n_components, Iterable) else [n_components]
    whole = all(isinstance(k, Integral) and not isinstance(k, bool) and int(k) >= 1 for k in ks)
    if not ks or not whole or len(set(ks)) < len(ks):
        raise ValueError(explain("n_components", repr(n_components), "different integers ≥ 1"))
    return sorted(map(int, ks))


def _splitter(cv: Any) -> HeldOutEntries:
    if isinstance(cv, HeldOutEntries):
        return cv
    if isinstance(cv, Integral):
        return HeldOutEntries(check_count(cv, "n_splits"), random_state=0)
    raise TypeError(explain("cv", repr(cv), "a number of splits, or HeldOutEntries(...)"))


def _with_missing(
    est: Any, X: Any, weights: Any, more: dict[str, Any], ks: list[int], cv: HeldOutEntries
) -> Iterator[Any]:
    open_ended = cv.min_known is None
    if open_ended:
        cv = copy.copy(cv)
        cv.min_known = est._least_known(ks[-1])
    splits = list(cv.split(X, weights, unstored=est._unstored))
    if open_ended:
        _warn_about_few(splits, cv)
    return (
        partial(_fit_with_missing, est, X, known, held, k, more)
        for known, held in splits
        for k in ks
    )


def _warn_about_few(splits: list[tuple[Any, Any]], cv: HeldOutEntries) -> None:
    known, held = np.sum([[_count(part) for part in pair] for pair in splits], axis=0)
    share = held / (known + held)
    if share < cv.fraction / 2:
        _runs.warn(
            f"cross_val_loss: {share:.2g} of the known entries are held out instead of "
            f"{cv.fraction:g}, since every row and column keeps {cv.min_known} of them, which the "
            "largest number of components takes. Try fewer components, or pass "
            "HeldOutEntries(min_known=...) if fewer entries are enough.",
            UserWarning,
        )


def _count(weights: Any) -> int:
    return int(np.count_nonzero(weights.data if sparse.issparse(weights) else weights))


def _fit_with_missing(
    est: Any, X: Any, known: Any, held: Any, k: int, more: dict[str, Any]
) -> tuple[float, ...]:
    model, begin = clone(est).set_params(n_components=k), time.perf_counter()
    model._fit_to(X, known, **more)
    seconds = time.perf_counter() - begin
    held_out, fitted = model._losses_at(X, known, held, **more)
    return held_out, fitted, model.n_iter_, model._judged_converged, seconds


def _with_folds(est: Any, X: Any, weights: Any, ks: list[int], cv: Any) -> Iterator[Any]:
    whole = clone(est)._check_data(X, reset=True)
    missing = not as_data(whole).complete or est._unstored == "missing"
    if weights is not None or missing:
        todo = "Use method='missing'."
        got = "weights, or X with missing entries"
        raise ValueError(explain("method='folds'", got, "X that is known everywhere", todo))
    blocks = cv.blocks(X.shape)
    return (
        partial(_fit_with_folds, est, whole, rows, columns, k)
        for rows, columns in blocks
        for k in ks
    )


def _fit_with_folds(
    est: Any, X: Any, rows: np.ndarray, columns: np.ndarray, k: int
) -> tuple[float, ...]:
    seen, block = X[~rows][:, ~columns], X[rows][:, columns]
    model, begin = clone(est).set_params(n_components=k), time.perf_counter()
    model.fit(seen)
    seconds = time.perf_counter() - begin
    W = model.transform(X[rows][:, ~columns])
    H = _turned(model).transform(X[~rows][:, columns].T).T
    loss = _runs.misfit(model, block, W, H) / as_data(block).mass
    fitted = model._fitted_loss(as_data(seen).mass)
    return loss, fitted, model.n_iter_, model._judged_converged, seconds


def _turned(model: Any) -> Any:
    # The same for Xᵀ, with the known factor of its own: W and H change places.
    alpha_H = model.alpha_W if model.alpha_H == "same" else model.alpha_H
    found = clone(model).set_params(
        alpha_W=alpha_H,
        alpha_H=model.alpha_W,
        penalty_W=model.penalty_H,
        penalty_H=model.penalty_W,
    )
    found.components_ = np.ascontiguousarray(model.W_.T)
    found.n_features_in_ = len(model.W_)
    return found
