"""Matrices from files, and models as folders of plain files."""

import gzip
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
from scipy import io as scipy_io
from scipy import sparse
from sklearn.exceptions import NotFittedError

import partwise
from partwise import NMF, MiniBatchNMF, _parts, _writing, files, losses, penalties
from partwise.files import (
    check_folder,
    load_model,
    read_info,
    read_matrix,
    save_model,
    write_matrix,
)
from tests.laws.declared import LOSSES, PENALTIES, made_for

X = np.array([[1.0, 0.0, 2.5], [0.0, 3.0, 0.1], [4.0, 1e-3, 7.0], [1.0, 1.0, 1.0]])
ROWS = ["r1", "r 2", "r,3", 'r"4"']
COLUMNS = ["a", "b", "c\nd"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(partwise.__file__).parents[1])}


def dense(values):
    return values.toarray() if sparse.issparse(values) else values


@pytest.fixture(scope="module")
def model():
    return NMF(2, random_state=0, max_iter=2000).fit(X)


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "bool", ">f8"])
def test_npy_keeps_entries_and_dtype(tmp_path, dtype):
    np.save(tmp_path / "x.npy", X.astype(dtype))
    values = read_matrix(tmp_path / "x.npy").values
    assert values.dtype == np.dtype(dtype).newbyteorder("=")
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, X.astype(dtype))


def test_npz_with_one_matrix_and_names(tmp_path):
    np.savez(tmp_path / "x.npz", X=X, row_names=ROWS, column_names=COLUMNS, other=np.ones(9))
    matrix = read_matrix(tmp_path / "x.npz")
    np.testing.assert_array_equal(matrix.values, X)
    assert (matrix.row_names, matrix.column_names) == (ROWS, COLUMNS)


@pytest.mark.parametrize("format_", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("compressed", [True, False])
def test_sparse_npz_becomes_csr(tmp_path, format_, kind, compressed):
    sparse.save_npz(tmp_path / "x.npz", kind(X).asformat(format_), compressed=compressed)
    values = read_matrix(tmp_path / "x.npz").values
    assert values.format == "csr"
    np.testing.assert_array_equal(values.toarray(), X)


@pytest.mark.parametrize("name", ["x.mtx", "x.mtx.gz"])
@pytest.mark.parametrize("stored", [X, sparse.csr_matrix(X)], ids=["array", "coordinate"])
def test_mtx(tmp_path, name, stored):
    buffer = io.BytesIO()
    scipy_io.mmwrite(buffer, stored)
    content = buffer.getvalue()
    (tmp_path / name).write_bytes(gzip.compress(content) if "gz" in name else content)
    np.testing.assert_allclose(dense(read_matrix(tmp_path / name).values), X, rtol=1e-12)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".TSV.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("rows", [ROWS, None])
@pytest.mark.parametrize("columns", [["a", "b", "c"], ["400", "410", "420"], None])
def test_text_with_and_without_names(tmp_path, ending, newline, bom, rows, columns):
    mark = "\t" if "tsv" in ending.lower() else ","
    lines = [] if columns is None else [[*([""] if rows else []), *columns]]
    lines += [[*([ROWS[i].replace('"', "")] if rows else []), *map(repr, X[i].tolist())]
              for i in range(4)]  # fmt: skip
    quoted = [[f'"{c}"' if "," in c else c for c in line] for line in lines]
    content = bom + newline.join([mark.join(line) for line in quoted] + [""]).encode()
    (tmp_path / f"x{ending}").write_bytes(gzip.compress(content) if "gz" in ending else content)
    matrix = read_matrix(tmp_path / f"x{ending}")
    if columns and columns[0] == "400" and not rows:
        # Numbers above numbers are data: nothing says that they are a header.
        np.testing.assert_array_equal(matrix.values, np.vstack([[400, 410, 420], X]))
        return
    np.testing.assert_array_equal(matrix.values, X)
    assert matrix.values.flags.c_contiguous
    assert matrix.row_names == (None if rows is None else ["r1", "r 2", "r,3", "r4"])
    assert matrix.column_names == columns


@pytest.mark.parametrize(
    ("text", "shape", "rows", "columns"),
    [
        ("gene,s1,s2\nA,1,2\nB,3,4\n", (2, 2), ["A", "B"], ["s1", "s2"]),
        ("s1,s2\nA,1,2\nB,3,4\n", (2, 2), ["A", "B"], ["s1", "s2"]),  # written by R
        (",0,1\n0,1,2\n1,3,4\n", (2, 2), ["0", "1"], ["0", "1"]),  # written by pandas
        ("id,s1\n1,2\n3,4\n", (2, 2), None, ["id", "s1"]),
        ("A,1,2\nB,3,4\n", (2, 2), ["A", "B"], None),
        ("1_0,1,2\n1_1,3,4\n", (2, 2), ["1_0", "1_1"], None),
        ("1\n\n2\n3", (3, 1), None, None),
        (" 1 , 2e-3\n3,+4.\n", (2, 2), None, None),
        ("x\n1\n2\n", (2, 1), None, ["x"]),
        ('name,"a\nb",c\n"u\nv",1,2\n', (1, 2), ["u\nv"], ["a\nb", "c"]),
    ],
)
def test_headers_and_row_names_are_found(tmp_path, text, shape, rows, columns):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    matrix = read_matrix(tmp_path / "x.csv")
    assert matrix.values.shape == shape
    assert (matrix.row_names, matrix.column_names) == (rows, columns)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_text_has_no_more_digits_than_it_needs(tmp_path, dtype):
    write_matrix(tmp_path / "x.csv", np.array([[0.1, 1e-7]], dtype))
    assert (tmp_path / "x.csv").read_text() == ",0,1\n0,0.1,1e-07\n"


@pytest.mark.parametrize("ending", ["csv", "tsv", "npz", "npy"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_written_is_read_back(tmp_path, ending, dtype):
    values = (np.random.default_rng(0).random((4, 3)) * X).astype(dtype)
    path = tmp_path / f"x.{ending}"
    write_matrix(path, values, row_names=ROWS, column_names=COLUMNS)
    matrix = read_matrix(path)
    np.testing.assert_array_equal(matrix.values.astype(dtype), values)
    if ending != "npy":
        assert (matrix.row_names, matrix.column_names) == (ROWS, COLUMNS)
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(FileExistsError, match="force"):
        write_matrix(path, values)
    write_matrix(path, values[:2], force=True)
    assert read_matrix(path).values.shape == (2, 3)


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    frame.to_parquet(tmp_path / "plain.parquet")
    frame.set_axis(["p", "q", "r", "s"]).to_parquet(tmp_path / "indexed.parquet")
    frame.assign(n=list("pqrs"))[["n", "a", "b", "c"]].to_parquet(tmp_path / "named.parquet")
    for name, rows in [("plain", None), ("indexed", list("pqrs")), ("named", list("pqrs"))]:
        matrix = read_matrix(tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(matrix.values, X)
        assert (matrix.row_names, matrix.column_names) == (rows, ["a", "b", "c"])
    mixed = frame.assign(b=[True, False, True, True], c=pandas.array([1, 2, 3, 4], "Int64"))
    for name, some in (("mixed", mixed), ("whole", mixed[["c"]])):
        some.to_parquet(tmp_path / f"{name}.parquet")
        matrix = read_matrix(tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(matrix.values, some.astype(float).to_numpy())
    frame.assign(b=[1.0, None, 2.0, None]).to_parquet(tmp_path / "gaps.parquet")
    with pytest.raises(ValueError, match=r"missing value at row 2, column 'b'.*first of 2"):
        read_matrix(tmp_path / "gaps.parquet")
    frame.assign(b=list("pqrs")).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="column 'b' of type"):
        read_matrix(tmp_path / "text.parquet")
    content = (tmp_path / "plain.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        read_matrix(tmp_path / "cut.parquet")


def test_parquet_without_its_extra_names_it(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "partwise\[files\]"'):
        read_matrix(tmp_path / "x.parquet")


def test_sparse_npz_is_read_without_a_copy(tmp_path):
    matrix = sparse.random_array((4000, 3000), density=0.1, format="csr", rng=0)
    sparse.save_npz(tmp_path / "x.npz", matrix, compressed=False)
    size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    tracemalloc.start()
    try:
        read_matrix(tmp_path / "x.npz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < peak < 1.3 * size


# ---------------------------------------------------------------- what is refused

BAD_TEXT = {
    "": "0 bytes",
    "\n\n": "no cells",
    "a,b\n": "one line that is no row of numbers",
    "1,2\n3,4\n5\n": r"1 cells on line 3; wanted 2 cells",
    "1,2\n3,4,5\n": r"3 cells on line 2; wanted 2 cells",
    "n,a,b\nA,1,2\n\nB,3\n": r"2 cells on line 4; wanted 3 cells",
    "1,2\n3,x y\n": r"'x y' at line 2, column 2; wanted a number",
    "a,b\n1,2\n3,4k\n": r"'4k' at line 3, column 2 \('b'\)",
    "a,b\n1,2\n,4\n": r"missing value at line 3, column 1 \('a'\)",
    "n,a,b\nA,1,2\nB,3,nan\n": r"missing value at line 3, column 3 \('b'\)",
    "1,2\n3,NA\n": r"missing value at line 2, column 2",
    "1,2\n3,４\n": r"'４' at line 2",
    "1;2\n3;4\n": "semicolons",
    "u\tv\n1\t2\n": "tabs",
    "1,2\n3,4\n" * 20 + "X,3\n": r"'X' at line 41, column 1.*first cell of the header",
    'a,b\n1,"2\n3,4\n': "line",
}


@pytest.mark.parametrize(("text", "message"), BAD_TEXT.items())
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_bad_text_is_refused_with_its_place(tmp_path, text, message, ending):
    path = tmp_path / f"x{ending}"
    content = text.encode()
    path.write_bytes(gzip.compress(content) if ending == ".csv.gz" and content else content)
    with pytest.raises(ValueError, match=message) as caught:
        read_matrix(path)
    assert str(path) in str(caught.value)


def _saved(save, *arrays, **named):
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


def _sparse_with_wild_index():
    matrix = sparse.csr_matrix(X)
    matrix.indices[0] = 1_000_000
    return _saved(sparse.save_npz, matrix)


NPY, NPZ = _saved(np.save, X), _saved(np.savez, X=X)
SPARSE = _saved(sparse.save_npz, sparse.csr_matrix(X))
MTX = _saved(scipy_io.mmwrite, sparse.csr_matrix(X))
OBJECTS = np.array([[1, "a"]], dtype=object)
BAD_FILES = {
    "cut": ("x.npy", NPY[:-9], "truncated|promises"),
    "cut in header": ("x.npy", NPY[:40], "cannot be read"),
    "huge promise": ("x.npy", NPY.replace(b"(4, 3), }    ", b"(40000, 3), }"), "promises"),
    "broken header": ("x.npy", NPY.replace(b"(4, 3), }", b"(4, 3), ("), "cannot be read"),
    "noise": ("x.npy", b"not an array at all", "cannot be read"),
    "pickle": ("x.npy", pickle.dumps(X), "pickled"),
    "objects": ("x.npy", _saved(np.save, OBJECTS), "pickled Python objects"),
    "objects in npz": ("x.npz", _saved(np.savez, X=OBJECTS), "pickled Python objects"),
    "text": ("x.npy", _saved(np.save, X.astype(str)), "dtype <U"),
    "complex": ("x.npy", _saved(np.save, X * 1j), "dtype complex128"),
    "1-D": ("x.npy", _saved(np.save, X[0]), r"shape \(3,\); wanted a 2-D array"),
    "3-D": ("x.npy", _saved(np.save, X[None]), r"shape \(1, 4, 3\); wanted a 2-D"),
    "no rows": ("x.npy", _saved(np.save, X[:0]), "empty matrix"),
    "cut npz": ("x.npz", NPZ[:-30], "cannot be read"),
    "two": ("x.npz", _saved(np.savez, A=X, B=X), r"2 2-D arrays.*A \(4, 3\), B \(4, 3\)"),
    "none": ("x.npz", _saved(np.savez, A=X[0]), r"0 2-D arrays.*A \(3,\)"),
    "wild index": ("x.npz", _sparse_with_wild_index(), "cannot be read"),
    "cut sparse": ("x.npz", SPARSE[:-40], "cannot be read"),
    "bad names": ("x.npz", _saved(np.savez, X=X, row_names=["a"]), "wanted 4 names"),
    "cut mtx": ("x.mtx", MTX[:-20], "cannot be read"),
    "noise mtx": ("x.mtx", b"1 2 3\n", "cannot be read"),
    "cut mtx.gz": ("x.mtx.gz", gzip.compress(MTX)[:-15], "cannot be read"),
    "cut gz": ("x.csv.gz", gzip.compress(b"1,2\n" * 999)[:-12], "cannot be read"),
    "no gz": ("x.csv.gz", b"1,2\n3,4\n", "cannot be read"),
    "binary": ("x.csv", NPY, "UTF-8"),
    "unknown": ("x.xlsx", b"PK", r"ending \.xlsx; wanted \.npy"),
    "none at all": ("x", b"1,2", r"ending \(none\)"),
    "gzipped npy": ("x.npy.gz", gzip.compress(NPY), r"ending \.npy\.gz"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused(tmp_path, case):
    name, content, message = BAD_FILES[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_matrix(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_absent_files_and_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_matrix(tmp_path / "x.npy")
    with pytest.raises(ValueError, match="a folder; wanted a file"):
        read_matrix(tmp_path)


class _Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_no_pickle_is_ever_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trap = np.array([[_Trap()]], dtype=object)
    np.save("a.npy", trap, allow_pickle=True)
    np.savez("b.npz", X=trap)
    np.savez("c.npz", X=X, row_names=np.array([_Trap()] * 4, dtype=object))
    Path("d.npy").write_bytes(pickle.dumps(_Trap()))
    for name in ["a.npy", "b.npz", "c.npz", "d.npy"]:
        with pytest.raises(ValueError, match="pickled"):
            read_matrix(name)
    assert not Path("sprung").exists()


# ---------------------------------------------------------------- models as folders


@pytest.mark.parametrize("sparse_input", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF])
def test_a_loaded_model_is_the_saved_one(tmp_path, estimator, dtype, sparse_input):
    data = X.astype(dtype)
    data = sparse.csr_matrix(data) if sparse_input else data
    fitted = estimator(2, random_state=3, alpha_W=0.01, max_iter=2000)
    W = fitted.fit_transform(data)
    columns = ["a", "b", "c"]
    save_model(tmp_path / "m", fitted, W=W, row_names=ROWS, column_names=columns)
    loaded = load_model(tmp_path / "m")
    assert type(loaded) is estimator
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.components_, fitted.components_)
    np.testing.assert_array_equal(loaded.W_, W)
    assert loaded.components_.dtype == dtype
    assert loaded.feature_names_in_.tolist() == columns
    del loaded.feature_names_in_
    np.testing.assert_array_equal(loaded.transform(data), fitted.transform(data))
    for name in ["n_iter_", "reconstruction_err_", "n_components_", "n_features_in_"]:
        assert getattr(loaded, name) == getattr(fitted, name)


def test_the_folder_holds_all_that_is_promised(tmp_path, model):
    np.save(tmp_path / "x.npy", X)
    where = save_model(
        tmp_path / "new" / "m", model, row_names=ROWS, column_names=COLUMNS,
        source=tmp_path / "x.npy",
    )  # fmt: skip
    assert {p.name for p in where.iterdir()} == files.MODEL_FILES
    assert [p.name for p in where.parent.iterdir()] == ["m"]
    W, H = read_matrix(where / "W.csv"), read_matrix(where / "H.csv")
    np.testing.assert_array_equal(W.values, model.W_)
    np.testing.assert_array_equal(H.values, model.components_)
    assert (W.row_names, W.column_names) == (ROWS, ["nmf0", "nmf1"])
    assert (H.row_names, H.column_names) == (["nmf0", "nmf1"], COLUMNS)
    with np.load(where / "factors.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["W"] @ arrays["H"], model.W_ @ model.components_)
        assert arrays["row_names"].tolist() == ROWS
        assert arrays["column_names"].tolist() == COLUMNS
    info = json.loads((where / "model.json").read_text(encoding="utf-8"))
    assert info["class"] == "NMF"
    assert info["parameters"] == model.get_params()
    assert info["seed"] == model.seed_
    assert info["objective"] == model.objective_history_[-1]
    assert info["objectives"] == model.objectives_.tolist()
    for key in ["n_iter", "kkt", "converged", "stop_reason", "reconstruction_err"]:
        assert info[key] == getattr(model, f"{key}_")
    assert info["shapes"] == {"X": [4, 3], "W": [4, 2], "H": [2, 3]}
    assert info["dtype"] == "float64"
    digest = subprocess.run(
        [sys.executable, "-c", "import hashlib,sys;"
         "print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())",
         tmp_path / "x.npy"], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert info["input"]["sha256"] == digest.stdout.strip()
    assert info["created"].endswith("+00:00")
    assert set(info["versions"]) == {
        "partwise", "numpy", "scipy", "scikit-learn", "numba", "python",
    }  # fmt: skip
    for name in ["parts.png", "history.png"]:
        assert (where / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_parameters_that_json_lacks_are_told_apart(tmp_path):
    rng = np.random.RandomState(0)
    fitted = NMF(2, random_state=rng, max_iter=2000).fit(X)
    save_model(tmp_path / "m", fitted)
    info = read_info(tmp_path / "m")
    assert "random_state" not in info["parameters"]
    assert "RandomState" in info["unsaved_parameters"]["random_state"]
    assert load_model(tmp_path / "m").random_state is None


def test_an_existing_folder_is_kept_without_force(tmp_path, model):
    save_model(tmp_path / "m", model)
    before = {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}
    with pytest.raises(FileExistsError, match=r"existing folder.*--force"):
        save_model(tmp_path / "m", model, row_names=ROWS)
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}
    save_model(tmp_path / "m", model, row_names=ROWS, force=True)
    assert read_matrix(tmp_path / "m" / "W.csv").row_names == ROWS
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("foreign", [["notes.txt"], ["model.json"], ["W.csv"]])
def test_force_never_deletes_what_is_not_a_model(tmp_path, model, foreign):
    folder = tmp_path / "m"
    folder.mkdir()
    for name in foreign:
        (folder / name).write_text("{}")
    with pytest.raises((FileExistsError, ValueError), match=r"did not write|model\.json"):
        save_model(folder, model, force=True)
    assert [p.name for p in folder.iterdir()] == foreign
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="a file"):
        check_folder(tmp_path / "file", force=True)


def test_force_keeps_a_model_folder_with_a_users_file(tmp_path, model):
    save_model(tmp_path / "m", model)
    (tmp_path / "m" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        save_model(tmp_path / "m", model, force=True)
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("swap", ["at once", "by hand"])
def test_a_link_stays_a_link_when_its_model_is_replaced(tmp_path, model, swap, monkeypatch):
    if swap == "by hand":
        monkeypatch.setattr(_writing.ctypes, "CDLL", lambda *_, **__: object())
    save_model(tmp_path / "real", model)
    (tmp_path / "link").symlink_to("real")
    save_model(tmp_path / "link", model, row_names=ROWS, force=True)
    assert (tmp_path / "link").is_symlink()
    assert read_matrix(tmp_path / "real" / "W.csv").row_names == ROWS
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [False, True])
def test_a_failed_write_leaves_nothing_behind(tmp_path, model, monkeypatch, error, old):
    if old:
        save_model(tmp_path / "m", model, row_names=ROWS)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(files.np, "savez", fail)
    with pytest.raises(type(error)):
        save_model(tmp_path / "m", model, force=True)
    assert os.listdir(tmp_path) == (["m"] if old else [])
    if old:
        assert read_matrix(tmp_path / "m" / "W.csv").row_names == ROWS
        load_model(tmp_path / "m")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_write_leaves_the_old_model_whole(tmp_path, model):
    save_model(tmp_path / "m", model, row_names=ROWS)
    script = (
        "import os, signal, sys\n"
        "from partwise import files\n"
        "model = files.load_model('m')\n"
        "files._draw = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.save_model(sys.argv[1], model, force=True)\n"
    )
    for name in ["m", "n"]:
        command = [sys.executable, "-c", script, name]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=False)
        assert done.returncode == -signal.SIGKILL
    found = sorted(os.listdir(tmp_path))
    assert found[-1] == "m"
    assert all(name.startswith(".") for name in found[:-1])
    assert len(found) == 3
    assert read_matrix(tmp_path / "m" / "W.csv").row_names == ROWS
    load_model(tmp_path / "m")


def test_missing_matplotlib_is_told_and_loses_nothing(tmp_path, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.warns(UserWarning, match=r'not drawn.*pip install "partwise\[plots\]"'):
        save_model(tmp_path / "m", model)
    assert set(os.listdir(tmp_path / "m")) == files.MODEL_FILES - {"parts.png", "history.png"}


def test_broken_model_folders_are_refused(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_model(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"no model\.json"):
        load_model(tmp_path)
    where = save_model(tmp_path / "m", model)
    whole = {p.name: p.read_bytes() for p in where.iterdir()}
    record = json.loads(whole["model.json"])

    def refused(match, name, content):
        (where / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            load_model(where)
        (where / name).write_bytes(whole[name])

    def changed(**entries):
        return json.dumps({**record, **entries}).encode()

    refused("no JSON", "model.json", whole["model.json"][:50])
    refused("format None", "model.json", b"{}")
    refused("format None", "model.json", b"[]")
    refused("class 'Evil'", "model.json", changed(**{"class": "Evil"}))
    refused("unexpected", "model.json", changed(parameters={"colour": 1}))
    refused("shapes", "model.json", changed(shapes={"W": [4, 2], "H": [9, 9]}))
    refused("broken factors", "factors.npz", whole["factors.npz"][:-40])
    refused("broken factors", "factors.npz", _saved(np.savez, W=X))
    objects = _saved(np.savez, W=OBJECTS, H=X, column_names=OBJECTS)
    refused("broken factors", "factors.npz", objects)
    spoilt = {"W": model.W_, "H": model.components_ * np.nan, "column_names": ["a", "b", "c"]}
    refused("finite", "factors.npz", _saved(np.savez, **spoilt))
    load_model(where)
    (where / "factors.npz").unlink()
    with pytest.raises(ValueError, match=r"no factors\.npz"):
        load_model(where)


def test_names_of_wrong_length_are_refused_before_writing(tmp_path, model):
    for names in [{"row_names": ["a"]}, {"column_names": ["a", "b"]}]:
        with pytest.raises(ValueError, match=r"names; wanted \d names"):
            save_model(tmp_path / "m", model, **names)
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- losses and penalties


def plain(things):
    return [t for t in things if type(t).__name__ not in ("Bregman", "Prox", "Mine")]


@pytest.mark.parametrize("kind", ["loss", "penalty"])
def test_every_declared_part_comes_back_from_its_description(kind):
    """JSON and arrays rebuild an object with the same parameters and values."""
    rng = np.random.default_rng(0)
    F = rng.random((6, 3))
    things = LOSSES if kind == "loss" else [*PENALTIES, *made_for((6, 3), 1)]
    assert len(plain(things)) >= 20
    for number, thing in enumerate(plain(things)):
        arrays = {}
        text = json.dumps(_parts.described(kind, thing, f"at.{number}", arrays))
        again = _parts.rebuilt(kind, json.loads(text), arrays)
        assert repr(vars(again).keys()) == repr(vars(thing).keys())
        if kind == "penalty":
            assert repr(again) == repr(thing)
            assert again.value(F) == thing.value(F)
            np.testing.assert_array_equal(again.gradient(F), thing.gradient(F))
        else:
            np.testing.assert_array_equal(again.value(F, F[::-1]), thing.value(F, F[::-1]))


def test_parts_are_read_from_text():
    found = _parts.parsed("penalty", "tv=0.5,shape=2x3,max-iter=7", None)
    assert isinstance(found, penalties.TotalVariation)
    assert (found.strength, found.shape, found.max_iter) == (0.5, (2, 3), 7)
    with pytest.raises(ValueError, match=r"tv: got the parameter 'width'; wanted tv=STRENGTH"):
        _parts.parsed("penalty", "tv=0.5,width=7", None)


def test_a_model_with_objects_is_saved_and_transforms_as_before(tmp_path):
    links = sparse.random_array((3, 3), density=0.9, rng=0)
    labels = np.array(["a", None, "b", float("nan")], dtype=object)
    mask = np.zeros((4, 2), bool)
    mask[0, 0] = True
    model = NMF(
        2,
        init="random",
        random_state=0,
        max_iter=50,
        tol=0.1,
        beta_loss=losses.Huber(2.0),
        penalty_W=[penalties.Labels(0.1, labels), penalties.Fixed(mask, np.full((4, 2), 0.5))],
        penalty_H=penalties.Graph(0.1, links),
    ).fit(X)
    again = load_model(save_model(tmp_path / "m", model))
    assert again.beta_loss.delta == 2.0
    assert [v for v in again.penalty_W[0].labels if v is not None] == ["a", "b"]
    np.testing.assert_array_equal(again.penalty_W[1].mask, mask)
    np.testing.assert_array_equal(
        again.penalty_H.weights.toarray(), model.penalty_H.weights.toarray()
    )
    np.testing.assert_array_equal(again.fit_transform(X), model.W_)
    assert read_info(tmp_path / "m")["parameters"]["beta_loss"] == {"loss": "huber", "delta": 2.0}
    assert {"penalty_H.weights.indptr", "penalty_W.1.mask"} <= set(
        np.load(tmp_path / "m" / "factors.npz").files
    )


@pytest.mark.parametrize(
    "params",
    [
        {"beta_loss": np.float32(1)},
        {"beta_loss": np.int64(2)},
        {"alpha_W": np.float32(0.5), "shuffle": np.True_, "max_iter": np.int64(50)},
        {"penalty_H": penalties.Smooth(np.float32(0.5), np.int64(2))},
        {"penalty_W": penalties.Labels(0.5, np.array([np.int64(1), None, 1, 2], dtype=object))},
    ],
)
def test_numbers_of_numpy_are_numbers(tmp_path, params):
    model = NMF(2, **{"tol": 0.1, "random_state": 0, **params}).fit(X)
    again = load_model(save_model(tmp_path / "m", model))
    np.testing.assert_array_equal(again.fit(X).components_, model.components_)


def test_what_load_model_does_not_know_is_not_saved(tmp_path, model):
    own = type("Own", (NMF,), {"__init__": NMF.__init__})(2, max_iter=2000).fit(X)
    for other in (own, sklearn.decomposition.NMF(2).fit(X)):
        with pytest.raises(TypeError, match=r"save_model: got .*; wanted NMF or .*joblib"):
            save_model(tmp_path / "m", other)
    with pytest.raises(NotFittedError):
        save_model(tmp_path / "m", NMF(2))
    for W in (np.ones((4, 3)), np.ones(4)):
        with pytest.raises(ValueError, match=r"W: got shape .*; wanted \(n_samples, 2\)"):
            save_model(tmp_path / "m", model, W=W)
    assert not any(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_a_fit_found_is_kept(tmp_path):
    ranks = partwise.SequentialNMF(3, random_state=0).fit(X)
    stream = MiniBatchNMF(2, batch_size=2, max_iter=5, random_state=0).fit(X)
    for number, model in enumerate((ranks, stream)):
        again = load_model(save_model(tmp_path / str(number), model))
        found = {name for name in vars(model) if name.endswith("_")}
        assert found == {name for name in vars(again) if name.endswith("_")}
        for name in found:
            np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


class Mine(penalties.L1):
    """A penalty of the user's own, with plain parameters."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("penalty_W", penalties.Prox(np.sum, lambda F, step: np.maximum(F - step, 0))),
        ("penalty_W", [penalties.L2(1.0), Mine(1.0)]),
        ("beta_loss", losses.Bregman(np.square, lambda y: 2 * y, lambda y: 0 * y + 2)),
    ],
    ids=["functions", "own class", "loss of functions"],
)
def test_what_cannot_be_written_without_pickling_is_refused(tmp_path, model, name, value):
    other = NMF(2).set_params(**{name: value})
    other.__dict__.update({k: v for k, v in vars(model).items() if k.endswith("_")})
    with pytest.raises(ValueError, match=f"{name}.*functions or is a class of your own.*pickling"):
        save_model(tmp_path / "m", other)
    assert not any(tmp_path.iterdir())


def test_a_parameter_of_another_version_is_told(tmp_path, model):
    folder = save_model(tmp_path / "m", model)
    info = read_info(folder)
    for broken in ({"loss": "hyper"}, {"loss": "huber", "gamma": 1}, {"loss": "huber"}):
        info["parameters"]["beta_loss"] = broken
        (folder / "model.json").write_text(json.dumps(info))
        with pytest.raises(ValueError, match="parameters of this version"):
            load_model(folder)
