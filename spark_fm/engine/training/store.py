"""Where the chunks of a run lie between its rounds, and how a round runs over them.

Classic Spark keeps them in an RDD: a block is there an array of bytes, which two copies bring to the Python worker.
From a persisted DataFrame it takes about nine, through rows and Arrow: a fifth of an epoch over two million rows. But
Spark Connect has DataFrames only, and reducing on the executors needs their shuffle.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_fm.core.fm.settings import Settings
from spark_fm.engine.cluster.broadcast import Shipped, context_of, is_connect
from spark_fm.engine.cluster.execute import collect_batches, plain_errors, small_batches, stoppable
from spark_fm.engine.cluster.hashing import ints_by_partition
from spark_fm.engine.cluster.kept import Kept, keep, warn_not_kept
from spark_fm.engine.packing.dealing import ByField, Deal, dealt_rows, pieces_of
from spark_fm.engine.packing.folding import FOLDED_DDL, fold, unfolded
from spark_fm.engine.packing.joining import CHUNKS_DDL, Piece, join_by_field, join_pieces
from spark_fm.engine.packing.joining import join as join_batches
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.packing.places import Chunk, Places, parts_together
from spark_fm.engine.training.aggregate import reduce_on_executors
from spark_fm.engine.training.round_task import UPDATES_DDL, run_round

if TYPE_CHECKING:
    from pyspark import RDD

ROWS_OF_A_VALIDATION_CHUNK = 8192
# With this many non-zeros for each feature that occurs, a chunk uses most of them: it needs no dictionary of its own.
NONZEROS_OF_THE_WHOLE_VOCABULARY = 2.0
# A bundle of so many takes a task no longer to read than the task itself.
NONZEROS_READ_TOGETHER = 2**16

ChunkTask = Callable[..., Iterator[pa.RecordBatch]]
Join = Callable[[Iterable[Piece]], Iterator[pa.RecordBatch]]


class ChunkStore(Protocol):
    """The chunks of a run, persisted."""

    @property
    def places(self) -> Places:
        """Which chunks there are."""
        ...

    def run(self, function: ChunkTask, orders: Any, chosen: list[Chunk]) -> list[pa.RecordBatch]:
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

    Small bundles of several chunks stay in a partition each: a task of their own for each chunk would cost more than
    reading the others too. Of larger ones ``bundles`` has each in a partition, until all chunks have been visited once;
    then come, in ``rdd``, all bundles' first chunks, all their second, and so on, each in a partition.
    """

    rdd: "RDD[pa.RecordBatch]"
    places: Places
    persisted: "Sequence[RDD[pa.RecordBatch]]" = ()
    bundles: "RDD[pa.RecordBatch] | None" = None
    unmet: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, dealt: DataFrame, places: Places, join: Join, cuts: bool = True) -> "RddStore":
        """From dealt rows, each bundle in a Spark partition of its own; ``cuts`` gives each chunk one."""
        context = context_of(dealt.sparkSession)
        with plain_errors(context), stoppable(context):
            # This runs what comes before the shuffle, which is the dealing.
            rows = dealt.rdd
        joined = rows.mapPartitions(partial(_joined, join=join))
        joined.persist(StorageLevel.MEMORY_AND_DISK_DESER)
        if places.together == 1 or not cuts:
            return cls(joined, places, [joined])
        chunks = [
            joined.mapPartitions(partial(_nth_of_bundle, places=places, nth=nth)).persist(
                StorageLevel.MEMORY_AND_DISK_DESER
            )
            for nth in range(places.together)
        ]
        together = joined.context.union(chunks)
        return cls(together, places, [joined, *chunks], joined, set(_numbers(places).values()))

    def run(self, function: ChunkTask, orders: Any, chosen: list[Chunk]) -> list[pa.RecordBatch]:
        """See :class:`ChunkStore`."""
        visit: ChunkTask = partial(function, orders=orders)
        if self.places.together > 1 and self.bundles is None:
            visit = partial(_visit_parts, visit=visit, parts=frozenset(part for _, part in chosen))
            numbers = _numbers_of_bundles(self.places)
        else:
            numbers = _numbers(self.places)
        visited = list(dict.fromkeys(numbers[chunk] for chunk in chosen))
        with plain_errors(self.rdd.context), stoppable(self.rdd.context):
            found = self.rdd.context.runJob(self.rdd, visit, visited)
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


def _numbers_of_bundles(places: Places) -> dict[Chunk, int]:
    """The number of each chunk's bundle."""
    return {chunk: number for number, bundle in enumerate(places.bundles()) for chunk in bundle}


def _visit_parts(
    batches: Iterable[pa.RecordBatch], visit: ChunkTask, parts: frozenset[int]
) -> Iterator[pa.RecordBatch]:
    """Visit the chunks of some parts among those of a bundle."""
    return visit(batch for batch in batches if batch.column("part")[0].as_py() in parts)


def _joined(rows: Iterable[Row], join: Join) -> Iterator[pa.RecordBatch]:
    return join(Piece.of(*row) for row in rows)


def _nth_of_bundle(batches: Iterable[pa.RecordBatch], places: Places, nth: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        chunk = (batch.column("partition")[0].as_py(), batch.column("part")[0].as_py())
        if places.within_bundle(chunk) == nth:
            yield batch


@dataclass(frozen=True)
class FrameStore:
    """ChunkStore as the rows of a DataFrame; ``on_executors``: the updates are summed there.

    In a folder a row has all of a chunk: Spark reads a large file in pieces, each in a task of its own, but no row. The
    chunks of a part have a folder of their own, so that a round reads no others.
    """

    kept: Kept
    places: Places
    on_executors: bool

    @classmethod
    def of(
        cls, dealt: DataFrame, places: Places, join: Join, on_executors: bool, cache_dir: str
    ) -> "FrameStore":
        """From dealt rows, in a fixed order."""
        joined = dealt.mapInArrow(partial(join_batches, how=join), CHUNKS_DDL)
        if cache_dir:
            kept = keep(joined.mapInArrow(fold, FOLDED_DDL), FOLDED_DDL, cache_dir, by=["part"])
        else:
            kept = keep(joined, CHUNKS_DDL, "")
        if not kept.lasts:
            warn_not_kept("every round reads")
        return cls(kept, places, on_executors)

    def run(self, function: ChunkTask, orders: Any, chosen: list[Chunk]) -> list[pa.RecordBatch]:
        """See :class:`ChunkStore`."""
        rows = self.kept.frame
        if len(chosen) < len(self.places.all()):
            parts = sorted({part for _, part in chosen})
            rows = rows.where(F.col("part").isin(parts))
        if len(chosen) == 1:
            rows = rows.where(F.col("partition") == chosen[0][0])
        visit: ChunkTask = partial(function, orders=orders)
        if self.kept.folder:
            visit = partial(unfolded, visit=visit)
        updates = rows.mapInArrow(visit, UPDATES_DDL)
        if self.on_executors and function is run_round and orders.plan.train:
            updates = reduce_on_executors(updates, orders)
        with small_batches(rows.sparkSession):
            return collect_batches(updates)

    def release(self) -> None:
        """See :class:`ChunkStore`."""
        self.kept.release()


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
    each = statistics.nonzeros / (partitions * parts)
    own_dictionaries = each < packed.features.ids.size * NONZEROS_OF_THE_WHOLE_VOCABULARY
    join = partial(join_pieces, own_dictionaries=own_dictionaries)
    cuts = each * together > NONZEROS_READ_TOGETHER
    return _stored(packed, places, held_out, settings, join, None, on_executors, cuts)


@contextmanager
def dealt_by_field(
    packed: PackedData, partitions: int, by_field: Shipped[ByField], settings: Settings, key: Hashable
) -> Iterator[ChunkStore]:
    """All rows, those with a feature of a field in one of its partitions, persisted until no fit needs them; the
    ``key`` tells fields apart.
    """
    validation = packed.statistics.validation_rows
    places = Places(partitions, 1, min(partitions, -(-validation // ROWS_OF_A_VALIDATION_CHUNK)))

    def deal() -> ChunkStore:
        join = partial(join_by_field, by_field=by_field)
        return _stored(packed, places, 0, settings, join, by_field, on_executors=False)

    with packed.lease(("by field", partitions, key, settings.seed, settings.centres), deal) as store:
        yield store


def _stored(
    packed: PackedData,
    places: Places,
    held_out: int,
    settings: Settings,
    join: Join,
    by_field: Shipped[ByField] | None,
    on_executors: bool,
    cuts: bool = True,
) -> ChunkStore:
    bundles = places.bundles()
    as_frame = on_executors or bool(packed.cache_dir) or is_connect(packed.spark)
    if as_frame:
        of_partitions = ints_by_partition(places.partitions)
        keys = [of_partitions[bundle[0][0] % places.partitions] for bundle in bundles]
    else:
        keys = ints_by_partition(len(bundles))
    orders = Deal.of(
        keys,
        places,
        held_out,
        settings.seed,
        packed.statistics.sources,
        packed.vocabulary(settings),
        by_field,
    )
    dealt = dealt_rows(packed.blocks_in_order, orders)
    if as_frame:
        return FrameStore.of(dealt, places, join, on_executors, packed.cache_dir)
    return RddStore.of(dealt, places, join, cuts)
