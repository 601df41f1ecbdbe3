"""scikit-learn's own installed tests of NMF, run against Partwise.

The source of the installed test module is read, its one import of the public names is
pointed at ``partwise``, and the tests it then defines are collected here under their own
names, parametrizations included. Nothing of it is copied into this repository.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
import types
from pathlib import Path

import pytest

MODULE = "sklearn.decomposition.tests.test_nmf"
PUBLIC = {"NMF", "MiniBatchNMF", "non_negative_factorization"}
PRIVATE = "It calls a private function of scikit-learn only."

# Tests, or single cases of them, that do not apply, and why.
DIFFERENT: dict[str, str] = {
    "test_initialize_nn_output": PRIVATE,
    "test_initialize_close": PRIVATE,
    "test_initialize_variants": PRIVATE,
    "test_beta_divergence": PRIVATE,
    "test_special_sparse_dot": PRIVATE,
    "test_nmf_underflow": PRIVATE,
    "test_convergence_warning": (
        "Its X of rank one is fitted exactly within the one iteration it allows, and "
        "Partwise warns only where the fit has not converged."
    ),
    "test_nmf_minibatchnmf_equivalence": (
        "Partwise's MiniBatchNMF solves for W once more from the final H, and its steps for "
        "the squared loss are exact coordinate updates, not those of the solver 'mu'."
    ),
    "test_minibatch_nmf_partial_fit": (
        "It holds in scikit-learn because both models end up with the very array of start "
        "values, overwritten by both; Partwise never writes into what it is given."
    ),
    "test_nmf_float32_float64_consistency[NMF-solver0]": (
        "Its fit with as many components as features has no unique answer, and an "
        "extrapolated method that gets closer to one amplifies single precision rounding."
    ),
    "test_nmf_float32_float64_consistency[NMF-solver1]": (
        "The same, where 200 multiplicative updates end before they have converged."
    ),
}

# The same, said in other words: expected message in scikit-learn's test -> in Partwise.
OTHER_WORDS = {
    "Invalid beta_loss parameter: solver 'cd' does not handle beta_loss = 1.0": (
        "solver 'cd' needs the squared .Frobenius. loss"
    ),
    "When beta_loss <= 0 and X contains zeros, the solver may diverge.": (
        "beta_loss <= 0 and X contains zeros"
    ),
}
# A private attribute that one test looks at, and the public one with the same value.
OTHER_ATTRIBUTES = {"_n_components": "n_components_"}

# Tests that compare entries on their way to zero to seven digits: dense and sparse products
# sum in another order. An absolute tolerance, with entries of X of about 1.
ROUNDING = {"test_nmf_sparse_input": 1e-12}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # scikit-learn returns zero components without a word; some tests have such penalties.
    pytest.mark.filterwarnings("ignore:The penalties drove all components to zero"),
]


class _Translate(ast.NodeTransformer):
    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if {alias.name for alias in node.names} == PUBLIC:
            self.found.add("import")
            node.module = "partwise"
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value in OTHER_WORDS:
            self.found.add(node.value)
            return ast.copy_location(ast.Constant(OTHER_WORDS[node.value]), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr in OTHER_ATTRIBUTES:
            self.found.add(node.attr)
            node.attr = OTHER_ATTRIBUTES[node.attr]
        return node


def _load() -> tuple[types.ModuleType | None, set[str]]:
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        return None, set()
    translate = _Translate()
    source = Path(spec.origin).read_text(encoding="utf-8")
    tree = translate.visit(ast.parse(source))
    module = types.ModuleType("sklearn_nmf_tests_on_partwise")
    module.__file__ = spec.origin
    sys.modules[module.__name__] = module
    exec(compile(tree, spec.origin, "exec"), module.__dict__)
    return module, translate.found


LOADED, TRANSLATED = _load()
COLLECTED = {
    name: test
    for name, test in (vars(LOADED) if LOADED else {}).items()
    if name.startswith("test_") and callable(test)
}
globals().update(COLLECTED)


@pytest.fixture(autouse=True)
def _as_agreed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = request.node.originalname
    reason = DIFFERENT.get(name) or DIFFERENT.get(request.node.name)
    if reason:
        pytest.skip(reason)
    if name in ROUNDING:
        loose = functools.partial(LOADED.assert_allclose, atol=ROUNDING[name])
        monkeypatch.setattr(LOADED, "assert_allclose", loose)


@pytest.mark.skipif(LOADED is None, reason="scikit-learn was installed without its tests")
def test_the_suite_was_found_and_points_at_partwise():
    import partwise

    assert LOADED.NMF is partwise.NMF
    assert LOADED.MiniBatchNMF is partwise.MiniBatchNMF
    assert LOADED.non_negative_factorization is partwise.non_negative_factorization
    assert len(COLLECTED) >= 30
    # An entry of the tables that no longer applies has to go.
    assert {"import", *OTHER_WORDS, *OTHER_ATTRIBUTES} == TRANSLATED
    assert {entry.split("[")[0] for entry in DIFFERENT} <= set(COLLECTED)
    assert set(ROUNDING) <= set(COLLECTED)
