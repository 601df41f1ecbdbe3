"""Configuration of the documentation; building it needs no network."""

import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import partwise

project = "Partwise"
author = "The Partwise developers"
copyright = "The Partwise developers"
release = version = partwise.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "command_help",
    "declared_tables",
    "mathml",
    "quotes",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip"]
default_role = "code"
nitpicky = False

# --- API pages -------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_validation_checks = {
    "GL01", "GL02", "GL03", "GL05", "GL06", "GL07",
    "PR02", "PR07", "PR10", "SS05",
}  # fmt: skip

# Names that examples in docstrings of the same module take for granted.
doctest_global_setup = """
from partwise.files import read_matrix
from partwise.plots import plot_parts
"""

# --- gallery ---------------------------------------------------------------------------

EXAMPLES = [
    "plot_digits.py",
    "plot_topics.py",
    "plot_spectra.py",
    "plot_convergence.py",
    "plot_solvers.py",
    "plot_starts.py",
    "plot_losses.py",
    "plot_penalties.py",
    "plot_nnls.py",
    "plot_sequential.py",
    "plot_distances.py",
    "plot_air.py",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": ExplicitOrder(EXAMPLES),
    "image_scrapers": ("figures.scrape",),
    "reset_modules": (),
    "doc_module": ("partwise",),
    "reference_url": {"partwise": None},
    "capture_repr": (),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
}
suppress_warnings = ["config.cache"]

# --- pages -----------------------------------------------------------------------------

html_theme = "furo"
html_title = f"Partwise {release}"
html_static_path = ["_static"]
html_css_files = ["partwise.css"]
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1f5fa8",
        "color-brand-content": "#1f5fa8",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8fbadb",
        "color-brand-content": "#8fbadb",
    },
}
html_math_renderer = "mathml"
