"""Dictionary: feature ids to consecutive positions, in the order in which ids are first met.

A partition's kernel works on a table with one row per feature that the partition uses. The dictionary grows
block by block, and each block carries the ids that it added, so that blocks can be read as a stream:
whoever reads them appends those ids' parameters to its table. Popular features are met early, so
their rows lie together, which the processor's caches like.
"""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled

LongArray = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.int32]


@compiled
def _slot(key: int, mask: int) -> int:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return int(mixed >> np.uint64(32)) & mask


@compiled
def _encode(
    ids: LongArray, start: int, features: LongArray, count: int, slots: IntArray, out: IntArray
) -> tuple[int, int]:
    """Encode ``ids[start:]`` until ``features`` is full: (next to encode, number of features)."""
    mask = slots.size - 1
    for i in range(start, ids.size):
        slot = _slot(ids[i], mask)
        while slots[slot] >= 0 and features[slots[slot]] != ids[i]:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            if count == features.size:
                return i, count
            slots[slot], features[count] = count, ids[i]
            count += 1
        out[i] = slots[slot]
    return ids.size, count


@compiled
def _insert(features: LongArray, slots: IntArray) -> None:
    mask = slots.size - 1
    for i in range(features.size):
        slot = _slot(features[i], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = i


@compiled
def _locate(ids: LongArray, features: LongArray, slots: IntArray, out: IntArray) -> None:
    mask = slots.size - 1
    for i in range(ids.size):
        slot = _slot(ids[i], mask)
        while slots[slot] >= 0 and features[slots[slot]] != ids[i]:
            slot = (slot + 1) & mask
        out[i] = slots[slot]


class Dictionary:
    """A hash table (open addressing, at most half full) from feature id to position."""

    def __init__(self, features: LongArray | None = None) -> None:
        known = np.empty(0, np.int64) if features is None else np.asarray(features, np.int64)
        size = 1024
        while size < 2 * known.size:
            size *= 2
        self._count = known.size
        self._allocate(size, known)

    def __len__(self) -> int:
        return self._count

    def _allocate(self, size: int, known: LongArray) -> None:
        self._features = np.empty(size // 2, np.int64)
        self._features[: known.size] = known
        self._slots = np.full(size, -1, np.int32)
        _insert(self.features(), self._slots)

    def features(self) -> LongArray:
        """The ids in the order of their positions: int64 (len,)."""
        return self._features[: self._count]

    def encode(self, ids: LongArray | IntArray) -> IntArray:
        """Positions of ``ids``; an id not met before gets the next free position. int32, as long as ``ids``."""
        ids = np.ascontiguousarray(ids, np.int64)
        out = np.empty(ids.size, np.int32)
        done = 0
        while done < ids.size:
            done, self._count = _encode(ids, done, self._features, self._count, self._slots, out)
            if done < ids.size:
                self._allocate(2 * self._slots.size, self.features())
        return out

    def locate(self, ids: LongArray | IntArray) -> IntArray:
        """Positions of ``ids``, -1 where an id is unknown. int32, as long as ``ids``."""
        ids = np.ascontiguousarray(ids, np.int64)
        out = np.empty(ids.size, np.int32)
        _locate(ids, self.features(), self._slots, out)
        return out


MOST_DENSE = 2**22


@compiled
def _look_up(ids: LongArray, positions: IntArray, out: IntArray) -> None:
    for i in range(ids.size):
        out[i] = positions[ids[i]] if 0 <= ids[i] < positions.size else -1


class DenseDictionary:
    """Feature id to position as an array over all ids up to the largest: faster than hashing, where there is room."""

    def __init__(self, features: LongArray) -> None:
        self._positions = np.full(int(features.max(initial=-1)) + 1, -1, np.int32)
        self._positions[features] = np.arange(features.size, dtype=np.int32)

    def locate(self, ids: LongArray | IntArray) -> IntArray:
        """Positions of ``ids``, -1 where an id is unknown. int32, as long as ``ids``."""
        ids = np.ascontiguousarray(ids, np.int64)
        out = np.empty(ids.size, np.int32)
        _look_up(ids, self._positions, out)
        return out


def dictionary_of(features: LongArray) -> Dictionary | DenseDictionary:
    """A fixed dictionary: dense where that takes 16 MB or no more than a hash table would."""
    if features.max(initial=-1) < max(MOST_DENSE, 4 * features.size):
        return DenseDictionary(features)
    return Dictionary(features)
