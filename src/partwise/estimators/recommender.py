"""Ratings of items by users: what else would they like."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from partwise._arrays import check_count, check_kind
from partwise._errors import explain
from partwise._threads import one_pool
from partwise.data import as_data
from partwise.estimators._all_or_nothing import AllOrNothing
from partwise.estimators._checks import validated
from partwise.estimators._judged import Judged
from partwise.estimators._observed import observe
from partwise.estimators._ratings import Layout, counted_from, known_ratings
from partwise.estimators._runs import seed_of, warn
from partwise.estimators._units import Unit
from partwise.result import Result
from partwise.solvers import SOLVERS, Solver, as_solver, project_rows, run

__all__ = ["Recommender"]

# Of which factors the penalties grow with ratings.
SCALED = {None: "", "users": "W", "items": "H", "both": "WH"}
# Pairs that are predicted, and entries of the model that are ranked, at a time.
TOGETHER = 2**18


class Recommender(
    AllOrNothing, Judged, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    r"""Matrix factorization of ratings: known ones are fitted, others predicted and recommended.

    The rating of item i by user u is predicted as :math:`\hat r_{ui} = m + b_u + c_i + (W H)_{ui}`.
    Minimized over W, H and the biases b and c is the sum over known ratings

    .. math::

        \tfrac12 \sum_{ui} v_{ui} (r_{ui} - \hat r_{ui})^2
        + \tfrac12 \sum_u q_u \left( \alpha s \|w_u\|^2 + \alpha_b b_u^2 \right)
        + \tfrac12 \sum_i p_i \left( \alpha s \|h_i\|^2 + \alpha_b c_i^2 \right)

    with the weights v, 1 unless given, and q and p 1 unless ``scale_alpha`` says otherwise. With
    ``non_negative=True`` m is the lowest rating and W, H, b and c are ≥ 0: a rating is built up
    from there by parts, which can be read. With False m is the mean rating, and they have any sign.
    The unit s of α is :math:`\sigma (\sqrt{N / n_{users}} + \sqrt{N / n_{items}})` for N ratings,
    or weights with that sum, of standard deviation σ: about the largest singular value that N
    ratings without any structure would have.

    Parameters
    ----------
    n_components : int, default=20
        Number of components k.
    non_negative : bool, default=True
        Whether W, H and the biases are ≥ 0. Ratings may be negative either way. False mostly
        predicts better, since penalties then draw towards the mean and not the lowest rating.
    biases : bool or None, default=None
        Whether users and items have a level of their own; without it b and c are zero. None is
        ``not non_negative``: parts ≥ 0 without biases make up levels by themselves.
    alpha : float, default=0.5
        Strength α of the penalty of W and H. It acts as a threshold of singular values: with
        ``non_negative=False`` 1 would leave nothing of ratings without structure.
    alpha_biases : float, default=5.0
        Strength of the penalty of biases: so many ratings at the mean, or for ``non_negative=True``
        at the lowest rating, weigh as much. With biases both strengths are > 0, or both are 0.
    scale_alpha : {'users', 'items', 'both'} or None, default=None
        Whose penalty grows with their number of ratings: q of users or p of items is that number,
        or the sum of weights, over the mean one. Frequent ones are then drawn to the mean as much
        as rare ones are, and not less. Often predicts better where numbers differ much.
    lowest : float or None, default=None
        The lowest rating that can be given, for ``non_negative=True``. None takes the smallest
        known one, or 0 if that is positive.
    solver : str or a solver object, default='cd'
        'cd' is coordinate descent, 'dsgd' stratified stochastic gradient descent in parallel; or
        another that serves the problem, see `NMF`.
    tol : float, default=2e-4
        Tolerance of the stopping rule, as for `NMF`.
    max_iter : int, default=200
        Iterations at most.
    max_time : float or None, default=None
        Seconds at most.
    clip : bool, default=True
        Whether predictions are kept between the smallest and the largest known rating.
    random_state : int, RandomState, Generator or None, default=None
        For the start and for 'dsgd'.

    Attributes
    ----------
    W_ : ndarray of shape (n_users, n_components)
        How much of each component is in each user.
    components_ : ndarray of shape (n_components, n_items)
        H, how each component rates the items.
    user_biases_, item_biases_ : ndarray of shape (n_users,) and (n_items,)
        b and c.
    base_ : float
        m.
    range_ : (float, float)
        The smallest and the largest known rating.
    rmse_ : float
        The root of the (weighted) mean of the squared errors of the known ratings, not clipped.
    objective_ : float
        The objective.
    objective_history_, time_history_ : ndarray of shape (n_iter + 1,)
        The objective, and seconds, at the start and after each iteration.
    n_iter_ : int
        Iterations done.
    kkt_ : float
        The scaled KKT residual at the end, 0 at a stationary point.
    converged_ : bool
        Whether the stopping rule held.
    stop_reason_, solver_ : str
        Why the fit ended, in words, and the solver that was used.
    n_features_in_ : int
        The number of items.
    feature_names_in_ : ndarray of shape (n_items,)
        Names of the items, if R had names that are all strings.

    See Also
    --------
    NMF : Without biases and recommendations; ``unstored="missing"`` fits stored entries alone.
    cross_val_loss : The error on held-out ratings for several numbers of components.

    Notes
    -----
    Biases are two more components, of which one factor is held at a constant. Neither sparse
    ratings nor the predictions for them are made dense. Cost per iteration of 'cd' and 'dsgd'
    O(ratings · k). Users and items without any rating get zeros, of which a warning tells; no such
    item is recommended.

    Where non-negativity is asked for biases are ≥ 0 too: those of any sign would have to be taken
    from the ratings, and what is left could not be a sum of parts. On ratings of jokes from −10 to
    10 (Jester, 5,000 users, 20 components) the error on held-out ratings is 4.03 with
    ``non_negative=False``, 4.06 with True and no biases, and 4.17 with both; with
    ``scale_alpha="items"`` it is 4.01 and 4.05.

    References
    ----------
    Koren, Bell & Volinsky (2009), Computer 42, 30-37. The unit of α: Candès & Plan (2010),
    Proceedings of the IEEE 98, 925-936, section III. Penalties by numbers of ratings: Srebro &
    Salakhutdinov (2010), NIPS 23, and of both factors Zhou, Wilkinson, Schreiber & Pan (2008),
    AAIM, 337-348. 'dsgd': Gemulla, Nijkamp, Haas & Sismanis (2011), KDD, 69-77.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import Recommender
    >>> R = np.array([[5, 4, np.nan, 1], [4, np.nan, 1, 1], [1, 2, 5, np.nan], [np.nan, 1, 4, 5]])
    >>> model = Recommender(2, non_negative=False, alpha=0.1, random_state=0).fit(R)
    >>> items, ratings = model.recommend(1, n=1)
    >>> items, bool(ratings[0] > 3)
    (array([1]), True)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "non_negative": ["boolean"],
        "biases": ["boolean", None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "alpha_biases": [Interval(Real, 0, None, closed="left")],
        "scale_alpha": [StrOptions({"users", "items", "both"}), None],
        "lowest": [Real, None],
        "solver": [StrOptions({"auto", *SOLVERS}), Solver],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "clip": ["boolean"],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        n_components: int = 20,
        *,
        non_negative: bool = True,
        biases: bool | None = None,
        alpha: float = 0.5,
        alpha_biases: float = 5.0,
        scale_alpha: str | None = None,
        lowest: float | None = None,
        solver: str | Solver = "cd",
        tol: float = 2e-4,
        max_iter: int = 200,
        max_time: float | None = None,
        clip: bool = True,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.non_negative = non_negative
        self.biases = biases
        self.alpha = alpha
        self.alpha_biases = alpha_biases
        self.scale_alpha = scale_alpha
        self.lowest = lowest
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.max_time = max_time
        self.clip = clip
        self.random_state = random_state

    # --- fitting -------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, R: Any, y: Any = None, *, weights: Any = None) -> Recommender:
        """Fit known ratings.

        Parameters
        ----------
        R : {sparse matrix, array-like} of shape (n_users, n_items)
            Of a sparse matrix the stored entries are ratings, stored zeros too; of an array all
            but NaN. Finite, of any sign. Never modified.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the ratings, each ≥ 0; 0 is not known.

        Returns
        -------
        self
        """
        with self._unchanged_on_failure():
            view = self._ratings(R, weights, reset=True)
            self._unit = Unit(Unit.of(view).power)
            data = as_data(self._unit.data_in(view))
            self._known, values = self._known_of(as_data(view))
            self.range_ = float(values.min()), float(values.max())
            self.base_ = self._base(as_data(view))
            counted = counted_from(data, self.base_ * self._unit.entry_in)
            self._layout = self._layout_for(counted)
            rng = np.random.default_rng(seed_of(self.random_state))
            start = self._layout.start(counted, rng)
            problem = self._layout.problem(self._layout.scaled(counted), start)
            with one_pool():
                solver = as_solver(self.solver, problem)
                ends: Any = {"tol": self.tol, "max_iter": self.max_iter, "max_time": self.max_time}
                result = run(problem, solver, rng=rng, **ends)
            self._keep(result, problem, float(counted.mass))
        return self

    def _ratings(self, R: Any, weights: Any, *, reset: bool) -> Any:
        check_kind(R, "R")
        R = validated(self, R, reset=reset, accept_sparse="csr")
        return self._view(R, weights)

    def _view(self, R: Any, weights: Any) -> Any:
        subject = "Recommender (input R)"
        return observe(R, weights, unstored="missing", subject=subject, signed=True)

    @staticmethod
    def _known_of(data: Any) -> tuple[Any, np.ndarray]:
        # Where ratings are known, in compressed rows, and what they are.
        if data.is_sparse:
            values, places = data.stored, (data.indices, data.indptr)
            part: tuple[Any, ...] = (np.ones(len(values), np.int8), *places)
        else:
            users, items, values, _ = known_ratings(data)
            part = np.ones(len(values), np.int8), (users, items)
        return sparse.csr_array(part, shape=data.shape), values

    def _base(self, data: Any) -> float:
        if not self.non_negative:
            return float(data.mean)
        smallest = self.range_[0]
        if self.lowest is None:
            return min(0.0, smallest)
        if not -np.inf < self.lowest <= smallest:
            got = f"{self.lowest:g}, and a rating of {smallest:g}"
            wanted = "a finite number, and no rating below it"
            raise ValueError(explain("lowest", got, wanted, "Leave it at None."))
        return float(self.lowest)

    @property
    def _has_biases(self) -> bool:
        return not self.non_negative if self.biases is None else self.biases

    def _layout_for(self, counted: Any) -> Layout:
        square = counted.sum_of_squares() / counted.mass - counted.mean**2
        spread = max(square, 0.0) ** 0.5 or 1.0
        unit = spread * sum((counted.mass / length) ** 0.5 for length in counted.shape)
        alpha, constant = self.alpha * unit, 0.0
        if self._has_biases:
            if (self.alpha == 0) != (self.alpha_biases == 0):
                got = f"alpha={self.alpha:g} and alpha_biases={self.alpha_biases:g}"
                todo = "Make the smaller one tiny instead of 0, or use biases=False."
                raise ValueError(explain("biases", got, "both > 0, or both 0", todo))
            constant = (alpha / self.alpha_biases) ** 0.5 if self.alpha else 1.0
        layout = Layout(self.n_components, alpha, constant, signed=not self.non_negative)
        return layout.growing(SCALED[self.scale_alpha], counted)

    def _keep(self, result: Result, problem: Any, mass: float) -> None:
        layout, known = self._layout, self._known
        counts = np.diff(known.indptr), np.bincount(known.indices, minlength=known.shape[1])
        misfit = problem.loss_value(result.objective)
        for F, count in zip(problem.factors.values(), counts, strict=True):
            F[count == 0] = 0
        self.user_biases_, self.W_ = self._parts("W", problem.factors["W"], layout)
        self.item_biases_, H = self._parts("H", problem.factors["H"], layout)
        self.components_ = np.ascontiguousarray(H.T)
        self.rmse_ = float(np.sqrt(2 * max(misfit, 0.0) / mass)) / self._unit.entry_in
        held = layout.cost_of_constants(problem.data.shape)
        self.objective_ = float(self._unit.loss_out(result.objective - held, 2.0))
        self.objective_history_ = self._unit.loss_out(result.objective_history - held, 2.0)
        self.time_history_ = result.time_history
        self.n_iter_, self.kkt_, self.converged_ = result.n_iter, result.kkt, result.converged
        self.stop_reason_, self.solver_ = result.stop_reason, result.solver
        self._rated = counts[1] > 0
        self._tell(counts)

    def _parts(self, name: str, F: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        # The biases and the factor in the unit of the user.
        biases, F = layout.parts(name, F)
        return np.ldexp(biases, 2 * self._unit.power), self._unit.factor_out(F)

    def _tell(self, counts: tuple[np.ndarray, ...]) -> None:
        lost = [int(np.count_nonzero(count == 0)) for count in counts]
        if any(lost):
            warn(
                f"{lost[0]} users and {lost[1]} items have no rating. What is predicted for them "
                "is the base and the other bias, and such an item is never recommended.",
                UserWarning,
            )
        if self.tol > 0 and not self.converged_:
            warn(
                f"Recommender: {self.stop_reason_}, the scaled KKT residual is {self.kkt_:.2g} and "
                f"tol={self.tol:g}. Raise max_iter, or tol.",
                ConvergenceWarning,
            )

    # --- predictions ---------------------------------------------------------------------

    def predict(self, users: Any, items: Any) -> np.ndarray:
        """Predict ratings of pairs.

        Parameters
        ----------
        users, items : array-like of int
            Row and column numbers of R; broadcast against each other.

        Returns
        -------
        ndarray
            In the shape of both. Cost O(k) for each.
        """
        check_is_fitted(self, "components_")
        n_users, n_items = len(self.W_), self.components_.shape[1]
        users, items = _numbers(users, n_users, "users"), _numbers(items, n_items, "items")
        users, items = np.broadcast_arrays(users, items)
        found = np.empty(users.size, self.W_.dtype)
        flat = users.reshape(-1), items.reshape(-1)
        for start in range(0, users.size, TOGETHER):
            u, i = (numbers[start : start + TOGETHER] for numbers in flat)
            found[start : start + TOGETHER] = (
                np.einsum("pk,kp->p", self.W_[u], self.components_[:, i])
                + self.user_biases_[u]
                + self.item_biases_[i]
                + self.base_
            )
        return self._clipped(found).reshape(users.shape)

    def _clipped(self, ratings: np.ndarray) -> np.ndarray:
        return np.clip(ratings, *self.range_) if self.clip else ratings

    def recommend(
        self, users: Any, n: int = 10, *, include_rated: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the items with the highest predicted ratings, the highest first.

        Parameters
        ----------
        users : int or array-like of int
            Row numbers of R.
        n : int, default=10
            How many items.
        include_rated : bool, default=False
            Also items that the user has rated already.

        Returns
        -------
        items : ndarray of int, of shape (n,) or (n_users, n)
            −1 where fewer are left.
        ratings : ndarray of that shape
            What is predicted for them, before clipping; NaN where fewer are left. Cost
            O(n_items · k) for each user.
        """
        check_is_fitted(self, "components_")
        numbers = _numbers(users, len(self.W_), "users")
        flat = numbers.reshape(-1)
        known = None if include_rated else self._known[flat]
        found = self._best(self.user_biases_[flat], self.W_[flat], known, n)
        return _shaped(found, numbers.shape)

    def recommend_for(
        self, ratings: Any, n: int = 10, *, weights: Any = None, include_rated: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return recommendations for new users, who are folded in by their ratings.

        Parameters
        ----------
        ratings : {dict, sparse matrix, array-like of shape (n_new, n_items)}
            Of one user a dict from item to rating, or of several the same as for `fit`.
        n : int, default=10
            How many items.
        weights : {array-like, sparse matrix}, optional
            Of the ratings.
        include_rated : bool, default=False
            Also items that are in ``ratings``.

        Returns
        -------
        items, ratings : ndarray of shape (n,) or (n_new, n)
            As those of `recommend`.
        """
        check_is_fitted(self, "components_")
        single = isinstance(ratings, dict)
        if single:
            view = self._view_of_one(ratings, weights)
        else:
            view = self._ratings(ratings, weights, reset=False)
        known = None if include_rated else self._known_of(as_data(view))[0]
        found = self._best(*self._fold_in(view), known, n)
        return _shaped(found, () if single else (view.shape[0],))

    def _view_of_one(self, ratings: dict[Any, Any], weights: Any) -> Any:
        if not ratings:
            raise ValueError(explain("ratings", "{}", "one rating at least"))
        items = _numbers(list(ratings), self.components_.shape[1], "items")
        values = np.asarray(list(ratings.values()), self.components_.dtype)
        places = np.zeros(len(items), np.intp), items
        R = sparse.csr_array((values, places), shape=(1, self.components_.shape[1]))
        return self._view(R, weights)

    def _best(
        self, biases: np.ndarray, W: np.ndarray, known: Any, n: int
    ) -> tuple[np.ndarray, np.ndarray]:
        n, n_items = check_count(n, "n"), self.components_.shape[1]
        kept = min(n, n_items)
        items = np.full((len(W), n), -1)
        ratings = np.full((len(W), n), np.nan, W.dtype)
        height = max(1, TOGETHER // n_items)
        for start in range(0, len(W), height):
            rows = slice(start, min(start + height, len(W)))
            scores = W[rows] @ self.components_ + (self.item_biases_ + self.base_)
            scores += biases[rows, None]
            scores[:, ~self._rated] = -np.inf
            if known is not None:
                scores[known[rows].nonzero()] = -np.inf
            best = np.argsort(-scores, axis=1, kind="stable")[:, :kept]
            values = np.take_along_axis(scores, best, axis=1)
            left = np.isfinite(values)
            items[rows, :kept] = np.where(left, best, -1)
            ratings[rows, :kept] = np.where(left, values, np.nan)
        return items, ratings

    # --- new users -----------------------------------------------------------------------

    def transform(self, R: Any, *, weights: Any = None) -> np.ndarray:
        """Find W for new users, from their ratings and with H fixed.

        Parameters
        ----------
        R : {sparse matrix, array-like} of shape (n_new, n_items)
            As for `fit`.
        weights : {array-like, sparse matrix}, optional
            Of the ratings.

        Returns
        -------
        W : ndarray of shape (n_new, n_components)
            Each row on its own, exactly, together with its bias. Cost O(ratings · k² + n_new · k³).
        """
        check_is_fitted(self, "components_")
        return self._fold_in(self._ratings(R, weights, reset=False))[1]

    def fit_transform(self, R: Any, y: Any = None, *, weights: Any = None) -> np.ndarray:
        """Fit known ratings and return W of the users.

        Parameters
        ----------
        R : {sparse matrix, array-like} of shape (n_users, n_items)
            As for `fit`.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the ratings.

        Returns
        -------
        W : ndarray of shape (n_users, n_components)
            The same as ``fit(R).transform(R)``, which is ``W_`` to the tolerance of the fit.
        """
        return self.fit(R, weights=weights).transform(R, weights=weights)

    def _fold_in(self, view: Any) -> tuple[np.ndarray, np.ndarray]:
        unit, dtype = self._unit, view.dtype
        data = counted_from(as_data(unit.data_in(view)), self.base_ * unit.entry_in)
        layout = self._layout.for_rows("W", data)
        H = unit.factor_in(self.components_.T.astype(dtype))
        W = np.zeros((view.shape[0], len(self.components_)), dtype)
        item_biases = (self.item_biases_ * unit.entry_in).astype(dtype)
        factors = {
            "W": layout.full("W", np.zeros(len(W), dtype), W),
            "H": layout.full("H", item_biases, H),
        }
        problem = layout.problem(layout.scaled(data), factors)
        problem.free = ("W",)
        with one_pool():
            project_rows(problem, tol=1e-8, max_iter=10_000)
        return self._parts("W", problem.factors["W"], layout)

    def score(self, R: Any, y: Any = None, *, weights: Any = None) -> float:
        """Return minus the root mean squared error of predictions; higher is better.

        Parameters
        ----------
        R : {sparse matrix, array-like} of shape (n_users, n_items)
            Ratings by the users of the fit, in the same order. Those that were held out from it
            tell how well it predicts: as R, or with the others' weights 0. Searches of scikit-learn
            split users instead, and are no use here.
        y : Ignored
            Present for consistency.
        weights : {array-like, sparse matrix}, optional
            Of the ratings.

        Returns
        -------
        float
        """
        check_is_fitted(self, "components_")
        data = as_data(self._ratings(R, weights, reset=False))
        if data.shape[0] != len(self.W_):
            todo = "Give new users' ratings to recommend_for or transform."
            got = f"{data.shape[0]} users"
            raise ValueError(explain("score", got, f"the {len(self.W_)} of the fit", todo))
        users, items, values, counts = known_ratings(data)
        errors = np.abs(self.predict(users, items) - values)
        unit = float(errors.max()) or 1.0  # squares of large numbers are none
        return -unit * float(np.sqrt(np.average((errors / unit) ** 2, weights=counts)))

    # --- what `cross_val_loss` asks ----------------------------------------------------------

    _unstored = "missing"
    _loss_name = "Half squared error"

    def _least_known(self, n_components: int) -> int:
        return 1 if self.alpha else n_components + self._has_biases

    def _losses_at(self, X: Any, known: Any, held: Any, **more: Any) -> tuple[float, float]:
        # Of what is predicted, clipped if that is.
        held_out, fitted = (self.score(X, weights=V, **more) for V in (held, known))
        return 0.5 * held_out * held_out, 0.5 * fitted * fitted

    # --- what scikit-learn asks ------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _numbers(given: Any, count: int, subject: str) -> np.ndarray:
    numbers = np.asarray(given)
    whole = numbers.dtype.kind in "iu" or numbers.size == 0
    if not whole or (numbers.size and not 0 <= numbers.min() <= numbers.max() < count):
        got = repr(given) if numbers.size < 20 else f"{numbers.size} numbers"
        raise ValueError(explain(subject, got, f"integers from 0 to {count - 1}"))
    return numbers.astype(np.intp)


def _shaped(found: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> tuple[Any, Any]:
    items, ratings = (part.reshape(*shape, part.shape[1]) for part in found)
    return items, ratings
