"""Measurements that need a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.data import ROOT, MissingDataError

# What holds the thread pools of BLAS, OpenMP and numba.
POOLS = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]


def call(
    module: str,
    function: str,
    *,
    threads: int | None = None,
    source: Path | None = None,
    cache: Path | None = None,
    **arguments: Any,
) -> Any:
    """Return what a function of ``benchmarks`` gives in a fresh process.

    A dict whose key ``missing`` says what is not on this machine, if its data are not.
    ``threads`` is its allowance, ``source`` the folder to import Partwise from, and ``cache``
    the folder of compiled kernels.
    """
    environment = dict(os.environ)
    # As where packages are installed: bytecode is made once, not in every process.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if threads is not None:
        environment.update(dict.fromkeys(POOLS, str(threads)))
    if source is not None:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(source), *([before] if before else [])])
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.processes", module, function, json.dumps(arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"{module}.{function} failed: {done.stderr.strip()[-2000:]}"
        raise RuntimeError(message)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _answer() -> None:
    import importlib

    module, function, arguments = sys.argv[1:]
    work = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    try:
        answer = work(**json.loads(arguments))
    except MissingDataError as error:
        answer = {"missing": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    _answer()
