"""Non-negative matrix factorization of a whole matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import StrOptions

from partwise.estimators import _runs
from partwise.estimators._base import BaseNMF
from partwise.penalties import Penalty
from partwise.solvers import SOLVERS, Solver

__all__ = ["NMF"]


class NMF(BaseNMF):
    r"""Non-negative matrix factorization X ≈ W H, a drop-in replacement for scikit-learn's.

    Minimizes over W ≥ 0 (n_samples, n_components) and H ≥ 0 (n_components, n_features)

    .. math::

        \sum_{ij} d(X_{ij}, (WH)_{ij})
        + \alpha_W n_{features} \left( \rho \|W\|_1
        + \tfrac12 (1 - \rho) \|W\|_F^2 \right)
        + \alpha_H n_{samples} \left( \rho \|H\|_1
        + \tfrac12 (1 - \rho) \|H\|_F^2 \right)

    plus the penalties ``penalty_W`` and ``penalty_H``, with ρ = ``l1_ratio`` and d the
    beta-divergence, for β = 2 the squared loss ½ (x − y)².

    Parameters
    ----------
    n_components : int, 'auto' or None, default='auto'
        Number of components k. 'auto' takes it from W or H given with ``init='custom'``,
        and else, like None, is the number of features.
    init : str, callable or None, default=None
        The start: 'random', 'random-acol', 'nndsvd', 'nndsvda', 'nndsvdar', 'nnsvd-lrc',
        'kmeans', 'spherical-kmeans', 'spa', 'ica', 'best-random', 'compressed' or 'custom'.
        None is 'nndsvda' if k ≤ min(n_samples, n_features), else 'random'. 'best-random' makes
        five iterations from each of five random starts and goes on from the best. 'compressed',
        for the squared loss of large data, fits the projection of X on k + 20 directions
        first. ``n_iter_`` and ``max_time`` count from there. 'custom' starts from W and H given
        to `fit`; one of them is enough. A callable ``init(X, n_components, random_state)``, with
        an integer as random_state, returns start values W and H, which are taken as they are.
    solver : str or a solver object, default='auto'
        'cd' is coordinate descent (HALS), accelerated and extrapolated, for the squared
        loss; 'rational' is coordinate descent by a rational model, extrapolated, for the
        Kullback–Leibler and Itakura–Saito divergences; 'mu' is the multiplicative update in
        majorize-minimize form, for every loss with a majorizer, 'me' that with exponent 1, for
        0 ≤ β < 1, and 'amu' the longer of both, extrapolated. 'hals', 'a-hals', 'anls-bpp',
        'anls-as', 'nenmf', 'pg', 'gcd', 'mu-lin', 'als' and 'admm' are the classic methods for
        the squared loss, 'ccd', 'newton', 'newton-mu' and 'mirror' those for the Kullback–Leibler
        divergence.
        'pgd' takes proximal gradient steps, for every loss and penalty. 'auto' takes the first of
        'cd', 'rational', 'amu' and 'pgd' that can serve the problem.
    beta_loss : float or {'frobenius', 'kullback-leibler', 'itakura-saito', ...}
        The divergence, or its β: 2, 1, 0; also another name of `partwise.losses.NAMED`, such as
        'hellinger' or 'l21', or a `partwise.losses.Loss` object. For β ≤ 0 all entries of X must
        be > 0.
    tol : float, default=1e-4
        Tolerance of the stopping rule, the same for every solver and loss: the scaled KKT
        residual is at most ``tol``, and over the last ten iterations the penalized
        objective fell by at most ``tol`` times itself. 0 runs ``max_iter`` iterations.
    max_iter : int, default=200
        Iterations at most.
    random_state : int, RandomState, Generator or None, default=None
        For random starts and ``shuffle``. 'nndsvd', 'nndsvda', 'nnsvd-lrc', 'spa' and 'ica'
        do not draw.
    alpha_W, alpha_H : float, default=0.0 and 'same'
        Strength of the penalties; they count times n_features and times n_samples.
        ``alpha_H='same'`` is ``alpha_W``.
    l1_ratio : float in [0, 1], default=0.0
        Share ρ of the L1 norm in the penalties.
    penalty_W, penalty_H : Penalty, list of Penalty or None, default=None
        What W and H must obey beside that, objects of `partwise.penalties`. Their strengths
        are in the scale of the objective: nothing is multiplied by n_features or n_samples.
        A row of a factor is a sample (of W) or a feature (of H), for both a column is a
        component. Solvers that cannot serve them say so; 'pgd' can serve all. `Free` lets a factor
        have any sign, for the squared loss, and X then too.
    verbose : int, default=0
        1 prints about 20 lines per run, and one after ten seconds without, or a progress bar on
        a terminal with rich installed; 2 prints every iteration.
    shuffle : bool, default=False
        Update the components in random order in 'cd'.
    n_init : int, default=1
        Number of starts; the one with the lowest objective is kept. After the first one
        the starts are random where ``init`` itself does not draw.
    n_jobs : int or None, default=None
        Threads that run starts at the same time. Results do not depend on it.
    max_time : float or None, default=None
        Seconds at most, for each start.
    unstored : {'zero', 'missing'}, default='zero'
        What entries are that sparse X does not store. With 'missing', for ratings, only stored
        entries are visited, whatever the loss.
    allow_negative : bool, default=False
        X may have negative entries, for the squared loss: noise around small values, which
        clipping at zero would bias. W and H are ≥ 0 all the same.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        H, in the dtype of X.
    W_ : ndarray of shape (n_samples, n_components)
        W of the training data.
    n_components_, n_features_in_, n_iter_ : int
        The numbers of components, of features and of iterations.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names that are all strings.
    reconstruction_err_ : float
        √(2 D) with D = Σ d(X, W H), without penalties; for the squared loss ‖X − W H‖.
    objective_ : float
        The penalized objective.
    objective_history_, time_history_ : ndarray of shape (n_iter + 1,)
        The penalized objective, and seconds, at the start and after each iteration. Of large data
        the start is what the head start of the solver has made of it.
    objectives_ : ndarray of shape (n_init,)
        The penalized objective of every start.
    kkt_ : float
        The scaled KKT residual at the end, 0 at a stationary point.
    converged_ : bool
        Whether the stopping rule held.
    stop_reason_ : str
        Why the fit ended, in words.
    solver_, init_ : str
        The solver and the start that were used; of a callable its name.
    beta_loss_ : float
        β as a number; of another loss its degree.
    seed_ : int
        ``random_state=seed_`` repeats the fit.

    See Also
    --------
    MiniBatchNMF : Online updates from a few rows at a time.
    non_negative_factorization : The same as a function.

    Notes
    -----
    Cost per iteration O(stored entries · k + (n_samples + n_features) · k²) for 'cd'.
    Raises ValueError for input out of the domain, TypeError for start values of another
    dtype than X, and warns with ConvergenceWarning if the stopping rule did not hold.

    References
    ----------
    Lee & Seung (1999), Nature 401, 788-791. Cichocki & Phan (2009), IEICE E92-A, 708-721.
    Gillis (2020), Nonnegative Matrix Factorization, SIAM.

    Examples
    --------
    >>> from partwise import NMF
    >>> X = [[1, 1, 0], [2, 2, 0], [0, 0, 3], [1, 1, 3]]
    >>> model = NMF(2).fit(X)
    >>> bool(model.reconstruction_err_ < 1e-3)
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseNMF._parameter_constraints,
        "solver": [StrOptions({"auto", *SOLVERS}), Solver],
        "shuffle": ["boolean"],
        "penalty_W": [Penalty, list, tuple, None],
        "penalty_H": [Penalty, list, tuple, None],
        "unstored": [StrOptions({"zero", "missing"})],
        "allow_negative": ["boolean"],
    }

    def __init__(
        self,
        n_components: int | str | None = "auto",
        *,
        init: str | Callable[..., Any] | None = None,
        solver: str | Solver = "auto",
        beta_loss: float | str = "frobenius",
        tol: float = 1e-4,
        max_iter: int = 200,
        random_state: Any = None,
        alpha_W: float = 0.0,
        alpha_H: float | str = "same",
        l1_ratio: float = 0.0,
        penalty_W: Any = None,
        penalty_H: Any = None,
        verbose: int = 0,
        shuffle: bool = False,
        n_init: int = 1,
        n_jobs: int | None = None,
        max_time: float | None = None,
        unstored: str = "zero",
        allow_negative: bool = False,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.solver = solver
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.penalty_W = penalty_W
        self.penalty_H = penalty_H
        self.verbose = verbose
        self.shuffle = shuffle
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.max_time = max_time
        self.unstored = unstored
        self.allow_negative = allow_negative

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        W: Any = None,
        H: Any = None,
        *,
        weights: Any = None,
        sample_weight: Any = None,
        fixed_W: Any = None,
        fixed_H: Any = None,
        callback: Any = None,
    ) -> np.ndarray:
        """Learn the factors of X and return W.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Entries ≥ 0 and finite; at least two features. NaN is missing and counts for
            nothing, in a dense array, and stored in a sparse one with ``unstored="missing"``.
            Never modified. Larger than memory: a memory map, the path of a ``.npy`` file, a Zarr
            array, an HDF5 dataset or backed AnnData, which are read block by block of rows.
        y : Ignored
            Present for consistency.
        W : ndarray of shape (n_samples, n_components), optional
            Start of W, with ``init='custom'``; same dtype as X. Never modified.
        H : ndarray of shape (n_components, n_features), optional
            Start of H, likewise. If only one is given, the other starts at random.
        weights : {array-like, sparse matrix}, optional
            Of the shape of X, or (n_samples,) for whole rows; each ≥ 0, 0 is missing, also what
            a sparse matrix does not store. Minimized is Σ weights · d(X, W H) with the penalties
            (for whole samples, as in the L2,1 norm, see `partwise.losses.L21`).
            For uncertainties s, of the squared loss, 1 / s². Or read from disk, as X.
        sample_weight : array-like of shape (n_samples,), optional
            Of whole rows, each ≥ 0, on top of ``weights``: a row of weight 2 counts as two rows
            that are the same.
        fixed_W, fixed_H : boolean ndarray of the shape of W or H, optional
            True where an entry keeps its start value.
        callback : callable, optional
            Called with a `FitState` at the start and after each iteration; the fit ends
            when it returns True.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        with self._unchanged_on_failure():
            X = self._check_data(X, reset=True, weights=weights, sample_weight=sample_weight)
            start = _runs.check_starts(self, X, W, H, fixed_W, fixed_H)
            self._keep(_runs.fit_all(self, X, start, _runs.default_solver(self), callback), X)
        return self.W_.copy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = not self.allow_negative
        return tags
