"""What misfit costs, entry by entry."""

from partwise.losses.base import Loss
from partwise.losses.beta import Beta, Frobenius, ItakuraSaito, KullbackLeibler, as_loss

__all__ = ["Beta", "Frobenius", "ItakuraSaito", "KullbackLeibler", "Loss", "as_loss"]
