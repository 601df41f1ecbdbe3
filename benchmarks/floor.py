"""How fast the machine itself is: the least that an iteration needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_info

SQUARE = 1000  # rows and columns of a product in which BLAS is at its best


def median_seconds(work: Callable[[], Any], repeats: int = 7) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def square_product() -> float:
    """Return the seconds of NumPy's product of two square matrices."""
    square = np.random.default_rng(0).random((SQUARE, SQUARE))
    return median_seconds(lambda: square @ square)


def own_products(X: Any, W: np.ndarray, H: np.ndarray) -> float:
    """Return the seconds of X Hᵀ and Xᵀ W with the kernels of Partwise."""
    from partwise._threads import one_pool
    from partwise.data import as_data

    data, Ht = as_data(X), np.ascontiguousarray(H.T)
    turned = data.led_by(1, W.shape[1])  # as in a fit
    with one_pool():
        return median_seconds(lambda: data @ Ht) + median_seconds(lambda: turned @ W)


def products(X: Any, W: np.ndarray, H: np.ndarray) -> float:
    """Return the seconds of X Hᵀ and Xᵀ W.

    Dense with NumPy at the machine's number of threads, the faster of the two orientations;
    sparse with the kernels of Partwise.
    """
    if sparse.issparse(X):
        return own_products(X, W, H)
    Ht, Wt = np.ascontiguousarray(H.T), np.ascontiguousarray(W.T)
    right = min(median_seconds(lambda: X @ Ht), median_seconds(lambda: H @ X.T))
    left = min(median_seconds(lambda: X.T @ W), median_seconds(lambda: Wt @ X))
    return right + left


def two_reads(X: Any, rate: float) -> float:
    """Return the seconds of reading X twice at a rate in bytes per second."""
    if sparse.issparse(X):
        return 2 * (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / rate
    return 2 * X.nbytes / rate


def read_rate(megabytes: int = 256) -> float:
    """Return the bytes per second at which as many threads as BLAS may use read memory."""
    allowed = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = max(allowed, default=os.cpu_count() or 1)
    parts = np.array_split(np.ones(megabytes * 2**20 // 8), threads)
    with ThreadPoolExecutor(threads) as pool:
        seconds = median_seconds(lambda: list(pool.map(np.max, parts)))
    return sum(part.nbytes for part in parts) / seconds
