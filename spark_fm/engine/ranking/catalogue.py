"""The items of a ranking task: their keys, and their vectors in memory or in a temporary file."""

import os
from collections.abc import Iterator
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spark_fm.core.fm.top_k import ITEMS_A_TILE, Excluded
from spark_fm.engine.packing.arrow import BadInputError, to_numpy
from spark_fm.engine.ranking.reasons import Rows
from spark_fm.engine.ranking.vectors import matrix_of

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
MOST_IN_MEMORY = 64 * 2**20


class Catalogue:
    """Items in ascending order of their keys, which come in batches; ``width`` is the length of the vectors."""

    def __init__(self, width: int, key_type: pa.DataType) -> None:
        self._width, self._key_type = width, key_type
        self._keys: list[pa.Array] = []
        self._vectors: list[DoubleArray] = []
        self._features: list[LongArray] = []
        self._details: list[Rows] = []
        self._in_memory = self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, packets: pa.RecordBatch) -> None:
        """Take in the rows (keys, vectors, features, details) of a batch.

        Raises
        ------
        BadInputError
            When a key is there twice.
        """
        if not packets.num_rows:
            return
        keys = packets.column("keys").flatten()
        self._check_distinct(keys)
        vectors = matrix_of(packets.column("vectors"), self._width)
        self._in_memory += vectors.nbytes
        self._keys.append(keys)
        self._vectors.append(vectors if self._in_memory <= MOST_IN_MEMORY else _in_file(vectors))
        self._features += told_features(packets)
        if not packets.column("details").null_count:
            sizes = to_numpy(pc.list_value_length(packets.column("keys"))).astype(np.int64)
            self._details.append(Rows.of_arrow(packets.column("details"), sizes))
        self._size += len(keys)

    def _check_distinct(self, keys: pa.Array) -> None:
        before = (
            keys
            if not self._keys
            else pa.concat_arrays([self._keys[-1].slice(-1 + len(self._keys[-1])), keys])
        )
        same = to_numpy(pc.equal(before.slice(1), before.slice(0, len(before) - 1)))
        if same.any():
            key = before[int(np.flatnonzero(same)[0])].as_py()
            raise BadInputError(f"items: found the key {key!r} twice, expected each item once")

    def features(self) -> LongArray:
        """The features of all items that have parameters, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.int64), *self._features]))

    def details(self) -> Rows:
        """The features of each item, by position; of no items where the packets have none."""
        return Rows.joined(self._details)

    def keys(self) -> pa.ChunkedArray:
        """The keys by position."""
        return pa.chunked_array(self._keys, self._key_type)

    def tiles(self) -> Iterator[tuple[int, DoubleArray]]:
        """Positions of the first item of a tile, and the vectors of the tile, float64 (items, width).

        In a fixed random order: where scores rise with the keys, most items would be among the best so far.
        """
        firsts = np.cumsum([0, *map(len, self._keys)])
        tiles = [
            (chunk, start)
            for chunk, keys in enumerate(self._keys)
            for start in range(0, len(keys), ITEMS_A_TILE)
        ]
        for i in np.random.default_rng(0).permutation(len(tiles)):
            chunk, start = tiles[i]
            yield int(firsts[chunk]) + start, self._vectors[chunk][start : start + ITEMS_A_TILE]

    def excluded(self, lists: pa.ListArray) -> Excluded:
        """What contexts leave out, as positions, from lists of keys; unknown keys are nothing."""
        rows = len(lists)
        if lists.null_count == rows or not self._size:
            return Excluded.nothing(rows)
        values = lists.flatten()
        parents = np.repeat(np.arange(rows), to_numpy(pc.list_value_length(lists).fill_null(0)))
        # Keys are excluded in a type that holds those of the items exactly.
        found = pc.index_in(values, value_set=self.keys().cast(values.type))
        here = to_numpy(found.is_valid())
        positions = to_numpy(found.filter(pa.array(here))).astype(np.int64)
        return Excluded.of_pairs(parents[here], positions, rows)


def told_features(batch: pa.RecordBatch) -> list[LongArray]:
    """The ids of features in the rows that have some."""
    return [np.frombuffer(found, np.int64) for found in batch.column("features").drop_null().to_pylist()]


def _in_file(vectors: DoubleArray) -> DoubleArray:
    """The vectors in a temporary file, of which the system keeps in memory what it has room for."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    with TemporaryFile(dir=folder if os.path.isdir(folder) else None) as file:
        vectors.tofile(file)
        file.flush()
        return np.memmap(file, np.float64, "r", 0, vectors.shape).view(np.ndarray)
