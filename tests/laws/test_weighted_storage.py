"""Laws of weights and missing entries on disk, in mini-batches, and of rows of sparse X."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from partwise import NMF, MiniBatchNMF, SequentialNMF
from partwise._errors import UnsupportedCombinationError
from partwise.data import MemoryReader, Sparse, Stored, StoredObserved, Weighted
from partwise.estimators import _checks
from partwise.losses import Frobenius
from partwise.models import Bilinear
from partwise.penalties import L1, L2, Box, Free, Simplex
from partwise.problem import Entries, Problem, Quadratics
from partwise.solvers import SOLVERS, mini_batch
from partwise.solvers.quadratics import quadratic_rows
from partwise.solvers.rows import observed_rows
from tests.laws.declared import LOSSES, draw_data, label
from tests.laws.test_observed import SOLVING, K, fit, holes, start_of

SHAPE = (23, 9)
SMALL = SHAPE[1] * 8 * 5  # bytes of a block of five rows
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """A function that writes an array and returns its path; blocks have five rows."""
    monkeypatch.setattr(_checks, "FITS", 0)
    monkeypatch.setattr(Stored, "block_bytes", SMALL)

    def write(array, name="X"):
        np.save(tmp_path / f"{name}.npy", array)
        return tmp_path / f"{name}.npy"

    return write


def stored(X, weights):
    return StoredObserved(MemoryReader(X), MemoryReader(weights), unstored="zero")


def pairs(data_of):
    """Losses and the solvers that can serve them, for data of a kind."""
    found = []
    for loss in LOSSES:
        for name in SOLVING:
            W, H = start_of(SHAPE)
            factors = {"W": W, "H": np.ascontiguousarray(H.T)}
            if loss.largest < np.inf:
                continue  # served within bounds only
            problem = Problem(data_of(draw_data(SHAPE, 1, loss)), Bilinear(K), loss, factors)
            if SOLVERS[name]().lacks(problem) is None:
                found.append(pytest.param(loss, name, id=f"{label(loss)} {name}"))
    return found


ON_DISK = pairs(lambda X: stored(X, np.ones(SHAPE)))
BATCHES = [
    pytest.param(loss, id=label(loss))
    for loss in LOSSES
    if loss.powers is not None and loss.largest == np.inf
]


def same(found, wanted, names=("components_", "W_", "objective_history_", "kkt_"), rtol=1e-9):
    for name in names:
        values = (getattr(model, name) for model in (found, wanted))
        np.testing.assert_allclose(*values, rtol=rtol, atol=1e-11, err_msg=name)


# ---------------------------------------------------------------- on disk


def test_every_loss_has_a_solver_on_disk():
    served = {pair.values[0].name for pair in ON_DISK}
    bounded = {loss.name for loss in LOSSES if loss.largest < np.inf}
    assert served | bounded == {loss.name for loss in LOSSES}
    assert {"cd", "hals", "a-hals", "amu", "mu", "pgd"} <= {pair.values[1] for pair in ON_DISK}


@pytest.mark.parametrize(("loss", "name"), ON_DISK)
def test_the_answer_is_that_in_memory(loss, name, disk):
    X, known = draw_data(SHAPE, 1, loss, zeros=0.2), holes(SHAPE)
    weights = known * np.random.default_rng(2).uniform(0.3, 2, SHAPE)
    W, H = start_of(SHAPE)
    how = {"solver": name, "beta_loss": loss, "max_iter": 4}
    missing, path = np.where(known > 0, X, np.nan), disk(np.where(known > 0, X, np.nan))
    same(fit(path, W, H, **how), fit(missing, W, H, **how))
    other = fit(disk(np.where(known > 0, X, -1e30), "other"), W, H, disk(weights, "V"), **how)
    same(other, fit(X, W, H, weights, **how))
    if name in ("cd", "mu"):
        for given in (np.load(disk(weights, "V"), mmap_mode="r"), weights):
            found = fit(path, W, H, given, **how)
            np.testing.assert_array_equal(found.components_, other.components_)


@pytest.mark.parametrize(("loss", "name"), ON_DISK)
def test_integer_weights_on_disk_are_repeated_rows(loss, name, disk):
    if name == "pgd" or (name == "amu" and loss.quadratic):
        pytest.skip("Its steps, or their number, are others for complete data.")
    X, times = draw_data(SHAPE, 2, loss, zeros=0.2), np.arange(SHAPE[0]) % 3 + 1
    W, H = start_of(SHAPE)
    how = {"solver": name, "beta_loss": loss}
    repeated = fit(np.repeat(X, times, axis=0), np.repeat(W, times, axis=0), H, **how)
    each = np.tile(times[:, None], (1, SHAPE[1]))
    for given in (disk(times, "v"), disk(each, "V")):
        found = fit(disk(X), W, H, given, **how)
        same(found, repeated, ("components_", "objective_"))


@pytest.mark.parametrize(("loss", "name"), ON_DISK)
def test_weights_of_one_on_disk_are_none(loss, name, disk):
    X = draw_data(SHAPE, 3, loss, zeros=0.2)
    (W, H), how = start_of(SHAPE), {"solver": name, "beta_loss": loss}
    plain = fit(disk(X), W, H, **how)
    for ones in (disk(np.ones(SHAPE), "V"), np.ones(SHAPE[0])):
        np.testing.assert_array_equal(
            fit(disk(X), W, H, ones, **how).components_, plain.components_
        )


@pytest.mark.parametrize("obeyed", [L1(0.1), L2(0.1), Free()], ids=["L1", "L2", "Free"])
@pytest.mark.parametrize("name", ["cd", "hals"])
def test_penalties_and_signs_on_disk(name, obeyed, disk):
    rng = np.random.default_rng(0)
    X, V = rng.normal(0.3, 1, SHAPE), holes(SHAPE) * rng.uniform(0.3, 2, SHAPE)
    W, H = start_of(SHAPE)
    how = {"solver": name, "penalty_H": obeyed, "allow_negative": True, "max_iter": 40}
    same(fit(disk(X), W, H, disk(V, "V"), **how), fit(X, W, H, V, **how), rtol=1e-8)


def test_few_known_entries_are_listed_block_by_block(disk, monkeypatch):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((60, 30)) < 0.1, rng.random((60, 30)), np.nan)
    X[:, 0] = 1
    how = {"random_state": 0, "max_iter": 8, "tol": 0, "solver": "hals"}
    same(NMF(K, **how).fit(disk(X)), NMF(K, **how).fit(X))
    monkeypatch.setattr(Weighted, "led_by", None)
    NMF(K, max_iter=3, tol=0).fit(disk(X))


@pytest.mark.filterwarnings("ignore:transform. 1 of 23 rows have no known entry")
@pytest.mark.parametrize("beta", [2, 1, 0.5])
@pytest.mark.parametrize("init", [None, "random", "kmeans", "spa", "nnsvd-lrc"])
def test_starts_and_results_on_disk(beta, init, disk):
    X = draw_data(SHAPE, 4, zeros=0.1) + 0.1
    V = holes(SHAPE) * np.random.default_rng(1).uniform(0.5, 2, SHAPE)
    V[7], V[:, 4] = 0, 0
    how = {"beta_loss": beta, "init": init, "random_state": 0, "solver": "amu", "max_iter": 9}
    with pytest.warns(UserWarning, match="1 rows and 1 columns of X have no known entry"):
        wanted = NMF(K, tol=0, **how).fit(X, weights=V)
    X[7] = np.nan
    given = {"weights": disk(V, "V")}
    with pytest.warns(UserWarning, match="1 rows and 1 columns of X have no known entry"):
        found = NMF(K, tol=0, **how).fit(disk(X), **given)
    same(found, wanted, rtol=1e-7)
    assert not found.W_[7].any()
    assert not found.components_[:, 4].any()
    np.testing.assert_allclose(
        found.transform(disk(X), **given), wanted.transform(X, weights=V), rtol=1e-6, atol=1e-9
    )
    assert found.score(disk(X), **given) == pytest.approx(wanted.score(X, weights=V), rel=1e-7)
    for per in (None, "component", "sample", "feature"):
        np.testing.assert_allclose(
            found.explained_variance(disk(X), per, **given),
            wanted.explained_variance(X, per, weights=V),
            rtol=1e-7,
        )
    chi2 = found.chi_square(disk(X), **given), wanted.chi_square(X, weights=V)
    assert chi2[0].dof == chi2[1].dof
    assert chi2[0].value == pytest.approx(chi2[1].value, rel=1e-7)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scales_and_dtypes_on_disk(scale, dtype, disk):
    X = draw_data(SHAPE, 4, dtype=dtype)
    X[holes(SHAPE) == 0] = np.nan
    plain, other = (
        NMF(K, random_state=0, max_iter=5, tol=0).fit(disk((c * X).astype(dtype)))
        for c in (1, scale)
    )
    assert other.W_.dtype == other.components_.dtype == dtype
    close = 1e-3 if dtype is np.float32 else 1e-8
    np.testing.assert_allclose(other.components_, scale**0.5 * plain.components_, rtol=close)


def test_sequential_components_on_disk(disk):
    X, V = draw_data((40, 9), 5), holes((40, 9)) * 1.5
    wanted = SequentialNMF(3, random_state=0).fit(X, weights=V)
    found = SequentialNMF(3, random_state=0).fit(disk(X), weights=disk(V, "V"))
    names = ("components_", "fractional_residual_variance_")
    same(found, wanted, names, rtol=1e-6)


def test_an_iteration_reads_each_row_once(disk, monkeypatch):
    X, counted, fetch = draw_data(SHAPE, 6) + 0.1, [], StoredObserved.fetch

    def count(self, start, stop):
        counted.append(stop - start)
        return fetch(self, start, stop)

    monkeypatch.setattr(StoredObserved, "fetch", count)
    path, rows = disk(np.where(holes(SHAPE) > 0, X, np.nan)), []
    for iterations in (10, 25):
        counted.clear()
        NMF(K, init="random", random_state=0, tol=0, max_iter=iterations).fit(path)
        assert np.median(counted) == 5
        rows.append(sum(counted) / SHAPE[0])
    assert rows[1] - rows[0] == 15


def test_sparse_weights_and_backed_data(tmp_path, disk):
    anndata = pytest.importorskip("anndata")
    rng = np.random.default_rng(0)
    X = sparse.random_array(SHAPE, density=0.4, rng=rng, format="csr") + sparse.eye_array(*SHAPE)
    X = sparse.csr_array(X)
    V = sparse.csr_array(holes(SHAPE) * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.AnnData(sparse.csr_matrix(X)).write_h5ad(tmp_path / "X.h5ad")
        backed = anndata.read_h5ad(tmp_path / "X.h5ad", backed="r").X
    W, H = start_of(SHAPE)
    for how in ({"unstored": "missing"}, {"unstored": "missing", "beta_loss": 1, "solver": "amu"}):
        same(fit(backed, W, H, **how), fit(X, W, H, **how))
    for weights in (V, V.toarray()):
        same(fit(backed, W, H, weights), fit(X, W, H, weights))
        how = {"unstored": "missing"}
        same(fit(backed, W, H, weights, **how), fit(X, W, H, weights, **how))


def test_what_is_wrong_on_disk_says_so(disk):
    X = draw_data(SHAPE, 7)
    with pytest.raises(ValueError, match=r"weights: got shape \(4, 9\); wanted the shape of X"):
        NMF(K).fit(disk(X), weights=np.ones((4, 9)))
    with pytest.raises(ValueError, match=r"weights: got entries from -1 to -1"):
        NMF(K).fit(disk(X), weights=disk(-np.ones(SHAPE), "V"))
    with pytest.raises(ValueError, match="no known entry"):
        NMF(K).fit(disk(X), weights=np.zeros(SHAPE))
    with pytest.raises(FileNotFoundError, match=r"weights=.*no such file"):
        NMF(K).fit(disk(X), weights="nowhere.npy")
    bad = X.copy()
    bad[17, 3] = -2
    with pytest.raises(ValueError, match=r"1 negative entries.*the first at \(17, 3\)"):
        NMF(K).fit(disk(bad), weights=np.full(SHAPE, 2.0))
    for name in ("dsgd", "rational"):
        with pytest.raises(UnsupportedCombinationError):
            NMF(K, solver=name, beta_loss=1 if name == "rational" else 2).fit(
                disk(X), weights=holes(SHAPE)
            )


def test_weights_from_a_file_for_data_in_memory(tmp_path):
    X, V = draw_data(SHAPE, 8), holes(SHAPE) * 2
    np.save(tmp_path / "V.npy", V)
    wanted = NMF(K).fit(X, weights=V).components_
    for given in (tmp_path / "V.npy", np.load(tmp_path / "V.npy", mmap_mode="r")):
        np.testing.assert_array_equal(NMF(K).fit(X, weights=given).components_, wanted)


# ---------------------------------------------------------------- quadratics of rows


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_rows_move_alike_by_their_quadratics(exact, signed, dtype):
    rng = np.random.default_rng(0)
    X, V = rng.normal(1, 1, (21, 17)), holes((21, 17)) * rng.uniform(0.1, 3, (21, 17))
    X, V = np.where(V > 0, X, 0).astype(dtype), V.astype(dtype)
    A, F = (rng.random((rows, 5)).astype(dtype) for rows in (17, 21))
    free, problem = (
        rng.random(F.shape) < 0.9,
        Problem(Weighted(X, V), Bilinear(5), Frobenius(), {"W": F, "H": A}),
    )
    known = Entries(Weighted(X, V), A, np.zeros((1, 5), dtype), 0.0)
    entries = problem.penalized("W", known, (L2(0.3),))
    halves = [
        Quadratics.of(Weighted(X[:, part], V[:, part]), A[part])
        for part in (slice(0, 8), slice(8, 17))
    ]
    summed = problem.penalized("W", halves[0].plus(halves[1]), (L2(0.3),))
    how = (free, np.arange(5), (3, 0.0))
    found, wanted = F.copy(), F.copy()
    value, undone = quadratic_rows(found, summed, *how, exact=exact, signed=signed)
    known = observed_rows(wanted, entries, *how, exact=exact, signed=signed)
    assert undone == 0
    close = 1e-3 if dtype is np.float32 else 1e-9
    np.testing.assert_allclose(found, wanted, rtol=close, atol=close)
    assert value == pytest.approx(known[0], rel=close)


def test_listed_and_dense_data_have_the_same_grams():
    from partwise.data import listed

    rng = np.random.default_rng(0)
    V, A = holes((7, 6)) * 1.5, rng.random((6, 4))
    data = Weighted(V * 2, V)
    first, second = np.tril_indices(4)
    for view in (data, listed(data)):
        grams = view.grams(A)
        for row, v in zip(grams, V, strict=True):
            np.testing.assert_allclose(row, (A.T @ np.diag(v) @ A)[first, second])


# ---------------------------------------------------------------- weights of rows


def within(loss):
    """Penalties that keep models in the domain of a loss."""
    return (
        {"penalty_H": Box(0, 60), "penalty_W": Simplex(at_most=True)} if loss.largest < 99 else {}
    )


@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_weights_of_rows_are_repeated_rows(loss):
    """Of sparse X zeros that are not stored count too, as often as their row."""
    zeros = 0.0 if loss.needs_positive_data else 0.5
    X, times = draw_data(SHAPE, 2, loss, zeros=zeros), np.arange(SHAPE[0]) % 3 + 1
    kept = np.repeat(np.arange(SHAPE[0]), times)
    W, H = start_of(SHAPE)
    how = {"beta_loss": loss, **within(loss)}
    repeated = fit(X[kept], W[kept], H, **how)
    for given in (X, sparse.csr_array(X)):
        found = fit(given, W, H, times, **how)
        if found.solver_ == repeated.solver_ != "pgd":
            same(found, repeated, ("components_", "objective_"))
        Y = np.maximum(found.W_ @ found.components_, 1e-30)
        misfit = (times[:, None] * loss.value(X, Y)).sum()
        assert found.objective_ == pytest.approx(misfit, rel=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=label)
@pytest.mark.parametrize("obeyed", [L1(0.1), L2(0.1)], ids=["L1", "L2"])
def test_penalties_of_w_belong_to_its_rows_once(loss, obeyed):
    zeros = 0.0 if loss.needs_positive_data else 0.5
    X, times = draw_data(SHAPE, 2, loss, zeros=zeros), np.arange(SHAPE[0]) % 3 + 0.5
    W, H = start_of(SHAPE)
    bounds = within(loss)
    bounds["penalty_W"] = [obeyed, bounds["penalty_W"]] if bounds else obeyed
    how = {
        "beta_loss": loss,
        "max_iter": 6,
        "solver": "pgd" if bounds.keys() > {"penalty_W"} else ("cd" if loss.quadratic else "auto"),
        **bounds,
    }
    dense, found = (fit(given, W, H, times, **how) for given in (X, sparse.csr_array(X)))
    if dense.solver_ == found.solver_:
        same(found, dense, ("components_", "objective_", "W_"))
    Y = np.maximum(found.W_ @ found.components_, 1e-30)
    cost = (times[:, None] * loss.value(X, Y)).sum() + obeyed.value(found.W_)
    assert found.objective_ == pytest.approx(cost, rel=1e-7)


@pytest.mark.filterwarnings("ignore:8 rows and 0 columns:UserWarning")
@pytest.mark.parametrize(
    "how",
    [{}, {"beta_loss": 1.0}, {"beta_loss": 0.0}, {"solver": "mu"}, {"solver": "anls-bpp"}],
    ids=str,
)
def test_what_stands_in_rows_that_do_not_count_is_irrelevant_to_the_bit(disk, how):
    X, times = draw_data(SHAPE, 4) + 0.1, np.arange(SHAPE[0]) % 3
    wanted: dict[str, NMF] = {}
    for junk in (7.0, 0.5, -1.0, np.inf, np.nan):
        spoiled = np.where(times[:, None] > 0, X, junk)
        for where, given in (("memory", spoiled), ("disk", disk(spoiled))):
            if where == "disk" and how.get("solver") == "anls-bpp":
                continue
            model = NMF(K, max_iter=20, tol=0, random_state=0, **how).fit(given, weights=times)
            first = wanted.setdefault(where, model)
            assert model.solver_ == first.solver_
            assert model.components_.tobytes() == first.components_.tobytes()
            assert model.W_.tobytes() == first.W_.tobytes()


@pytest.mark.filterwarnings("ignore:8 rows and 0 columns:UserWarning")
def test_what_stands_in_rows_that_do_not_count_is_irrelevant(disk):
    X, times = draw_data(SHAPE, 4), np.arange(SHAPE[0]) % 3
    wanted = NMF(K, max_iter=4000, tol=1e-9, random_state=0).fit(X, weights=times)
    for junk in (-1.0, np.inf, np.nan):
        spoiled = np.where(times[:, None] > 0, X, junk)
        for given in (spoiled, disk(spoiled)):
            model = NMF(K, max_iter=4000, tol=1e-9, random_state=0).fit(given, weights=times)
            assert not model.W_[times == 0].any()
            assert model.objective_ == pytest.approx(wanted.objective_, rel=1e-6)


def test_results_of_weighted_rows():
    rng = np.random.default_rng(1)
    X, v = rng.random(SHAPE) * (rng.random(SHAPE) < 0.7), rng.uniform(0.2, 3, SHAPE[0])
    for beta in (2, 1):
        model = NMF(K, beta_loss=beta, random_state=0).fit(sparse.csr_array(X), weights=v)
        left = v[:, None] * (X - model.W_ @ model.components_) ** 2
        squares = v[:, None] * X**2
        explained = 1 - left.sum() / squares.sum()
        assert model.explained_variance() == pytest.approx(explained)
        assert model.explained_variance(
            sparse.csr_array(X), W=model.W_, weights=v
        ) == pytest.approx(explained)
        chi2 = model.chi_square(sparse.csr_array(X), W=model.W_, weights=v)
        assert chi2.value == pytest.approx(left.sum())
        assert chi2.dof == X.size - K * (sum(SHAPE) - K)
        scaled = model.residuals(X, W=model.W_, weights=v, scaled=True)
        np.testing.assert_allclose(scaled**2, left, atol=1e-12)
        W = model.transform(sparse.csr_array(X), weights=v)
        np.testing.assert_allclose(W, model.transform(X), rtol=1e-5, atol=1e-6)
        state = []
        model.fit(X, weights=v, callback=lambda s: state.append(s.W) or len(state) > 5)
        np.testing.assert_allclose(state[-1], model.W_, atol=1e-12)


def test_weighted_rows_with_fixed_and_signed_factors():
    X, v = draw_data(SHAPE, 5), np.arange(SHAPE[0]) % 3 + 1
    (W, H), kept = start_of(SHAPE), np.repeat(np.arange(SHAPE[0]), v)
    mask = np.random.default_rng(0).random(W.shape) < 0.3
    how = {"init": "custom", "solver": "hals", "tol": 0, "max_iter": 5}
    for penalty in (None, Free()):
        repeated = NMF(K, penalty_W=penalty, **how).fit(X[kept], W=W[kept], H=H, fixed_W=mask[kept])
        for given in (X, sparse.csr_array(X)):
            found = NMF(K, penalty_W=penalty, **how).fit(given, weights=v, W=W, H=H, fixed_W=mask)
            np.testing.assert_allclose(found.components_, repeated.components_, rtol=1e-9)
            np.testing.assert_allclose(found.W_[mask], W[mask], rtol=1e-14)


def test_sparse_data_with_weighted_rows_are_never_dense(monkeypatch):
    X = sparse.random_array((60, 40), density=0.05, rng=np.random.default_rng(0), format="csr")
    monkeypatch.setattr(Sparse, "to_dense", None)
    for how in ({}, {"beta_loss": 1}, {"solver": "mu"}):
        NMF(K, init="random", max_iter=3, tol=0, **how).fit(X, weights=np.arange(1, 61.0))


# ---------------------------------------------------------------- mini-batches


@pytest.fixture
def alike(monkeypatch):
    """As many sweeps in each batch, which else end when a row, or a block of rows, hardly moves."""
    monkeypatch.setattr(mini_batch, "SWEEPS", (2, 0.0))


def batches(X, W, H, weights=None, **params):
    model = MiniBatchNMF(K, init="custom", **{"tol": 0, "max_iter": 4, **params})
    return model.fit(X, W=W.copy(), H=H.copy(), weights=weights)


@pytest.mark.parametrize("loss", BATCHES)
def test_batches_of_weights_of_one_are_plain(loss, disk):
    X = draw_data(SHAPE, 3, loss, zeros=0.2)
    (W, H), how = start_of(SHAPE), {"beta_loss": loss, "batch_size": 7}
    plain = batches(X, W, H, **how)
    for given, ones in ((X, np.ones(SHAPE)), (X, np.ones(SHAPE[0])), (disk(X), np.ones(SHAPE))):
        found = batches(given, W, H, ones, **how)
        np.testing.assert_allclose(found.components_, plain.components_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", BATCHES)
def test_batches_of_integer_weights_are_those_of_repeated_rows(loss, disk, alike):
    X, times = draw_data(SHAPE, 2, loss, zeros=0.2), np.arange(SHAPE[0]) % 3 + 1
    W, H = start_of(SHAPE)
    each = np.tile(times[:, None], (1, SHAPE[1]))
    how = {"beta_loss": loss, "batch_size": 100, "fresh_restarts": loss.quadratic}
    rows = np.repeat(np.arange(SHAPE[0]), times)
    repeated = batches(X[rows], W[rows], H, **how)
    stored = disk(X), disk(each, "V")
    for given, weights in ((X, times), (X, each), (sparse.csr_array(X), times), stored):
        found = batches(given, W, H, weights, **how)
        np.testing.assert_allclose(found.components_, repeated.components_, rtol=1e-8, atol=1e-10)
    # Two rows of the same weight are a batch of two.
    double = batches(np.repeat(X, 2, axis=0), np.repeat(W, 2, axis=0), H, **how | {"batch_size": 6})
    found = batches(X, W, H, np.full(SHAPE[0], 2.0), **how | {"batch_size": 3})
    np.testing.assert_allclose(found.components_, double.components_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("loss", BATCHES)
def test_batches_with_holes_however_they_are_told(loss, disk, alike):
    X, V = draw_data(SHAPE, 1, loss, zeros=0.2), holes(SHAPE)
    W, H = start_of(SHAPE)
    how = {"beta_loss": loss, "batch_size": 5}
    missing = np.where(V > 0, X, np.nan)
    wanted = batches(missing, W, H, **how)
    assert np.isfinite(wanted.components_).all()
    rows, columns = np.nonzero(V)
    listed = sparse.coo_array((X[rows, columns], (rows, columns)), shape=SHAPE)
    for given, weights, more in (
        (np.where(V > 0, X, -1e30), V, {}),
        (X, sparse.csr_array(V), {}),
        (listed, None, {"unstored": "missing"}),
        (disk(missing), None, {}),
        (disk(np.where(V > 0, X, -np.inf), "other"), disk(V, "V"), {}),
    ):
        found = batches(given, W, H, weights, **how, **more)
        np.testing.assert_allclose(found.components_, wanted.components_, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(found.objective_, wanted.objective_, rtol=1e-8)


@pytest.mark.parametrize("beta", [2, 1])
def test_batches_find_what_all_rows_together_find(beta):
    rng = np.random.default_rng(0)
    truth = rng.gamma(1, size=(200, K)) @ rng.gamma(1, size=(K, 20)) + 0.01
    known = rng.random(truth.shape) < 0.6
    X = np.where(known, truth, np.nan)
    model = MiniBatchNMF(K, beta_loss=beta, batch_size=50, max_iter=600, tol=1e-6, random_state=0)
    model.fit(X)
    error = np.abs(model.W_ @ model.components_ - truth)[~known].mean() / truth.mean()
    assert error < 0.02
    for start in range(0, 200, 50):
        model.partial_fit(X[start : start + 50])
    W = model.transform(X)
    assert np.abs(W @ model.components_ - truth)[~known].mean() / truth.mean() < 0.02
    assert model.score(X) > -1e-3


def test_partial_fits_of_complete_and_other_batches(alike):
    X, V = draw_data((40, 9), 5), holes((40, 9))
    W, H = start_of((20, 9))
    ways = []
    for ones in (np.ones((20, 9)), None):
        model = MiniBatchNMF(K, init="custom", tol=0)
        model.partial_fit(X[:20], W=W, H=H, weights=ones)
        model.partial_fit(X[20:], weights=V[20:])
        ways.append(model.partial_fit(X[:20] + 0).components_)
    np.testing.assert_allclose(ways[0], ways[1], rtol=1e-12)
    wanted = MiniBatchNMF(K, init="custom", tol=0).partial_fit(X[:20], W=W, H=H)
    # As if all batches had weights that are not one by the smallest number.
    model = MiniBatchNMF(K, init="custom", tol=0)
    model.partial_fit(X[:20], W=W, H=H, weights=np.full((20, 9), 1 + 1e-15))
    np.testing.assert_allclose(model.components_, wanted.components_, rtol=1e-9, atol=1e-12)


def test_batches_of_noise_below_zero():
    rng = np.random.default_rng(0)
    truth = 0.05 * rng.gamma(1, size=(300, 2)) @ rng.gamma(1, size=(2, 20))
    X = truth + rng.normal(0, 0.3, truth.shape)
    with pytest.raises(ValueError, match="Negative values"):
        MiniBatchNMF(2).fit(X)
    for weights in (None, rng.uniform(0.5, 2, X.shape)):
        model = MiniBatchNMF(2, allow_negative=True, batch_size=60, random_state=0, max_iter=500)
        model.fit(X, weights=weights)
        fitted = model.W_ @ model.components_
        assert model.W_.min() >= 0 <= model.components_.min()
        assert abs(fitted.mean() / truth.mean() - 1) < 0.3
