"""What arrives of the dealt rows becomes chunks: a bundle's pieces are joined, and cut into its chunks' blocks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.sparse.block import NO_FEATURES, Block, concatenate
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.dealing import ByField
from spark_fm.engine.packing.places import Chunk

ROWS_A_BLOCK = 16_384

CHUNKS_DDL = "partition int, part int, number int, data binary"
CHUNKS = pa.schema(
    [
        ("partition", pa.int32()),
        ("part", pa.int32()),
        ("number", pa.int32()),
        ("data", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Piece:
    """Rows of a source for one bundle: those of its ``first`` chunk, then those of the next.

    Attributes
    ----------
    sizes : int32, how many rows each chunk of the bundle has; empty where it is one chunk
    """

    first: Chunk
    sizes: npt.NDArray[np.int32]
    block: Block

    @classmethod
    def of(cls, partition: int, part: int, sizes: Any, data: Any) -> "Piece":
        """From the columns of a dealt row; the last two are bytes or Arrow's."""
        return cls((partition, part), np.frombuffer(sizes, np.int32), Block.from_buffer(data))


def pieces_of(batches: Iterable[pa.RecordBatch]) -> Iterator[Piece]:
    """The pieces in batches of dealt rows."""
    for batch in batches:
        partitions, parts = (batch.column(name).to_pylist() for name in ("partition", "part"))
        sizes, data = batch.column("sizes"), batch.column("data")
        for i, first in enumerate(zip(partitions, parts, strict=True)):
            yield Piece.of(*first, sizes[i].as_buffer(), data[i].as_buffer())


@task
def join(
    batches: Iterator[pa.RecordBatch], how: Callable[[Iterable[Piece]], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function of :func:`join_pieces` or :func:`join_by_field`."""
    return how(pieces_of(batches))


def join_pieces(pieces: Iterable[Piece], own_dictionaries: bool) -> Iterator[pa.RecordBatch]:
    """Join the pieces of each bundle, which follow each other, to larger blocks of its chunks.

    With ``own_dictionaries`` a chunk's blocks wait until all are known. Without, those of a bundle of one chunk stream.
    """
    for first, bundle in groupby(pieces, key=attrgetter("first")):
        waiting, number = list[Piece](), 0
        for piece in bundle:
            waiting.append(piece)
            streams = not (own_dictionaries or piece.sizes.size)
            if streams and sum(one.block.rows for one in waiting) >= ROWS_A_BLOCK:
                yield _row(first, number, concatenate([one.block for one in waiting]))
                waiting, number = [], number + 1
        if waiting:
            yield from _cut(waiting, first, number, own_dictionaries)


def join_by_field(pieces: Iterable[Piece], by_field: Shipped[ByField]) -> Iterator[pa.RecordBatch]:
    """Join the pieces of each partition, which follow each other, to one block of rows in the order of the field's
    features, those without one first. The rows of a feature keep the order of the pieces.
    """
    for first, every in groupby(pieces, key=attrgetter("first")):
        whole = concatenate([piece.block for piece in every])
        if whole.rows:
            order = np.argsort(by_field.get().features(whole), kind="stable")
            yield _row(first, 0, whole.take(order))


def _cut(pieces: list[Piece], first: Chunk, number: int, own_dictionaries: bool) -> Iterator[pa.RecordBatch]:
    """The blocks of each chunk of a bundle, whose rows keep the order of the pieces; ``number`` is the first's."""
    whole = concatenate([piece.block for piece in pieces])
    if not pieces[0].sizes.size:
        each = [piece.block.rows for piece in pieces]
        yield from _chunk(whole, each, first, number, own_dictionaries)
        return
    sizes = np.stack([piece.sizes for piece in pieces])
    of_row = np.repeat(np.tile(np.arange(sizes.shape[1], dtype=np.int16), sizes.shape[0]), sizes.ravel())
    chosen = np.split(np.argsort(of_row, kind="stable"), np.cumsum(sizes.sum(axis=0))[:-1])
    for place, rows in enumerate(chosen):
        chunk = (first[0], first[1] + place)
        # Values that are 1 in this chunk may not be so in others of the bundle.
        block = whole.take(rows).shortened()
        yield from _chunk(block, sizes[:, place].tolist(), chunk, number, own_dictionaries)


def _chunk(
    whole: Block, sizes: list[int], chunk: Chunk, number: int, own_dictionaries: bool
) -> Iterator[pa.RecordBatch]:
    """The blocks of a chunk, of whose rows each piece has brought as many as ``sizes`` says."""
    if not whole.rows:
        return
    if own_dictionaries:
        dictionary = Dictionary()
        indices = dictionary.encode(whole.indices)
        features = dictionary.features()
        order = np.argsort(features)
        ranks = np.empty(order.size, np.int32)
        ranks[order] = np.arange(order.size, dtype=np.int32)
        whole = replace(whole, indices=ranks[indices], features=features[order])
        ends = [*range(ROWS_A_BLOCK, whole.rows, ROWS_A_BLOCK), whole.rows]
    else:
        ends = _ends(sizes)
    begun = 0
    for end in ends:
        block = whole if end - begun == whole.rows else whole.take(np.arange(begun, end))
        yield _row(chunk, number, replace(block, features=NO_FEATURES) if begun else block)
        begun, number = end, number + 1


def _ends(sizes: list[int]) -> list[int]:
    """Where blocks end that take in whole pieces until they are large enough."""
    ends, begun, total = list[int](), 0, 0
    for size in sizes:
        total += size
        if total - begun >= ROWS_A_BLOCK:
            ends.append(total)
            begun = total
    return ends if begun == total else [*ends, total]


def _row(chunk: Chunk, number: int, block: Block) -> pa.RecordBatch:
    row = {"partition": chunk[0], "part": chunk[1], "number": number, "data": block.to_bytes()}
    return pa.RecordBatch.from_pylist([row], schema=CHUNKS)
