"""Settings and data that all tests share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

# Before NumPy is imported: test processes run side by side, and two pools of matrix product
# threads on two cores wait for each other more than they work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    deadline=None,  # the first example of a dtype compiles
    derandomize=True,  # the same examples in every run; explore with --hypothesis-profile=search
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("suite")

# Real data that may not be shipped: checks on them skip where the folder is absent.
DATA = Path(os.environ.get("PARTWISE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data():
    """Return a loader of the real data sets, which skips the test where they are absent."""

    def load(name, *args):
        path = DATA / name / "load.py"
        if not path.exists():
            pytest.skip(f"data set {name!r} is not here; set PARTWISE_DATA to its parent folder")
        spec = importlib.util.spec_from_file_location(f"data_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.load(*args)

    return load
