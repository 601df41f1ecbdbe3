"""Formulas as MathML, which browsers draw themselves: no script and no network."""

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml


def visit_math(self, node):
    """Write a formula in a line of text."""
    self.body.append(tex2mathml(node.astext(), as_block=False))
    raise SkipNode


def visit_math_block(self, node):
    """Write a formula in a block of its own."""
    label = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    formula = tex2mathml(node.astext(), as_block=True)
    self.body.append(f'<div class="math">{label}{formula}</div>\n')
    raise SkipNode


def setup(app):
    """Register the renderer under the name that ``html_math_renderer`` takes."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
