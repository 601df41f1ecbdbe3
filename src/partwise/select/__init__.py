"""How many components: entries are hidden, and fits are held to them."""

from partwise.select.cross_validation import CrossValLoss, cross_val_loss
from partwise.select.held_out import HeldOutEntries

__all__ = ["CrossValLoss", "HeldOutEntries", "cross_val_loss"]
