"""Warn when code that CONTRIBUTING.md quotes is no longer in the source."""

import re
from pathlib import Path

from sphinx.util import logging

ROOT = Path(__file__).parents[2]


def lines_of(text):
    """Return the lines that are not blank, without indentation: a quote may be dedented."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())


def check(app):
    """Compare every block of Python with the files of the package."""
    sources = [lines_of(path.read_text("utf-8")) for path in (ROOT / "src").rglob("*.py")]
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        if not any(lines_of(block) in source for source in sources):
            first = block.strip().splitlines()[0]
            logging.getLogger(__name__).warning("CONTRIBUTING.md quotes old code: %s", first)


def setup(app):
    """Check before anything is built."""
    app.connect("builder-inited", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
