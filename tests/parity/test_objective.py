"""Parity with scikit-learn: its objective at equal start, its names, defaults and errors."""

from __future__ import annotations

import copy
import inspect
import warnings

import numpy as np
import pytest
import sklearn.decomposition as skd
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import partwise

BETAS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
# alpha_W, alpha_H, l1_ratio
PENALTIES = {
    "none": (0.0, 0.0, 0.0),
    "L2": (0.02, 0.01, 0.0),
    "both": (0.02, 0.01, 0.5),
    "L1": (0.02, 0.01, 1.0),
    "L1 on H": (0.0, 0.02, 1.0),
}
K = 4


# --- an independent objective ----------------------------------------------------------------


def divergence(X: np.ndarray, Y: np.ndarray, beta: float) -> float:
    """Σ d(x, y) straight from the textbook formulas, in float64."""
    total = 0.0
    for x, y in zip(X.ravel(), Y.ravel(), strict=True):
        if beta == 2:
            total += (x - y) ** 2 / 2
        elif beta == 1:
            total += (x * np.log(x / y) if x > 0 else 0.0) - x + y
        elif beta == 0:
            total += x / y - np.log(x / y) - 1
        elif x == 0:  # where x y^(β−1) is 0 for every y > 0, and in the limit
            total += y**beta / beta
        else:
            total += (x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)) / (
                beta * (beta - 1)
            )
    return float(total)


def penalized(X, W, H, beta, alpha_W, alpha_H, l1_ratio) -> float:
    X, W, H = (np.asarray(A, dtype=np.float64) for A in (X, W, H))
    n_samples, n_features = X.shape
    value = divergence(X, W @ H, beta)
    for F, strength in ((W, alpha_W * n_features), (H, alpha_H * n_samples)):
        value += strength * l1_ratio * np.abs(F).sum()
        value += strength * (1 - l1_ratio) * (F**2).sum() / 2
    return value


def problem(seed: int, beta: float, *, zeros: bool = False):
    """A planted matrix with noise, and a start that is a disturbed version of the truth."""
    rng = np.random.default_rng(seed)
    n_samples, n_features = 24, 18
    W = rng.gamma(0.7, size=(n_samples, K)) + 0.02
    H = rng.gamma(0.7, size=(K, n_features)) + 0.02
    X = W @ H * rng.gamma(20.0, 1 / 20, size=(n_samples, n_features))
    if zeros:
        X[rng.uniform(size=X.shape) < 0.4] = 0
    start = (W * rng.uniform(0.3, 1.7, W.shape), H * rng.uniform(0.3, 1.7, H.shape))
    assert beta > 0 or X.min() > 0
    return X, *start


def both(X, W0, H0, **params):
    """The answers of scikit-learn and of Partwise, each from its own copy of the start."""
    found = []
    for library in (skd, partwise):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            W, H, _ = library.non_negative_factorization(
                X.copy(), W0.copy(), H0.copy(), n_components=K, init="custom", **params
            )
        found.append((W, H))
    return found


def compare(X, W0, H0, solver, beta, penalty, max_iter):
    alpha_W, alpha_H, l1_ratio = PENALTIES[penalty]
    params = {
        "solver": solver,
        "beta_loss": beta,
        "alpha_W": alpha_W,
        "alpha_H": alpha_H,
        "l1_ratio": l1_ratio,
        "tol": 0,
    }
    theirs, ours = both(X, W0, H0, max_iter=max_iter, **params)
    if solver == "mu" and l1_ratio < 1 and alpha_W + alpha_H > 0:
        # With an L2 penalty scikit-learn's step is longer than the minimum of the majorizer:
        # a little ahead on the way, and not monotone (the next test). Ours gets one
        # iteration more for every ten, and has to be as low.
        ours = both(X, W0, H0, max_iter=max_iter + -(-max_iter // 10), **params)[1]
    dense = X.toarray() if sparse.issparse(X) else X
    scales = (beta, alpha_W, alpha_H, l1_ratio)
    return penalized(dense, *theirs, *scales), penalized(dense, *ours, *scales)


CASES = [("cd", 2.0), *(("mu", beta) for beta in BETAS)]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(("solver", "beta"), CASES)
def test_objective_reaches_or_beats_scikit_learn_at_equal_start(solver, beta, penalty):
    for seed in range(3):
        X, W0, H0 = problem(seed, beta)
        for max_iter in (30, 200):
            theirs, ours = compare(X, W0, H0, solver, beta, penalty, max_iter)
            assert ours <= theirs * (1 + 1e-6), (seed, max_iter)


def test_objective_of_a_strong_l2_penalty_falls_where_scikit_learns_rises():
    X, W0, H0 = problem(0, 1.0)
    values = []
    for max_iter in range(1, 8):
        params = {"solver": "mu", "beta_loss": 1.0, "alpha_W": 5.0, "tol": 0, "max_iter": max_iter}
        pair = both(X, W0, H0, **params)
        values.append([penalized(X, W, H, 1.0, 5.0, 5.0, 0.0) for W, H in pair])
    theirs, ours = np.diff(values, axis=0).T
    assert theirs.max() > 0
    assert ours.max() <= 0


@pytest.mark.parametrize("penalty", ["none", "L2", "L1"])
@pytest.mark.parametrize(("solver", "beta"), [c for c in CASES if c[1] > 0])
def test_objective_reaches_or_beats_scikit_learn_on_sparse_data(solver, beta, penalty):
    X, W0, H0 = problem(0, beta, zeros=True)
    theirs, ours = compare(sparse.csr_array(X), W0, H0, solver, beta, penalty, 200)
    assert ours <= theirs * (1 + 1e-6)


@pytest.mark.parametrize("penalty", ["none", "L1"])
@pytest.mark.parametrize(("solver", "beta"), CASES)
def test_objective_reaches_or_beats_scikit_learn_in_float32(solver, beta, penalty):
    X, W0, H0 = (A.astype(np.float32) for A in problem(0, beta))
    theirs, ours = compare(X, W0, H0, solver, beta, penalty, 50)
    # Entries are rounded to 6e-8 of themselves, and so is the objective of either.
    assert ours <= theirs * (1 + 1e-6)


@pytest.mark.parametrize("penalty", ["L2", "L1"])
def test_penalties_leave_as_many_components_alive_as_scikit_learn(penalty):
    # A component with both factors at zero is a stationary point that no coordinate update
    # leaves; a start far from the answer must not fall into it more often than before.
    alpha_W, alpha_H, l1_ratio = PENALTIES[penalty]
    params = {"alpha_W": alpha_W / 10, "alpha_H": alpha_H / 10, "l1_ratio": l1_ratio}
    values, alive = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = rng.gamma(0.5, size=(20, K)) @ rng.gamma(0.5, size=(K, 15)) + 0.01
        X += 0.1 * rng.uniform(size=X.shape)
        W0, H0 = rng.uniform(0.1, 1, (20, K)), rng.uniform(0.1, 1, (K, 15))
        pair = both(X, W0, H0, solver="cd", max_iter=300, **params)
        values.append([penalized(X, W, H, 2.0, *params.values()) for W, H in pair])
        alive.append([(W.any(axis=0) & H.any(axis=1)).sum() for W, H in pair])
    theirs, ours = np.array(alive).sum(axis=0)
    assert ours >= theirs
    theirs, ours = np.array(values).sum(axis=0)
    assert ours <= theirs * (1 + 1e-3)


# --- what the numbers mean -------------------------------------------------------------------


@pytest.mark.parametrize("beta", BETAS)
def test_reconstruction_error_and_objective_are_those_of_the_naive_formulas(beta):
    X, W0, H0 = problem(1, beta)
    alpha_W, alpha_H, l1_ratio = PENALTIES["both"]
    model = partwise.NMF(
        K,
        init="custom",
        solver="mu",
        beta_loss=beta,
        alpha_W=alpha_W,
        alpha_H=alpha_H,
        l1_ratio=l1_ratio,
        max_iter=20,
        tol=0,
    )
    W = model.fit_transform(X, W=W0, H=H0)
    misfit = divergence(X, W @ model.components_, beta)
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * misfit), rel=1e-9)
    value = penalized(X, W, model.components_, beta, alpha_W, alpha_H, l1_ratio)
    assert model.objective_ == pytest.approx(value, rel=1e-9)
    assert model.objective_history_[-1] == pytest.approx(value, rel=1e-9)
    start = penalized(X, W0, H0, beta, alpha_W, alpha_H, l1_ratio)
    assert model.objective_history_[0] == pytest.approx(start, rel=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_reconstruction_error_agrees_with_scikit_learn_after_the_same_steps(beta):
    X, W0, H0 = problem(2, beta)
    params = {"init": "custom", "solver": "mu", "beta_loss": beta, "tol": 0, "max_iter": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = skd.NMF(K, **params).fit(X, W=W0.copy(), H=H0.copy())
    ours = partwise.NMF(K, **params).fit(X, W=W0, H=H0)
    # scikit-learn adds 1.2e-7 to denominators and floors its products there.
    assert ours.reconstruction_err_ == pytest.approx(theirs.reconstruction_err_, rel=1e-5)
    np.testing.assert_allclose(ours.components_, theirs.components_, rtol=1e-4)


# --- names and defaults ----------------------------------------------------------------------

NAMES = ["NMF", "MiniBatchNMF", "non_negative_factorization"]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_exists_with_the_same_default(name):
    theirs = inspect.signature(getattr(skd, name)).parameters
    ours = inspect.signature(getattr(partwise, name)).parameters
    for key, parameter in theirs.items():
        assert key in ours, key
        if key == "solver":
            assert ours[key].default == "auto"
        else:
            assert ours[key].default == parameter.default, key
        assert ours[key].kind == parameter.kind, key
    by_position = [
        [k for k, p in side.items() if p.kind is p.POSITIONAL_OR_KEYWORD] for side in (theirs, ours)
    ]
    assert by_position[1][: len(by_position[0])] == by_position[0]


def _methods(cls) -> dict[str, object]:
    found = {}
    for name in dir(cls):
        if not name.startswith("_") and callable(getattr(cls, name, None)):
            found[name] = getattr(cls, name)
    return found


@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF"])
def test_every_method_exists_with_the_same_leading_parameters(name):
    ours = _methods(getattr(partwise, name))
    for method, theirs in _methods(getattr(skd, name)).items():
        assert method in ours
        wanted = inspect.signature(theirs).parameters
        got = inspect.signature(ours[method]).parameters
        plain = [k for k, p in wanted.items() if p.kind is not p.VAR_KEYWORD]
        assert list(got)[: len(plain)] == plain, method
        for key in plain:
            assert got[key].default == wanted[key].default, (method, key)


@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF"])
def test_every_fitted_attribute_exists_with_the_same_type(name):
    X, *_ = problem(0, 2.0)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = getattr(skd, name)(K, random_state=0).fit(frame)
        ours = getattr(partwise, name)(K, random_state=0).fit(frame)
    for key, value in vars(theirs).items():
        if key.startswith("_") or not key.endswith("_"):
            continue
        mine = getattr(ours, key)
        assert np.shape(mine) == np.shape(value), key
        assert np.asarray(mine).dtype.kind == np.asarray(value).dtype.kind, key
    assert list(ours.get_feature_names_out()) == [f"{name.lower()}{j}" for j in range(K)]


# --- errors and warnings ---------------------------------------------------------------------

rng = np.random.default_rng(0)
A = rng.uniform(0.1, 1, (6, 5))
W2, H2 = rng.uniform(0.1, 1, (6, 2)), rng.uniform(0.1, 1, (2, 5))
ZERO = np.where(np.arange(30).reshape(6, 5) == 7, 0.0, A)


def _with(value):
    B = A.copy()
    B[2, 3] = value
    return B


FITS = {
    "negative": ({}, _with(-1.0)),
    "negative sparse": ({}, sparse.csr_array(_with(-1.0))),
    "NaN sparse": ({}, sparse.csr_array(_with(np.nan))),
    "inf": ({}, _with(np.inf)),
    "1-D": ({}, A[0]),
    "3-D": ({}, A[None]),
    "no rows": ({}, A[:0]),
    "no columns": ({}, A[:, :0]),
    "scalar": ({}, 3.0),
    "None": ({}, None),
    "strings": ({}, np.array([["a", "b"], ["c", "d"]])),
    "objects": ({}, np.array([["a", 1], [2, 3]], dtype=object)),
    "complex": ({}, A + 1j),
    "ragged": ({}, [[1, 2], [3]]),
    "k zero": ({"n_components": 0}, A),
    "k negative": ({"n_components": -2}, A),
    "k float": ({"n_components": 2.0}, A),
    "k word": ({"n_components": "some"}, A),
    "init": ({"init": "zeros"}, A),
    "beta word": ({"beta_loss": "frobenious"}, A),
    "tol": ({"tol": -1.0}, A),
    "max_iter": ({"max_iter": 0}, A),
    "max_iter float": ({"max_iter": 1.5}, A),
    "alpha_W": ({"alpha_W": -1.0}, A),
    "alpha_H": ({"alpha_H": -1.0}, A),
    "alpha_H word": ({"alpha_H": "other"}, A),
    "l1_ratio": ({"l1_ratio": 1.5}, A),
    "random_state": ({"random_state": "seed"}, A),
    "verbose": ({"verbose": "loud"}, A),
    "nndsvd k > min": ({"n_components": 6, "init": "nndsvd"}, A),
    "nndsvda k > min": ({"n_components": 6, "init": "nndsvda"}, A),
    "nndsvdar k > min": ({"n_components": 6, "init": "nndsvdar"}, A),
}
NMF_FITS = {
    "solver": ({"solver": "steepest"}, A),
    "cd with KL": ({"solver": "cd", "beta_loss": 1}, A),
    "IS with zeros": ({"solver": "mu", "beta_loss": 0}, ZERO),
    "beta < 0 with zeros": ({"solver": "mu", "beta_loss": -1.0}, sparse.csr_array(ZERO)),
    "shuffle": ({"shuffle": "yes"}, A),
}
MINI_FITS = {
    "IS with zeros": ({"beta_loss": 0}, ZERO),
    "batch_size": ({"batch_size": 0}, A),
    "forget_factor": ({"forget_factor": 2}, A),
    "max_no_improvement": ({"max_no_improvement": 0}, A),
    "fresh_restarts": ({"fresh_restarts": "yes"}, A),
    "fresh_restarts_max_iter": ({"fresh_restarts_max_iter": 0}, A),
    "transform_max_iter": ({"transform_max_iter": 0}, A),
}
STARTS = {
    "neither": {},
    "W rows": {"W": W2[:3], "H": H2},
    "W columns": {"W": rng.uniform(size=(6, 3)), "H": H2},
    "H rows": {"W": W2, "H": rng.uniform(size=(3, 5))},
    "H columns": {"W": W2, "H": H2[:, :3]},
    "W negative": {"W": -W2, "H": H2},
    "H negative": {"W": W2, "H": -H2},
    "H zeros": {"W": W2, "H": 0 * H2},
    "W dtype": {"W": W2.astype(np.float32), "H": H2},
    "H dtype": {"W": W2, "H": H2.astype(np.float32)},
    "W 1-D": {"W": W2[:, 0], "H": H2},
    "W list": {"W": [["a"] * 2] * 6, "H": H2},
}


def _error(call) -> BaseException | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return error
    return None


def _same_error(theirs, ours):
    wanted, got = _error(theirs), _error(ours)
    assert wanted is not None, "the reference does not raise; the case tests nothing"
    assert got is not None, f"expected {type(wanted).__name__}: {wanted}"
    kinds = [kind for kind in (ValueError, TypeError) if isinstance(wanted, kind)]
    assert kinds, wanted
    assert all(isinstance(got, kind) for kind in kinds), (repr(wanted), repr(got))


@pytest.mark.parametrize("case", [*FITS, *(f"NMF only: {c}" for c in NMF_FITS)])
def test_nmf_raises_the_same_class_of_error(case):
    params, X = NMF_FITS[case[10:]] if case.startswith("NMF only") else FITS[case]
    _same_error(lambda: skd.NMF(**params).fit(X), lambda: partwise.NMF(**params).fit(X))


@pytest.mark.parametrize("case", [*FITS, *(f"batches only: {c}" for c in MINI_FITS)])
def test_minibatch_raises_the_same_class_of_error(case):
    params, X = MINI_FITS[case[14:]] if case.startswith("batches") else FITS[case]
    _same_error(
        lambda: skd.MiniBatchNMF(**params).fit(X),
        lambda: partwise.MiniBatchNMF(**params).fit(X),
    )


@pytest.mark.parametrize("case", STARTS)
@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF"])
def test_bad_start_values_raise_the_same_class_of_error(name, case):
    def call(library):
        # Copies, since scikit-learn overwrites the arrays that it is given.
        start = {key: copy.copy(value) for key, value in STARTS[case].items()}
        return getattr(library, name)(2, init="custom").fit(A, **start)

    _same_error(lambda: call(skd), lambda: call(partwise))


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "get_feature_names_out"])
@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF"])
def test_unfitted_models_raise_the_same_class_of_error(name, method):
    def call(library):
        bound = getattr(getattr(library, name)(), method)
        return bound() if method.startswith("get") else bound(A)

    _same_error(lambda: call(skd), lambda: call(partwise))


@pytest.mark.parametrize("X", [A[:, :4], -A, A * np.nan, A[0]], ids=["m", "-", "NaN", "1-D"])
@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF"])
def test_transform_of_bad_data_raises_the_same_class_of_error(name, X):
    def call(library):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = getattr(library, name)(2, tol=0.1).fit(A)
        return lambda: model.transform(X)

    _same_error(call(skd), call(partwise))


@pytest.mark.parametrize(
    "arguments",
    [
        {"update_H": False, "H": None},
        {"update_H": False, "H": -H2},
        {"update_H": False, "H": H2[:, :3]},
        {"update_H": False, "H": H2.astype(np.float32)},
        {"n_components": 3, "update_H": False, "H": H2},
        {"init": "custom", "W": W2, "H": 0 * H2},
        {"n_components": -1},
        {"update_H": "no"},
    ],
    ids=lambda a: " ".join(a),
)
def test_the_function_raises_the_same_class_of_error(arguments):
    _same_error(
        lambda: skd.non_negative_factorization(A, **copy.deepcopy(arguments)),
        lambda: partwise.non_negative_factorization(A, **arguments),
    )


def _warned(call) -> set[type[Warning]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return {w.category for w in caught}


@pytest.mark.parametrize(
    ("category", "call"),
    [
        (ConvergenceWarning, lambda lib: lib.NMF(2, max_iter=2, tol=1e-9).fit(A)),
        (
            ConvergenceWarning,
            lambda lib: lib.NMF(2, solver="mu", beta_loss=1, max_iter=3, tol=1e-9).fit(A),
        ),
        (
            ConvergenceWarning,
            lambda lib: lib.MiniBatchNMF(2, max_iter=1, batch_size=2, tol=1e-12).fit(A),
        ),
        (RuntimeWarning, lambda lib: lib.NMF(2, tol=0.1).fit(A, W=W2.copy(), H=H2.copy())),
        (
            RuntimeWarning,
            lambda lib: lib.non_negative_factorization(A, W=W2.copy(), H=H2.copy(), update_H=False),
        ),
    ],
    ids=["cd", "mu", "minibatch", "ignored start", "ignored W"],
)
def test_the_same_class_of_warning(category, call):
    assert category in _warned(lambda: call(skd))
    assert _warned(lambda: call(partwise)) == {category}
