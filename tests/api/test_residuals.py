"""What is left of the data: residuals, χ² and its degrees of freedom."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from partwise import NMF, MiniBatchNMF, NonSmoothNMF

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
K = 2


def planted(shape=(14, 11), seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 2, (shape[0], K)) @ rng.uniform(0.5, 2, (K, shape[1]))
    sigma = 0.02 * rng.uniform(0.5, 2, shape)
    known = rng.random(shape) < 0.8
    X = truth + sigma * rng.standard_normal(shape)
    return X.astype(dtype), (known / sigma**2).astype(dtype)


def listed(X, weights):
    pattern = sparse.csr_array(weights)
    return sparse.csr_array((X[pattern.nonzero()], pattern.nonzero()), shape=X.shape), pattern


@quiet
@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("scaled", [False, True])
def test_they_are_those_of_the_definition_however_x_is_held(loss, scaled):
    X, V = planted()
    model = NMF(K, beta_loss=loss, unstored="missing", max_iter=50).fit(X, weights=V)
    left = (X - model.W_ @ model.components_) * (np.sqrt(V) if scaled else 1)
    wanted = np.where(V > 0, left, np.nan)
    how = {"W": model.W_, "scaled": scaled}
    holes = np.where(V > 0, X, np.nan)
    for found in (
        model.residuals(X, weights=V, **how),
        model.residuals(holes, weights=V, **how),
        model.residuals(X, weights=sparse.csr_array(V), **how),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    for S, weights in (listed(X, V), (sparse.csr_array(X), V)):
        found = model.residuals(S, weights=weights, **how)
        assert sparse.issparse(found)
        assert found.nnz == np.count_nonzero(V)
        np.testing.assert_allclose(found.toarray(), np.nan_to_num(wanted), atol=1e-9)
    value = model.chi_square(X, weights=V, W=model.W_).value
    assert value == pytest.approx(np.nansum((holes - model.W_ @ model.components_) ** 2 * V))


@quiet
def test_dense_data_stay_dense_where_little_is_known():
    X, V = planted((30, 40))
    V[np.random.default_rng(1).random(V.shape) < 0.9] = 0
    V[0], V[:, 0] = 1, 1
    model = NMF(K, allow_negative=True).fit(X, weights=V)
    found = model.residuals(X, weights=V, W=model.W_)
    np.testing.assert_allclose(
        found, np.where(V > 0, X - model.W_ @ model.components_, np.nan), atol=1e-12
    )


def test_listed_data_are_never_made_dense():
    """Ten billion entries, of which a thousand are known."""
    shape, rng = (100_000, 100_000), np.random.default_rng(0)
    rows, columns = rng.integers(0, 100_000, (2, 1000))
    X = sparse.csr_array((rng.random(1000) + 0.5, (rows, columns)), shape=shape)
    model = NMF(K, unstored="missing", max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    found = model.residuals(X, W=model.W_)
    at = X.nonzero()
    left = X[at] - np.sum(model.W_[at[0]] * model.components_[:, at[1]].T, axis=1)
    np.testing.assert_allclose(found[at], left, atol=1e-12)
    assert model.chi_square(X, W=model.W_).value == pytest.approx(np.sum(left**2))


def test_the_free_parameters_are_counted_right():
    """The mean of χ² over noise tells k (n + m − k) parameters from k (n + m)."""
    shape, n = (12, 10), 120
    values = []
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 2, (shape[0], K)) @ [[3, 1] * 5, [1, 3] * 5]
    V = rng.random(shape) < 0.85
    sigma = 1e-3 * rng.uniform(1, 3, shape)
    for _ in range(n):
        X = truth + sigma * rng.standard_normal(shape)
        model = NMF(K, tol=1e-8, max_iter=3000).fit(X, weights=V / sigma**2)
        found = model.chi_square(X, weights=V / sigma**2, W=model.W_)
        values.append(found.value)
        assert found.dof == V.sum() - K * (12 + 10 - K)
    error = np.sqrt(2 * found.dof / n)
    assert abs(np.mean(values) - found.dof) < 2.5 * error
    assert abs(np.mean(values) - (found.dof - K * K)) > 2.5 * error


def test_rows_that_were_held_out_have_their_own_count():
    X, V = planted((300, 12))
    how = {"tol": 1e-6, "max_iter": 3000}
    model = NMF(K, **how).fit(X[:200], weights=V[:200])
    found = model.chi_square(X[200:], weights=V[200:], held_out=True)
    assert found.dof == np.count_nonzero(V[200:]) - 100 * K
    assert 0.9 < found.reduced < 1.1
    left = model.residuals(X[200:], weights=V[200:], scaled=True)
    assert found.value == pytest.approx(np.nansum(left**2))


@quiet
def test_what_is_not_known_and_not_used_is_not_counted():
    X, V = planted()
    V[3], V[:, 5] = 0, 0
    with pytest.warns(UserWarning, match="no known entry"):
        model = NMF(K).fit(X, weights=V)
    found = model.chi_square(X, weights=V, W=model.W_)
    assert found.dof == np.count_nonzero(V) - K * (13 + 10 - K)
    model.components_[1] = 0
    assert model.chi_square(X, weights=V, W=model.W_).dof == np.count_nonzero(V) - 22
    few = NMF(10).fit(X[4:12]).chi_square(X[4:12])
    assert few.dof == 0
    assert np.isnan(few.reduced)


@quiet
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e150])
def test_uncertainties_in_any_unit_give_the_same(scale):
    X, V = planted()
    one = NMF(K, random_state=0).fit(X, weights=V)
    other = NMF(K, random_state=0).fit(scale * X, weights=V)
    a = one.chi_square(X, weights=V, W=one.W_)
    b = other.chi_square(scale * X, weights=V, W=other.W_)
    assert b.value == pytest.approx(scale**2 * a.value, rel=1e-5)
    assert b.dof == a.dof


@quiet
def test_complete_data_have_them_too():
    X = planted()[0]
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(11)])
    for cls in (NMF, MiniBatchNMF, NonSmoothNMF):
        model = cls(K, random_state=0).fit(X)
        Y = model.inverse_transform(model.transform(X))
        np.testing.assert_allclose(model.residuals(X), X - Y, atol=1e-12)
        found = model.chi_square(sparse.csr_array(X), W=model.transform(X))
        assert found.value == pytest.approx(np.sum((X - Y) ** 2), rel=1e-6)
        assert found.dof == X.size - K * (14 + 11 - K)
    named = NMF(K).fit(frame)
    np.testing.assert_allclose(
        named.residuals(frame), X - named.transform(frame) @ named.components_
    )
    single = NMF(K).fit(X.astype(np.float32))
    assert single.residuals(X.astype(np.float32)).dtype == np.float32


@quiet
def test_what_cannot_be_is_refused(tmp_path):
    X, _ = planted()
    model = NMF(K).fit(X)
    with pytest.raises(ValueError, match="sparse, with zeros not stored"):
        model.residuals(sparse.csr_array(X))
    with pytest.raises(ValueError, match=r"W: got shape \(3, 2\); wanted \(14, 2\)"):
        model.chi_square(X, W=model.W_[:3])
