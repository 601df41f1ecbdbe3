"""Data outside memory: the same call and the same answer, block by block."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from partwise import NMF, MiniBatchNMF, _threads, init, non_negative_factorization
from partwise.data import Stored, as_data, open_reader
from partwise.data.stored import ahead
from partwise.estimators import _checks
from partwise.init.leading import leading
from partwise.losses import as_loss
from partwise.models import Bilinear
from partwise.problem import Problem
from tests.api.test_bad_input import message_of, says
from tests.parity.test_objective import penalized

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.gamma(0.7, size=(90, 5)) @ rng.gamma(0.7, size=(5, 24)) + 0.05 * rng.random((90, 24))
X[rng.random(X.shape) < 0.3] = 0
NAMES = [f"gene {j}" for j in range(X.shape[1])]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Nothing is read as a whole, and a block has some rows only."""
    monkeypatch.setattr(_checks, "FITS", 0)
    monkeypatch.setattr(Stored, "block_bytes", 3000)


def saved(folder, matrix=X, name="X.npy"):
    np.save(folder / name, matrix)
    return folder / name


def zarr_array(folder, matrix=X, **options):
    zarr = pytest.importorskip("zarr")
    path = str(folder / "X.zarr")
    made = zarr.open_array(path, mode="w", shape=matrix.shape, dtype=matrix.dtype, **options)
    made[:] = matrix
    return zarr.open_array(path, mode="r")


def h5_dataset(folder, matrix=X, **options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "X.h5", "w") as file:
        file.create_dataset("X", data=matrix, **options)
    return h5py.File(folder / "X.h5", "r")["X"]


def backed(folder, matrix=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata = pytest.importorskip("anndata")
        adata = anndata.AnnData(matrix)
        adata.var_names = NAMES
        adata.write_h5ad(folder / "X.h5ad")
        return anndata.read_h5ad(folder / "X.h5ad", backed="r")


def mapped(folder, matrix=X, mode="r"):
    return np.load(saved(folder, matrix), mmap_mode=mode)


def raw_map(folder):
    (folder / "raw").write_bytes(b"header" + X.tobytes())
    return np.memmap(folder / "raw", dtype=X.dtype, mode="r+", offset=6, shape=X.shape)


def changed_map(folder):
    array = mapped(folder, np.vstack([X[:40], 0 * X[40:50], X[50:]]), mode="c")
    array[40:50] = X[40:50]
    return array


def replaced_map(folder):
    array = mapped(folder)
    saved(folder, X + 1, "other.npy").rename(folder / "X.npy")
    return array


SOURCES = {
    "path": saved,
    "path as text": lambda folder: str(saved(folder)),
    "Fortran order": lambda folder: saved(folder, np.asfortranarray(X)),
    "other byte order": lambda folder: saved(folder, X.astype(">f8")),
    "memory map": mapped,
    "memory map, columns": lambda folder: mapped(folder, np.asfortranarray(X)),
    "memory map, some rows": lambda folder: mapped(folder, np.vstack([X + 1, X, X]))[90:180],
    "memory map, some rows of columns": lambda folder: mapped(
        folder, np.asfortranarray(np.vstack([X + 1, X]))
    )[90:],
    "memory map, some columns": lambda folder: mapped(folder, np.hstack([X + 1, X]))[:, 24:],
    "memory map, every other row": lambda folder: mapped(folder, np.repeat(X, 2, axis=0))[::2],
    "memory map with an offset": raw_map,
    "memory map with private changes": changed_map,
    "memory map of a file that was replaced": replaced_map,
    "Zarr": lambda folder: zarr_array(folder, chunks=(16, 10)),
    "Zarr, version 2": lambda folder: zarr_array(folder, chunks=(7, 24), zarr_format=2),
    "HDF5": h5_dataset,
    "HDF5 in chunks": lambda folder: h5_dataset(folder, chunks=(11, 5), compression="gzip"),
    "AnnData": backed,
    "AnnData, sparse": lambda folder: backed(folder, sparse.csr_matrix(X)),
    "X of AnnData": lambda folder: backed(folder).X,
    "X of AnnData, sparse": lambda folder: backed(folder, sparse.csr_matrix(X)).X,
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_answer_is_that_of_the_array_in_memory(source, tmp_path):
    given = SOURCES[source](tmp_path)
    in_memory = sparse.csr_array(X) if "sparse" in source else X
    model = NMF(4, tol=0, max_iter=30)
    wanted = copy.deepcopy(model).fit(in_memory)
    found = model.fit(given)
    for name in ("components_", "W_", "objective_history_", "reconstruction_err_", "kkt_"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(wanted, name), rtol=1e-9, atol=1e-10, err_msg=name
        )
    np.testing.assert_allclose(found.transform(given), wanted.transform(in_memory), atol=1e-10)
    assert found.score(given) == pytest.approx(wanted.score(in_memory), rel=1e-9)
    for per in (None, "component", "sample", "feature"):
        np.testing.assert_allclose(
            found.explained_variance(given, per), wanted.explained_variance(in_memory, per)
        )
    np.testing.assert_array_equal(found.assign(given), wanted.assign(in_memory))


@pytest.mark.parametrize(
    "options",
    [
        {"init": "random"},
        {"init": "random-acol"},
        {"init": "nndsvdar"},
        {"solver": "mu"},
        {"beta_loss": "kullback-leibler", "solver": "mu"},
        {"beta_loss": 0.5, "alpha_W": 0.01, "l1_ratio": 0.5},
        {"n_init": 3, "n_jobs": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_every_option_works_on_disk(options, kind, tmp_path):
    given = saved(tmp_path) if kind == "dense" else backed(tmp_path, sparse.csr_matrix(X)).X
    in_memory = X if kind == "dense" else sparse.csr_array(X)
    model = NMF(3, random_state=0, tol=0, max_iter=20, **options)
    wanted = copy.deepcopy(model).fit(in_memory)
    model.fit(given)
    np.testing.assert_allclose(model.components_, wanted.components_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(model.objective_history_, wanted.objective_history_, rtol=1e-9)
    np.testing.assert_allclose(model.transform(given), wanted.transform(in_memory), atol=1e-9)


@pytest.mark.parametrize("beta", [2.0, 1.0])
@pytest.mark.parametrize("batch_size", [7, 40, 1000])
def test_mini_batches(beta, batch_size, tmp_path):
    path = saved(tmp_path)
    model = MiniBatchNMF(3, random_state=0, batch_size=batch_size, beta_loss=beta, max_iter=20)
    wanted = copy.deepcopy(model).fit(X)
    model.fit(path)
    assert model.n_steps_ == wanted.n_steps_
    np.testing.assert_allclose(model.components_, wanted.components_, rtol=1e-8, atol=1e-10)
    for matrix, batch in ((wanted, X[:50]), (model, np.load(path, mmap_mode="r")[:50])):
        matrix.partial_fit(batch)
    np.testing.assert_allclose(model.components_, wanted.components_, rtol=1e-8, atol=1e-10)


def test_as_a_function(tmp_path):
    path = saved(tmp_path)
    W, H, _ = non_negative_factorization(X, n_components=3)
    W_of_path, H_of_path, _ = non_negative_factorization(path, n_components=3)
    np.testing.assert_allclose(W_of_path @ H_of_path, W @ H, atol=1e-9)
    again, _, _ = non_negative_factorization(path, H=H, n_components=3, update_H=False)
    wanted, _, _ = non_negative_factorization(X, H=H, n_components=3, update_H=False)
    np.testing.assert_allclose(again, wanted, atol=1e-10)


@pytest.mark.parametrize(
    ("stored", "computed"),
    [("float32", "float32"), (">f4", "float32"), ("float64", "float64"), ("float16", "float64")]
    + [(name, "float64") for name in ("int8", "uint16", "int64", "bool")],
)
def test_dtypes_become_what_they_become_in_memory(stored, computed, tmp_path):
    matrix = (3 * X).astype(stored)
    found = NMF(3, max_iter=5, tol=0).fit(saved(tmp_path, matrix))
    wanted = NMF(3, max_iter=5, tol=0).fit(matrix.astype(computed))
    assert found.components_.dtype == found.W_.dtype == computed
    close = {"rtol": 1e-3, "atol": 1e-4} if computed == "float32" else {"rtol": 1e-8}
    np.testing.assert_allclose(
        found.W_ @ found.components_, wanted.W_ @ wanted.components_, **close
    )


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_scales_are_handled_while_reading(kind, scale, tmp_path):
    def fit(matrix):
        given = saved(tmp_path, matrix)
        if kind == "sparse":
            given = backed(tmp_path, sparse.csr_matrix(matrix)).X
        return NMF(3, max_iter=10, tol=0).fit(given).components_

    plain = fit(X)
    np.testing.assert_allclose(fit(scale * X), np.sqrt(scale) * plain, rtol=1e-8)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), scale * X)


def test_small_sources_are_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(_checks, "FITS", 2**26)
    monkeypatch.setattr(Stored, "fetch", None)
    given = [saved(tmp_path), mapped(tmp_path), h5_dataset(tmp_path), backed(tmp_path)]
    wanted = NMF(3).fit(X).components_
    for source in given:
        np.testing.assert_array_equal(NMF(3).fit(source).components_, wanted)


# ---------------------------------------------------------------- what is read, and when


def passes(monkeypatch, path, **options):
    """The number of times that a fit reads a row."""
    rows, fetch = [], Stored.fetch

    def counted(self, start, stop):
        rows.append(stop - start)
        return fetch(self, start, stop)

    monkeypatch.setattr(Stored, "fetch", counted)
    NMF(3, tol=0, **options).fit(path)
    monkeypatch.setattr(Stored, "fetch", fetch)
    assert max(rows) < len(X) / 3
    return sum(rows) / len(X)


def test_an_iteration_reads_each_row_once(tmp_path, monkeypatch):
    path = saved(tmp_path, X + rng.random(X.shape))
    few = passes(monkeypatch, path, max_iter=10)
    assert passes(monkeypatch, path, max_iter=25) - few == 15
    # Checks and sums, two for the start, the first objective; the residual, and with it what is
    # explained.
    assert few == 10 + 1 + 2 + 1 + 1


@pytest.mark.parametrize("alpha", [0.0, 1e-9])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_of_a_close_fit_too_each_row_is_read_once(dtype, alpha, tmp_path, monkeypatch):
    """What is left is formed block by block, and the change of it by the last factor added."""
    monkeypatch.setattr(Stored, "block_bytes", 1500)
    planted = np.random.default_rng(1)
    W, H = (planted.gamma(0.7, size=shape) for shape in ((90, 3), (3, 24)))
    noise = 1e-4 if dtype is np.float64 else 1e-2
    path = saved(tmp_path, (W @ H + noise * planted.random((90, 24))).astype(dtype))
    options = {"init": "random", "random_state": 0, "alpha_W": alpha, "alpha_H": alpha}
    few = passes(monkeypatch, path, max_iter=40, **options)
    assert passes(monkeypatch, path, max_iter=70, **options) - few == 30
    given = np.load(path)
    for iterations in (5, 20, 21, 70):
        model = NMF(3, tol=0, max_iter=iterations, **options).fit(path)
        true = penalized(given, model.W_, model.components_, 2.0, *2 * [alpha], 0.0)
        assert model.objective_ == pytest.approx(true, rel=1e-9 if dtype is np.float64 else 1e-5)
        longer = NMF(3, tol=0, max_iter=iterations + 1, **options).fit(path)
        rounded = longer.objective_history_[iterations]
        assert rounded == pytest.approx(true, rel=1e-9 if dtype is np.float64 else 1e-4)


def test_what_an_update_tells_of_a_close_fit_is_not_taken_for_what_is_left(tmp_path):
    """An update may return the quadratic of its rows."""
    planted = np.random.default_rng(1)
    W, H = planted.random((90, 3)), planted.random((24, 3))
    data = Stored(open_reader(saved(tmp_path, W @ H.T)))
    problem = Problem(data, Bilinear(3), as_loss(2), {"W": 3 * W, "H": 3 * H})

    def update(name, rows, F, normal, free):
        F *= 0.9
        return normal.value(F)

    value = problem.sweep(update, "normal")
    assert value == pytest.approx(0.5 * np.sum((W @ H.T * (1 - 2.7**2)) ** 2))


@pytest.mark.parametrize("beta", [1.0, 0.0])
def test_divergences_read_one_block_ahead(beta, tmp_path, monkeypatch):
    alive = []
    monkeypatch.setattr(_threads, "_allowance", lambda: 8)
    fetch = Stored.fetch

    def counted(self, start, stop):
        block = fetch(self, start, stop)
        alive.append(weakref.ref(block))
        assert sum(each() is not None for each in alive) <= 3
        time.sleep(0.001)
        return block

    monkeypatch.setattr(Stored, "fetch", counted)
    NMF(3, solver="mu", beta_loss=beta, max_iter=3, tol=1e-9).fit(saved(tmp_path, X + 0.1))
    assert len(alive) > 20


def test_one_block_is_read_ahead_and_no_more():
    asked, spans = [], [slice(i, i + 1) for i in range(6)]
    for span, block in ahead(lambda start, stop: asked.append(start) or start, spans):
        assert block == span.start
        assert len(asked) <= span.start + 2
    assert asked == list(range(6))


def readers():
    return [t for t in threading.enumerate() if t.name.startswith("partwise-read")]


def test_the_next_block_is_read_while_one_is_worked_on():
    """The reader of the second block waits for the caller to have the first one."""
    at_work = threading.Event()

    def read(start, stop):
        return start == 0 or at_work.wait(10)

    for span, arrived in ahead(read, [slice(0, 1), slice(1, 2)]):
        assert arrived, "the second block was read before the first one was given out"
        if span.start == 0:
            assert readers()
            at_work.set()


def test_the_thread_ends_with_the_caller(tmp_path):
    stream = Stored(open_reader(saved(tmp_path))).stream()
    next(stream)
    assert readers()
    stream.close()
    assert not readers()
    model = NMF(3, max_iter=3, tol=0).fit(tmp_path / "X.npy")
    assert not readers()
    with pytest.raises(KeyboardInterrupt):
        model.fit(tmp_path / "X.npy", callback=lambda state: raising(KeyboardInterrupt))
    assert not readers()


def raising(kind):
    raise kind


def test_errors_of_the_thread_reach_the_caller():
    def read(start, stop):
        return start if start < 2 else raising(OSError("gone"))

    seen = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(block for _, block in ahead(read, [slice(i, i + 1) for i in range(5)]))
    assert not readers()


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda path: os.truncate(path, 4000), "a file that changed"),
        (lambda path: np.save(path, X + 1), "a file that changed"),
        (Path.unlink, "No such file"),
    ],
    ids=["shrinks", "changes", "goes"],
)
def test_a_file_that_changes_during_the_fit_is_noticed(harm, what, tmp_path):
    path = saved(tmp_path)
    model = NMF(3, max_iter=20, tol=0).fit(X)
    before = model.components_

    def harmful(state):
        if state.iteration == 3:
            harm(path)

    with pytest.raises(OSError, match=what):
        model.fit(path, callback=harmful)
    assert model.components_ is before
    assert not readers()


def test_a_file_that_ends_too_early_is_noticed(tmp_path):
    path = saved(tmp_path)
    reader = open_reader(path)
    os.truncate(path, 4000)
    reader.stamp = type(reader)(path, 0, (1, 1), X.dtype).stamp
    with pytest.raises(OSError, match="ends too early"):
        reader.read(0, 90)


def test_a_closed_file_is_an_error(tmp_path):
    dataset = h5_dataset(tmp_path)

    def harmful(state):
        if state.iteration == 2:
            dataset.file.close()

    model = NMF(3, max_iter=20, tol=0)
    message = message_of(lambda: model.fit(dataset, callback=harmful), OSError)
    says(message, r"X \(an HDF5 dataset\), rows 0 to", "Keep the source open")


def test_the_estimator_keeps_no_data(tmp_path):
    model = NMF(3, max_iter=5, tol=0).fit(h5_dataset(tmp_path))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.transform(X), model.transform(X))


# ---------------------------------------------------------------- names and errors


def test_names_of_anndata_are_the_features(tmp_path):
    model = NMF(3, max_iter=5, tol=0).fit(backed(tmp_path))
    np.testing.assert_array_equal(model.feature_names_in_, NAMES)
    assert model.n_features_in_ == len(NAMES)
    other = backed(tmp_path)
    other.var_names = NAMES[::-1]
    says(message_of(lambda: model.transform(other)), "feature names should match")


def test_anndata_in_memory(tmp_path):
    adata = backed(tmp_path).to_memory()
    model = NMF(3, max_iter=5, tol=0).fit(adata)
    np.testing.assert_array_equal(model.components_, NMF(3, max_iter=5, tol=0).fit(X).components_)
    np.testing.assert_array_equal(model.feature_names_in_, NAMES)
    adata.X = None
    says(message_of(lambda: model.fit(adata)), "AnnData without a matrix", "layers")


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "contains NaN"), (np.inf, "contains inf"), (-2.0, "Negative values.*smallest -2")],
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_bad_entries_are_located(value, what, kind, tmp_path):
    if kind == "dense" and np.isnan(value):
        pytest.skip("NaN in dense X is missing.")
    matrix = X.copy()
    matrix[77, 3] = matrix[77, 2] = value
    given = saved(tmp_path, matrix)
    if kind == "sparse":
        given = backed(tmp_path, sparse.csr_matrix(matrix)).X
    for Estimator in (NMF, MiniBatchNMF):
        message = message_of(lambda E=Estimator: E(3).fit(given))
        says(message, what, f"{Estimator.__name__} ", "2 (such|negative) entries in rows")
        says(message, r"the first at \(77, 2\)")
    says(message_of(lambda: NMF(3).fit(X).transform(given)), what)


def truncated(folder):
    path = saved(folder)
    os.truncate(path, 5000)
    return path


def broken(folder):
    (folder / "X.npy").write_text("no array at all")
    return folder / "X.npy"


def pickled(folder):
    np.save(folder / "X.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    return folder / "X.npy"


def table(folder):
    (folder / "X.csv").write_text("1,2\n3,4\n")
    return folder / "X.csv"


def text_in_zarr(folder):
    zarr = pytest.importorskip("zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.open_array(folder / "text.zarr", mode="w", shape=(4, 4), dtype="U5")


def text_in_h5(folder):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "text.h5", "w")
    file["X"] = np.array([["a", "b"]], dtype=h5py.string_dtype())
    return file["X"]


def zarr_group(folder):
    zarr = pytest.importorskip("zarr")
    return zarr.open_group(folder / "group.zarr", mode="w")


MISUSES = {
    "no such file": (
        lambda folder: folder / "no.npy",
        FileNotFoundError,
        ["no.npy", "no such file", "Check the path"],
    ),
    "no .npy": (table, ValueError, ["ends in '.csv'", r"path of a \.npy file", "read_matrix"]),
    "a folder": (lambda folder: folder, ValueError, ["a folder", r"path of a \.npy file"]),
    "a .zarr folder": (
        lambda folder: zarr_array(folder) is None or folder / "X.zarr",
        ValueError,
        ["a folder", r"zarr\.open_array"],
    ),
    "a .h5 file": (
        lambda folder: h5_dataset(folder) is None or folder / "X.h5",
        ValueError,
        [r"ends in '\.h5'", r"h5py\.File"],
    ),
    "no array": (broken, ValueError, ["a file that is none", r"np\.save"]),
    "pickled objects": (pickled, ValueError, ["pickled objects", "never loaded", r"astype"]),
    "truncated": (truncated, ValueError, ["truncated file of 5000 bytes", "17408 bytes"]),
    "text": (
        lambda folder: saved(folder, np.array([["a", "b"]])),
        ValueError,
        ["dtype <U1", "numbers", "astype"],
    ),
    "complex": (
        lambda folder: saved(folder, X * 1j),
        ValueError,
        ["Complex data", "complex128", r"np\.abs"],
    ),
    "one dimension": (
        lambda folder: saved(folder, X[0]),
        ValueError,
        ["Expected 2D array, got 1D array"],
    ),
    "three dimensions": (
        lambda folder: saved(folder, X.reshape(9, 10, 24)),
        ValueError,
        ["dim <= 2 is required by NMF", "one row of each sample"],
    ),
    "three dimensions, Zarr": (
        lambda folder: zarr_array(folder, X.reshape(9, 10, 24)),
        ValueError,
        ["dim <= 2 is required by NMF", "one row of each sample"],
    ),
    "one column": (
        lambda folder: saved(folder, X[:, :1]),
        ValueError,
        ["1 feature", "minimum of 2", "pass more columns"],
    ),
    "no rows": (lambda folder: saved(folder, X[:0]), ValueError, [r"0 sample", "filter or file"]),
    "text, Zarr": (text_in_zarr, ValueError, ["dtype", "numbers"]),
    "text, HDF5": (text_in_h5, ValueError, ["objects", "numbers"]),
    "a group, Zarr": (zarr_group, TypeError, ["Group", "a Zarr array", r"X\[name\]"]),
    "a file, HDF5": (
        lambda folder: h5_dataset(folder).file,
        TypeError,
        ["File that holds 'X'", "an HDF5 dataset", r"X\[name\]"],
    ),
    "columns, AnnData": (
        lambda folder: backed(folder, sparse.csc_matrix(X)),
        TypeError,
        ["CSC", "compressed rows", "tocsr"],
    ),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_is_explained(misuse, tmp_path):
    make, kind, parts = MISUSES[misuse]
    given = make(tmp_path)
    says(message_of(lambda: NMF(2).fit(given), kind), *parts)


def test_the_number_of_features_is_compared(tmp_path):
    model = NMF(2, max_iter=5).fit(X)
    path = saved(tmp_path, X[:, :20])
    says(message_of(lambda: model.transform(path)), "20 features", "24 features")


# ---------------------------------------------------------------- starts


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("decay", [0.99, 0.9])
def test_leading_triplets_are_at_least_as_good_as_scikit_learns(decay, dtype):
    """What ten triplets leave of X, beyond what they must, on average over six matrices."""
    excess = []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        left, right = (np.linalg.qr(draw.standard_normal((n, 430)))[0] for n in (450, 430))
        matrix = (left * decay ** np.arange(430)) @ right.T
        matrix = (matrix + np.abs(matrix.min())).astype(dtype)  # non-negative
        best = np.linalg.norm(np.linalg.svd(matrix.astype(float))[1][10:])
        triplets = leading(as_data(matrix), 10), randomized_svd(matrix, 10, random_state=0)
        excess.append([np.linalg.norm(matrix - (u * s) @ vt) / best - 1 for u, s, vt in triplets])
    ours, theirs = np.mean(excess, axis=0)
    assert ours <= max(theirs, 1e-12 if dtype == np.float64 else 1e-5)
    assert ours < 1e-3


@pytest.mark.parametrize("shape", [(60, 24), (24, 60), (500, 410)])
def test_starts_do_not_depend_on_the_storage(shape, tmp_path):
    draw = np.random.default_rng(1)
    matrix = draw.gamma(0.7, size=(shape[0], 4)) @ draw.gamma(0.7, size=(4, shape[1]))
    matrix += 1e-6 * draw.random(shape)
    on_disk = Stored(open_reader(saved(tmp_path, matrix)))
    for name in ("nndsvd", "nndsvda"):
        wanted = init.make_start(as_data(matrix), Bilinear(4), name, None)[1]
        found = init.make_start(on_disk, Bilinear(4), name, None)[1]
        for factor in ("W", "H"):
            np.testing.assert_allclose(found[factor], wanted[factor], rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- cost

USE = """
import resource, sys
import numpy as np
from partwise import NMF

def peak():
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * (1 if sys.platform == "darwin" else 1024)

options = {"tol": 0, "max_iter": 3}
NMF(5, **options).fit(np.random.default_rng(0).random((50, 20), dtype=np.float32))
before = peak()
X = np.load(sys.argv[1], mmap_mode="r")
if sys.argv[2] == "columns":
    X = X[:, :-1]
model = NMF(5, **options).fit(X)
model.transform(X)
print(peak() - before)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", ["all", "columns"])
def test_a_memory_map_of_300_mb_takes_little_memory(part, tmp_path):
    """Pages of a map that were looked at count: 300 MB of them would, and 150 MB do not."""
    pytest.importorskip("resource", reason="needs the peak memory of a process")
    path = tmp_path / "X.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (150_000, 500))
    draw = np.random.default_rng(0)
    parts = draw.random((5, 500), dtype=np.float32)
    for start in range(0, len(array), 10_000):
        array[start : start + 10_000] = draw.random((10_000, 5), dtype=np.float32) @ parts
    array.flush()
    del array
    assert path.stat().st_size == 300_000_128
    command = [sys.executable, "-W", "ignore", "-c", USE, str(path), part]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150e6, f"{int(done.stdout) / 1e6:.0f} MB"


def test_no_package_is_imported_for_arrays_in_memory():
    code = (
        "import sys, numpy as np; from partwise import NMF; NMF(2).fit(np.eye(4)); "
        "sys.exit(any(name in sys.modules for name in ('zarr', 'h5py', 'anndata')))"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
