"""Objects as bytes in whose file their arrays can be mapped: all processes that read it share the arrays' memory.

The bytes are a header, the pickle of everything but the arrays' contents (PEP 574), and these. In a file that has
the pickle of a large bytearray, as Spark's broadcasts of classic Spark are, they lie as they are, behind its first
few bytes. All arrays that are read are read-only: they are others' too.
"""

import mmap
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = b"FMOBJECT"
BYTES_A_LINE = 64
# Where the contents of a bytearray begin in its pickle; of one so small that the pickle has a frame they begin later.
FIRST_IN_PICKLE = 11
FURTHEST_IN_PICKLE = 64

Bytes = npt.NDArray[np.uint8]


def to_bytes(value: object) -> bytearray:
    """The bytes of an object, with its arrays at the beginnings of cache lines of the file that gets their pickle."""
    found: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=found.append)
    contents = [np.frombuffer(buffer.raw(), np.uint8) for buffer in found]
    sizes = [len(head), *(content.size for content in contents)]
    header = MAGIC + np.array([len(sizes), *sizes], np.int64).tobytes()
    starts, end = _places(sizes)
    packed = bytearray(end)
    view: Bytes = np.frombuffer(packed, np.uint8)
    pieces = [np.frombuffer(piece, np.uint8) for piece in (header, head)]
    for start, piece in zip([0, *starts], [*pieces, *contents], strict=True):
        view[start : start + piece.size] = piece
    return packed


def _places(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where the pickle and the contents of each array begin, and where all ends."""
    end, starts = len(MAGIC) + 8 * (1 + len(sizes)), []
    for size in sizes:
        start = end + -(end + FIRST_IN_PICKLE) % BYTES_A_LINE
        starts.append(start)
        end = start + size
    return starts, end


def of_bytes(data: bytearray | mmap.mmap, first: int = 0) -> Any:
    """The object whose :func:`to_bytes` begin at ``first``; views into them, where they lie well.

    Raises
    ------
    ValueError
        When they are others, or end too early.
    """
    view = memoryview(data).toreadonly()[first:]
    if view[: len(MAGIC)] != MAGIC:
        raise ValueError(
            f"found {bytes(view[: len(MAGIC)])!r}, expected {MAGIC!r}: not the bytes of an object"
        )
    (count,) = np.frombuffer(view, np.int64, 1, len(MAGIC)).tolist()
    sizes = np.frombuffer(view, np.int64, count, len(MAGIC) + 8).tolist()
    starts, end = _places(sizes)
    if end > len(view):
        raise ValueError(f"found {len(view)} bytes of an object, expected {end}")
    parts = [view[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    return pickle.loads(parts[0], buffers=[_aligned(part) for part in parts[1:]])


def _aligned(part: memoryview) -> memoryview:
    """These bytes; a copy, if they don't begin with a cache line."""
    content: Bytes = np.frombuffer(part, np.uint8)
    if content.size == 0 or content.ctypes.data % BYTES_A_LINE == 0:
        return part
    return memoryview(content.copy()).toreadonly()


def map_pickled(path: str) -> Any:
    """The object whose :func:`to_bytes` a file has the pickle of. It stays readable when the file is deleted.

    Raises
    ------
    ValueError
        When the file has something else.
    """
    with open(path, "rb") as file:
        first = file.read(FURTHEST_IN_PICKLE).find(MAGIC)
        if first < 0:
            raise ValueError(f"{path}: found no object whose arrays can be mapped")
        return of_bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), first)
