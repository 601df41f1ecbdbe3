"""Pictures of the gallery: every matplotlib figure that a block of a script leaves behind."""

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def scrape(block, block_vars, gallery_conf, **kwargs):
    """Save the figures that are new among the script's variables; none needs pyplot."""
    found = block_vars["example_globals"]
    saved = found.setdefault("__saved_figures__", [])
    paths = []
    for value in list(found.values()):
        if isinstance(value, Figure) and not any(value is old for old in saved):
            saved.append(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=120)
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"])
