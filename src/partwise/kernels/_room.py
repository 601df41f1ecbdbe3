"""Scratch arrays that begin with a line of the cache."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import LINE

__all__ = ["room_for"]


@compiled()
def room_for(count, like):  # type: ignore[no-untyped-def]
    """Return so many zeros in the dtype of another array, on a border between lines.

    A vector of a whole line that lies across a border costs two looks at the cache.
    """
    spare = LINE // like.itemsize
    room = np.zeros(count + spare, like.dtype)
    skipped = -room.ctypes.data % LINE // like.itemsize
    return room[skipped : skipped + count]
