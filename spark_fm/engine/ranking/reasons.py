"""Why items are recommended: the non-zeros of both sides on their way to the tasks, and the names of what adds most."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spark_fm.core.fm.reasons import top_reasons
from spark_fm.engine.packing.arrow import to_numpy
from spark_fm.engine.scoring.explaining import part_labels

LongArray = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.int32]
DoubleArray = npt.NDArray[np.float64]

# A row within its packet, a row of the model's table, and the value.
NONZERO = np.dtype([("row", np.int32), ("feature", np.int32), ("value", np.float64)])
REASONS, LABEL, CONTRIBUTION = "reasons", "label", "contribution"
REASONS_TYPE = pa.list_(pa.struct([(LABEL, pa.string()), (CONTRIBUTION, pa.float64())]))


class Rows(NamedTuple):
    """Known features of rows as CSR: int64 indptr, int32 features (rows of the model's table), float64 values."""

    indptr: LongArray
    features: IntArray
    values: DoubleArray

    @classmethod
    def known(cls, indptr: LongArray, positions: IntArray, values: DoubleArray) -> "Rows":
        """Of all features those that are known; negative positions are not. No ``values`` count as ones."""
        kept = positions >= 0
        before = np.concatenate([[0], np.cumsum(kept)])
        x = values if values.size else np.ones(positions.size)
        return cls(before[indptr], positions[kept], x[kept])

    def to_arrow(self, step: int) -> pa.Array:
        """A binary array with the non-zeros of ``step`` rows in each value."""
        rows = self.indptr.size - 1
        found = np.empty(self.features.size, NONZERO)
        found["row"] = np.repeat(np.arange(rows) % step, np.diff(self.indptr))
        found["feature"], found["value"] = self.features, self.values
        ends = self.indptr[np.append(np.arange(0, rows, step), rows)] * NONZERO.itemsize
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(found)]
        return pa.Array.from_buffers(pa.binary(), ends.size - 1, buffers)

    @classmethod
    def of_arrow(cls, packets: pa.Array, sizes: LongArray) -> "Rows":
        """The inverse of :meth:`to_arrow`, also of slices; ``sizes`` says how many rows each value is of."""
        firsts = np.cumsum(np.append(0, sizes))
        lengths = to_numpy(pc.binary_length(packets)) // NONZERO.itemsize
        found = np.frombuffer(b"".join(packets.to_pylist()), NONZERO)
        rows = np.repeat(firsts[:-1], lengths) + found["row"]
        counts = np.bincount(rows, minlength=int(firsts[-1]))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return cls(indptr, found["feature"].copy(), found["value"].copy())

    @classmethod
    def joined(cls, parts: list["Rows"]) -> "Rows":
        """Rows one after the other."""
        starts = np.cumsum([0, *(part.features.size for part in parts)])
        ends = [part.indptr[1:] + start for part, start in zip(parts, starts[:-1], strict=True)]
        return cls(
            np.concatenate([[0], *ends]).astype(np.int64),
            np.concatenate([np.empty(0, np.int32), *(part.features for part in parts)]),
            np.concatenate([np.empty(0), *(part.values for part in parts)]),
        )


def reasons_of(
    table: npt.NDArray[np.float32],
    labels: pa.Array,
    contexts: Rows,
    items: Rows,
    pairs: tuple[LongArray, LongArray],
    top: int,
) -> pa.ListArray:
    """For each pair (context, item) list<struct<label: string, contribution: double>>, the largest first.

    ``labels`` names the rows of the table; the label of a product has both names.
    """
    size = pairs[0].size
    counts = np.empty(size, np.int32)
    first, second = np.empty((size, top), np.int32), np.empty((size, top), np.int32)
    parts = np.empty((size, top))
    top_reasons(table, *contexts, *items, *pairs, counts, first, second, parts)
    kept = np.arange(top) < counts[:, None]
    names = part_labels(labels, first[kept], second[kept])
    found = pa.StructArray.from_arrays([names, pa.array(parts[kept])], [LABEL, CONTRIBUTION])
    return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(counts)).astype(np.int32)), found)
