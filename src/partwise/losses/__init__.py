"""What misfit costs, entry by entry."""

from partwise.losses.alpha import Alpha
from partwise.losses.base import Loss
from partwise.losses.beta import Beta, Frobenius, ItakuraSaito, KullbackLeibler
from partwise.losses.names import NAMED, as_loss

__all__ = [
    "NAMED",
    "Alpha",
    "Beta",
    "Frobenius",
    "ItakuraSaito",
    "KullbackLeibler",
    "Loss",
    "as_loss",
]
