"""Partwise against the machine, against its peers, and against itself of another commit.

``python -m benchmarks --help`` from the root of a clone; the page "Benchmarks" of the
documentation says what is measured and how.
"""
