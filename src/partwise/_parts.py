"""Losses and penalties as names and plain parameters, for the command line and for files."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from partwise import losses, penalties
from partwise._errors import explain

__all__ = ["described", "parsed", "rebuilt", "text_of", "usages"]

ALIASES = {"tv": "total-variation"}
KINDS = {"loss": losses.Loss, "penalty": penalties.Penalty}


def _tables() -> Iterator[tuple[str, dict[str, type]]]:
    for kind, room in (("loss", losses), ("penalty", penalties)):
        found = (getattr(room, name) for name in room.__all__)
        classes = (c for c in found if inspect.isclass(c) and issubclass(c, KINDS[kind]))
        named = {_name(cls): cls for cls in classes if not inspect.isabstract(cls)}
        yield kind, named


def _name(cls: type) -> str:
    # SquaredL1 is squared-l1.
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()


NAMED = dict(_tables())


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(cls).parameters)


# --- in files ------------------------------------------------------------------------------


def described(kind: str, thing: Any, place: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return a loss or a penalty as JSON has it, and put its arrays into ``arrays``.

    Parameters
    ----------
    kind : {"loss", "penalty"}
        What it is.
    thing : Loss or Penalty
        An object of a class of Partwise whose parameters are no functions.
    place : str
        Where it is found, with which the names of its arrays begin.
    arrays : dict of name to ndarray
        Filled with the arrays among the parameters.

    Raises
    ------
    ValueError
        It is of a user's class, or made of functions.
    """
    cls = type(thing)
    name = _name(cls)
    if NAMED[kind].get(name) is not cls or not _plain_class(cls):
        got = f"{thing!r}, which is made of functions or is a class of your own"
        raise ValueError(
            explain(
                place,
                got,
                f"a {kind} of Partwise with plain parameters",
                "What is no number, text or array cannot be written without pickling; save W_ "
                "and components_.",
            )
        )
    given = {word: getattr(thing, word) for word in _parameters(cls)}
    plain = {word: _stored(value, f"{place}.{word}", arrays) for word, value in given.items()}
    return {kind: name, **plain}


def _plain_class(cls: type) -> bool:
    return all("Callable" not in p.annotation and "Function" not in p.annotation
               for p in _parameters(cls).values())  # fmt: skip


def _stored(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if sparse.issparse(value):
        matrix = sparse.csr_array(value)
        for part in ("data", "indices", "indptr"):
            arrays[f"{place}.{part}"] = getattr(matrix, part)
        return {"sparse": place, "shape": list(matrix.shape)}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            # Labels, where None and NaN both say that one is not known.
            values = (v.item() if isinstance(v, np.generic) else v for v in value)
            return [None if v is None or v != v else v for v in values]
        arrays[place] = value
        return {"array": place}
    if isinstance(value, tuple | list):
        return [_stored(item, place, arrays) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def rebuilt(kind: str, found: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the loss or penalty that `described` wrote.

    Parameters
    ----------
    kind : {"loss", "penalty"}
        What it is.
    found : mapping
        What JSON held.
    arrays : mapping of name to ndarray
        The arrays beside it.

    Raises
    ------
    ValueError, TypeError, KeyError
        It is no such thing, or its parameters are not those of this version.
    """
    cls = _class(kind, str(found[kind]))
    given = {word: _restored(value, arrays) for word, value in found.items() if word != kind}
    known = _parameters(cls)
    by_place = [
        given.pop(w) for w, p in known.items() if p.kind is not p.KEYWORD_ONLY and w in given
    ]
    return cls(*by_place, **given)


def _restored(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, Mapping) and "array" in value:
        return arrays[value["array"]]
    if isinstance(value, Mapping):
        parts = tuple(arrays[f"{value['sparse']}.{p}"] for p in ("data", "indices", "indptr"))
        return sparse.csr_array(parts, shape=tuple(value["shape"]))
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    return value


def _class(kind: str, name: str) -> type:
    name = ALIASES.get(name, name)
    if name not in NAMED[kind]:
        known = ", ".join(_with_text(kind))
        raise ValueError(explain(f"{kind}", repr(name), f"one of {known}"))
    return NAMED[kind][name]


# --- as text -------------------------------------------------------------------------------


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.lower().replace("×", "x").split("x"))


# How text becomes a parameter, by its annotation, and what is wanted in words.
READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "float": (float, "a number"),
    "float | None": (float, "a number"),
    "int": (int, "a whole number"),
    "bool": (_yes, "true or false"),
    "str": (str, "text"),
    "tuple[int, ...] | None": (_shape, "a shape, as in 19x19"),
}
FILE = "Any"


def _with_text(kind: str) -> dict[str, type]:
    """Return the classes whose parameters all can be written as text, by name."""
    readable = (*READERS, FILE)
    return {
        name: cls
        for name, cls in NAMED[kind].items()
        if all(p.annotation in readable for p in _parameters(cls).values())
    }


def parsed(kind: str, text: str, read: Callable[[str], Any]) -> Any:
    """Return the loss or penalty of a text such as ``total-variation=0.1,shape=19x19``.

    The first value belongs to the first parameter, the others have the name of theirs before
    them.

    Parameters
    ----------
    kind : {"loss", "penalty"}
        What it is.
    text : str
        ``name``, ``name=value`` or ``name=value,parameter=value,...``.
    read : callable
        ``read(path)`` returns the content of a file, for parameters that are arrays.

    Raises
    ------
    ValueError
        An unknown name or parameter, a value of the wrong kind or out of its range, or one
        that is missing.
    """
    first, *others = text.split(",")
    name, equals, value = first.partition("=")
    table = _with_text(kind)
    cls = table.get(ALIASES.get(name, name))
    if cls is None:
        raise ValueError(explain(kind, repr(name), f"one of {', '.join([*table, *ALIASES])}"))
    known = _parameters(cls)
    given = {next(iter(known), ""): value} if equals else {}
    for part in others:
        word, _, content = part.partition("=")
        given[word.replace("-", "_")] = content
    usage = _usage(name, cls)
    for word in given:
        if word not in known:
            raise ValueError(explain(name, f"the parameter {word!r}", usage))
    missing = [w for w, p in known.items() if p.default is p.empty and w not in given]
    if missing:
        raise ValueError(explain(name, f"no {missing[0]}", usage))
    plain = {w: _value(name, w, known[w].annotation, v, read) for w, v in given.items()}
    return cls(**plain)


def _value(name: str, word: str, kind: str, text: str, read: Callable[[str], Any]) -> Any:
    if kind == FILE:
        return read(text)
    reader, wanted = READERS[kind]
    try:
        return reader(text)
    except ValueError:
        raise ValueError(explain(f"{name}: {word}", repr(text), wanted)) from None


def _usage(name: str, cls: type) -> str:
    parts = []
    for number, (word, parameter) in enumerate(_parameters(cls).items()):
        part = f"{',' + word if number else ''}={word.upper()}"
        part = part.replace("SHAPE", "AxB") if "tuple" in parameter.annotation else part
        part = f"{part.partition('=')[0]}=FILE" if parameter.annotation == FILE else part
        parts.append(part if parameter.default is parameter.empty else f"[{part}]")
    return name + "".join(parts)


def usages(kind: str) -> list[tuple[str, str]]:
    """Return for each name how it is written, and the first line of what it is.

    Parameters
    ----------
    kind : {"loss", "penalty"}
        Of what.
    """
    return [
        (_usage(name, cls), (inspect.getdoc(cls) or "").partition("\n")[0])
        for name, cls in _with_text(kind).items()
    ]


def text_of(found: Any) -> str:
    """Return a loss or penalty, as it is described in JSON, as one writes it in text.

    Parameters
    ----------
    found : mapping, list of mappings, or a plain value
        What is no mapping is text already.
    """
    if isinstance(found, list):
        return " ".join(map(text_of, found)) or "none"
    kind = next((word for word in KINDS if isinstance(found, Mapping) and word in found), None)
    if kind is None:
        return str(found)
    known = _parameters(_class(kind, found[kind]))
    words = []
    for number, (word, value) in enumerate((w, v) for w, v in found.items() if w != kind):
        default = known[word].default if word in known else None
        if number == 0 or value != default:
            words.append(f"{'' if number == 0 else word + '='}{_shown(value)}")
    return f"{found[kind]}={','.join(words)}" if words else str(found[kind])


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(array)"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
