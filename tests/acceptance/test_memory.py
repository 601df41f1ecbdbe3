"""A large sparse file is factorized by a process that holds little more than the file."""

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="needs the peak memory of a child process")

MAKE = """
import sys
import numpy as np
from scipy import sparse
rng = np.random.default_rng(0)
rows, columns, per_row = 20_000, 30_000, 1200
indices = np.sort(rng.integers(0, columns, (rows, per_row), dtype=np.int32), axis=1)
first = np.ones(indices.shape, bool)
first[:, 1:] = indices[:, 1:] != indices[:, :-1]
indptr = np.concatenate([[0], np.cumsum(first.sum(axis=1))]).astype(np.int32)
values = rng.random(int(first.sum()))
X = sparse.csr_array((values, indices[first], indptr), shape=(rows, columns))
sparse.save_npz(sys.argv[1], X, compressed=False)
print(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
"""
# A small process in between: on Linux a child's peak starts at the size of its parent.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak * (1 if sys.platform == "darwin" else 1024))
"""


def output_of(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def test_fit_of_a_sparse_file_needs_less_than_three_times_its_size(tmp_path):
    """20,000 × 30,000, about 280 MB in memory; the interpreter and its imports count too."""
    size = int(output_of(MAKE, tmp_path / "X.npz"))
    fit = [sys.executable, "-m", "partwise", "fit", tmp_path / "X.npz", "-k", 10, "--max-iter", 3]
    peak = int(output_of(MEASURE, *fit, "--tol", 0, "--out", tmp_path / "out"))
    assert (tmp_path / "out" / "model.json").exists()
    assert peak < 3 * size, f"{peak / 1e6:.0f} MB against {size / 1e6:.0f} MB"
