"""The public names: complete, documented, and with examples that run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import types

import pytest

import partwise

CLASSES = [
    partwise.NMF,
    partwise.MiniBatchNMF,
    partwise.NonSmoothNMF,
    partwise.NMFImputer,
    partwise.SequentialNMF,
    partwise.Recommender,
    partwise.PositiveMatrixFactorization,
]
PUBLIC = [
    value
    for name in partwise.__all__
    if callable(value := getattr(partwise, name))
    and not (inspect.isclass(value) and issubclass(value, Exception))
]
# Packages whose __init__ re-exports the names of a room.
ROOMS = [
    "apportionment",
    *("data", "estimators", "init", "kernels", "losses", "models", "penalties", "select"),
    *("recipes", "solvers"),
]


# Handed to the user, never made by one: its attributes count, not its constructor.
RECEIVED = ["Comparison", "CrossValLoss", "FitState"]


def modules():
    for info in pkgutil.walk_packages(partwise.__path__, "partwise."):
        if not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def methods(cls):
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if name.startswith("_") or not isinstance(member, types.FunctionType):
            continue
        if member.__module__.startswith("partwise"):
            yield name, member


METHODS = [(cls, name) for cls in CLASSES for name, _ in methods(cls)]


def test_all_lists_every_public_name_and_nothing_else():
    found = {
        name
        for name, value in vars(partwise).items()
        if not isinstance(value, types.ModuleType) and not name.startswith("_")
    }
    assert found == {name for name in partwise.__all__ if name != "__version__"}
    assert len(set(partwise.__all__)) == len(partwise.__all__)
    assert {"NMF", "MiniBatchNMF", "non_negative_factorization", "__version__"} <= set(
        partwise.__all__
    )
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?\S*", partwise.__version__)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_list_their_names(room):
    module = importlib.import_module(f"partwise.{room}")
    found = {
        name
        for name in dir(module)
        if not isinstance(getattr(module, name), types.ModuleType) and not name.startswith("_")
    }
    assert found == set(module.__all__)


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: m.__name__)
def test_every_module_has_a_docstring_and_a_true_all(module):
    assert module.__doc__
    assert module.__doc__.strip()
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{module.__name__}.{name}"
    assert hasattr(module, "__all__") or module.__name__.split(".")[-1].startswith("_")


def parameters(function):
    signature = inspect.signature(function)
    return [
        name
        for name, p in signature.parameters.items()
        if name != "self" and p.kind is not p.VAR_KEYWORD
    ]


def section(doc: str, title: str) -> str:
    parts = re.split(r"^ *(\w[\w ]*)\n *-{3,}\n", inspect.cleandoc(doc), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "")


def documented(text: str) -> set[str]:
    heads = re.findall(r"^(\S[^:\n]*?)(?: :|$)", text.replace("\\\n", " "), flags=re.M)
    names = {name.strip() for head in heads for name in head.split(",")}
    return {name for name in names if name.isidentifier()}


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda t: t.__name__)
def test_public_docstrings_have_their_sections(thing):
    doc = thing.__doc__
    if thing.__name__ in RECEIVED:
        assert section(doc, "Attributes")
        return
    listed = documented(section(doc, "Parameters"))
    assert set(parameters(thing)) <= listed
    assert section(doc, "Examples")
    if inspect.isclass(thing):
        assert section(doc, "Attributes")
        assert section(doc, "References")
        assert section(doc, "Notes")
    else:
        assert section(doc, "Returns")


@pytest.mark.parametrize(("cls", "name"), METHODS, ids=lambda v: getattr(v, "__name__", v))
def test_methods_are_documented(cls, name):
    function = getattr(cls, name)
    doc = function.__doc__
    assert doc
    wanted = [p for p in parameters(function) if p != "y"]
    listed = documented(section(doc, "Parameters"))
    assert set(wanted) <= listed or name in ("fit",), set(wanted) - listed
    assert section(doc, "Returns")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_attributes_of_a_fit_are_documented_and_exist(cls):
    import numpy as np

    model = cls(2, max_iter=5).fit(np.random.default_rng(0).uniform(size=(6, 5)))
    public = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    listed = documented(section(cls.__doc__, "Attributes"))
    if cls is partwise.MiniBatchNMF:
        assert "n_steps_" in listed
    if cls not in (partwise.NMF, partwise.NMFImputer, partwise.Recommender):
        listed |= documented(section(partwise.NMF.__doc__, "Attributes"))
    assert public <= listed
    assert listed - public <= {"feature_names_in_"}


def _examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in modules():
        for test in finder.find(module, module.__name__):
            if test.examples:
                yield test


@pytest.mark.parametrize("test", list(_examples()), ids=lambda t: t.name)
def test_examples_run(test):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    assert runner.tries > 0
