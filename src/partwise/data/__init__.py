"""Views of the data: how X is stored, and nothing else."""

from partwise.data.base import Data
from partwise.data.blocks import RowBlocks
from partwise.data.dense import Dense
from partwise.data.observed import Listed, Observed, Weighted
from partwise.data.readers import open_reader
from partwise.data.sparse import Sparse
from partwise.data.stored import Stored
from partwise.data.views import as_data

__all__ = [
    "Data",
    "Dense",
    "Listed",
    "Observed",
    "RowBlocks",
    "Sparse",
    "Stored",
    "Weighted",
    "as_data",
    "open_reader",
]
