"""Views of the data: how X is stored, and nothing else."""

from partwise.data.base import Data
from partwise.data.blocks import RowBlocks
from partwise.data.dense import Dense
from partwise.data.observed import Listed, Observed, Shares, Weighted
from partwise.data.readers import MemoryReader, Reader, open_reader
from partwise.data.row_weighted import RowWeighted
from partwise.data.sparse import Sparse
from partwise.data.stored import Stored
from partwise.data.stored_observed import StoredObserved
from partwise.data.views import as_data, scaled
from partwise.data.weighing import checked_weights, known_of_dense, known_of_sparse, listed

__all__ = [
    "Data",
    "Dense",
    "Listed",
    "MemoryReader",
    "Observed",
    "Reader",
    "RowBlocks",
    "RowWeighted",
    "Shares",
    "Sparse",
    "Stored",
    "StoredObserved",
    "Weighted",
    "as_data",
    "checked_weights",
    "known_of_dense",
    "known_of_sparse",
    "listed",
    "open_reader",
    "scaled",
]
