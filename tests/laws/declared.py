"""Everything that is declared, found by itself: an addition is tested by existing.

A class that cannot be made without arguments gets its examples in one of the tables.
"""

from __future__ import annotations

import inspect
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from scipy import sparse, special

from partwise import init, losses, models, penalties, solvers
from partwise.data import Stored, as_data, open_reader
from partwise.problem import Problem
from partwise.solvers import SOLVERS

LOSS_EXAMPLES = {
    losses.Beta: [losses.Beta(b) for b in (-1.0, -0.5, 0.5, 1.5, 2.5, 3.0, 4.0)],
    losses.Huber: [losses.Huber(0.5)],
    losses.Absolute: [losses.Absolute(0.2)],
    losses.L21: [losses.L21(0.01)],
    losses.StudentT: [losses.StudentT(0.5), losses.StudentT(0.3, df=4.0)],
    losses.Binomial: [losses.Binomial(60.0)],
    losses.NegativeBinomial: [losses.NegativeBinomial(1.5)],
    losses.Tweedie: [losses.Tweedie(1.5)],
    losses.Bregman: [
        losses.Bregman(
            lambda y: special.xlogy(y, y) - y + y**2 / 2,
            lambda y: np.log(y) + y,
            lambda y: 1 / y + 1,
            elasticity=(-1, 0),
            name="mixed divergence",
        ),
        losses.Bregman(
            lambda y: y**2 / 2 + np.expm1(-y) + y,
            lambda y: y - np.expm1(-y),
            lambda y: 1 + np.exp(-y),
            name="divergence without a majorizer",
        ),
    ],
    losses.Alpha: [losses.Alpha(a) for a in (-1.0, 0.0, 0.5, 2.0)],
}
PENALTY_EXAMPLES = {
    penalties.L1: [penalties.L1(0.3)],
    penalties.L2: [penalties.L2(0.7)],
    penalties.SquaredL1: [penalties.SquaredL1(0.2)],
    penalties.GroupLasso: [penalties.GroupLasso(0.4), penalties.GroupLasso(0.3, each="row")],
    penalties.Box: [penalties.Box(0.0, 0.8), penalties.Box(0.1, np.inf)],
    penalties.Simplex: [
        penalties.Simplex(),
        penalties.Simplex(2.0, each="component"),
        penalties.Simplex(1.5, at_most=True),
    ],
    penalties.Hoyer: [
        penalties.Hoyer(0.3),
        penalties.Hoyer(0.6, each="row"),
        penalties.Hoyer(0.5, norm=2.0),
    ],
    penalties.TotalVariation: [penalties.TotalVariation(0.3)],
    penalties.Smooth: [penalties.Smooth(0.6), penalties.Smooth(0.4, order=2)],
    penalties.Orthogonal: [penalties.Orthogonal(0.3)],
    penalties.Decorrelated: [penalties.Decorrelated(0.5)],
    penalties.MinVolume: [penalties.MinVolume(0.5, delta=0.3)],
    penalties.Monotone: [penalties.Monotone(), penalties.Monotone(increasing=False)],
    # Made for a number of rows, below.
    **dict.fromkeys((penalties.Fixed, penalties.Graph, penalties.Labels, penalties.Prox), ()),
}


def declared(room, base, examples):
    """Return an instance, or all examples, of every concrete class of a room."""
    found = []
    for _, cls in sorted(inspect.getmembers(room, inspect.isclass)):
        if issubclass(cls, base) and not inspect.isabstract(cls):
            found.extend(examples[cls] if cls in examples else [cls()])
    return found


LOSSES = declared(losses, losses.Loss, LOSS_EXAMPLES)
MAJORIZED = [loss for loss in LOSSES if loss.powers is not None]
PENALTIES = declared(penalties, penalties.Penalty, PENALTY_EXAMPLES)


def made_for(shape, seed):
    """Return examples of the penalties of factors of one shape, (dimension, k), even dimension."""
    rng = np.random.default_rng(seed)
    rows = shape[0]
    links = sparse.csr_array(np.triu(rng.random((rows, rows)) * (rng.random((rows, rows)) < 0.5)))
    few = penalties.Prox(
        np.count_nonzero, lambda F, t: np.where(np.square(np.maximum(F, 0)) > 2 * t, F, 0)
    )
    return [
        penalties.Fixed(rng.random(shape) < 0.5, rng.uniform(0.1, 0.8, shape)),
        penalties.Graph(0.5, links),
        penalties.Graph(0.5, links, normalized=True),
        penalties.Labels(0.6, np.arange(rows) % 3 - 1),
        penalties.GroupLasso(0.3, groups=np.arange(rows) % 2),
        penalties.TotalVariation(0.2, shape=(2, rows // 2), tol=1e-6),
        few,
    ]


MODELS = {
    "bilinear": models.Bilinear(3),
    "non-smooth": models.NonSmooth(3, theta=0.4),
    "cp": models.CP(3, order=3),
    "cp4": models.CP(2, order=4),
}
SHAPES = {"bilinear": (13, 9), "non-smooth": (13, 9), "cp": (7, 6, 5), "cp4": (5, 4, 3, 3)}
# Solvers by name, and the variants that a user can ask for as objects.
ALL_SOLVERS = {name: make() for name, make in SOLVERS.items()} | {
    "shuffled": solvers.CoordinateDescent(shuffle=True),
    "minibatch": solvers.MiniBatch(batch_size=4),
}
STORAGES = [
    "dense",
    "fortran",
    "csr",
    "csc",
    "coo",
    "unsorted",
    "explicit zeros",
    "blocks",
    "sparse blocks",
    "on disk",
    "sparse on disk",
]
FOLDER = tempfile.TemporaryDirectory()
NUMBERS = count()
PARTS = ("indptr", "indices", "data")
DTYPES = [np.float64, np.float32]


def label(thing):
    return getattr(thing, "name", type(thing).__name__)


class SparseFiles:
    """The three arrays of a matrix in compressed rows, each in a file of its own."""

    step = 1

    def __init__(self, matrix, path):
        self.shape, self.dtype, self.path = matrix.shape, matrix.dtype, path
        self.row_bytes = 12 * matrix.nnz / max(1, matrix.shape[0])
        for name in PARTS:
            np.save(path + name, getattr(matrix, name))

    def read(self, start, stop):
        parts = (np.load(f"{self.path}{name}.npy", mmap_mode="r") for name in PARTS)
        indptr, indices, data = parts
        chosen = slice(indptr[start], indptr[stop])
        own = data[chosen].copy(), indices[chosen].copy(), indptr[start : stop + 1] - indptr[start]
        return sparse.csr_array(own, shape=(stop - start, self.shape[1]))


class InSmallBlocks(Stored):
    block_bytes = 400


def on_disk(X, storage):
    """Write a matrix to files that last as long as the tests do, and return the view of them."""
    path = str(Path(FOLDER.name) / f"{next(NUMBERS)}.npy")
    if storage == "sparse on disk":
        return InSmallBlocks(SparseFiles(sparse.csr_array(X), path))
    np.save(path, X)
    return InSmallBlocks(open_reader(np.load(path, mmap_mode="r")))


def stored(X, storage):
    """Return a view of the same matrix in some storage."""
    if storage.endswith("on disk"):
        return on_disk(X, storage)
    if storage == "dense":
        return as_data(X)
    if storage == "fortran":
        return as_data(np.asfortranarray(X))
    if storage == "blocks":
        return as_data(X, block_rows=5)
    if storage == "sparse blocks":
        return as_data(sparse.csr_array(X), block_rows=5)
    if storage in ("csr", "csc", "coo"):
        return as_data(sparse.coo_array(X).asformat(storage))
    matrix = sparse.csr_array(X)
    if storage == "explicit zeros":
        full = sparse.csr_array(np.ones_like(X))
        full.data[...] = X.ravel()
        return as_data(full)
    rows = [np.arange(matrix.indptr[i], matrix.indptr[i + 1])[::-1] for i in range(len(X))]
    order = np.concatenate(rows) if matrix.nnz else np.arange(0)
    part = (matrix.data[order], matrix.indices[order], matrix.indptr)
    return as_data(sparse.csr_array(part, shape=X.shape))


def draw_data(shape, seed, loss=None, dtype=np.float64, zeros=0.3):
    """Return gamma data; with zeros, a zero row and a zero column where the loss allows them."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(1.0, size=shape)
    if loss is not None and loss.needs_positive_data:
        return (X + 0.05).astype(dtype)
    X[rng.random(shape) < zeros] = 0
    if zeros:
        X[2] = 0
        X[:, 1] = 0
    return X.astype(dtype)


def make_problem(
    X, loss, model_name="bilinear", obeyed=(), storage="dense", seed=0, start="random"
):
    """Bind a problem with the same penalties on every factor."""
    model = MODELS[model_name]
    data = stored(X, storage)
    rng = np.random.default_rng(seed)
    _, factors = init.make_start(data, model, start, rng)
    each = {name: (penalties.NonNegative(), *obeyed) for name in model.names}
    return Problem(data, model, loss, factors, each)


def serves(solver, problem):
    # Zeros in every factor make models that are zero, where these losses are infinite.
    zeros = [p for obeyed in problem.penalties.values() for p in obeyed if not p.convex]
    poles = problem.loss.degree <= 0 and any(p.constraint for p in zeros)
    return solver.lacks(problem) is None and not poles


seeds = st.integers(0, 10_000)
any_loss = st.sampled_from(LOSSES)
any_penalties = st.lists(st.sampled_from(PENALTIES), max_size=2, unique_by=type)
any_solver = st.sampled_from(sorted(ALL_SOLVERS))
any_storage = st.sampled_from(STORAGES)
any_model = st.sampled_from(sorted(MODELS))
any_dtype = st.sampled_from(DTYPES)
