"""Matrices read from files, and fitted models kept as folders of plain files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from partwise._errors import explain
from partwise._reading import LabelledMatrix, read_matrix
from partwise._states import (
    MODELS,
    NOT_FINITE,
    described_parameters,
    described_state,
    plain,
    rebuilt_parameters,
    rebuilt_state,
)
from partwise._version import __version__
from partwise._writing import check_file, name_array, table_lines, whole_folder, write_matrix
from partwise.comparison import Comparison

__all__ = [
    "LabelledMatrix",
    "check_file",
    "check_folder",
    "load_model",
    "read_info",
    "read_matrix",
    "save_comparison",
    "save_model",
    "table_lines",
    "write_matrix",
]

FOLDER_FORMAT = "partwise model 1"
MODEL_FILES = frozenset(["W.csv", "H.csv", "factors.npz", "model.json", "parts.png", "history.png"])
COMPARISON_FILES = frozenset(["table.csv", "comparison.png"])
# What model.json keeps of a fit, and the attribute of the estimator that holds it.
RESULTS = {
    "seed": "seed_",
    "n_iter": "n_iter_",
    "reconstruction_err": "reconstruction_err_",
    "kkt": "kkt_",
    "converged": "converged_",
    "stop_reason": "stop_reason_",
    "objective": "objective_",
    "objectives": "objectives_",
    "objective_history": "objective_history_",
    "time_history": "time_history_",
    "beta_loss": "beta_loss_",
    "solver": "solver_",
    "init": "init_",
    "n_steps": "n_steps_",
    "fractional_residual_variance": "fractional_residual_variance_",
    "persistence": "persistence_",
    "suggested_n_components": "suggested_n_components_",
}
ARRAYS = (
    *("objectives", "objective_history", "time_history"),
    *("fractional_residual_variance", "persistence"),
)
# What is kept beside the rest of a fitted model.
ELSEWHERE = {*RESULTS.values(), "W_", "components_", "feature_names_in_"} - {"seed_"}


# ---------------------------------------------------------------- saving a model


def check_folder(
    folder: str | os.PathLike[str], force: bool = False, files: frozenset[str] = MODEL_FILES
) -> Path:
    """Refuse a folder that `save_model` would refuse; return its absolute path.

    Parameters
    ----------
    folder : path
        Where the model shall go.
    force : bool, default=False
        Whether an existing model folder may be replaced.
    files : frozenset of str
        What such a folder may hold: that of a model, or of a comparison.
    """
    path = Path(folder).resolve()
    if not path.exists():
        return path
    subject, wanted = f"output folder {folder}", "a new folder"
    if not path.is_dir():
        raise FileExistsError(explain(subject, "a file", wanted, "Choose another name."))
    if not force:
        todo = "Choose another name, or replace it with force=True (--force)."
        raise FileExistsError(explain(subject, "an existing folder", wanted, todo))
    held = sorted(item.name for item in path.iterdir())
    foreign = [name for name in held if name not in files]
    kind, sign = ("model", "model.json") if files == MODEL_FILES else ("comparison", "table.csv")
    if foreign or (held and sign not in held):
        others = ", ".join((foreign or held)[:3])
        got = f"a folder that holds what Partwise did not write there ({others})"
        todo = "Nothing was deleted; choose another name, or move those files away."
        raise FileExistsError(explain(subject, got, f"a Partwise {kind} folder", todo))
    if held and kind == "model":
        read_info(path)
    return path


def save_comparison(
    folder: str | os.PathLike[str], comparison: Comparison, *, force: bool = False
) -> Path:
    """Write what `partwise.compare` found into a new folder: a table, and its picture.

    ``table.csv`` has a line for each run, with the columns of `Comparison.table`;
    ``comparison.png`` needs matplotlib. The folder appears whole or not at all.

    Parameters
    ----------
    folder : path
        The folder to make.
    comparison : Comparison
        What `partwise.compare` returned.
    force : bool, default=False
        Whether an existing folder of a comparison may be replaced.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    FileExistsError
        It exists, and ``force`` is False or it holds other files.

    Examples
    --------
    >>> import tempfile
    >>> from partwise import compare
    >>> from partwise.files import save_comparison
    >>> found = compare([[1, 1, 0], [2, 2, 0], [0, 0, 3]], 2, solvers=["cd", "mu"], seeds=1)
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = save_comparison(parent + "/found", found)
    ...     (folder / "table.csv").read_text().splitlines()[0].split(",")[:3]
    ['solver', 'seed', 'objective']
    """
    target = check_folder(folder, force, COMPARISON_FILES)
    rows = comparison.table()
    with whole_folder(target) as partial:
        with (partial / "table.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        if find_spec("matplotlib") is not None:
            comparison.plot().savefig(partial / "comparison.png", dpi=150)
    return target


def save_model(
    folder: str | os.PathLike[str],
    model: Any,
    *,
    W: np.ndarray | None = None,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    force: bool = False,
) -> Path:
    """Write a fitted model as a folder of plain files, whole or not at all.

    The folder holds ``W.csv`` and ``H.csv`` with names; ``factors.npz`` with the arrays
    ``W``, ``H``, ``row_names``, ``column_names`` (empty where there are none) and
    ``component_names``, and those of penalties; ``model.json`` with all that is needed to
    repeat the fit; and, if matplotlib is installed, ``parts.png`` and ``history.png``. Losses
    and penalties are kept as names and parameters. Nothing is pickled: those made of functions
    of yours are refused.

    Parameters
    ----------
    folder : path
        The folder to make; its parents are made too.
    model : estimator
        A fitted one of Partwise; of `SequentialNMF` all ranks are kept, of `NMFImputer` its
        model and the refits, of `PositiveMatrixFactorization` the data that its error estimates
        need.
    W : ndarray of shape (n_samples, n_components), optional
        The weights of the samples; by default the model's ``W_``.
    row_names, column_names : sequence of str, optional
        Names of the samples and of the features; the features' names are by default the
        model's ``feature_names_in_``, if it has them.
    source : path or str, optional
        The file that the data came from, kept by name and SHA-256.
    image_shape : (int, int), optional
        Height and width of a component, for ``parts.png``.
    force : bool, default=False
        Whether to replace an existing model folder. The old one is removed once the new
        one is complete; a folder with any other file in it is never replaced.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    TypeError
        An estimator of another class.
    ValueError
        No W, or W or names that do not fit to the components; objects made of functions.
    FileExistsError
        The folder exists, and ``force`` is False or it holds other files.

    Examples
    --------
    >>> import tempfile
    >>> from partwise import NMF, load_model, save_model
    >>> model = NMF(2).fit([[1, 1, 0], [2, 2, 0], [0, 0, 3], [1, 1, 3]])
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = save_model(parent + "/model", model)
    ...     load_model(folder).components_.shape
    (2, 3)
    """
    target = check_folder(folder, force)
    if type(model) not in MODELS.values():
        todo = "Keep another one with joblib.dump, or its arrays with numpy.savez."
        raise TypeError(explain("save_model", type(model).__name__, " or ".join(MODELS), todo))
    check_is_fitted(model)
    factors = getattr(model, "nmf_", model)  # of an imputer
    W = getattr(factors, "W_", None) if W is None else W
    if W is None:
        raise ValueError(explain("save_model", "no W", "W=model.transform(X)"))
    if column_names is None and hasattr(model, "feature_names_in_"):
        kept = getattr(model, "kept_", slice(None))  # of an imputer
        column_names = model.feature_names_in_[kept].tolist()
    W, H = np.asarray(W), np.asarray(factors.components_)
    if W.ndim != 2 or W.shape[1] != len(H):
        raise ValueError(explain("W", f"shape {W.shape}", f"(n_samples, {len(H)})"))
    _check_names("row_names", row_names, W.shape[0])
    _check_names("column_names", column_names, H.shape[1])
    arrays: dict[str, np.ndarray] = {"W": W, "H": H}
    info = _describe(model, W, H, source, arrays)
    info["image_shape"] = None if image_shape is None else list(image_shape)
    with whole_folder(target) as partial:
        components = _component_names(model, H)
        _write_factors(partial, W, H, row_names, column_names, components, arrays)
        text = json.dumps(info, indent=2, allow_nan=False, ensure_ascii=False)
        (partial / "model.json").write_text(text + "\n", encoding="utf-8")
        _draw(partial, factors, column_names, image_shape)
    return target


def _check_names(parameter: str, names: Sequence[str] | None, size: int) -> None:
    if names is not None and len(names) != size:
        raise ValueError(explain(parameter, f"{len(names)} names", f"{size} names"))


def _component_names(model: Any, H: np.ndarray) -> list[str]:
    return [f"{type(model).__name__.lower()}{number}" for number in range(len(H))]


def _describe(
    model: Any, W: np.ndarray, H: np.ndarray, source: Any, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return the content of model.json, and put arrays that belong to it into ``arrays``."""
    inner = hasattr(model, "nmf_")
    parameters, unsaved = described_parameters(model.get_params(deep=False), arrays)
    results = {key: plain(getattr(model, name, None)) for key, name in RESULTS.items()}
    if results["seed"] is None:
        results["seed"] = parameters.get("random_state")
    return {
        "format": FOLDER_FORMAT,
        "class": type(model).__name__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": _describe_source(source),
        "shapes": {"X": [len(W), H.shape[1]], "W": list(W.shape), "H": list(H.shape)},
        "dtype": str(H.dtype),
        "parameters": parameters,
        "unsaved_parameters": unsaved,
        **results,
        "state": described_state(model, arrays, without=() if inner else ELSEWHERE),
        "versions": _versions(),
    }


def _describe_source(source: Any) -> dict[str, Any] | None:
    if source is None:
        return None
    path, digest = Path(source), None
    if path.is_file():
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": str(source), "sha256": digest}


def _versions() -> dict[str, str]:
    packages = ["numpy", "scipy", "scikit-learn", "numba"]
    found = {name: metadata.version(name) for name in packages}
    return {"partwise": __version__, **found, "python": platform.python_version()}


def _write_factors(
    folder: Path,
    W: np.ndarray,
    H: np.ndarray,
    row_names: Sequence[str] | None,
    column_names: Sequence[str] | None,
    components: Sequence[str],
    arrays: Mapping[str, np.ndarray],
) -> None:
    write_matrix(folder / "W.csv", W, row_names=row_names, column_names=components)
    write_matrix(folder / "H.csv", H, row_names=components, column_names=column_names)
    np.savez(
        folder / "factors.npz",
        row_names=name_array(row_names),
        column_names=name_array(column_names),
        component_names=name_array(components),
        **arrays,  # type: ignore[arg-type]
    )


def _draw(
    folder: Path,
    model: Any,
    column_names: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
) -> None:
    """Draw the pictures; a fit is worth keeping even where they fail."""
    from partwise import plots

    try:
        with warnings.catch_warnings():
            # Names may hold characters that the font lacks.
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            parts = plots.plot_parts(model, image_shape, names=column_names)
            parts.savefig(folder / "parts.png", dpi=150)
            if getattr(model, "objective_history_", None) is not None:
                history: Any = plots.plot_history(model).figure
                history.savefig(folder / "history.png", dpi=150)
    except Exception as error:
        reason = " ".join(str(error).split()) or repr(error)
        message = f"parts.png and history.png were not drawn: {reason}"
        warnings.warn(message, UserWarning, stacklevel=3)
        for name in ("parts.png", "history.png"):
            (folder / name).unlink(missing_ok=True)


# ---------------------------------------------------------------- loading a model


def _broken_model(path: Path, got: str, wanted: str) -> ValueError:
    todo = "Fit again, or restore the folder."
    return ValueError(explain(f"model {path}", got, wanted, todo))


def read_info(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a model folder's ``model.json``.

    Parameters
    ----------
    folder : path
        A folder that `save_model` wrote.
    """
    path = Path(folder)
    file = path / "model.json"
    if not file.is_file():
        got = "no model.json in it" if path.is_dir() else "no such folder"
        message = explain(f"model {path}", got, "a folder that Partwise wrote")
        raise FileNotFoundError(message)
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        got = f"a model.json that is no JSON ({error})"
        raise _broken_model(path, got, "the file that Partwise wrote") from error
    found = info.get("format") if isinstance(info, dict) else None
    if found != FOLDER_FORMAT:
        got = f"a model.json of format {found!r}"
        raise _broken_model(path, got, repr(FOLDER_FORMAT))
    return info


def load_model(folder: str | os.PathLike[str]) -> Any:
    """Rebuild the fitted estimator that `save_model` wrote.

    Parameters
    ----------
    folder : path
        A folder that `save_model` wrote.

    Returns
    -------
    estimator
        With its parameters, ``components_``, ``W_`` and the results of its fit. What is no
        number, text, list of these or None among the parameters, such as a random generator, is
        not kept; `partial_fit` goes on from the components.

    Examples
    --------
    See `save_model`.
    """
    path, info = Path(folder), read_info(folder)
    if info.get("class") not in MODELS:
        raise _broken_model(path, f"class {info.get('class')!r}", " or ".join(MODELS))
    arrays = _read_factors(path, info)
    names = [str(name) for name in arrays["column_names"]]
    try:
        model = MODELS[info["class"]](**rebuilt_parameters(info.get("parameters", {}), arrays))
    except (KeyError, TypeError, ValueError) as error:
        version = info.get("versions", {}).get("partwise")
        got = f"parameters of Partwise {version} that {__version__} lacks ({error})"
        raise _broken_model(path, got, "parameters of this version") from error
    state = info.get("state", {})
    for key, attribute in RESULTS.items():
        if info.get(key) is not None and not (state and key == "seed"):  # which may be a parameter
            setattr(model, attribute, _restored(key, info[key]))
    if "nmf_" not in state:
        model.components_, model.W_ = arrays["H"], arrays["W"]
        if not state:
            model.n_components_, model.n_features_in_ = model.components_.shape
        if names:
            model.feature_names_in_ = np.array(names, dtype=object)
    try:
        vars(model).update(rebuilt_state(state, arrays))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        got = f"a state that cannot be read ({error!r})"
        raise _broken_model(path, got, "the state that Partwise wrote") from error
    return model


def _restored(key: str, value: Any) -> Any:
    if key in ARRAYS:
        return np.array(value, dtype=np.float64)
    return float(value) if value in NOT_FINITE else value


def _read_factors(path: Path, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of factors.npz, those of the factors checked against model.json."""
    wanted = "the factors.npz that Partwise wrote"
    try:
        # Opened here, since np.load leaves a file that it refuses open.
        with (path / "factors.npz").open("rb") as stream:
            arrays = dict(np.load(stream, allow_pickle=False))
            W, H, _ = arrays["W"], arrays["H"], arrays["column_names"]
    except FileNotFoundError as error:
        raise _broken_model(path, "no factors.npz", wanted) from error
    except Exception as error:
        raise _broken_model(path, f"a broken factors.npz ({error})", wanted) from error
    shapes = info.get("shapes", {})
    if [list(W.shape), list(H.shape)] != [shapes.get("W"), shapes.get("H")]:
        got = f"W {W.shape} and H {H.shape}"
        raise _broken_model(path, got, f"the shapes in model.json, {shapes}")
    if W.dtype.kind != "f" or H.dtype.kind != "f" or not np.isfinite(H).all():
        raise _broken_model(path, "factors that are no finite numbers", wanted)
    return arrays
