"""Tables of what the package declares, made from the classes themselves at build time.

``.. declared:: losses`` (or ``solvers``, ``starts``, ``penalties``, ``combinations``).
"""

import inspect

import numpy as np
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from scipy.sparse import csr_array

from partwise import penalties as parts
from partwise.data import as_data
from partwise.init import STARTS, draws
from partwise.losses import (
    L21,
    Absolute,
    Alpha,
    Beta,
    Bregman,
    Frobenius,
    Huber,
    ItakuraSaito,
    KullbackLeibler,
    NegativeBinomial,
    StudentT,
)
from partwise.models import CP, Bilinear
from partwise.penalties import L1, L2, Fixed, NonNegative
from partwise.problem import Problem
from partwise.solvers import SOLVERS, as_solver

BETAS = {
    "``'frobenius'``, 2": Frobenius(),
    "``'kullback-leibler'``, ``'poisson'``, 1": KullbackLeibler(),
    "``'itakura-saito'``, ``'gamma'``, 0": ItakuraSaito(),
    "β > 2, such as 3": Beta(3.0),
    "1 < β < 2, such as 1.5": Beta(1.5),
    "0 < β < 1, such as 0.5": Beta(0.5),
    "β < 0, such as −1": Beta(-1.0),
}
OTHERS = {
    "``'pearson'``, ``Alpha(2)``": Alpha(2.0),
    "``'hellinger'``, ``Alpha(0.5)``": Alpha(0.5),
    "``'reverse-kullback-leibler'``, ``Alpha(0)``": Alpha(0.0),
    "``'neyman'``, ``Alpha(-1)``": Alpha(-1.0),
    "``NegativeBinomial(size)``": NegativeBinomial(1.0),
    "``Huber(delta)``": Huber(1.0),
    "``Absolute(smoothing)``": Absolute(1.0),
    "``StudentT(scale, df)``": StudentT(1.0),
    "``'l21'``, ``L21(smoothing)``": L21(),
}
# Of functions that are as good as any, for the shape of their tables.
OTHERS |= {
    "``Bregman(..., elasticity)``": Bregman(np.exp, np.exp, np.exp, elasticity=(0, 1)),
    "``Bregman(...)``": Bregman(np.exp, np.exp, np.exp),
}
# One column for all that are served alike.
KINDS = BETAS | {
    "other losses with a majorizer": Alpha(2.0),
    "losses without one": Bregman(np.exp, np.exp, np.exp),
}
FIXED = Fixed(np.eye(3, 1, dtype=bool), np.ones((3, 1)))

# One of each, for three rows.
PENALTIES = [
    parts.NonNegative(),
    parts.Free(),
    parts.Fixed(np.ones((3, 1), bool), np.ones((3, 1))),
    parts.Box(),
    parts.L1(1),
    parts.L2(1),
    parts.SquaredL1(1),
    parts.GroupLasso(1),
    parts.Hoyer(0.5),
    parts.Simplex(),
    parts.TotalVariation(1),
    parts.Smooth(1),
    parts.Graph(1, np.ones((3, 3))),
    parts.Labels(1, [0, 0, 1]),
    parts.Monotone(),
    parts.Unimodal(),
    parts.Orthogonal(1),
    parts.OnePerRow(),
    parts.Decorrelated(1),
    parts.MinVolume(1),
    parts.Prox(lambda F: 0.0, lambda F, t: np.maximum(F, 0)),
]


def _first_line(thing):
    return inspect.getdoc(thing).splitlines()[0].replace("|", r"\|")


def _yes(value):
    return "yes" if value else "no"


def _problem(loss, penalties=()):
    factors = {name: np.ones((3, 1)) for name in ("W", "H")}
    terms = {name: (NonNegative(), *penalties) for name in factors}
    return Problem(as_data(np.ones((3, 3))), Bilinear(1), loss, factors, terms)


def _exponent(loss):
    if loss.powers is None:
        return "no majorizer known"
    if isinstance(loss, Bregman):
        return "1 / (q − p)"  # depends on the bounds
    return f"{1 / (loss.powers[1] - loss.powers[0]):.3g}"


def losses():
    """Return the table of losses."""
    head = [
        "beta_loss",
        "zeros in X",
        "sparse X: visits",
        "exponent of 'mu', no penalty",
        "``draw``",
        "'auto' is",
    ]
    rows = []
    for name, loss in (BETAS | OTHERS).items():
        stored = loss.quadratic or loss.flat_positive is not None
        rows.append([
            name,
            "not allowed" if loss.needs_positive_data else "allowed",
            "stored entries" if stored else "all entries, block by block",
            _exponent(loss),
            _yes(loss.dispersion),
            f"``'{as_solver('auto', _problem(loss)).name}'``",
        ])  # fmt: skip
    return head, rows


def solvers():
    """Return the table of solvers."""
    head = ["solver", "class", "needs", "objective never rises"]
    rows = []
    for name, make in SOLVERS.items():
        solver = make()
        link = f":class:`~partwise.solvers.{type(solver).__name__}`"
        rows.append([f"``'{name}'``", link, solver.needs, _yes(solver.monotone)])
    return head, rows


DATA = {
    "sparse X": csr_array(np.ones((3, 3))),
    "X on disk": np.ones((3, 3)),
    "arrays of order 3": np.ones((3, 3, 3)),
}


def _serves(solver, loss, penalties=(), kind=None):
    if kind is None:
        return solver.lacks(_problem(loss, penalties)) is None
    data = as_data(DATA[kind], block_rows=2) if kind == "X on disk" else as_data(DATA[kind])
    model = CP(1) if len(data.shape) == 3 else Bilinear(1)
    factors = {name: np.ones((3, 1)) for name in model.names}
    return solver.lacks(Problem(data, model, loss, factors)) is None


def combinations():
    """Return which solver serves which loss, and with its first loss which penalty and data."""
    terms = {"L1": (L1(1.0),), "L2": (L2(1.0),), "fixed entries": (FIXED,)}
    head = ["solver", *KINDS, *terms, *DATA]
    rows = []
    for name, make in SOLVERS.items():
        solver = make()
        served = [_serves(solver, loss) for loss in KINDS.values()]
        if not any(served):
            continue  # made for data with missing entries alone
        first = next(loss for loss, yes in zip(KINDS.values(), served, strict=True) if yes)
        served += [_serves(solver, first, term) for term in terms.values()]
        served += [_serves(solver, first, kind=kind) for kind in DATA]
        rows.append([f"``'{name}'``", *map(_yes, served)])
    return head, rows


def starts():
    """Return the table of starts."""
    head = ["init", "what it does", "draws", "source"]
    rows = []
    for name, start in STARTS.items():
        source = inspect.getdoc(start).partition("Source: ")[2].replace("\n", " ").rstrip(".")
        rows.append([f"``'{name}'``", _first_line(start), _yes(draws(name)), source])
    return head, rows


def penalties():
    """Return the table of penalties."""
    head = ["class", "cost of F", "kind", "a sum over", "``'auto'`` is"]
    rows = []
    for penalty in PENALTIES:
        kind = (
            "0 or infinite" if penalty.constraint else "smooth" if penalty.smooth else "not smooth"
        )
        kind += "" if penalty.convex else ", not convex"
        solver = as_solver("auto", _problem(Frobenius(), (penalty,))).name
        rows.append([
            f":class:`~partwise.penalties.{type(penalty).__name__}`",
            _first_line(type(penalty)),
            kind,
            penalty.separable or "all entries at once",
            f"``'{solver}'``",
        ])  # fmt: skip
    return head, rows


TABLES = {
    "losses": losses,
    "solvers": solvers,
    "starts": starts,
    "penalties": penalties,
    "combinations": combinations,
}


class Declared(Directive):
    """The directive ``declared``."""

    required_arguments = 1

    def run(self):
        """Return the table as nodes."""
        head, rows = TABLES[self.arguments[0]]()
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
        for row in [head, *rows]:
            for mark, cell in zip(["* -", *["  -"] * (len(row) - 1)], row, strict=True):
                lines.append(f"   {mark} {cell}")
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, "declared"), self.content_offset, parent)
        return parent.children


def setup(app):
    """Register the directive."""
    app.add_directive("declared", Declared)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
