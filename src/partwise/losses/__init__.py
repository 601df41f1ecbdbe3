"""What misfit costs, entry by entry."""

from partwise.losses.alpha import Alpha
from partwise.losses.base import Loss
from partwise.losses.beta import Beta, Frobenius, ItakuraSaito, KullbackLeibler
from partwise.losses.bregman import Bregman
from partwise.losses.names import NAMED, as_loss
from partwise.losses.robust import Absolute, HalfQuadratic, Huber, StudentT
from partwise.losses.rowwise import L21
from partwise.losses.statistical import Binomial, NegativeBinomial, Tweedie

__all__ = [
    "L21",
    "NAMED",
    "Absolute",
    "Alpha",
    "Beta",
    "Binomial",
    "Bregman",
    "Frobenius",
    "HalfQuadratic",
    "Huber",
    "ItakuraSaito",
    "KullbackLeibler",
    "Loss",
    "NegativeBinomial",
    "StudentT",
    "Tweedie",
    "as_loss",
]
