"""The command line: as a process on real files, and every way to use it wrongly."""

import csv
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import partwise
from partwise import NMF, cli, losses, penalties
from partwise.cli import main
from partwise.files import MODEL_FILES, load_model, read_matrix

RNG = np.random.default_rng(0)
X = RNG.gamma(0.5, size=(30, 3)) @ RNG.gamma(0.5, size=(3, 9)) + 0.01
COLUMNS = [f"gene{i}" for i in range(9)]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(partwise.__file__).parents[1])}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with x.npy and x.csv, the same matrix."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    table(COLUMNS, X, "x.csv")
    return tmp_path


def table(columns, values, path):
    rows = [f"s{i}," + ",".join(map(repr, row)) for i, row in enumerate(values.tolist())]
    Path(path).write_text("\n".join([",".join(["", *columns]), *rows, ""]))


def process(*arguments, **options):
    command = [sys.executable, "-m", "partwise", *arguments]
    return subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False, **options
    )


def refused(capsys, *arguments):
    """Return the one line with which the arguments are refused."""
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert not out or (out.startswith("read ") and out.count("\n") == 1)
    assert err.startswith("partwise: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


# ---------------------------------------------------------------- as a process


def test_the_demo_writes_a_whole_model(tmp_path):
    done = process("fit", "--demo", "digits", "-k", "10", "--out", "parts", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(tmp_path) == ["parts"]
    assert set(os.listdir(tmp_path / "parts")) == MODEL_FILES
    model = load_model(tmp_path / "parts")
    assert model.components_.shape == (10, 64)
    assert model.W_.shape == (1797, 10)
    assert f"{model.n_iter_} iterations" in done.stdout
    record = json.loads((tmp_path / "parts" / "model.json").read_text())
    assert record["image_shape"] == [8, 8]


def test_fit_info_and_transform_work_together(folder):
    done = process("fit", "x.csv", "-k", "3", "-o", "m", "--max-iter", "2000", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    told = process("info", "m", "--top", "2")
    assert told.returncode == 0
    model = load_model("m")
    for component, features in enumerate(model.top_features(2)):
        (line,) = [t for t in told.stdout.splitlines() if t.startswith(f"nmf{component} ")]
        assert all(name in line for name, _ in features)
    assert model.stop_reason_ in told.stdout
    weights = process("transform", "m", "x.csv")
    assert weights.returncode == 0
    Path("w.csv").write_text(weights.stdout)
    W = read_matrix("w.csv")
    assert W.row_names == [f"s{i}" for i in range(30)]
    assert W.column_names == ["nmf0", "nmf1", "nmf2"]
    relative = np.linalg.norm(W.values @ model.components_ - X) / np.linalg.norm(X)
    assert relative < 0.05


def test_a_sparse_file_stays_sparse(folder, monkeypatch):
    matrix = sparse.random_array((3000, 2000), density=0.002, format="csr", rng=0)
    sparse.save_npz("x.npz", matrix)

    def densified(*_, **__):
        raise AssertionError("the matrix was made dense")

    for kind in (sparse.csr_array, sparse.csr_matrix):
        monkeypatch.setattr(kind, "toarray", densified)
        monkeypatch.setattr(kind, "todense", densified)
    assert main(["fit", "x.npz", "-k", "3", "-o", "m", "-q", "--max-iter", "5"]) == 0
    assert load_model("m").components_.shape == (3, 2000)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_leaves_nothing_and_exits_with_130(tmp_path):
    np.save(tmp_path / "x.npy", RNG.random((400, 300)))
    command = ["fit", "x.npy", "-k", "30", "-o", "m", "-v", "--tol", "0"]
    command += ["--max-iter", "20000"]
    running = subprocess.Popen(
        [sys.executable, "-u", "-m", "partwise", *command],
        env=ENVIRONMENT,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background lets them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with running:
        assert running.stdout.readline().startswith("read")
        # At the second line of progress all kernels are loaded: while they are, an interrupt may
        # end Python itself, which a shell calls 130 as well.
        for number in ("0", "1000"):
            assert running.stdout.readline().split()[:3] == ["NMF:", "iteration", number + ","]
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "partwise: interrupted\n")
    assert os.listdir(tmp_path) == ["x.npy"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_in_a_destructor_is_not_lost(folder):
    script = (
        "import signal, sys, time\n"
        "from partwise import cli\n"
        "class Interrupted:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        print('not reached', flush=True)\n"
        "def read(path, read=cli.read_matrix):\n"
        "    Interrupted()\n"
        "    time.sleep(20)\n"
        "    return read(path)\n"
        "cli.read_matrix = read\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(cli.main('fit x.npy -k 3 -o m -q'.split()))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "partwise: interrupted\n")
    assert not Path("m").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_killed_fit_keeps_the_old_model(folder):
    assert main(["fit", "x.npy", "-k", "2", "-o", "m", "-q", "--max-iter", "2000"]) == 0
    before = {p.name: p.read_bytes() for p in Path("m").iterdir()}
    script = (
        "import os, signal\n"
        "from partwise import _writing, cli\n"
        "_writing._exchange = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main(['fit', 'x.npy', '-k', '3', '-o', 'm', '--force', '-q'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert before == {p.name: p.read_bytes() for p in Path("m").iterdir()}
    others = set(os.listdir()) - {"m", "x.npy", "x.csv"}
    assert len(others) == 1
    assert others.pop().startswith(".m.")


def test_bad_input_is_one_line_without_traceback(folder):
    Path("bad.csv").write_text("a,b\n1,2\n3\n")
    done = process("fit", "bad.csv", "-k", "2", "--out", "m")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("partwise: file bad.csv: got 1 cells on line 3")
    assert done.stderr.count("\n") == 1
    assert not Path("m").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_a_reader_that_leaves_early_is_no_error(folder):
    np.save("long.npy", np.tile(X, (2000, 1)))
    assert main(["fit", "x.npy", "-k", "2", "-o", "m", "-q", "--max-iter", "2000"]) == 0
    with subprocess.Popen(
        [sys.executable, "-m", "partwise", "transform", "m", "long.npy"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout.readline() == b",nmf0,nmf1\n"
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


# ---------------------------------------------------------------- options


def test_every_option_reaches_the_estimator(folder):
    options = (
        "--loss kullback-leibler --solver mu --init random --alpha-w .001 --alpha-h .002 "
        "--l1-ratio .5 --seed 7 --starts 2 --jobs 1 --max-iter 30 --max-time 60 --tol .5 "
        "--dtype float32 -q"
    )
    assert main(["fit", "x.npy", "-k", "2", "--out", "m", *options.split()]) == 0
    wanted = NMF(
        2, beta_loss="kullback-leibler", solver="mu", init="random", alpha_W=0.001,
        alpha_H=0.002, l1_ratio=0.5, random_state=7, n_init=2, n_jobs=1, max_iter=30,
        max_time=60.0, tol=0.5,
    )  # fmt: skip
    loaded = load_model("m")
    assert loaded.get_params() == wanted.get_params()
    assert loaded.components_.dtype == np.float32
    W = wanted.fit_transform(X.astype(np.float32))
    np.testing.assert_array_equal(loaded.components_, wanted.components_)
    np.testing.assert_array_equal(loaded.W_, W)


@pytest.mark.parametrize("estimator", [[], ["--minibatch"]], ids=["NMF", "MiniBatchNMF"])
def test_data_below_zero_are_allowed_if_asked_for(folder, capsys, estimator):
    noisy = X - 0.05
    assert noisy.min() < 0
    np.save("noisy.npy", noisy)
    fit = ("fit", "noisy.npy", "-k", "2", "--out", "m", *estimator)
    assert "Negative" in refused(capsys, *fit)
    assert main([*fit, "--allow-negative", "-q"]) == 0
    loaded = load_model("m")
    assert loaded.allow_negative
    wanted = partwise.MiniBatchNMF if estimator else NMF
    wanted = wanted(2, allow_negative=True, random_state=0).fit(noisy)
    np.testing.assert_array_equal(loaded.components_, wanted.components_)
    more = ("--force", "--allow-negative", "--loss", "kullback-leibler")
    assert "squared loss" in refused(capsys, *fit, *more)


WEIGHTS = np.arange(30) % 3 + 0.5


def write_weights(name):
    if name.endswith(".txt"):
        Path(name).write_text("".join(f"{weight}\n" for weight in WEIGHTS))
    elif name.endswith(".npy"):
        np.save(name, WEIGHTS[:, None])
    elif name == "named.csv":
        table(["weight"], WEIGHTS[:, None], name)
    else:
        Path(name).write_text("\n".join(["weight", *map(str, WEIGHTS), ""]))


@pytest.mark.parametrize("source", ["x.npy", "x.csv"])
@pytest.mark.parametrize("name", ["w.txt", "w.npy", "w.csv", "named.csv"])
def test_samples_have_weights_from_a_file(folder, capsys, name, source):
    write_weights(name)
    assert main(["fit", source, "-k", "2", "--out", "m", "--sample-weight", name]) == 0
    wanted = NMF(2, random_state=0).fit(X, sample_weight=WEIGHTS)
    np.testing.assert_allclose(load_model("m").components_, wanted.components_, rtol=1e-12)
    share = wanted.reconstruction_err_ / np.sqrt((WEIGHTS[:, None] * X**2).sum())
    assert f"(Frobenius), {share:.4g} of the norm of X" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.txt", "1\n" * 29, "shape (29,); wanted one column of 30 weights"),
        ("w.txt", "1\n" * 29 + "heavy\n", "got 'heavy' in line 30"),
        ("w.txt", "1\n" * 4 + "\n" + "1\n" * 25, "got '' in line 5"),
        ("w.txt", "-1\n" * 30, "sample_weight: got entries from -1"),
        ("w.txt", "nan\n" * 30, "sample_weight"),
        ("w.txt", "", "0 bytes"),
        ("none.txt", None, "no such file"),
        ("w.csv", "a,b\n" + "1,2\n" * 30, "shape (30, 2)"),
        ("w.csv", "".join(f"s{i + 1},2\n" for i in range(30)), "'s1' in row 1; wanted 's0'"),
    ],
)
def test_weights_of_samples_that_do_not_fit_are_refused(folder, capsys, name, content, message):
    if content is not None:
        Path(name).write_text(content)
    fit = ("fit", "x.csv", "-k", "2", "--out", "m", "--sample-weight", name)
    assert message in refused(capsys, *fit)
    assert not Path("m").exists()


@pytest.mark.parametrize(
    ("text", "beta"),
    [("1.5", 1.5), ("0", 0.0), ("itakura-saito", 0.0), ("gamma", 0.0), ("hellinger", 1.0)],
)
def test_losses_by_number_and_name(folder, text, beta):
    command = ["fit", "x.npy", "-k", "2", "-o", "m", "-q", "--max-iter", "50", "--tol", "0.1"]
    assert main([*command, "--loss", text]) == 0
    assert load_model("m").beta_loss_ == beta


def test_every_name_of_a_loss_is_known():
    assert set(cli.LOSSES) == set(losses.NAMED)


def test_losses_with_parameters(folder):
    command = ["fit", "x.npy", "-k", "2", "-q", "--max-iter", "20", "--tol", "0.1"]
    assert main([*command, "-o", "m", "--loss", "student-t=2,df=4"]) == 0
    loss = load_model("m").beta_loss
    assert (type(loss), loss.scale, loss.df) == (losses.StudentT, 2.0, 4.0)


def test_penalties_by_name(folder, capsys):
    """Repeated options are lists; values go to the parameters that the names say."""
    links = np.ones((X.shape[1], X.shape[1]))
    np.save("links.npy", links)
    Path("classes.txt").write_text("a\nb\n" + "\n" * (len(X) - 3) + "-1\n")
    options = (
        "--penalty-w l1=0.1 --penalty-w labels=0.2,labels=classes.txt --penalty-h tv=0.1,shape=3x3 "
        "--penalty-h graph=0.1,weights=links.npy,normalized=true --penalty-h box=0.1,upper=9"
    )
    command = [
        "fit",
        "x.npy",
        "-k",
        "2",
        "-o",
        "m",
        "--max-iter",
        "5",
        "--tol",
        "0",
        *options.split(),
    ]
    assert main(command) == 0
    loaded = load_model("m")
    W, H = loaded.penalty_W, loaded.penalty_H
    assert (W[0].strength, H[0].shape, H[1].normalized, H[2].upper) == (0.1, (3, 3), True, 9.0)
    assert [v for v in W[1].labels.tolist() if v is not None] == ["a", "b"]
    wanted = NMF(2, random_state=0, max_iter=5, tol=0, penalty_W=[
        penalties.L1(0.1), penalties.Labels(0.2, [0, 1] + [-1] * (len(X) - 2))
    ], penalty_H=[
        penalties.TotalVariation(0.1, shape=(3, 3)),
        penalties.Graph(0.1, links, normalized=True),
        penalties.Box(0.1, 9.0),
    ])  # fmt: skip
    np.testing.assert_array_equal(wanted.fit_transform(X), loaded.W_)
    capsys.readouterr()
    assert main(["info", "m"]) == 0
    assert "penalty_H=total-variation=0.1,shape=3x3 graph=0.1" in capsys.readouterr().out


def test_the_help_tells_every_penalty_that_a_line_can_hold(capsys):
    assert main(["fit", "--help"]) == 0
    told = capsys.readouterr().out
    with_functions = {"Penalty", "Prox", "Fixed"}
    for name, cls in vars(penalties).items():
        if inspect.isclass(cls) and name not in with_functions:
            word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
            assert re.search(rf"^  {word}(?=[=\[\n])", told, flags=re.M), name


def test_the_same_command_gives_the_same_numbers(folder):
    for out in ["a", "b"]:
        assert main(["fit", "x.npy", "-k", "3", "--out", out, "-q", "--init", "random"]) == 0
    assert Path("a/W.csv").read_bytes() == Path("b/W.csv").read_bytes()
    assert Path("a/H.csv").read_bytes() == Path("b/H.csv").read_bytes()


def test_minibatch(folder):
    command = ["fit", "x.npy", "-k", "2", "-q", "--max-iter", "50"]
    assert main([*command, "--out", "a", "--minibatch"]) == 0
    assert main([*command, "--out", "b", "--batch-size", "10"]) == 0
    assert type(load_model("a")).__name__ == "MiniBatchNMF"
    assert load_model("b").batch_size == 10


def test_a_convergence_warning_is_one_line(folder, capsys):
    assert (
        main(["fit", "x.npy", "-k", "3", "-o", "m", "-q", "--max-iter", "2", "--tol", "1e-9"]) == 0
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("partwise: warning: ")
    assert "max_iter" in err


def test_verbose_shows_the_progress(folder, capsys):
    assert main(["fit", "x.npy", "-k", "3", "--out", "m", "-v"]) == 0
    assert "iteration" in capsys.readouterr().out


def test_summary_tells_what_was_read_and_found(folder, capsys):
    assert main(["fit", "x.csv", "-k", "3", "--out", "m", "--max-iter", "2000"]) == 0
    out = capsys.readouterr().out
    assert "x.csv: 30 × 9, float64, names of rows and columns" in out
    model = load_model("m")
    assert f"{model.reconstruction_err_:.6g}" in out
    assert model.stop_reason_ in out


@pytest.mark.parametrize(
    ("source", "given", "shape"),
    [
        ("x.npy", [], [3, 3]),
        ("x.csv", [], None),
        ("x.csv", ["--image-shape", "1x9"], [1, 9]),
        ("x.npy", ["--image-shape", "9X1"], [9, 1]),
    ],
)
def test_image_shape(folder, source, given, shape):
    assert main(["fit", source, "-k", "2", "-o", "m", "-q", "--tol", "1", *given]) == 0
    assert json.loads(Path("m/model.json").read_text())["image_shape"] == shape


def test_force_replaces_a_model(folder, capsys):
    command = ["fit", "x.npy", "--out", "m", "-q"]
    assert main([*command, "-k", "2"]) == 0
    assert "--force" in refused(capsys, *command, "-k", 3)
    assert load_model("m").n_components_ == 2
    assert main([*command, "-k", "3", "--force"]) == 0
    assert load_model("m").n_components_ == 3


def test_an_existing_folder_is_refused_before_the_fit(folder, capsys, monkeypatch):
    Path("m").mkdir()
    monkeypatch.setattr(cli, "read_matrix", lambda path: pytest.fail("work before the check"))
    assert "existing folder" in refused(capsys, "fit", "x.npy", "-k", 2, "--out", "m")


def test_no_matplotlib_is_told_on_stderr(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["fit", "x.npy", "-k", "2", "--out", "m", "-q", "--max-iter", "2000"]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert 'pip install "partwise[plots]"' in err
    assert set(os.listdir("m")) == MODEL_FILES - {"parts.png", "history.png"}


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"partwise {partwise.__version__}\n"
    for command in [[], ["fit"], ["transform"], ["info"]]:
        assert main([*command, "--help"]) == 0
        assert "usage: partwise" in capsys.readouterr().out


# ---------------------------------------------------------------- transform and info


@pytest.fixture
def fitted(folder):
    assert main(["fit", "x.csv", "-k", "3", "--out", "m", "-q", "--max-iter", "2000"]) == 0
    return load_model("m")


@pytest.mark.parametrize("name", ["w.csv", "w.tsv", "w.npy", "w.npz"])
def test_transform_writes_every_format(fitted, name, capsys):
    assert main(["transform", "m", "x.npy", "--out", name]) == 0
    assert capsys.readouterr() == ("", "")
    del fitted.feature_names_in_
    np.testing.assert_array_equal(read_matrix(name).values, fitted.transform(X))
    assert "--force" in refused(capsys, "transform", "m", "x.npy", "--out", name)
    assert main(["transform", "m", "x.npy", "--out", name, "--force"]) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([*COLUMNS[:8], "other"], "missing 'gene8'; not in the model 'other'"),
        (COLUMNS[:8], "missing 'gene8'"),
        ([*COLUMNS, "x"], "not in the model 'x'"),
        ([COLUMNS[1], COLUMNS[0], *COLUMNS[2:]], "another order; column 1 is 'gene1'"),
        ([f"z{i}" for i in range(9)], "'gene4' and 4 more; not in the model 'z0'"),
    ],
)
def test_transform_says_which_columns_differ(fitted, capsys, columns, message):
    table(columns, np.ones((2, len(columns))), "y.csv")
    assert message in refused(capsys, "transform", "m", "y.csv", "--out", "w.csv")
    assert not Path("w.csv").exists()


def test_transform_counts_unnamed_columns(fitted, capsys):
    np.save("y.npy", X[:, :5])
    assert "got 5; wanted 9" in refused(capsys, "transform", "m", "y.npy")


def test_transform_refuses_what_it_cannot_write_before_writing(fitted, capsys):
    assert "ending .txt" in refused(capsys, "transform", "m", "x.npy", "--out", "w.txt")
    assert not Path("w.txt").exists()


def test_info_as_json(fitted, capsys):
    assert main(["info", "m", "--json", "--top", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["class"] == "NMF"
    assert told["n_iter"] == fitted.n_iter_
    assert told["top_features"]["nmf0"] == [list(pair) for pair in fitted.top_features(2)[0]]


# ---------------------------------------------------------------- compare


def test_compare_prints_a_table_and_writes_it_with_its_picture(folder, capsys):
    job = ("compare", "x.csv", "-k", "3", "--seeds", "2", "--max-iter", "20", "--out", "found")
    assert main([*job, "--solvers", "cd, mu", "--init", "random"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("read      x.csv: 30 × 9, float64, names of rows and columns\n")
    assert "\ncd  " in out
    assert "\nmu  " in out
    assert out.endswith("found: comparison.png, table.csv\n")
    with Path("found/table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["solver"], row["seed"]) for row in rows] == [
        ("cd", "0"), ("mu", "0"), ("cd", "1"), ("mu", "1"),
    ]  # fmt: skip
    same = partwise.compare(X, 3, solvers=["cd", "mu"], seeds=2, max_iter=20)
    for row, wanted in zip(rows, same.table(), strict=True):
        assert float(row["objective"]) == wanted["objective"]
    assert Path("found/comparison.png").read_bytes().startswith(b"\x89PNG")

    assert "existing folder" in refused(capsys, *job)
    assert main([*job, "--force", "--quiet", "--loss", "kullback-leibler"]) == 0
    assert capsys.readouterr().out == ""
    solvers = {line.split(",")[0] for line in Path("found/table.csv").read_text().splitlines()[1:]}
    counts = {"ccd", "newton", "newton-mu", "mirror"}
    assert solvers == {"rational", "amu", "mu", "pgd", *counts}


def test_compare_never_replaces_other_files(folder, capsys):
    Path("found").mkdir()
    Path("found/table.csv").write_text("mine")
    Path("found/notes.txt").write_text("mine")
    job = ("compare", "x.csv", "-k", "3", "--out", "found", "--force")
    assert "notes.txt" in refused(capsys, *job)
    Path("found/table.csv").unlink()
    Path("found/notes.txt").rename("found/comparison.png")
    assert "a Partwise comparison folder" in refused(capsys, *job)
    assert os.listdir("found") == ["comparison.png"]


def test_compare_without_a_folder_only_prints(folder, capsys):
    before = set(os.listdir())
    job = ["compare", "x.npy", "-k", "2", "--solvers", "cd", "--seeds", "1", "--max-time", "1"]
    assert main([*job, "-v"]) == 0
    out = capsys.readouterr().out
    assert "compare: 'cd', seed 0: objective" in out
    assert set(os.listdir()) == before


# ---------------------------------------------------------------- refusals

FIT = ("fit", "x.npy", "--out", "m")
COMPARE = ("compare", "x.npy", "-k", "2")
REFUSALS = [
    ((), "required"),
    (("fly",), "invalid choice"),
    (("fit", "x.npy"), "-k/--components, -o/--out"),
    (("fit", "-k", "2", "--out", "m"), "either INPUT or --demo"),
    (("fit", "x.npy", "--demo", "digits", "-k", "2", "--out", "m"), "either INPUT or --demo"),
    (("fit", "--demo", "faces", "-k", "2", "--out", "m"), "'digits'"),
    ((*FIT, "-k", "2.5"), "got '2.5'; wanted a whole number"),
    ((*FIT, "-k", "0"), "n_components"),
    ((*FIT, "-k", "-3"), "n_components"),
    ((*FIT, "-k", "2", "--loss", "huber"), "huber: got no delta; wanted huber=DELTA"),
    ((*FIT, "-k", "2", "--loss", "hubert"), "Or frobenius, kullback-leibler"),
    ((*FIT, "-k", "2", "--penalty-w", "l3=1"), "got 'l3'; wanted one of l1, l2, box"),
    ((*FIT, "-k", "2", "--penalty-w", "l1=x"), "l1: strength: got 'x'; wanted a number"),
    ((*FIT, "-k", "2", "--penalty-w", "l1"), "l1: got no strength; wanted l1=STRENGTH"),
    ((*FIT, "-k", "2", "--penalty-w", "l1=1,z=2"), "got the parameter 'z'; wanted l1=STRENGTH"),
    ((*FIT, "-k", "2", "--penalty-h", "hoyer=2"), "sparseness: got 2.0; wanted a number from"),
    ((*FIT, "-k", "2", "--penalty-h", "tv=1,shape=3by3"), "wanted a shape, as in 19x19"),
    ((*FIT, "-k", "2", "--penalty-h", "graph=1,weights=none.npz"), "no such file"),
    ((*FIT, "-k", "2", "--tol", "small"), "got 'small'; wanted a number"),
    ((*FIT, "-k", "2", "--alpha-w", "-1"), "alpha_W"),
    ((*FIT, "-k", "2", "--init", "magic"), "init"),
    ((*FIT, "-k", "2", "--solver", "magic"), "solver"),
    ((*FIT, "-k", "2", "--image-shape", "3x4"), "product of 9"),
    ((*FIT, "-k", "2", "--image-shape", "3by3"), "wanted height x width"),
    ((*FIT, "-k", "2", "--minibatch", "--starts", "3"), "--starts does not go with"),
    ((*FIT, "-k", "2", "-q", "-v"), "not allowed with"),
    (("fit", "none.npy", "-k", "2", "--out", "m"), "no such file"),
    (("fit", "x.docx", "-k", "2", "--out", "m"), "no such file"),
    (("fit", "negative.npy", "-k", "2", "--out", "m"), "egative"),
    (("fit", "inf.npy", "-k", "2", "--out", "m"), "infinit"),
    (("fit", "one.npy", "-k", "2", "--out", "m"), "feature"),
    (("fit", "zero.npy", "-k", "2", "--out", "m", "--loss", "itakura-saito"), "0"),
    (("fit", "x.npy", "-k", "2", "--out", "x.csv"), "a file"),
    (("transform", "nowhere", "x.npy"), "no such folder"),
    (("transform", "."), "required"),
    (("info", "."), "no model.json"),
    (("info", "m", "--top", "0"), "wanted 1 or more"),
    ((*COMPARE, "--solvers", "cd,magic"), "'magic'"),
    ((*COMPARE, "--solvers", ","), "got none"),
    ((*COMPARE, "--solvers", "cd", "--loss", "kullback-leibler"), "Solvers that can"),
    ((*COMPARE, "--seeds", "0"), "seeds"),
    ((*COMPARE, "--init", "custom"), "init='custom'"),
    ((*COMPARE, "--max-time", "soon"), "wanted a number"),
    ((*COMPARE, "--quiet"), "give --out too"),
    (("compare", "none.npy", "-k", "2"), "no such file"),
    (("compare", "x.npy", "-k", "2", "--out", "x.csv"), "a file"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSALS)
def test_refusals(folder, capsys, arguments, message):
    for name, value in [("negative", -1.0), ("inf", np.inf), ("zero", 0.0)]:
        values = X.copy()
        values[3, 2] = value
        np.save(f"{name}.npy", values)
    np.save("one.npy", X[:, :1])
    before = set(os.listdir())
    assert message in refused(capsys, *arguments)
    assert set(os.listdir()) == before


def test_ctrl_c_in_process_removes_the_partial_folder(folder, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("partwise.files.np.savez", interrupt)
    assert main(["fit", "x.npy", "-k", "2", "--out", "m", "-q", "--max-iter", "2000"]) == 130
    assert capsys.readouterr().err == "partwise: interrupted\n"
    assert set(os.listdir()) == {"x.npy", "x.csv"}
