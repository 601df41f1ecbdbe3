"""The same start, and a number of iterations, for every library.

``start`` prepares X in the form that the library wants, outside of what is timed, and returns
``iterate(n)``: W and H after n iterations from the start, the seconds of the solver alone, and
the iterations done. Every call begins anew.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

Iterate = Callable[[int], tuple[np.ndarray, np.ndarray, float, int]]


class Peer(NamedTuple):
    """A library: its module, the workloads it serves, and how to start it."""

    name: str
    module: str
    start: Callable[[Any, np.ndarray, np.ndarray, float, int], Iterate]
    losses: Callable[[float], bool] = lambda beta: True
    sparse: bool = True
    dense: bool = True
    own_start: bool = False

    def serves(self, X: Any, beta: float) -> bool:
        return self.losses(beta) and (self.sparse if sparse.issparse(X) else self.dense)

    def missing(self) -> str | None:
        """Return why the library cannot be used here."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(self.module)
        except Exception as error:  # a broken installation is as good as none
            return f"{type(error).__name__}: {error}"
        return None


@contextlib.contextmanager
def quiet() -> Any:
    """Silence warnings and prints; the table says what was reached."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def rest() -> None:
    """Wait until the threads of what ran before have gone to sleep."""
    time.sleep(0.3)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    with quiet():
        begin = time.perf_counter()
        answer = work()
        return answer, time.perf_counter() - begin


def _scikit_learn(X: Any, W: np.ndarray, H: np.ndarray, beta: float, seed: int) -> Iterate:
    from sklearn.decomposition import non_negative_factorization

    def iterate(n: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        copies = {"W": W.copy(), "H": H.copy()}
        (found_W, found_H, done), seconds = _timed(
            lambda: non_negative_factorization(
                X,
                **copies,
                n_components=len(H),
                init="custom",
                solver="cd" if beta == 2 else "mu",
                beta_loss=beta,
                tol=0,
                max_iter=n,
            )
        )
        return found_W, found_H, seconds, done

    return iterate


def _mini_batches(X: Any, W: np.ndarray, H: np.ndarray, beta: float, seed: int) -> Iterate:
    from sklearn.decomposition import MiniBatchNMF

    def iterate(n: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        model = MiniBatchNMF(
            len(H),
            init="custom",
            beta_loss=beta,
            tol=0,
            max_no_improvement=None,
            max_iter=n,
            random_state=seed,
        )
        start = {"W": W.copy(), "H": H.copy()}
        found_W, seconds = _timed(lambda: model.fit_transform(X, **start))
        return found_W, model.components_, seconds, n

    return iterate


def _torchnmf(X: Any, W: np.ndarray, H: np.ndarray, beta: float, seed: int) -> Iterate:
    import torch
    from torchnmf.nmf import NMF

    if sparse.issparse(X):
        entries = X.tocoo()
        where = torch.from_numpy(np.array([entries.row, entries.col], dtype=np.int64))
        V = torch.sparse_coo_tensor(
            where, torch.from_numpy(entries.data), X.shape, check_invariants=False
        ).coalesce()
    else:
        V = torch.from_numpy(np.array(X))
    ours, theirs = torch.from_numpy(W.copy()), torch.from_numpy(H.T.copy())

    def iterate(n: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        model = NMF(W=theirs, H=ours).to(V.dtype)  # made in single precision
        model.W.data.copy_(theirs)
        model.H.data.copy_(ours)
        done, seconds = _timed(lambda: model.fit(V, beta=beta, tol=-np.inf, max_iter=n))
        return model.H.detach().numpy(), model.W.detach().numpy().T, seconds, done

    return iterate


def _nmf_torch(X: Any, W: np.ndarray, H: np.ndarray, beta: float, seed: int) -> Iterate:
    from nmf import run_nmf

    def iterate(n: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        n = max(10, n)  # it has no error to return before the tenth
        (found_W, found_H, _), seconds = _timed(
            lambda: run_nmf(
                X,
                len(H),
                init="random",
                beta_loss=beta,
                algo="halsvar" if beta == 2 else "mu",
                tol=0,
                random_state=seed,
                fp_precision="float" if X.dtype == np.float32 else "double",
                batch_max_iter=n,
            )
        )
        return found_W, found_H, seconds, n

    return iterate


def _gensim(X: Any, W: np.ndarray, H: np.ndarray, beta: float, seed: int) -> Iterate:
    from gensim.models.nmf import Nmf

    from partwise import non_negative_factorization

    documents = sparse.csc_matrix(X.T)
    words = {j: str(j) for j in range(X.shape[1])}

    def iterate(n: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        model, seconds = _timed(
            lambda: Nmf(
                documents, len(H), words, passes=n, eval_every=0, normalize=False, random_state=seed
            )
        )
        found_H = np.ascontiguousarray(model.get_topics(), dtype=X.dtype)
        with quiet():  # it keeps W of the last batch only: the best W, at no cost to it
            found_W = non_negative_factorization(X, H=found_H, n_components=len(H), update_H=False)[
                0
            ]
        return found_W, found_H, seconds, n

    return iterate


def _tensorly(X: Any, W: np.ndarray, H: np.ndarray, beta: float, seed: int) -> Iterate:
    from tensorly.decomposition import non_negative_parafac_hals

    def iterate(n: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        first = (np.ones(len(H), X.dtype), [W.copy(), H.T.copy()])
        (weights, factors), seconds = _timed(
            lambda: non_negative_parafac_hals(X, len(H), n_iter_max=n, init=first, tol=0)
        )
        return factors[0] * weights, factors[1].T, seconds, n

    return iterate


def _frobenius(beta: float) -> bool:
    return beta == 2


SCIKIT_LEARN = Peer("scikit-learn", "sklearn", _scikit_learn)
PEERS = [
    SCIKIT_LEARN,
    Peer("scikit-learn mini-batch", "sklearn", _mini_batches),
    Peer("torchnmf", "torchnmf", _torchnmf),
    Peer("nmf-torch", "nmf", _nmf_torch, sparse=False, own_start=True),
    Peer("gensim", "gensim.models.nmf", _gensim, _frobenius, dense=False, own_start=True),
    Peer("tensorly", "tensorly", _tensorly, _frobenius, sparse=False),
]
