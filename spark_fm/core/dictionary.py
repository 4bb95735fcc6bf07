"""Dictionary: feature ids to consecutive positions, in the order in which ids are first met.

A partition's kernel works on a table with one row per feature that the partition uses. The dictionary grows
block by block, and each block carries the ids that it added, so that blocks can be read as a stream:
whoever reads them appends those ids' parameters to its table. Popular features are met early, so
their rows lie together, which the processor's caches like.
"""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compile import compiled

LongArray = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.int32]


@compiled
def _slot(key: int, mask: int) -> int:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(32)) & mask  # type: ignore[no-any-return]


@compiled
def _encode(
    ids: LongArray, start: int, keys: LongArray, positions: IntArray, count: int, out: IntArray
) -> tuple[int, int]:
    """Encode ``ids[start:]`` until the hash table is half full: (next to encode, size)."""
    mask = keys.size - 1
    for i in range(start, ids.size):
        if 2 * count >= keys.size:
            return i, count
        key = ids[i]
        slot = _slot(key, mask)
        while positions[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & mask
        if positions[slot] < 0:
            keys[slot], positions[slot] = key, count
            count += 1
        out[i] = positions[slot]
    return ids.size, count


@compiled
def _insert(ids: LongArray, keys: LongArray, positions: IntArray) -> None:
    mask = keys.size - 1
    for i in range(ids.size):
        slot = _slot(ids[i], mask)
        while positions[slot] >= 0:
            slot = (slot + 1) & mask
        keys[slot], positions[slot] = ids[i], i


@compiled
def _locate(ids: LongArray, keys: LongArray, positions: IntArray, out: IntArray) -> None:
    mask = keys.size - 1
    for i in range(ids.size):
        slot = _slot(ids[i], mask)
        while positions[slot] >= 0 and keys[slot] != ids[i]:
            slot = (slot + 1) & mask
        out[i] = positions[slot]


class Dictionary:
    """A hash table (open addressing, at most half full) from feature id to position."""

    def __init__(self, features: LongArray | None = None) -> None:
        size = 1024
        known = np.empty(0, np.int64) if features is None else np.ascontiguousarray(features, np.int64)
        while size < 2 * known.size + 2:
            size *= 2
        self._allocate(size)
        _insert(known, self._keys, self._positions)
        self._count = known.size

    def __len__(self) -> int:
        return self._count

    def _allocate(self, size: int) -> None:
        self._keys = np.zeros(size, np.int64)
        self._positions = np.full(size, -1, np.int32)

    def features(self) -> LongArray:
        """The ids in the order of their positions: int64 (len,)."""
        used = self._positions >= 0
        ids = np.empty(self._count, np.int64)
        ids[self._positions[used]] = self._keys[used]
        return ids

    def encode(self, ids: LongArray | IntArray) -> IntArray:
        """Positions of ``ids``; an id not met before gets the next free position. int32, as long as ``ids``."""
        ids = np.ascontiguousarray(ids, np.int64)
        out = np.empty(ids.size, np.int32)
        done = 0
        while True:
            done, self._count = _encode(ids, done, self._keys, self._positions, self._count, out)
            if done == ids.size:
                return out
            known = self.features()
            self._allocate(2 * self._keys.size)
            _insert(known, self._keys, self._positions)

    def locate(self, ids: LongArray | IntArray) -> IntArray:
        """Positions of ``ids``, -1 where an id is unknown. int32, as long as ``ids``."""
        ids = np.ascontiguousarray(ids, np.int64)
        out = np.empty(ids.size, np.int32)
        _locate(ids, self._keys, self._positions, out)
        return out
