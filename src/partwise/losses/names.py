"""The names of losses."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np

from partwise._errors import explain
from partwise.losses.alpha import Alpha
from partwise.losses.base import Loss
from partwise.losses.beta import Beta, Frobenius, ItakuraSaito, KullbackLeibler
from partwise.losses.rowwise import L21
from partwise.losses.statistical import Binomial

__all__ = ["NAMED", "as_loss"]

NAMED: dict[str, Callable[[], Loss]] = {
    "frobenius": Frobenius,
    "kullback-leibler": KullbackLeibler,
    "itakura-saito": ItakuraSaito,
    "poisson": KullbackLeibler,
    "gamma": ItakuraSaito,
    "bernoulli": Binomial,
    "pearson": lambda: Alpha(2.0),
    "hellinger": lambda: Alpha(0.5),
    "reverse-kullback-leibler": lambda: Alpha(0.0),
    "neyman": lambda: Alpha(-1.0),
    "l21": L21,
}
_NUMBERED = {2.0: Frobenius, 1.0: KullbackLeibler, 0.0: ItakuraSaito}


def as_loss(beta_loss: str | float | Loss) -> Loss:
    """Return the loss of a name, of a number β, or the loss itself."""
    if isinstance(beta_loss, Loss):
        return beta_loss
    if isinstance(beta_loss, str) and beta_loss in NAMED:
        return NAMED[beta_loss]()
    if isinstance(beta_loss, Real) and np.isfinite(float(beta_loss)):
        beta = float(beta_loss)
        return _NUMBERED[beta]() if beta in _NUMBERED else Beta(beta)
    raise ValueError(
        explain("beta_loss", repr(beta_loss), f"a finite number, one of {sorted(NAMED)}, or a Loss")
    )
