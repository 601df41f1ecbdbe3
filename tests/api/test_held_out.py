"""Held-out entries: what is hidden, what is told about it, and that it finds the rank."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.decomposition import TruncatedSVD

from partwise import NMF, HeldOutEntries, MiniBatchNMF, NonSmoothNMF, cross_val_loss
from partwise.penalties import L1
from partwise.select.cross_validation import _turned

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SCHEMES = ["random", "per_row", "blocks"]
RNG = np.random.default_rng(0)
DENSE = RNG.gamma(1.0, size=(30, 20))
HOLES = np.where(RNG.random(DENSE.shape) < 0.3, np.nan, DENSE)
WEIGHTS = np.where(np.isnan(HOLES), 0, RNG.uniform(0.5, 2, DENSE.shape))


def listed(X, weights=None):
    """Return X with its known entries stored, and no others."""
    rows, columns = np.nonzero(~np.isnan(X))
    values = X if weights is None else weights
    return sparse.csr_array((values[rows, columns], (rows, columns)), shape=X.shape)


def full(V):
    return V.toarray() if sparse.issparse(V) else V


CASES = {
    "dense": (DENSE, None, "zero"),
    "holes": (HOLES, None, "zero"),
    "weights": (DENSE, WEIGHTS, "zero"),
    "weights of rows": (DENSE, np.arange(30) % 3 + 1.0, "zero"),
    "ratings": (listed(HOLES), None, "missing"),
    "ratings with weights": (listed(HOLES), listed(HOLES, WEIGHTS), "missing"),
    "zeros": (sparse.csr_array(np.where(DENSE > 1, DENSE, 0)), None, "zero"),
    "zeros with some weights": (sparse.csr_array(DENSE), listed(HOLES, WEIGHTS), "zero"),
    "zeros with weights": (sparse.csr_array(DENSE), WEIGHTS, "zero"),
}


# --- splits --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("X", "weights", "unstored"), CASES.values(), ids=CASES)
def test_a_split_shares_out_the_weights_of_known_entries(X, weights, unstored, scheme):
    cv = HeldOutEntries(3, fraction=0.2, scheme=scheme, random_state=1)
    if weights is not None:
        wanted = np.broadcast_to(full(weights).reshape(30, -1), (30, 20))
    elif unstored == "missing" or np.isnan(full(X)).any():
        wanted = WEIGHTS > 0
    else:
        wanted = np.ones((30, 20))
    seen = []
    for known, held in cv.split(X, weights, unstored=unstored):
        assert held.dtype == known.dtype == X.dtype
        assert sparse.issparse(held) == sparse.issparse(X)
        known, held = full(known), full(held)
        np.testing.assert_array_equal(known + held, wanted)
        assert not (known * held).any()
        assert 0.1 < (held > 0).sum() / (wanted > 0).sum() < 0.25
        seen.append(held)
    assert len(seen) == cv.get_n_splits() == 3
    assert not np.array_equal(seen[0], seen[1])
    again = [full(held) for _, held in cv.split(X, weights, unstored=unstored)]
    np.testing.assert_array_equal(again, seen)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_splits_do_not_depend_on_storage(scheme):
    cv = HeldOutEntries(2, fraction=0.3, scheme=scheme, min_known=9, random_state=0)
    first = [held for _, held in cv.split(HOLES)]
    ratings = listed(HOLES)
    unsorted = sparse.csr_array(ratings)
    unsorted.indices, unsorted.data = ratings.indices.copy(), ratings.data.copy()
    start, stop = unsorted.indptr[:2]
    unsorted.indices[start:stop] = unsorted.indices[start:stop][::-1]
    unsorted.data[start:stop] = unsorted.data[start:stop][::-1]
    unsorted.has_sorted_indices = False
    for other in (ratings, ratings.tocsc(), ratings.tocoo(), unsorted):
        held = [full(held) for _, held in cv.split(other, unstored="missing")]
        np.testing.assert_array_equal(held, first)
    np.testing.assert_array_equal([full(h) for _, h in cv.split(DENSE, WEIGHTS > 0)], first)


@pytest.mark.parametrize("least", [1, 4])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_row_and_column_keeps_its_least(scheme, least):
    known = np.random.default_rng(2).random((60, 40)) < 0.08
    X = np.where(known, 1.0, np.nan)
    cv = HeldOutEntries(4, fraction=0.6, scheme=scheme, min_known=least, random_state=0)
    for left, held in cv.split(X):
        assert held.any()
        for axis in (0, 1):
            wanted = np.minimum(known.sum(axis=axis), least)
            assert ((left > 0).sum(axis=axis) >= wanted).all()
        # Nothing is given back without need.
        rows, columns = np.nonzero(held)
        tight = (left > 0).sum(axis=1)[rows] <= least, (left > 0).sum(axis=0)[columns] <= least
        if least == 4 and scheme != "blocks":
            assert np.logical_or(*tight).any()


def test_what_the_schemes_are():
    X = np.ones((40, 30))
    _, held = next(HeldOutEntries(scheme="per_row", fraction=0.1, random_state=0).split(X))
    np.testing.assert_array_equal(held.sum(axis=1), 3)
    cv = HeldOutEntries(2, scheme="blocks", fraction=0.25, random_state=0)
    for (_, held), (rows, columns) in zip(cv.split(X), cv.blocks(X.shape), strict=True):
        assert (rows.sum(), columns.sum()) == (20, 15)
        np.testing.assert_array_equal(held > 0, np.outer(rows, columns))
    _, held = next(HeldOutEntries(fraction=0.1, random_state=0).split(X))
    assert held.sum() == 120


BAD = {
    "fraction": (HeldOutEntries(fraction=1.0), "fraction: got 1.0"),
    "scheme": (HeldOutEntries(scheme="rows"), "scheme: got 'rows'"),
    "splits": (HeldOutEntries(0), "n_splits: got 0"),
    "least": (HeldOutEntries(min_known=0), "min_known: got 0"),
    "nothing left": (HeldOutEntries(min_known=30), "held-out entries: got no entry"),
}


@pytest.mark.parametrize(("cv", "words"), BAD.values(), ids=BAD)
def test_bad_splits_say_so(cv, words):
    with pytest.raises(ValueError, match=words):
        next(cv.split(DENSE))


def test_sparse_zeros_are_not_made_dense_silently():
    X = sparse.csr_array(([1.0], ([0], [0])), shape=(200_000, 100_000))
    with pytest.raises(ValueError, match="method='folds'"):
        next(HeldOutEntries().split(X))


# --- the loss ------------------------------------------------------------------------------


def naive_loss(loss, x, y, v):
    if loss == 2:
        return (v * (x - y) ** 2).sum() / 2 / v.sum()
    y = np.maximum(y, 1e-30 * (v * x).sum() / v.sum())
    logs = np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / y), 0)
    return (v * (logs - x + y)).sum() / v.sum()


@quiet
@pytest.mark.parametrize("beta", [2, 1])
@pytest.mark.parametrize(("X", "weights", "unstored"), CASES.values(), ids=CASES)
def test_the_loss_is_that_of_the_held_out_entries(X, weights, unstored, beta):
    est = NMF(beta_loss=beta, unstored=unstored, max_iter=20, penalty_W=L1(0.01), random_state=0)
    cv = HeldOutEntries(2, random_state=3)
    found = cross_val_loss(est, X, [2, 1], cv=cv, weights=weights)
    np.testing.assert_array_equal(found.n_components, [1, 2])
    for split, (known, held) in enumerate(cv.split(X, weights, unstored=unstored)):
        model = NMF(**{**est.get_params(), "n_components": 2}).fit(X, weights=known)
        y, x = model.W_ @ model.components_, np.nan_to_num(full(X))
        for V, told in ((held, found.held_out), (known, found.fitted)):
            wanted = naive_loss(beta, x, y, full(V))
            assert told[1, split] == pytest.approx(wanted, rel=1e-6)


@quiet
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_threads_and_precision(scale):
    how = {"n_components": [1, 3], "cv": 3}
    est = NMF(max_iter=50)
    first = cross_val_loss(est, HOLES, **how)
    scaled = cross_val_loss(est, scale * HOLES, **how)
    np.testing.assert_allclose(scaled.held_out, scale**2 * first.held_out, rtol=1e-6)
    beside = cross_val_loss(est, HOLES, n_jobs=2, **how)
    for name in ("held_out", "fitted", "n_iter", "converged"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(first, name))
    single = cross_val_loss(est, HOLES.astype(np.float32), **how)
    np.testing.assert_allclose(single.held_out, first.held_out, rtol=1e-2)


@quiet
def test_nothing_is_made_dense_of_ratings():
    """An array of that shape would take 160 GB."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, 100, 4000) * 2000, rng.integers(0, 60, 4000) * 1500
    X = sparse.coo_array((rng.random(4000) + 1, places), shape=(200_000, 100_000)).tocsr()
    est = NMF(unstored="missing", max_iter=2, init="random", random_state=0)
    cv = HeldOutEntries(1, fraction=0.01, random_state=0)
    with pytest.warns(UserWarning, match="199900 rows and 99940 columns"):
        found = cross_val_loss(est, X, [2], cv=cv)
    assert np.isfinite(found.held_out).all()


def nnls_rows(A, B):
    return np.array([optimize.nnls(A, b)[0] for b in B])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_folds_predict_a_block_from_what_is_beside_it(kind):
    cv = HeldOutEntries(2, scheme="blocks", fraction=0.25, random_state=0)
    est = NMF(max_iter=2000, tol=1e-6)
    found = cross_val_loss(est, kind(DENSE), [3], cv=cv, method="folds")
    for split, (rows, columns) in enumerate(cv.blocks(DENSE.shape)):
        model = NMF(3, max_iter=2000, tol=1e-6).fit(DENSE[~rows][:, ~columns])
        W = nnls_rows(model.components_.T, DENSE[rows][:, ~columns])
        H = nnls_rows(model.W_, DENSE[~rows][:, columns].T).T
        wanted = naive_loss(2, DENSE[rows][:, columns], W @ H, np.ones((rows.sum(), columns.sum())))
        assert found.held_out[0, split] == pytest.approx(wanted, rel=1e-5)


def test_h_of_other_columns_is_found_with_the_penalties_of_h():
    """argmin ½‖X − W H‖² + ½ α n ‖H‖², α times the number of samples, in scipy's words."""
    model = NMF(3, alpha_W=0.0, alpha_H=0.02, max_iter=2000).fit(DENSE[:, :12])
    H = _turned(model).transform(DENSE[:, 12:].T).T
    root = np.sqrt(0.02 * len(DENSE)) * np.eye(3)
    tall = np.vstack([model.W_, root])
    wanted = nnls_rows(tall, np.vstack([DENSE[:, 12:], np.zeros((3, 8))]).T).T
    np.testing.assert_allclose(H, wanted, rtol=1e-7, atol=1e-9)
    same = NMF(3, alpha_W=0.02, max_iter=2000).fit(DENSE[:, :12])
    assert _turned(same).alpha_W == 0.02


@quiet
@pytest.mark.parametrize("est", [MiniBatchNMF(max_iter=30), NonSmoothNMF(theta=0.2, max_iter=30)])
def test_folds_serve_every_estimator(est):
    cv = HeldOutEntries(2, scheme="blocks", random_state=0)
    X = sparse.csr_array(np.where(DENSE > 0.7, DENSE, 0))
    found = cross_val_loss(est, X, [1, 2], cv=cv, method="folds")
    assert np.isfinite(found.held_out).all()
    assert (found.fitted[1] < found.fitted[0]).all()


MISUSE = {
    "no estimator": ({"estimator": "nmf"}, TypeError, "estimator: got str"),
    "another model": ({"estimator": TruncatedSVD(2)}, TypeError, "got TruncatedSVD"),
    "parameters": ({"estimator": NMF(tol=-1)}, ValueError, "'tol' parameter of NMF"),
    "uncertainty": ({"uncertainty": DENSE}, ValueError, r"weights=1 / uncertainty\*\*2"),
    "numbers": ({"n_components": [2, 2]}, ValueError, "different integers"),
    "cv": ({"cv": "five"}, TypeError, "HeldOutEntries"),
    "method": ({"method": "rows"}, ValueError, "'missing' or 'folds'"),
    "folds of entries": ({"method": "folds"}, ValueError, "scheme: got 'random'"),
    "folds with holes": ({"method": "folds", "X": HOLES}, ValueError, "method='missing'"),
    "negative": ({"X": -DENSE}, ValueError, "Negative values"),
}


@pytest.mark.parametrize(("changes", "error", "words"), MISUSE.values(), ids=MISUSE)
def test_misuse_says_what_to_do(changes, error, words):
    with pytest.raises(error, match=words):
        cross_val_loss(**{"estimator": NMF(), "X": DENSE, "n_components": [1], **changes})


def test_one_warning_for_all_that_did_not_converge():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cross_val_loss(NMF(max_iter=1), DENSE, [2, 3], cv=2)
    assert [str(w.message) for w in told] == [
        "cross_val_loss: 4 of 4 fits did not converge. Raise max_iter."
    ]


# --- the rank ------------------------------------------------------------------------------


def planted(noise, share):
    """Return data of rank 4 with some of its entries missing."""
    rng = np.random.default_rng(7)
    clean = rng.gamma(0.7, size=(80, 4)) @ rng.gamma(0.7, size=(4, 50))
    if noise == "poisson":
        X = rng.poisson(20 * clean).astype(float)
    else:
        X = clean + 0.1 * clean.mean() * rng.standard_normal(clean.shape)
    X[rng.random(X.shape) < share] = np.nan
    return X


@quiet
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("noise", ["gaussian", "poisson"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_minimum_falls_on_the_planted_rank(noise, share, scheme):
    loss = {"beta_loss": 1} if noise == "poisson" else {"allow_negative": True}
    cv = HeldOutEntries(4, scheme=scheme, random_state=0)
    X = planted(noise, share)
    found = cross_val_loss(NMF(max_iter=500, **loss), X, range(2, 8), cv=cv)
    assert found.n_components_min == found.n_components_1se == 4
    assert (np.diff(found.fitted.mean(axis=1)) < 0).all()
    if share:
        ratings = NMF(max_iter=500, unstored="missing", **loss)
        again = cross_val_loss(ratings, listed(X), range(3, 6), cv=cv)
        assert again.n_components_min == 4


@quiet
@pytest.mark.parametrize("noise", ["gaussian", "poisson"])
def test_folds_choose_the_planted_rank(noise):
    loss = {"beta_loss": 1} if noise == "poisson" else {"allow_negative": True}
    cv = HeldOutEntries(6, scheme="blocks", fraction=0.25, random_state=0)
    est = NMF(max_iter=500, **loss)
    found = cross_val_loss(est, planted(noise, 0.0), range(2, 8), cv=cv, method="folds")
    assert found.n_components_1se == 4


# --- what is shown -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return cross_val_loss(NMF(max_iter=2000), DENSE, [1, 2, 4], cv=3)


def test_table_and_frame(found):
    rows = found.table()
    assert [(r["n_components"], r["split"]) for r in rows][:4] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    assert rows[4]["held_out_loss"] == found.held_out[1, 1]
    summary = found.table("n_components")[2]
    assert summary["held_out_loss"] == pytest.approx(found.held_out[2].mean())
    error = found.held_out[2].std(ddof=1) / np.sqrt(3)
    assert summary["held_out_error"] == pytest.approx(error)
    assert summary["converged"] == 3
    frame = found.to_frame()
    assert list(frame.columns) == list(rows[0])
    assert len(frame) == 9
    text = repr(found)
    assert "Frobenius loss per entry, means of 3 splits" in text
    assert text.count("3 of 3") == 3
    with pytest.raises(ValueError, match="by: got 'k'"):
        found.table("k")


def test_one_split_has_no_error():
    one = cross_val_loss(NMF(max_iter=2000), DENSE, [1, 2], cv=1)
    assert one.n_components_1se == one.n_components_min
    assert one.table("n_components")[0]["held_out_error"] == 0


def test_the_choice_of_one_standard_error(found):
    from dataclasses import replace

    held = np.array([[2.0, 8.0], [2.0, 2.2], [1.0, 3.0]])
    made = replace(found, held_out=held, n_components=np.array([1, 2, 3]))
    assert made.n_components_min == 3
    assert made.n_components_1se == 2  # 2.1 ≤ 2 + 1, not 5 ≤ 2 + 3
    held[1] += 1
    assert made.n_components_1se == 3  # 3.1 > 2 + 1


def test_plot_shows_curves_and_choices(found):
    pytest.importorskip("matplotlib")
    from partwise.plots import plot_held_out

    ax = found.plot()
    ax.figure.savefig(io.BytesIO(), format="png", dpi=40)
    thick = [line for line in ax.lines if line.get_label() in ("held out", "fitted")]
    curves = {line.get_label(): line.get_ydata() for line in thick}
    np.testing.assert_allclose(curves["held out"], found.held_out.mean(axis=1))
    np.testing.assert_allclose(curves["fitted"], found.fitted.mean(axis=1))
    (bars,) = [bars for part in ax.containers for bars in part.lines[2]]
    lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    errors = [row["held_out_error"] for row in found.table("n_components")]
    np.testing.assert_allclose(lengths, 2 * np.array(errors))
    marks = [line for line in ax.lines if "k = " in str(line.get_label())]
    places = {line.get_xdata()[0] for line in marks}
    assert places == {found.n_components_min, found.n_components_1se}
    assert plot_held_out(found, ax) is ax
    with pytest.raises(ValueError, match="cross_val_loss"):
        plot_held_out(DENSE)


def test_stored_weights_of_zero_are_not_known():
    rng = np.random.default_rng(0)
    weights = (rng.random(DENSE.shape) < 0.5).astype(float)
    places = np.nonzero(np.ones(DENSE.shape))
    stored = sparse.csr_array((weights.reshape(-1), places), shape=DENSE.shape)
    known, held = next(
        HeldOutEntries(fraction=0.2, random_state=0).split(
            listed(DENSE), stored, unstored="missing"
        )
    )
    np.testing.assert_array_equal((known + held).toarray(), weights)
    assert held.nnz == round(0.2 * weights.sum())


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("unstored", ["zero", "missing"])
def test_nothing_known_is_told(unstored):
    none, X = sparse.csr_array((5, 4)), sparse.csr_array(np.ones((5, 4)))
    with pytest.raises(ValueError, match="no known entry"):
        next(HeldOutEntries().split(X, none, unstored="zero"))
    with pytest.raises(ValueError, match="no known entry"):
        next(HeldOutEntries().split(none, unstored="missing"))
    with pytest.raises(ValueError, match="no known entry"):
        next(HeldOutEntries().split(np.full((5, 4), np.nan), unstored=unstored))


def test_masks_and_text_are_refused_as_by_the_estimators():
    masked = np.ma.masked_greater(np.eye(5) + 1, 1)
    for call in (
        lambda X: next(HeldOutEntries().split(X)),
        lambda X: cross_val_loss(NMF(), X, [1, 2]),
    ):
        with pytest.raises(TypeError, match="masked array with 5 masked entries"):
            call(masked)
        with pytest.raises(ValueError, match="got dtype <U3; wanted numbers"):
            call(np.full((5, 4), "1.0"))


@pytest.mark.parametrize("seed", [-1, 1.5, "one"])
def test_seeds_are_integers(seed):
    with pytest.raises(ValueError, match=r"random_state: got .*; wanted an integer"):
        next(HeldOutEntries(random_state=seed).split(np.ones((5, 4))))


@pytest.mark.parametrize("method", ["missing", "folds"])
def test_what_is_no_estimator_of_this_package_is_refused(method):
    cv = HeldOutEntries(2, scheme="blocks")
    for est in (TruncatedSVD(2), NMF, None):
        with pytest.raises(TypeError, match=r"estimator: got .*; wanted NMF"):
            cross_val_loss(est, np.ones((9, 8)), [1, 2], cv=cv, method=method)
    with pytest.raises(ValueError, match="n_splits: got True"):
        cross_val_loss(NMF(), np.ones((9, 8)), [1, 2], cv=True)
