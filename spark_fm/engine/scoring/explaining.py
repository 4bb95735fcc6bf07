"""The largest parts of predictions on a worker, with the names of their features."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spark_fm.core.fm.parts import TIMES, top_parts

IntArray = npt.NDArray[np.int32]


def part_labels(labels: pa.Array, first: IntArray, second: IntArray) -> pa.Array:
    """What parts are called: by the label of their feature, or of both with a sign between where ``second`` is not -1.

    Parameters
    ----------
    labels : string (m,)
    first, second : int32 (n,), places in it
    """
    return pc.binary_join_element_wise(
        labels.take(pa.array(first)),
        labels.take(pa.array(np.maximum(second, 0), mask=second < 0)),
        TIMES,
        null_handling="skip",
    )


@dataclass(frozen=True)
class Explainer:
    """What a worker needs to say of what a score is made: a label for each feature, in their order, and how many parts
    of a row are wanted.
    """

    labels: pa.Array
    top: int

    def parts(
        self,
        table: npt.NDArray[np.float32],
        indptr: IntArray,
        indices: IntArray,
        values: npt.NDArray[np.float64],
    ) -> tuple[pa.Array, pa.Array]:
        """Of each CSR row the labels, list<string>, and the contributions, list<double>, of its largest parts.

        ``indices`` are rows of the table, negative where a feature is unknown.
        """
        rows, longest = indptr.size - 1, int(np.diff(indptr).max(initial=0))
        shape = rows, max(1, min(self.top, longest * (longest + 1) // 2))
        counts = np.empty(rows, np.int32)
        first, second = np.empty(shape, np.int32), np.empty(shape, np.int32)
        contributions = np.empty(shape)
        top_parts(table, indptr, indices, values, counts, first, second, contributions)
        kept = np.arange(shape[1]) < counts[:, None]
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
        other = second[kept]
        pair = np.where(other >= 0, indices[other], -1)
        names = part_labels(self.labels, indices[first[kept]], pair)
        return (
            pa.ListArray.from_arrays(offsets, names),
            pa.ListArray.from_arrays(offsets, pa.array(contributions[kept])),
        )
