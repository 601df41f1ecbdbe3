"""The command line: ``partwise fit``, ``transform``, ``info`` and ``compare``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from scipy import sparse

from partwise import NMF, MiniBatchNMF, __version__, compare
from partwise._parts import parsed, text_of, usages
from partwise._process import interrupts_kept, say, warnings_as_lines
from partwise._reading import read_row_weights
from partwise.files import (
    COMPARISON_FILES,
    LabelledMatrix,
    check_file,
    check_folder,
    load_model,
    read_info,
    read_matrix,
    save_comparison,
    save_model,
    table_lines,
    write_matrix,
)

__all__ = ["main"]

DESCRIPTION = """Factorize a non-negative matrix X into parts: X ≈ W H.

Rows of X are samples, columns are features. W (samples × components) says how much of
each part is in each sample, H (components × features) what each part is made of."""
INPUT_HELP = (
    "a matrix: .npy, .npz (dense or SciPy sparse), .csv or .tsv (also .gz; header and row "
    "names are detected), .parquet, .mtx or .mtx.gz"
)
LOSSES = (
    "frobenius", "kullback-leibler", "itakura-saito", "poisson", "gamma",
    "pearson", "hellinger", "neyman", "reverse-kullback-leibler", "l21", "bernoulli",
)  # fmt: skip
NO_LOSS = f"Or {', '.join(LOSSES)}, or a number."
LOSSES_TITLE = "losses with parameters, for --loss:"
PENALTIES_TITLE = """penalties, for --penalty-w and --penalty-h; a row F[i] is a sample of W, or a
feature of H. A FILE of values has one a line (.txt), or is a matrix in a format of
INPUT. tv is short for total-variation:"""
EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141


class _UsageError(Exception):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and never end the process by themselves."""

    def error(self, message: str) -> NoReturn:
        """Raise the error, with the way to the help."""
        text = f"{message} (see: {self.prog} --help)"
        raise _UsageError(text)


class _WithTables(argparse.HelpFormatter):
    """A formatter that leaves the lines of the epilog as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        keeps = text.startswith(LOSSES_TITLE)
        return text if keeps else super()._fill_text(text, width, indent)


def _parts_help() -> str:
    """Return how losses and penalties are written, from what they declare."""
    lines = []
    for title, kind in ((LOSSES_TITLE, "loss"), (PENALTIES_TITLE, "penalty")):
        lines += ["", title]
        for usage, summary in usages(kind):
            if "=" in usage or kind == "penalty":
                lines += [f"  {usage}", f"      {summary}"]
    return "\n".join(lines[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name, by default those of the process.

    Returns
    -------
    int
        The exit code: 0 for success, 2 for bad input or usage, 130 after Ctrl-C.
    """
    try:
        with warnings_as_lines(), interrupts_kept():
            arguments = _parser().parse_args(argv)
            arguments.run(arguments)
            sys.stdout.flush()
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except MemoryError as error:
        say(f"out of memory ({error}); try --dtype float32 or a sparse file")
        return EXIT_BAD_INPUT
    except (_UsageError, ValueError, TypeError, OSError, ImportError) as error:
        say(str(error) or repr(error))
        return EXIT_BAD_INPUT
    return 0


# ---------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="partwise",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"partwise {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_transform(commands)
    _add_info(commands)
    _add_compare(commands)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="factorize a matrix and write the factors, a record and pictures",
        description="Factorize a matrix; write W.csv, H.csv, factors.npz, model.json, "
        "parts.png and history.png into a new folder.",
        epilog=_parts_help(),
        formatter_class=_WithTables,
    )
    fit.set_defaults(run=_fit)
    add = fit.add_argument
    add("input", metavar="INPUT", nargs="?", help=INPUT_HELP)
    add("--demo", choices=["digits"], help="scikit-learn's digits instead of INPUT")
    add("-k", "--components", metavar="K", type=_whole, required=True, help="how many parts")
    add("-o", "--out", metavar="DIR", required=True, help="the folder to make")
    add("--force", action="store_true", help="replace DIR if it is a model folder")
    add("--image-shape", metavar="HxW", type=_image_shape, help="draw parts as H x W images")
    add("--dtype", choices=["float32", "float64"], help="precision, by default the file's")
    add("--sample-weight", metavar="FILE",
        help="a weight for each row of INPUT: one a line (.txt), or a column in a "
        "format of INPUT")  # fmt: skip
    _add_model_options(fit)
    _add_volume(fit, "show the progress")


def _add_volume(parser: argparse.ArgumentParser, more: str) -> None:
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("-q", "--quiet", action="store_true", help="print only warnings")
    volume.add_argument("-v", "--verbose", action="store_true", help=more)


def _add_model_options(fit: argparse.ArgumentParser) -> None:
    """Add the options that are parameters of the estimators; unset, their defaults hold."""
    add = fit.add_argument_group("model").add_argument
    add("--loss", dest="beta_loss", metavar="LOSS", type=_loss,
        help=f"{', '.join(LOSSES)}, the number beta, or one of those below, such as "
        "huber=1.5 (default: frobenius)")  # fmt: skip
    add("--solver", help="auto, cd, me or mu (default: auto)")
    add("--init", help="random, nndsvda, nnsvd-lrc, kmeans, spa, ica, best-random, ...")
    add("--alpha-w", dest="alpha_W", metavar="A", type=_real, help="penalty on W")
    add("--alpha-h", dest="alpha_H", metavar="A", type=_real_or_same,
        help="penalty on H, or: same (default: same)")  # fmt: skip
    add("--l1-ratio", metavar="R", type=_real, help="part of the penalties that is L1")
    for name in "wh":
        add(f"--penalty-{name}", dest=f"penalty_{name.upper()}", metavar="PENALTY",
            type=_penalty, action="append",
            help=f"what {name.upper()} must obey, such as l1=0.1 or simplex; "
            "may be repeated")  # fmt: skip
    add("--allow-negative", action="store_true", default=None,
        help="INPUT may have entries below zero, as noise; for the loss frobenius")  # fmt: skip
    add("--seed", dest="random_state", metavar="N", type=_whole, default=0,
        help="seed of every random choice (default: 0)")  # fmt: skip
    add(
        "--starts",
        dest="n_init",
        metavar="N",
        type=_whole,
        help="keep the best of N starts",
    )
    add("--jobs", dest="n_jobs", metavar="N", type=_whole, help="starts at a time, -1: all")
    add("--max-iter", metavar="N", type=_whole, help="iterations at most")
    add("--max-time", metavar="SECONDS", type=_real, help="seconds at most")
    add("--tol", metavar="T", type=_real, help="tolerance of the stopping rule")
    add("--minibatch", action="store_true", help="use MiniBatchNMF")
    add(
        "--batch-size",
        metavar="N",
        type=_whole,
        help="rows of a mini-batch; sets --minibatch",
    )


MODEL_OPTIONS = {
    "beta_loss": "--loss",
    "solver": "--solver",
    "init": "--init",
    "alpha_W": "--alpha-w",
    "alpha_H": "--alpha-h",
    "l1_ratio": "--l1-ratio",
    "penalty_W": "--penalty-w",
    "penalty_H": "--penalty-h",
    "allow_negative": "--allow-negative",
    "random_state": "--seed",
    "n_init": "--starts",
    "n_jobs": "--jobs",
    "max_iter": "--max-iter",
    "max_time": "--max-time",
    "tol": "--tol",
    "batch_size": "--batch-size",
}


def _add_transform(commands: Any) -> None:
    transform = commands.add_parser(
        "transform",
        help="express new samples in the parts of a model",
        description="Find W for new samples with the parts H of a model kept as they are.",
    )
    transform.set_defaults(run=_transform)
    transform.add_argument("model", metavar="DIR", help="a folder made by partwise fit")
    transform.add_argument("input", metavar="INPUT", help=INPUT_HELP)
    transform.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help=".csv, .tsv, .npy or .npz (default: CSV on stdout)",
    )
    transform.add_argument("--force", action="store_true", help="replace FILE")


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="describe a model", description="Describe a model.")
    info.set_defaults(run=_info)
    info.add_argument("model", metavar="DIR", help="a folder made by partwise fit")
    info.add_argument("--json", action="store_true", help="print it as JSON")
    info.add_argument(
        "--top", metavar="N", type=_whole, default=6, help="features per part (default: 6)"
    )


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="run solvers from the same starts and tell how they go down",
        description="Run solvers from the same starts; print a table, and write table.csv and "
        "comparison.png into a new folder.",
    )
    parser.set_defaults(run=_compare)
    add = parser.add_argument
    add("input", metavar="INPUT", help=INPUT_HELP)
    add("-k", "--components", metavar="K", type=_whole, required=True, help="how many parts")
    add("-o", "--out", metavar="DIR", help="the folder to make (default: print only)")
    add("--force", action="store_true", help="replace DIR if it is a folder of a comparison")
    add("--solvers", metavar="A,B,...", type=_names, help="cd,mu,... (default: all that can)")
    add("--seeds", metavar="N", type=_whole, default=3, help="how many starts (default: 3)")
    add("--loss", dest="beta_loss", metavar="LOSS", type=_loss, help="as for fit")
    add("--init", help="as for fit (default: random)")
    add("--max-iter", metavar="N", type=_whole, help="iterations of a run at most")
    add("--max-time", metavar="SECONDS", type=_real, help="seconds of a run at most")
    add("--tol", metavar="T", type=_real, help="tolerance of the stopping rule")
    _add_volume(parser, "a line after each run")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f"got {text!r}; wanted a whole number"
        raise argparse.ArgumentTypeError(message) from None


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f"got {text!r}; wanted a number"
        raise argparse.ArgumentTypeError(message) from None


def _real_or_same(text: str) -> float | str:
    return text if text == "same" else _real(text)


def _loss(text: str) -> Any:
    if text in LOSSES:
        return text
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parsed("loss", text, _content)
    except ValueError as error:
        message = f"{error} {NO_LOSS}" if str(error).startswith("loss:") else str(error)
        raise argparse.ArgumentTypeError(message) from None


def _penalty(text: str) -> Any:
    try:
        return parsed("penalty", text, _content)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _content(path: str) -> Any:
    """Return what a parameter that is an array has in a file."""
    if Path(path).suffix.lower() == ".txt":
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return np.array([_label(line.strip()) for line in lines], dtype=object)
    values = read_matrix(path).values
    return values[:, 0] if 1 in values.shape[1:] and not sparse.issparse(values) else values


def _label(text: str) -> Any:
    # -1 and an empty line say that it is not known.
    return None if text in ("", "-1") else text


def _image_shape(text: str) -> tuple[int, int]:
    height, _, width = text.lower().replace("×", "x").partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        message = f"got {text!r}; wanted height x width, as in 28x28"
        raise argparse.ArgumentTypeError(message)
    return int(height), int(width)


# ---------------------------------------------------------------- fit


def _fit(arguments: argparse.Namespace) -> None:
    if (arguments.input is None) == (arguments.demo is None):
        message = "fit: give either INPUT or --demo digits (see: partwise fit --help)"
        raise _UsageError(message)
    model = _model(arguments)
    # Before any work, so that a long fit is not lost to a folder in its way.
    check_folder(arguments.out, arguments.force)
    matrix = _demo() if arguments.demo else read_matrix(arguments.input)
    source = f"demo: {arguments.demo}" if arguments.demo else arguments.input
    values = matrix.values
    if arguments.dtype:
        values = values.astype(arguments.dtype, copy=False)
    shape = _picture_shape(arguments, matrix)
    if not arguments.quiet:
        _print_input(source, matrix)
    path = arguments.sample_weight
    weights = None if path is None else read_row_weights(path, matrix)
    W = model.fit_transform(values, sample_weight=weights)
    folder = save_model(
        arguments.out,
        model,
        W=W,
        row_names=matrix.row_names,
        column_names=matrix.column_names,
        source=source,
        image_shape=shape,
        force=arguments.force,
    )
    if not arguments.quiet:
        _print_fit(model, values, weights, folder)
    if importlib.util.find_spec("matplotlib") is None:
        say('no pictures without matplotlib; run: pip install "partwise[plots]"')


def _model(arguments: argparse.Namespace) -> Any:
    """Return the estimator with the parameters that were given."""
    minibatch = arguments.minibatch or arguments.batch_size is not None
    estimator = MiniBatchNMF if minibatch else NMF
    known = estimator().get_params()
    given = {name: getattr(arguments, name) for name in MODEL_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in known:
            message = f"{MODEL_OPTIONS[name]} does not go with {estimator.__name__}; drop it"
            raise _UsageError(message)
    return estimator(arguments.components, verbose=int(arguments.verbose), **given)


def _demo() -> LabelledMatrix:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return LabelledMatrix(digits.data, None, [str(name) for name in digits.feature_names])


def _picture_shape(arguments: argparse.Namespace, matrix: LabelledMatrix) -> tuple[int, int] | None:
    """Return the shape to draw parts in: the given one, or a square where it is likely."""
    n_features = matrix.values.shape[1]
    if arguments.image_shape is not None:
        height, width = arguments.image_shape
        if height * width != n_features:
            message = (
                f"--image-shape: got {height}x{width}, a product of {height * width}; "
                f"wanted a product of {n_features}, the number of columns"
            )
            raise _UsageError(message)
        return height, width
    side = math.isqrt(n_features)
    unnamed = matrix.column_names is None or arguments.demo is not None
    return (side, side) if unnamed and side > 2 and side * side == n_features else None


def _print_input(source: str, matrix: LabelledMatrix) -> None:
    values = matrix.values
    n_rows, n_columns = values.shape
    stored = str(values.dtype)
    if sparse.issparse(values):
        stored += f", sparse with {values.nnz} entries"
    named = [
        kind
        for kind, names in [("rows", matrix.row_names), ("columns", matrix.column_names)]
        if names is not None
    ]
    names = f"names of {' and '.join(named)}" if named else "no names"
    print(f"read      {source}: {n_rows} × {n_columns}, {stored}, {names}", flush=True)


def _print_fit(model: Any, values: Any, weights: np.ndarray | None, folder: Path) -> None:
    seconds = getattr(model, "time_history_", None)
    took = "" if seconds is None or not len(seconds) else f" in {seconds[-1]:.3g} s"
    print(f"fitted    {_summary(model.get_params(), vars(model))}{took}")
    print(f"error     {_error_text(model, values, weights)}")
    if getattr(model, "stop_reason_", None):
        print(f"stopped   {model.stop_reason_}")
    print(f"wrote     {folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")


def _summary(parameters: dict[str, Any], results: dict[str, Any]) -> str:
    """Return what kind of fit it was, in one line."""
    solver, loss = results.get("solver_") or parameters.get("solver"), parameters["beta_loss"]
    words = [
        f"{results['n_components_']} components",
        f"loss {getattr(loss, 'name', None) or text_of(loss)}",
        *([f"solver {solver}"] if solver else []),
        f"{results['n_iter_']} iterations",
    ]
    return ", ".join(words)


def _error_text(model: Any, values: Any, weights: np.ndarray | None) -> str:
    error = float(model.reconstruction_err_)
    text = f"{error:.6g}"
    if model.get_params()["beta_loss"] in ("frobenius", 2):
        if weights is not None:
            values = sparse.diags_array(np.sqrt(weights)) @ values
        data = values.data if sparse.issparse(values) else values
        scale = float(np.linalg.norm(np.ravel(data).astype(np.float64, copy=False)))
        if 0 < scale < math.inf:
            text += f" (Frobenius), {error / scale:.4g} of the norm of X"
    return text


# ---------------------------------------------------------------- transform


def _transform(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        check_file(arguments.out, arguments.force)
    model = load_model(arguments.model)
    matrix = read_matrix(arguments.input)
    _check_columns(matrix, model)
    W = model.transform(matrix.values)
    components = [str(name) for name in model.get_feature_names_out()]
    if arguments.out is None:
        for line in table_lines(W, matrix.row_names, components):
            sys.stdout.write(line)
        return
    write_matrix(
        arguments.out,
        W,
        row_names=matrix.row_names,
        column_names=components,
        force=arguments.force,
    )


def _check_columns(matrix: LabelledMatrix, model: Any) -> None:
    """Refuse a matrix whose columns are not those of the model."""
    wanted = getattr(model, "feature_names_in_", None)
    got = matrix.column_names
    sizes = matrix.values.shape[1], model.n_features_in_
    if got is not None and wanted is not None and got != list(wanted):
        message = f"columns differ from the model's: {_difference(got, list(wanted))}"
        raise ValueError(message)
    if sizes[0] != sizes[1]:
        message = f"columns: got {sizes[0]}; wanted {sizes[1]} as in the model"
        raise ValueError(message)


def _difference(got: list[str], wanted: list[str]) -> str:
    missing = [name for name in wanted if name not in set(got)]
    extra = [name for name in got if name not in set(wanted)]
    parts = [
        f"{what} {', '.join(map(repr, names[:5]))}"
        + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        for what, names in [("missing", missing), ("not in the model", extra)]
        if names
    ]
    if parts:
        return "; ".join(parts)
    if len(got) != len(wanted):
        return f"got {len(got)}, wanted {len(wanted)}; some names are repeated"
    place = next(i for i, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] != pair[1])
    return (
        f"same names, another order; column {place + 1} is {got[place]!r}, "
        f"wanted {wanted[place]!r}. Reorder them"
    )


# ---------------------------------------------------------------- info


def _info(arguments: argparse.Namespace) -> None:
    if arguments.top < 1:
        message = f"--top: got {arguments.top}; wanted 1 or more"
        raise _UsageError(message)
    info, model = read_info(arguments.model), load_model(arguments.model)
    names = [str(name) for name in model.get_feature_names_out()]
    top = model.top_features(arguments.top)
    if arguments.json:
        info["top_features"] = {
            name: [[_plain_name(feature), float(weight)] for feature, weight in features]
            for name, features in zip(names, top, strict=True)
        }
        print(json.dumps(info, indent=2, ensure_ascii=False))
        return
    for key, text in _facts(arguments.model, info):
        print(f"{key:<9} {text}")
    share = model.W_.sum(axis=0) * model.components_.sum(axis=1)
    share = 100.0 * share / (share.sum() or 1.0)
    width = max(9, *map(len, names))
    print(f"\n{'component':<{width}}   share  largest features (weight)")
    for name, percent, features in zip(names, share, top, strict=True):
        listed = ", ".join(f"{feature} ({weight:.3g})" for feature, weight in features)
        print(f"{name:<{width}} {percent:>5.1f} %  {listed}")


def _plain_name(feature: Any) -> str | int:
    return feature if isinstance(feature, str) else int(feature)


def _facts(folder: str, info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    source = info["input"] or {"name": "an array", "sha256": None}
    digest = f", SHA-256 {source['sha256'][:12]}…" if source["sha256"] else ""
    n_samples, n_features = info["shapes"]["X"]
    results = {f"{key}_": value for key, value in info.items()}
    results["n_components_"] = info["shapes"]["H"][0]
    kept = info["parameters"].items()
    yield "model", f"{folder} ({info['class']}, {info['dtype']})"
    yield "made", f"{info['created']} with {versions}"
    yield "input", f"{source['name']}, {n_samples} × {n_features}{digest}"
    yield "fit", _summary(info["parameters"], results)
    yield "options", ", ".join(f"{name}={text_of(value)}" for name, value in kept)
    if info["objective"] is not None:
        starts = len(info["objectives"] or [0])
        best = f", best of {starts} starts" if starts > 1 else ""
        yield "objective", f"{info['objective']:.8g}{best}"
    yield "error", f"{info['reconstruction_err']:.6g}"
    if info["stop_reason"]:
        yield "stopped", info["stop_reason"]


# ---------------------------------------------------------------- compare


def _compare(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        check_folder(arguments.out, arguments.force, COMPARISON_FILES)
    elif arguments.quiet:
        message = "compare: --quiet without --out tells nothing; give --out too"
        raise _UsageError(message)
    matrix = read_matrix(arguments.input)
    names = ("solvers", "seeds", "beta_loss", "init", "max_iter", "max_time", "tol")
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if not arguments.quiet:
        _print_input(arguments.input, matrix)
    found = compare(matrix.values, arguments.components, verbose=int(arguments.verbose), **given)
    if not arguments.quiet:
        print(f"\n{found}")
    if arguments.out is None:
        return
    folder = save_comparison(arguments.out, found, force=arguments.force)
    if not arguments.quiet:
        print(f"\nwrote     {folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    if importlib.util.find_spec("matplotlib") is None:
        say('no picture without matplotlib; run: pip install "partwise[plots]"')
