"""All blocks of a chunk as one row, and back: what can't be torn apart where rows are kept in files."""

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter

import pyarrow as pa

from spark_fm.engine.cluster.worker_process import RefusedError, task
from spark_fm.engine.packing.joining import CHUNKS

FOLDED_DDL = "partition int, blocks array<binary>, part int"
FOLDED = pa.schema([("partition", pa.int32()), ("blocks", pa.list_(pa.binary())), ("part", pa.int32())])
# Spark has no room for a row of 2 GiB, and copies each several times.
LARGEST_ROW = 2**30


@task
def fold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: a row for each chunk, of whose blocks each has had one; they follow each other.

    Raises
    ------
    RefusedError
        When a chunk is too large for a row.
    """
    for (partition, part), rows in groupby(_rows(batches, "data"), key=itemgetter(0, 1)):
        blocks = [block.as_py() for *_, block in rows]
        size = sum(len(block) for block in blocks)
        if size > LARGEST_ROW:
            raise RefusedError(
                f"cacheDir: what a partition trains in a round takes {size / 2**30:.2g} GiB, expected at most "
                f"{LARGEST_ROW / 2**30:.2g}: choose larger numPartitions or roundsPerEpoch"
            )
        row = {"partition": partition, "blocks": blocks, "part": part}
        yield pa.RecordBatch.from_pylist([row], schema=FOLDED)


def unfolded(
    batches: Iterator[pa.RecordBatch], visit: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: visit chunks that :func:`fold` has made rows of, a chunk in a batch."""
    return visit(_chunk(*row) for row in _rows(batches, "blocks"))


def _chunk(partition: int, part: int, folded: pa.ListScalar) -> pa.RecordBatch:
    blocks = folded.values
    numbers = [[partition] * len(blocks), [part] * len(blocks), list(range(len(blocks)))]
    return pa.RecordBatch.from_arrays(
        [*(pa.array(one, pa.int32()) for one in numbers), blocks], schema=CHUNKS
    )


def _rows(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[tuple[int, int, pa.Scalar]]:
    """The partition, the part and the column of that name of each row."""
    for batch in batches:
        partitions, parts = (batch.column(one).to_pylist() for one in ("partition", "part"))
        yield from zip(partitions, parts, batch.column(name), strict=True)
