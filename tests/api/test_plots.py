"""Pictures: what they show, and that they leave no trace."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import partwise
from partwise import NMF

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from partwise import plots
from partwise.plots import plot_factor, plot_history, plot_parts

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    data = RNG.gamma(0.5, size=(30, 3)) @ RNG.gamma(0.5, size=(3, 12))
    return NMF(3, random_state=0, max_iter=500).fit(data)


def drawn(figure):
    """Draw the figure, so that what only fails then fails."""
    # Not canvas.draw(), which does nothing on the canvas of a figure without a window.
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def titles(figure):
    return [ax.get_title(loc) for ax in figure.axes for loc in ("left", "center")]


# ---------------------------------------------------------------- parts


def test_images_show_each_component_from_zero_to_its_own_maximum():
    components = RNG.random((7, 12))
    components[2] = 0.0
    figure = drawn(plot_parts(components, image_shape=(3, 4)))
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 7
    for ax, component in zip(figure.axes, components, strict=True):
        (image,) = ax.get_images()
        np.testing.assert_array_equal(image.get_array(), component.reshape(3, 4))
        assert image.get_clim() == (0.0, component.max() or 1.0)
        assert image.cmap(0.0)[:3] == to_rgb("white")


def test_the_colours_darken_evenly_enough_to_be_read_in_print():
    figure = plot_parts(np.eye(4), image_shape=(2, 2))
    cmap = figure.axes[0].get_images()[0].cmap
    luminance = cmap(np.linspace(0, 1, 64))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(luminance) < 0)
    assert luminance[-1] < 0.15


def test_bars_show_the_largest_features_by_name():
    components = np.zeros((2, 15))
    components[0] = np.arange(15)[::-1]
    components[1, [4, 9]] = [1.0, 5.0]
    names = [f"word{i}" for i in range(15)]
    figure = drawn(plot_parts(components, names=names))
    first, second = ([t.get_text() for t in ax.get_yticklabels()] for ax in figure.axes)
    assert first == [f"word{i}" for i in range(10)]
    assert second == ["word9", "word4"]
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    assert widths == [5.0, 1.0]


def test_few_unnamed_features_are_numbered_bars():
    figure = drawn(plot_parts(np.eye(3)))
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()] == ["feature 1"]


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        (None, np.arange(50)),
        ([f"{400 + 2 * i}" for i in range(50)], 400 + 2 * np.arange(50)),
        ([f"{9 - 0.1 * i}" for i in range(50)], 9 - 0.1 * np.arange(50)),
    ],
)
def test_spectra_are_lines_over_their_axis(names, axis):
    components = RNG.random((2, 50))
    figure = drawn(plot_parts(components, names=names))
    for ax, component in zip(figure.axes, components, strict=True):
        x, y = ax.get_lines()[0].get_data()
        np.testing.assert_allclose(x, axis)
        np.testing.assert_array_equal(y, component)


def test_titles_name_components_and_their_share(model):
    figure = drawn(plot_parts(model, image_shape=(3, 4)))
    mass = model.W_.sum(axis=0) * model.components_.sum(axis=1)
    for i, share in enumerate(100 * mass / mass.sum()):
        assert f"nmf{i}  ·  {share:.1f} %" in titles(figure)


@pytest.mark.parametrize(
    "name", ["$x$ and $", "$\\nosuch{$", "a_b^c", "\\alpha", "lo" * 60, "", "two\nlines"]
)
def test_any_name_can_be_drawn(name):
    components = RNG.random((2, 3))
    figure = drawn(plot_parts(components, names=[name, "b", "c"]))
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    if len(name) < 20:
        assert " ".join(name.split()) in [text.replace(r"\$", "$") for text in labels]
    drawn(plot_factor(components, column_names=[name, "b", "c"], title=name).figure)


@pytest.mark.parametrize(
    ("n", "n_columns"), [(1, None), (1, 3), (2, 1), (7, 3), (7, 100), (49, None)]
)
def test_every_component_gets_one_place(n, n_columns):
    for options in [{"image_shape": (2, 2)}, {"names": list("abcd")}]:
        figure = plot_parts(RNG.random((n, 4)), n_columns=n_columns, **options)
        assert len(figure.axes) == n


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(4), (3, 2)), "3 x 2; wanted a product of 4"),
        ((np.eye(4), (-2, -2)), "wanted a product of 4"),
        ((np.eye(4), None, ["a"]), "1 names; wanted 4 names"),
        ((np.ones(3),), r"shape \(3,\)"),
        ((np.ones((0, 3)),), r"shape \(0, 3\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_parts(*arguments)


# ---------------------------------------------------------------- history


def test_history_shows_every_iteration_and_why_it_stopped(model):
    ax = plot_history(model)
    drawn(ax.figure)
    x, y = ax.get_lines()[0].get_data()
    np.testing.assert_array_equal(x, np.arange(model.n_iter_ + 1))
    np.testing.assert_array_equal(y, model.objective_history_)
    assert ax.get_yscale() == "log"
    texts = " ".join(text.get_text().replace("\n", " ") for text in ax.texts)
    assert model.stop_reason_[:60] in texts
    assert f"{model.objective_history_[-1]:.6g}" in texts


class Fitted:
    """What plot_history needs of a model."""

    stop_reason_ = "max_iter"

    def __init__(self, *values):
        self.objective_history_ = np.array(values)


@pytest.mark.parametrize(
    "values", [(3.0, 1.0, 0.0), (5.0, -1.0), (1e-300, 1e-310), (2.0,), (1.0, 1.0), (1.0, np.inf)]
)
def test_every_history_can_be_drawn(values):
    ax = plot_history(Fitted(*values))
    drawn(ax.figure)
    assert ax.get_yscale() == ("log" if 0 < min(values) and max(values) < np.inf else "linear")


def test_several_starts_are_told(model):
    fitted = Fitted(2.0, 1.0)
    fitted.objectives_ = np.array([1.0, 1.5, 2.0])
    texts = [text.get_text() for text in plot_history(fitted).texts]
    assert any("best of 3 starts" in text for text in texts)


def test_history_of_an_unfitted_model_is_refused():
    with pytest.raises(ValueError, match="Fit the model first"):
        plot_history(NMF(2))


# ---------------------------------------------------------------- heat maps


def test_heat_maps_show_the_factors(model):
    for factor, values in [("H", model.components_), ("W", model.W_)]:
        ax = plot_factor(model, factor)
        drawn(ax.figure)
        (image,) = ax.get_images()
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.get_clim() == (0.0, values.max())
    assert [t.get_text() for t in ax.get_xticklabels()] == ["nmf0", "nmf1", "nmf2"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("sample", "component")


def test_a_tall_factor_is_averaged_not_cut():
    values = np.zeros((9001, 2))
    values[-1] = 3.0
    (image,) = plot_factor(values).get_images()
    shown = image.get_array()
    # 562 runs of 16 rows, and a last one of 9.
    assert shown.shape == (563, 2)
    np.testing.assert_allclose(shown[-1], 3.0 / 9)
    np.testing.assert_allclose(shown[:-1], 0.0)


def test_given_axes_are_used(model):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_history(model, ax=left) is left
    assert plot_factor(model, ax=right) is right
    drawn(figure)


def test_bad_factors_are_refused(model):
    with pytest.raises(ValueError, match="'H' or 'W'"):
        plot_factor(model, "V")
    with pytest.raises(ValueError, match="wanted 3 names"):
        plot_factor(np.eye(3), row_names=["a"])
    with pytest.raises(ValueError, match="matrix"):
        plot_factor(np.ones(3))


def test_nothing_global_is_touched():
    script = (
        "import sys, numpy as np\n"
        "from partwise.plots import plot_parts, plot_factor\n"
        "assert 'matplotlib' not in sys.modules, 'imported before it is used'\n"
        "plot_parts(np.eye(4), (2, 2)); plot_factor(np.eye(4))\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot is global state'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(partwise.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


# --- entries below zero, and what is no matrix ---------------------------------------------------

SIGNED = np.array([[3.0, -6.0, 1.0, 0.0], [1.0, 2.0, 0.5, 4.0]])


def test_entries_below_zero_are_seen():
    images = plots.plot_parts(SIGNED, image_shape=(2, 2)).axes
    assert images[0].images[0].get_clim() == (-6, 6)
    assert images[1].images[0].get_clim() == (0, 4)
    for ax, size in zip(images, (6, 4), strict=True):
        white = ax.images[0].cmap(ax.images[0].norm(0.0))
        np.testing.assert_allclose(white[:3], 1, atol=0.02 if size == 6 else 0)
    bars = plots.plot_parts(SIGNED).axes[0]
    assert [bar.get_width() for bar in bars.patches] == [-6, 3, 1]
    assert bars.get_xlim()[0] < -6
    wide = np.tile(SIGNED, 10)
    low, high = plots.plot_parts(wide).axes[0].get_ylim()
    assert low < -6 < 3 < high
    assert plots.plot_parts(np.abs(wide)).axes[0].get_ylim()[0] == 0
    assert plots.plot_factor(SIGNED).images[0].get_clim() == (-6, 6)


WRONG = {
    "not fitted": (lambda: plots.plot_parts(NMF(2)), "components: got NMF; wanted"),
    "sparse": (lambda: plots.plot_factor(sparse.csr_array(SIGNED)), "plot_factor: got csr_array"),
    "holes": (lambda: plots.plot_parts(np.full((2, 3), np.nan)), "components: got entries that"),
    "text": (lambda: plots.plot_factor(np.full((2, 3), "a")), r"plot_factor: got shape \(2, 3\)"),
    "other model": (lambda: plots.plot_q([NMF(2)]), r"plot_q: got \[NMF.*wanted a list"),
    "no list": (lambda: plots.plot_q(NMF(2)), "plot_q: got NMF.*wanted a list"),
    "no model": (lambda: plots.plot_q([]), r"plot_q: got \[\]"),
    "profiles": (lambda: plots.plot_profiles(NMF(2)), "plot_profiles: got NMF"),
    "contributions": (lambda: plots.plot_contributions(SIGNED[0]), r"got shape \(4,\)"),
    "intervals": (
        lambda: plots.plot_profiles(np.abs(SIGNED), (SIGNED[:1], SIGNED[:1])),
        r"intervals: got shapes \(1, 4\) and \(1, 4\); wanted two of \(2, 4\)",
    ),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_drawn_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_names_may_be_arrays():
    ax = plots.plot_factor(SIGNED, row_names=np.array(["a", "b"]), column_names=np.arange(4))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
