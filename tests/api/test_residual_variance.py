"""The picture of residual variance beside principal components."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from partwise import NMF, SequentialNMF

pytest.importorskip("matplotlib")

from partwise.plots import plot_residual_variance

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.gamma(1, size=(50, 3)) @ rng.gamma(1, size=(3, 20))
    X = np.maximum(X + 0.1 * rng.standard_normal(X.shape), 0)
    return SequentialNMF(6, random_state=0, max_iter=1000).fit(X), X


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_curves_are_those_of_the_model_and_of_principal_components(fitted):
    model, X = fitted
    ax = plot_residual_variance(model, X)
    ours, others, mark = ax.get_lines()
    np.testing.assert_array_equal(ours.get_xdata(), np.arange(1, 7))
    np.testing.assert_array_equal(ours.get_ydata(), model.fractional_residual_variance_)
    left = 1 - np.cumsum(PCA(6).fit(X).explained_variance_ratio_)
    np.testing.assert_allclose(others.get_ydata(), left, rtol=1e-9)
    assert (others.get_ydata() < ours.get_ydata()).all()
    assert list(mark.get_xdata()) == [3, 3]
    assert labels(ax) == ["sequential NMF", "principal components", "suggested: 3"]
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()


@quiet
def test_missing_entries_are_filled_and_the_legend_says_so(fitted):
    model, X = fitted
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    ax = plot_residual_variance(model, holes)
    filled = np.where(np.isnan(holes), model.inverse_transform(model.transform(holes)), X)
    left = 1 - np.cumsum(PCA(6).fit(filled).explained_variance_ratio_)
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), left, rtol=1e-9)
    assert "missing entries filled with the model" in labels(ax)[1]


@quiet
def test_few_rows_no_data_and_what_cannot_be_drawn(fitted):
    model, X = fitted
    alone = plot_residual_variance(model)
    assert labels(alone) == ["sequential NMF", "suggested: 3"]
    assert plot_residual_variance(model, ax=alone) is alone
    # Four rows have three principal components around their mean.
    few = plot_residual_variance(SequentialNMF(4).fit(X[:4]), X[:4])
    assert np.isnan(few.get_lines()[1].get_ydata()[3:]).all()
    few.figure.canvas.draw()
    with pytest.raises(ValueError, match="sparse X"):
        plot_residual_variance(model, sparse.csr_array(X))
    with pytest.raises(ValueError, match="Fit a SequentialNMF first"):
        plot_residual_variance(NMF(2).fit(X))


def test_data_of_other_columns_are_refused(fitted):
    model, X = fitted
    with pytest.raises(ValueError, match=r"X: got shape .*; wanted the data of the fit"):
        plot_residual_variance(model, X[:, :3])
