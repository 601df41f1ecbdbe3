"""Non-negative least squares with many right-hand sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from partwise import kernels
from partwise._arrays import check_kind
from partwise._errors import explain
from partwise._threads import each, one_pool, spans
from partwise.estimators._runs import warn

__all__ = ["nnls", "nnqp"]

Array = np.ndarray
MAX_ITER = 10_000
# Sweeps of coordinate descent between two looks at which rows are done.
ROUND = 10
NONE = np.empty((0, 0), np.bool_)  # all entries are free
ROUNDING = 16 * float(np.finfo(np.float64).eps)


def _block_pivoting(F: Array, G: Array, C: Array) -> None:
    kernels.pivot_rows(F, G, C, NONE, ROUNDING)


def _active_set(F: Array, G: Array, C: Array) -> None:
    kernels.solve_rows(F, G, C, NONE, ROUNDING)


EXACT = {"block-pivoting": _block_pivoting, "active-set": _active_set}


def _gradient(method: str) -> Callable[[Array, Array, Array, float, int], None]:
    def solve(F: Array, G: Array, C: Array, tol: float, max_iter: int) -> None:
        getattr(kernels, method)(F, G, C, NONE, (tol, 0.0, max_iter))

    return solve


def _cyclic(F: Array, G: Array, C: Array, sweeps: int) -> None:
    kernels.coordinate_sweeps(F, G, C, np.arange(len(G)), NONE, sweeps, 0.0)


def _greedy(F: Array, G: Array, C: Array, sweeps: int) -> None:
    kernels.greedy_updates(F, G, C, NONE, sweeps * len(G), 0.0)


def _in_rounds(
    sweep: Callable[[Array, Array, Array, int], None],
) -> Callable[[Array, Array, Array, float, int], None]:
    def solve(F: Array, G: Array, C: Array, tol: float, max_iter: int) -> None:
        rows = np.arange(len(F))
        for done in range(0, max_iter, ROUND):
            rows = rows[kernels.row_residuals(F[rows], G, C[rows], NONE) > tol]
            if rows.size == 0:
                break
            part = F[rows]
            sweep(part, G, C[rows], min(ROUND, max_iter - done))
            F[rows] = part

    return solve


ITERATIVE = {
    "nesterov": _gradient("nesterov"),
    "projected-gradient": _gradient("projected_gradient"),
    "admm": _gradient("alternating_directions"),
    "cd": _in_rounds(_cyclic),
    "greedy-cd": _in_rounds(_greedy),
}


def nnls(
    A: Any,
    b: Any,
    *,
    method: str = "block-pivoting",
    start: Any = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
) -> tuple[Array, Any]:
    """Solve ``min ‖A x − b‖`` over x ≥ 0 for one right-hand side or for many at once.

    The call ``x, rnorm = nnls(A, b)`` is that of `scipy.optimize.nnls`. With a matrix b every
    column is a problem of its own, as in `numpy.linalg.lstsq`.

    Parameters
    ----------
    A : {array-like, sparse matrix} of shape (m, n)
        Entries of any sign.
    b : {array-like, sparse matrix} of shape (m,) or (m, p)
        One right-hand side, or p of them.
    method : str, default='block-pivoting'
        Exact: 'block-pivoting' and 'active-set'. Iterative: 'nesterov', 'cd' (cyclic
        coordinate descent), 'greedy-cd', 'projected-gradient' and 'admm'.
    start : array-like of shape (n,) or (n, p), optional
        Entries ≥ 0. Exact methods take its support for the first guess of the support of x.
    tol : float, default=1e-8
        Largest KKT residual of each right-hand side: with u_j the norm of column j of A and g
        the gradient Aᵀ(A x − b), the largest ``|min(x_j u_j, g_j / u_j)|`` over the largest
        ``|(Aᵀb)_j| / u_j``. Iterative methods stop there; exact ones are held to it. 0 runs
        ``max_iter`` iterations, and checks nothing.
    max_iter : int, optional
        For iterative methods: steps, or sweeps over all n entries, at most; 10,000 by default.

    Returns
    -------
    x : ndarray of shape (n,) or (n, p)
        float32 where A and b both are, else float64; the work is done in float64.
    rnorm : float or ndarray of shape (p,)
        ``‖A x − b‖`` of each right-hand side.

    Raises
    ------
    ValueError
        Shapes that do not fit, entries that are not finite, a negative start, an unknown
        method, ``max_iter`` with an exact method.

    Warns
    -----
    ConvergenceWarning
        Some right-hand sides did not meet ``tol``.

    See Also
    --------
    nnqp : The same for given products AᵀA and bᵀA.

    Notes
    -----
    All methods work on AᵀA, so that digits are lost as with the square of the condition of
    A; where it is above 1e5 or so prefer a QR method, one right-hand side at a time. With
    dependent columns x is one of many solutions. Columns of b do not influence each other.
    Threads: as many as BLAS may use.

    Cost: O(m n (n + p)) for the products; then, per right-hand side, O(n³) a few times for
    exact methods and O(n²) per iteration for the others.

    References
    ----------
    Block pivoting: Kim & Park (2011), SIAM J. Scientific Computing 33. Active set: Lawson &
    Hanson (1974), Solving Least Squares Problems; Kim & Park (2008), SIAM J. Matrix Analysis
    30. Nesterov: Guan et al. (2012), IEEE Trans. Signal Processing 60. Projected gradient:
    Lin (2007), Neural Computation 19. Greedy: Hsieh & Dhillon (2011), KDD. ADMM: Huang,
    Sidiropoulos & Liavas (2016), IEEE Trans. Signal Processing 64.

    Examples
    --------
    >>> from partwise import nnls
    >>> x, rnorm = nnls([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [2.0, 1.0, -1.0])
    >>> x.round(4).tolist(), round(rnorm, 4)
    ([1.5, 0.0], 1.2247)
    """
    A, kind = _numbers(A, "A", (2,))
    B, other = _numbers(b, "b", (1, 2))
    single = B.ndim == 1
    B = B[:, None] if single else B
    if B.shape[0] != A.shape[0]:
        got, wanted = f"{B.shape[0]} rows", f"{A.shape[0]}, one for each row of A"
        raise ValueError(explain("nnls: b", got, wanted))
    dtype = np.result_type(kind, other)
    gram = A.T @ A
    gram = gram.toarray() if sparse.issparse(gram) else gram
    F = _start(start, (B.shape[1], A.shape[1]), transposed=True)

    def cross(rows: slice) -> Array:
        part = B[:, rows]
        return _dense(part.T @ A)

    def norm(rows: slice) -> Array:
        rest = _dense(A @ F[rows].T - B[:, rows])
        return np.sqrt(np.einsum("ij,ij->j", rest, rest))

    norms = _solve(F, gram, cross, norm, (method, tol, max_iter), given=start is not None)
    X, rnorm = F.T.astype(dtype), np.concatenate(norms)
    return (X[:, 0], float(rnorm[0])) if single else (X, rnorm)


def nnqp(
    gram: Any,
    cross: Any,
    *,
    method: str = "block-pivoting",
    start: Any = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
) -> Array:
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over F ≥ 0, each row of F on its own.

    The non-negative quadratic program, of which least squares is a case: with G = AᵀA and
    C = BᵀA the rows of F are the columns of ``nnls(A, B)[0]``.

    Parameters
    ----------
    gram : array-like of shape (k, k)
        G, symmetric and positive semidefinite.
    cross : array-like of shape (rows, k) or (k,)
        C, a row for each row of F.
    method, tol, max_iter
        As for `nnls`, with u_j² = G_jj, g = f G − c, and c in the place of Aᵀb.
    start : array-like of the shape of cross, optional
        As for `nnls`.

    Returns
    -------
    F : ndarray of the shape of cross
        float32 where gram and cross both are, else float64; the work is done in float64.

    Raises
    ------
    ValueError
        As for `nnls`; a gram that is not symmetric or has a negative eigenvalue beyond
        rounding; a component without curvature along which the objective falls for ever.

    Warns
    -----
    ConvergenceWarning
        Some rows did not meet ``tol``.

    See Also
    --------
    nnls : The same for given A and b.

    Notes
    -----
    Cost per row: O(k³) a few times for exact methods, O(k²) per iteration for the others.

    Examples
    --------
    >>> from partwise import nnqp
    >>> nnqp([[2.0, 1.0], [1.0, 2.0]], [[3.0, 3.0], [2.0, -1.0]]).round(4).tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    G, kind = _numbers(gram, "gram", (2,))
    C, other = _numbers(cross, "cross", (1, 2))
    G, C, single = _dense(G), _dense(C), C.ndim == 1
    C = C[None] if single else C
    if G.shape != (C.shape[1], C.shape[1]):
        wanted = f"({C.shape[1]}, {C.shape[1]}), since cross has {C.shape[1]} columns"
        raise ValueError(explain("nnqp: gram", f"shape {G.shape}", wanted))
    G = _semidefinite(G)
    falling = (np.diag(G) <= 0) & (C > 0).any(axis=0)
    if falling.any():
        j = int(np.argmax(falling))
        raise ValueError(
            explain(
                "nnqp: cross",
                f"entries > 0 in column {j}, where gram[{j}, {j}] is 0",
                "a minimum that exists",
                "Drop the component: the objective falls for ever as it grows.",
            )
        )
    F = _start(start, C.shape, transposed=False)
    how = (method, tol, max_iter)
    _solve(F, G, lambda rows: C[rows], None, how, given=start is not None)
    F = F.astype(np.result_type(kind, other))
    return F[0] if single else F


def _solve(
    F: Array,
    G: Array,
    cross: Callable[[slice], Array],
    judge: Callable[[slice], Array] | None,
    how: tuple[str, float, int | None],
    *,
    given: bool,
) -> list[Any]:
    # Fills F, piece by piece of its rows; ``given``: it holds a start.
    method, tol, max_iter = how
    _check_method(method, tol, max_iter)

    def piece(rows: slice) -> tuple[int, Any]:
        part, C = F[rows], np.ascontiguousarray(cross(rows))
        if method in ITERATIVE:
            ITERATIVE[method](part, G, C, tol, MAX_ITER if max_iter is None else max_iter)
        else:
            if not given:
                kernels.least_squares_rows(part, G, C, NONE, ROUNDING)
            EXACT[method](part, G, C)
        bad = int(np.sum(~(kernels.row_residuals(part, G, C, NONE) <= tol))) if tol else 0
        return bad, judge(rows) if judge else None

    with one_pool():
        found = each(piece, spans(len(F), 20.0 * len(G) ** 2))
    undone = sum(bad for bad, _ in found)
    if undone:
        more = "Raise max_iter or tol." if method in ITERATIVE else "The products are too ill-"
        more += "" if method in ITERATIVE else "conditioned for tol; scale or drop components."
        warn(
            f"{method}: {undone} of {len(F)} right-hand sides did not reach a relative KKT "
            f"residual of tol={tol:g}. {more}",
            ConvergenceWarning,
        )
    return [value for _, value in found]


def _check_method(method: str, tol: float, max_iter: int | None) -> None:
    if method not in EXACT and method not in ITERATIVE:
        names = ", ".join(map(repr, (*EXACT, *ITERATIVE)))
        raise ValueError(explain("method", repr(method), f"one of {names}"))
    if not tol >= 0:
        raise ValueError(explain("tol", tol, "a number ≥ 0"))
    if max_iter is not None and method in EXACT:
        raise ValueError(
            explain(
                f"max_iter of method {method!r}",
                max_iter,
                "None",
                "It is exact and ends by itself; choose an iterative method to bound the work.",
            )
        )
    if max_iter is not None and max_iter < 1:
        raise ValueError(explain("max_iter", max_iter, "an integer ≥ 1"))


def _dense(X: Any) -> Array:
    return np.asarray(X.toarray() if sparse.issparse(X) else X)


def _numbers(X: Any, subject: str, dimensions: tuple[int, ...]) -> tuple[Any, np.dtype]:
    # In float64, and the dtype that the answer takes from it.
    check_kind(X, subject)
    X = sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
    check_kind(X, subject)
    if X.dtype.kind not in "fiub":
        raise ValueError(explain(subject, f"dtype {X.dtype}", "real numbers"))
    kind = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    if X.ndim not in dimensions or 0 in X.shape:
        wanted = " or ".join(f"{count} dimensions" for count in dimensions)
        raise ValueError(explain(subject, f"shape {X.shape}", f"{wanted}, none of them empty"))
    X = X.astype(np.float64, copy=False)
    if not np.isfinite(X.data if sparse.issparse(X) else X).all():
        raise ValueError(explain(subject, "NaN or infinite entries", "finite ones only"))
    return X, kind


def _start(start: Any, shape: tuple[int, int], *, transposed: bool) -> Array:
    if start is None:
        return np.zeros(shape)
    array = _dense(_numbers(start, "start", (1, 2))[0])
    array = array.T if transposed else array
    array = array[None] if array.ndim == 1 else array
    if array.shape != shape:
        wanted = shape[::-1] if transposed else shape
        raise ValueError(explain("start", f"shape {np.shape(start)}", f"{wanted}"))
    if array.min() < 0:
        raise ValueError(explain("start", "negative entries", "entries ≥ 0"))
    return array.astype(np.float64, order="C", copy=True)


def _semidefinite(G: Array) -> Array:
    size = np.abs(G).max()
    if np.abs(G - G.T).max() > 1e-6 * size:
        raise ValueError(explain("nnqp: gram", "a matrix that is not symmetric", "gram = gram.T"))
    G = (G + G.T) / 2
    least = float(np.linalg.eigvalsh(G)[0])
    if least < -1e-6 * size:
        raise ValueError(
            explain(
                "nnqp: gram",
                f"an eigenvalue of {least:.3g}",
                "eigenvalues ≥ 0",
                "A program that is not convex is not solved here.",
            )
        )
    return G
