"""A large sparse file is factorized by a process that holds little more than the file."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the peak memory of a child process")
def test_fit_of_a_sparse_file_needs_less_than_three_times_its_size(tmp_path):
    """20,000 × 30,000, about 280 MB in memory; the interpreter and its imports count too."""
    rng = np.random.default_rng(0)
    rows, columns, per_row = 20_000, 30_000, 1200
    indices = np.sort(rng.integers(0, columns, (rows, per_row), dtype=np.int32), axis=1)
    first = np.ones(indices.shape, bool)
    first[:, 1:] = indices[:, 1:] != indices[:, :-1]
    indptr = np.concatenate([[0], np.cumsum(first.sum(axis=1))]).astype(np.int32)
    values = rng.random(int(first.sum()))
    X = sparse.csr_array((values, indices[first], indptr), shape=(rows, columns))
    size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    sparse.save_npz(tmp_path / "X.npz", X, compressed=False)
    del X, values, indices, first
    command = [sys.executable, "-m", "partwise", "fit", str(tmp_path / "X.npz"), "-k", "10",
               "--max-iter", "3", "--tol", "0", "--out", str(tmp_path / "out")]  # fmt: skip
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert peak < 3 * size, f"{peak / 1e6:.0f} MB against {size / 1e6:.0f} MB"
    assert (tmp_path / "out" / "model.json").exists()
