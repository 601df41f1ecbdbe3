"""Where a loss is finite, and how large it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partwise._errors import explain
from partwise._threads import each
from partwise.losses import Loss

__all__ = ["check_domain", "constant_of", "reference_cost", "smallest_model"]

# Model entries count as at least this share of the mean of X in a loss that divides by them.
_SMALLEST_MODEL = {"f": 1e-12, "d": 1e-30}
_TINY = {"f": 1e-30, "d": 1e-300}


def check_domain(data: Any, loss: Loss) -> None:
    """Raise ValueError where the data leave the domain of the loss."""
    subject = f"the {loss.name}"
    if loss.needs_positive_data and data.smallest() <= 0:
        raise ValueError(
            explain(
                subject,
                "X with zeros, where it is infinite (beta_loss <= 0 and X contains zeros)",
                "entries > 0",
                "Use beta_loss > 0, or drop the zero entries; adding a constant to X "
                "changes the answer.",
            )
        )
    if loss.largest < np.inf and (largest := _largest(data)) > loss.largest:
        wanted = f"entries of at most {loss.largest:g}"
        todo = "Raise the loss's trials, or divide X."
        raise ValueError(explain(subject, f"X with {largest:g}", wanted, todo))


def _largest(data: Any) -> float:
    if not data.complete:
        return float(data.largest())
    blocks = (block for _, block in data.stream())
    values = (block.stored if block.is_sparse else block.to_dense() for block in blocks)
    return max((float(some.max()) for some in values if some.size), default=0.0)


def smallest_model(data: Any) -> float:
    """Return the smallest model entry that a loss is evaluated at."""
    kind = data.dtype.char
    return float(max(_SMALLEST_MODEL[kind] * data.mean, _TINY[kind]))


def constant_of(data: Any, loss: Loss) -> float:
    """Return what Σ d(x, y) has that does not depend on y, see `partwise.losses.Loss.constant`."""

    def piece(part: Any) -> float:
        values = part.stored if part.is_sparse else part.to_dense()
        return loss.constant(values, part.weights)

    blocks = (block for _, block in data.stream())
    return sum(sum(each(piece, map(block.rows, block.spans(10)))) for block in blocks)


def reference_cost(data: Any, loss: Loss, constant: Callable[[], float]) -> float:
    """Return the cost of a model that knows only the mean of X, plus that of the mean itself.

    For the squared loss ½‖X‖². ``constant()``: what the model does not change of a loss.
    """
    if loss.quadratic:
        return 0.5 * data.sum_of_squares()
    mean = data.mean
    if mean <= 0:
        return 0.0
    total = 0.5 * data.mass * loss.typical(mean)
    flat = loss.flat(mean) if data.complete else None
    if flat is not None:
        total += max(constant() + data.size * flat, 0.0)
    else:
        total += _at_the_mean(data, loss, mean)
    return float(total) if np.isfinite(total) else 0.0


def _at_the_mean(data: Any, loss: Loss, mean: float) -> float:
    # Σ d(x, mean), of known entries.
    total = 0.0
    for _, block in data.stream(densify=loss.rowwise and data.complete):
        if not block.complete:
            known, weights = block.known(), block.weights
            values = np.where(weights > 0, known, mean)
            total += loss.weighted_total(values, np.full_like(known, mean), weights, block.starts)
            continue
        stored = block.is_sparse and not loss.rowwise
        values = block.stored if stored else block.to_dense()
        total += loss.total(values, np.full_like(values, mean))
        zeros = block.size - values.size
        if zeros:
            at_zero = loss.total(np.zeros(1, values.dtype), np.full(1, mean, values.dtype))
            total += zeros * at_zero
    return total
