"""Packed blocks to training partitions: deal the rows, and give each chunk a dictionary of its own.

A row of the result is one block of a *chunk*, the part of a partition's rows that one round visits, so a
round reads its own blocks only. Indices are positions in the chunk's dictionary, which its first block carries:
positions in the vocabulary of all features, ascending. A chunk without a dictionary uses the vocabulary itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, Block, concatenate
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.core.sparse.growable import GrowableArray
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.census import Census, InputChangedError

ROWS_TO_DEAL = 65_536
ROWS_A_BLOCK = 16_384

DEALT_DDL = "key bigint, partition int, part int, source int, number int, data binary"
DEALT = pa.schema(
    [
        ("key", pa.int64()),
        ("partition", pa.int32()),
        ("part", pa.int32()),
        ("source", pa.int32()),
        ("number", pa.int32()),
        ("data", pa.binary()),
    ]
)
PIECES = pa.schema([("partition", pa.int32()), ("part", pa.int32()), ("data", pa.binary())])
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
class Places:
    """The chunks of a run, by (partition, part).

    A partition has ``parts`` chunks, of which a round visits one. Validation rows lie in units of their own, which the
    first round of every epoch measures: they count as further partitions, of the one part after all others.
    """

    partitions: int
    parts: int
    validation: int

    def training(self, part: int) -> list[tuple[int, int]]:
        """The chunks that a round trains."""
        return [(partition, part) for partition in range(self.partitions)]

    def validating(self) -> list[tuple[int, int]]:
        """The chunks of validation rows."""
        return [(self.partitions + chunk, self.parts) for chunk in range(self.validation)]

    def all(self) -> list[tuple[int, int]]:
        """All chunks, in the order of their numbers."""
        chunks = [(partition, part) for partition in range(self.partitions) for part in range(self.parts)]
        return chunks + self.validating()


@dataclass(frozen=True)
class Vocabulary:
    """All features that occur, in the order of their positions, and their units of training.

    ``run`` names it for the workers' cache, ``sources`` is what was counted of each source partition.
    """

    run: str
    features: npt.NDArray[np.int64]
    scaling: FeatureScaling
    sources: dict[int, Census]


@dataclass(frozen=True)
class Deal:
    """How rows are dealt to chunks; ``keys`` has each chunk's shuffle key, in the order of the chunks' numbers.

    So many rows of all are ``held_out``; 0 where the rows say themselves which are for validation. ``rows_before`` is
    how many lie before each source.
    """

    keys: list[int]
    places: Places
    held_out: int
    seed: int
    rows: int
    rows_before: dict[int, int]
    vocabulary: Shipped[Vocabulary]

    @classmethod
    def of(
        cls,
        keys: list[int],
        places: Places,
        held_out: int,
        seed: int,
        sources: dict[int, Census],
        vocabulary: Shipped[Vocabulary],
    ) -> "Deal":
        """Orders for sources in a random order of their own: which of them hold out the odd row is random."""
        numbers = sorted(sources)
        order = [numbers[i] for i in np.random.default_rng([seed, 0x0DD]).permutation(len(numbers))]
        ends = np.cumsum([0] + [sources[number].rows for number in order]).tolist()
        before = dict(zip(order, ends[:-1], strict=True))
        return cls(keys, places, held_out, seed, ends[-1], before, vocabulary)


# The dictionary of the last run that this worker process has seen: a worker deals many source partitions.
_dictionaries: dict[str, Dictionary] = {}


def _dictionary(vocabulary: Vocabulary) -> Dictionary:
    if vocabulary.run not in _dictionaries:
        _dictionaries.clear()
        _dictionaries[vocabulary.run] = Dictionary(vocabulary.features)
    return _dictionaries[vocabulary.run]


def partition_keys(spark: SparkSession, partitions: int) -> list[int]:
    """For each Spark partition an integer that hash partitioning sends there."""
    keys: dict[int, int] = {}
    tried = 16 * partitions
    while len(keys) < partitions:
        target = F.expr(f"cast(pmod(hash(id), {partitions}) as int)").alias("target")
        rows = collect(spark.range(tried).groupBy(target).agg(F.min("id").alias("key")))
        keys = {row["target"]: row["key"] for row in rows}
        tried *= 4
    return [keys[p] for p in range(partitions)]


def _blocks(batches: Iterator[pa.RecordBatch], names: tuple[str, str]) -> Iterator[tuple[int, int, Block]]:
    for batch in batches:
        first, second, data = (batch.column(name) for name in (*names, "data"))
        for i in range(batch.num_rows):
            yield first[i].as_py(), second[i].as_py(), Block.from_buffer(data[i].as_buffer())


@task
def deal(batches: Iterator[pa.RecordBatch], orders: Deal) -> Iterator[pa.RecordBatch]:
    """Deal each source partition's rows to all chunks, a random share each, in the units of training.

    Raises
    ------
    InputChangedError
        When a source has not what was counted of it.
    """
    for source, blocks in groupby(_blocks(batches, ("source", "number")), key=itemgetter(0)):
        yield from _Dealer(source, orders).deal(block for _, _, block in blocks)


class _Dealer:
    """Deals the rows of one source partition."""

    def __init__(self, source: int, orders: Deal) -> None:
        self._source, self._orders, self._vocabulary = source, orders, orders.vocabulary.get()
        self._dictionary = _dictionary(self._vocabulary)
        self._known = GrowableArray(np.empty(0, np.int32))
        self._found = Census()

    def deal(self, blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
        """Some blocks at a time."""
        counted = self._vocabulary.sources.get(self._source, Census())
        first = self._orders.rows_before.get(self._source, 0)
        waiting: list[Block] = []
        number = 0
        for block in blocks:
            self._found += Census.of(block)
            waiting.append(self._located(block))
            if sum(b.rows for b in waiting) >= ROWS_TO_DEAL:
                whole = concatenate(waiting)
                yield self._dealt(whole, number, first)
                waiting, number, first = [], number + 1, first + whole.rows
        if waiting:
            yield self._dealt(concatenate(waiting), number, first)
        self._found.check(counted, f" in partition {self._source}")

    def _located(self, block: Block) -> Block:
        positions = self._dictionary.locate(block.features)
        if (positions < 0).any():
            unknown = block.features[positions < 0][0]
            raise InputChangedError(f"found the feature {unknown}, which did not occur before")
        self._known.append(positions)
        return replace(block, indices=self._known.view[block.indices], features=NO_FEATURES)

    def _dealt(self, block: Block, number: int, first: int) -> pa.RecordBatch:
        orders, places = self._orders, self._orders.places
        random = np.random.default_rng([orders.seed, self._source, number, 0xDEA1])
        order = random.permutation(block.rows)
        flags = block.validation if block.validation.size else np.zeros(block.rows, np.bool_)
        if orders.held_out:
            # Rounded over all rows, so that however they are cut it is as many as were asked for.
            before, after = (row * orders.held_out // orders.rows for row in (first, first + block.rows))
            flags = np.zeros(block.rows, np.bool_)
            flags[order[: after - before]] = True
        block = self._vocabulary.scaling.apply(replace(block, validation=NO_FLAGS))
        rows_of: dict[tuple[int, int], npt.NDArray[np.intp]] = {}
        training = places.all()[: places.partitions * places.parts]
        for chunks, chosen in ((training, order[~flags[order]]), (places.validating(), order[flags[order]])):
            # Which chunk gets the odd row must not be the same for every block.
            odd = int(random.integers(len(chunks))) if chunks else 0
            shares = np.array_split(chosen, max(1, len(chunks)))
            rows_of |= {chunk: shares[(i + odd) % len(chunks)] for i, chunk in enumerate(chunks)}
        found: list[dict[str, object]] = [
            {
                "key": key,
                "partition": chunk[0],
                "part": chunk[1],
                "source": self._source,
                "number": number,
                "data": block.take(rows_of[chunk]).to_bytes(),
            }
            for key, chunk in zip(orders.keys, places.all(), strict=True)
            if rows_of[chunk].size
        ]
        return pa.RecordBatch.from_pylist(found, schema=DEALT)


@task
def join(batches: Iterator[pa.RecordBatch], own_dictionaries: bool) -> Iterator[pa.RecordBatch]:
    """Join the pieces of each chunk to larger blocks.

    With ``own_dictionaries`` a chunk's blocks wait until all are known; without, they stream.
    """
    chunk, waiting, number = (-1, -1), list[Block](), 0
    for partition, part, block in _blocks(batches, ("partition", "part")):
        if (partition, part) != chunk:
            yield from _chunk(waiting, chunk, number, own_dictionaries)
            chunk, waiting, number = (partition, part), [], 0
        waiting.append(block)
        if not own_dictionaries and sum(b.rows for b in waiting) >= ROWS_A_BLOCK:
            yield from _chunk(waiting, chunk, number, own_dictionaries)
            waiting, number = [], number + 1
    yield from _chunk(waiting, chunk, number, own_dictionaries)


def _chunk(
    pieces: list[Block], chunk: tuple[int, int], number: int, own_dictionaries: bool
) -> Iterator[pa.RecordBatch]:
    if not pieces:
        return
    whole = concatenate(pieces)
    if own_dictionaries:
        dictionary = Dictionary()
        indices = dictionary.encode(whole.indices)
        features = dictionary.features()
        order = np.argsort(features)
        ranks = np.empty(order.size, np.int32)
        ranks[order] = np.arange(order.size, dtype=np.int32)
        whole = replace(whole, indices=ranks[indices], features=features[order])
    size = ROWS_A_BLOCK if own_dictionaries else whole.rows
    for first in range(0, whole.rows, size):
        block = whole if size >= whole.rows else whole.take(np.arange(first, min(first + size, whole.rows)))
        if first:
            block = replace(block, features=NO_FEATURES)
        row = {"partition": chunk[0], "part": chunk[1], "number": number, "data": block.to_bytes()}
        yield pa.RecordBatch.from_pylist([row], schema=CHUNKS)
        number += 1


def dealt_rows(packed: DataFrame, orders: Deal) -> DataFrame:
    """The pieces of all chunks (partition, part, data), hash-partitioned by their keys and in a fixed order."""
    blocks = packed.where(F.col("data").isNotNull()).select("source", "number", "data")
    dealt = blocks.mapInArrow(partial(deal, orders=orders), DEALT_DDL)
    ordered = dealt.repartition(len(set(orders.keys)), "key").sortWithinPartitions(
        "partition", "part", "source", "number"
    )
    return ordered.select("partition", "part", "data")
