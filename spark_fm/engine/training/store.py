"""Where the chunks of a run lie between its rounds, and how a round runs over them.

Classic Spark keeps them in an RDD: a block is there an array of bytes, which two copies bring to the Python worker.
From a persisted DataFrame it takes about nine, through rows and Arrow: a fifth of an epoch over two million rows. But
Spark Connect has DataFrames only, and reducing on the executors needs their shuffle.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_fm.core.fm.settings import Settings
from spark_fm.engine.cluster.broadcast import is_connect
from spark_fm.engine.cluster.execute import (
    collect_batches,
    persist,
    plain_errors,
    small_batches,
    stoppable,
    unpersist,
)
from spark_fm.engine.cluster.hashing import ints_by_partition
from spark_fm.engine.packing.dealing import Deal, dealt_rows, pieces_of
from spark_fm.engine.packing.joining import CHUNKS_DDL, Piece, join, join_pieces
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.packing.places import Chunk, Places, parts_together
from spark_fm.engine.training.aggregate import reduce_on_executors
from spark_fm.engine.training.round_task import UPDATES_DDL, Round, run_round

if TYPE_CHECKING:
    from pyspark import RDD

ROWS_OF_A_VALIDATION_CHUNK = 8192
# With this many non-zeros for each feature that occurs, a chunk uses most of them: it needs no dictionary of its own.
NONZEROS_OF_THE_WHOLE_VOCABULARY = 2.0

ChunkTask = Callable[..., Iterator[pa.RecordBatch]]


class ChunkStore(Protocol):
    """The chunks of a run, persisted."""

    @property
    def places(self) -> Places:
        """Which chunks there are."""
        ...

    def run(self, function: ChunkTask, orders: Round, chosen: list[Chunk]) -> list[pa.RecordBatch]:
        """What a function of :mod:`spark_fm.engine.training.round_task` says of the ``chosen`` chunks.

        Where the executors sum a round's updates, it is their sums.
        """
        ...

    def release(self) -> None:
        """Give back the memory."""
        ...


@dataclass(frozen=True)
class RddStore:
    """ChunkStore as the partitions of an RDD of record batches.

    Where bundles have several chunks, ``bundles`` has each bundle in a partition, until all chunks have been visited
    once. Then come, in ``rdd``, all bundles' first chunks, all their second, and so on, each in a partition.
    """

    rdd: "RDD[pa.RecordBatch]"
    places: Places
    persisted: "Sequence[RDD[pa.RecordBatch]]" = ()
    bundles: "RDD[pa.RecordBatch] | None" = None
    unmet: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, dealt: DataFrame, places: Places, own_dictionaries: bool) -> "RddStore":
        """From dealt rows, each bundle in a Spark partition of its own."""
        with plain_errors():
            rows = dealt.rdd
        joined = rows.mapPartitions(partial(_joined, own_dictionaries=own_dictionaries))
        joined.persist(StorageLevel.MEMORY_AND_DISK_DESER)
        if places.together == 1:
            return cls(joined, places, [joined])
        chunks = [
            joined.mapPartitions(partial(_nth_of_bundle, places=places, nth=nth)).persist(
                StorageLevel.MEMORY_AND_DISK_DESER
            )
            for nth in range(places.together)
        ]
        together = joined.context.union(chunks)
        return cls(together, places, [joined, *chunks], joined, set(_numbers(places).values()))

    def run(self, function: ChunkTask, orders: Round, chosen: list[Chunk]) -> list[pa.RecordBatch]:
        """See :class:`ChunkStore`."""
        numbers = _numbers(self.places)
        visited = [numbers[chunk] for chunk in chosen]
        with plain_errors(), stoppable(self.rdd.context):
            found = self.rdd.context.runJob(self.rdd, partial(function, orders=orders), visited)
        if self.bundles is not None and self.unmet:
            self.unmet.difference_update(visited)
            if not self.unmet:
                # A chunk that is lost from now on is made of what was shuffled, as it is.
                self.bundles.unpersist()
        return found

    def release(self) -> None:
        """See :class:`ChunkStore`."""
        for rdd in self.persisted:
            rdd.unpersist()


def _numbers(places: Places) -> dict[Chunk, int]:
    """Each chunk's partition of the RDD."""
    bundles = places.bundles()
    return {
        chunk: nth * len(bundles) + number
        for number, bundle in enumerate(bundles)
        for nth, chunk in enumerate(bundle)
    }


def _joined(rows: Iterable[Row], own_dictionaries: bool) -> Iterator[pa.RecordBatch]:
    pieces = (Piece.of(*row) for row in rows)
    return join_pieces(pieces, own_dictionaries)


def _nth_of_bundle(batches: Iterable[pa.RecordBatch], places: Places, nth: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        chunk = (batch.column("partition")[0].as_py(), batch.column("part")[0].as_py())
        if places.within_bundle(chunk) == nth:
            yield batch


@dataclass(frozen=True)
class FrameStore:
    """ChunkStore as the rows of a DataFrame; ``on_executors``: the updates are summed there."""

    frame: DataFrame
    places: Places
    on_executors: bool

    @classmethod
    def of(cls, dealt: DataFrame, places: Places, own_dictionaries: bool, on_executors: bool) -> "FrameStore":
        """From dealt rows, in a fixed order."""
        joined = dealt.mapInArrow(partial(join, own_dictionaries=own_dictionaries), CHUNKS_DDL)
        return cls(persist(joined), places, on_executors)

    def run(self, function: ChunkTask, orders: Round, chosen: list[Chunk]) -> list[pa.RecordBatch]:
        """See :class:`ChunkStore`."""
        rows = self.frame
        if len(chosen) < len(self.places.all()):
            parts = sorted({part for _, part in chosen})
            rows = rows.where(F.col("part").isin(parts))
        if len(chosen) == 1:
            rows = rows.where(F.col("partition") == chosen[0][0])
        updates = rows.mapInArrow(partial(function, orders=orders), UPDATES_DDL)
        if self.on_executors and function is run_round and orders.plan.train:
            updates = reduce_on_executors(updates, orders)
        with small_batches(self.frame.sparkSession):
            return collect_batches(updates)

    def release(self) -> None:
        """See :class:`ChunkStore`."""
        unpersist(self.frame)


@contextmanager
def dealt_chunks(
    packed: PackedData,
    partitions: int,
    parts: int,
    held_out: int,
    settings: Settings,
    on_executors: bool = False,
) -> Iterator[ChunkStore]:
    """The rows dealt to ``partitions`` x ``parts`` chunks, persisted until they are no longer needed.

    So many rows are ``held_out``: they are validation rows. ``on_executors`` asks for the updates to be summed
    there. Fits that share the data share the chunks.
    """
    key = (partitions, parts, held_out, settings.seed, settings.centres, on_executors)

    def deal() -> ChunkStore:
        return _deal(packed, partitions, parts, held_out, settings, on_executors)

    with packed.lease(key, deal) as store:
        yield store


def _deal(
    packed: PackedData, partitions: int, parts: int, held_out: int, settings: Settings, on_executors: bool
) -> ChunkStore:
    statistics = packed.statistics
    validation = held_out or statistics.validation_rows
    together = parts_together(
        partitions, parts, statistics.rows, statistics.nonzeros, pieces_of(statistics.sources)
    )
    places = Places(
        partitions, parts, min(partitions, -(-validation // ROWS_OF_A_VALIDATION_CHUNK)), together
    )
    as_frame = on_executors or is_connect(packed.spark)
    bundles = places.bundles()
    if as_frame:
        of_partitions = ints_by_partition(partitions)
        keys = [of_partitions[bundle[0][0] % partitions] for bundle in bundles]
    else:
        keys = ints_by_partition(len(bundles))
    orders = Deal.of(keys, places, held_out, settings.seed, statistics.sources, packed.vocabulary(settings))
    dealt = dealt_rows(packed.blocks, orders)
    each = statistics.nonzeros / (partitions * parts)
    own_dictionaries = each < packed.features.ids.size * NONZEROS_OF_THE_WHOLE_VOCABULARY
    if as_frame:
        return FrameStore.of(dealt, places, own_dictionaries, on_executors)
    return RddStore.of(dealt, places, own_dictionaries)
