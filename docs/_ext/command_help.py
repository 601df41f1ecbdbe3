"""The help of a command as the program prints it: ``.. command-help:: fit``."""

import contextlib
import io
import os
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive

from partwise.cli import main


class CommandHelp(Directive):
    """The directive ``command-help``."""

    required_arguments = 1

    def run(self):
        """Return the printed help as a block of text."""
        plain = {"COLUMNS": "86", "NO_COLOR": "1", "PYTHON_COLORS": "0"}
        with mock.patch.dict(os.environ, plain), contextlib.redirect_stdout(io.StringIO()) as out:
            main([self.arguments[0], "--help"])
        text = out.getvalue().strip()
        return [nodes.literal_block(text, text, language="text")]


def setup(app):
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
