"""Packed blocks to training partitions: deal the rows, a random share to each chunk.

A *chunk* is the part of a partition's rows that one round visits. A row of the result has those rows of one source that
are for one bundle of chunks (:mod:`spark_fm.engine.packing.places`), each chunk's together: dealing to a thousand
partitions in eight rounds shuffles a thousand rows, not eight thousand. Indices are positions in the vocabulary of all
features. What becomes of them where they arrive is in :mod:`spark_fm.engine.packing.joining`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, Block, concatenate
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.core.sparse.growable import GrowableArray
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.census import Census, InputChangedError
from spark_fm.engine.packing.places import Places

ROWS_TO_DEAL = 65_536

DEALT_DDL = "key int, partition int, part int, source int, number int, sizes binary, data binary"
DEALT = pa.schema(
    [
        ("key", pa.int32()),
        ("partition", pa.int32()),
        ("part", pa.int32()),
        ("source", pa.int32()),
        ("number", pa.int32()),
        ("sizes", pa.binary()),
        ("data", pa.binary()),
    ]
)


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
class ByField:
    """To which partition the rows with each feature of a field go: int16 (m,), -1 for features of other fields.

    Rows without any are spread over all.
    """

    partitions: npt.NDArray[np.int16]

    def features(self, block: Block) -> npt.NDArray[np.int32]:
        """The position of each row's feature of the field, -1 where it has none: int32 (rows,)."""
        found = np.full(block.rows, -1, np.int32)
        mine = self.partitions[block.indices] >= 0
        found[np.repeat(np.arange(block.rows), np.diff(block.indptr))[mine]] = block.indices[mine]
        return found


@dataclass(frozen=True)
class Deal:
    """How rows are dealt to chunks; ``keys`` has each bundle's shuffle key, in the order of the bundles' numbers.

    So many rows of all are ``held_out``; 0 where the rows say themselves which are for validation. ``rows_before`` is
    how many lie before each source. Rows are dealt ``by_field`` or, without, at random.
    """

    keys: list[int]
    places: Places
    held_out: int
    seed: int
    rows: int
    rows_before: dict[int, int]
    vocabulary: Shipped[Vocabulary]
    by_field: "Shipped[ByField] | None" = None

    @classmethod
    def of(
        cls,
        keys: list[int],
        places: Places,
        held_out: int,
        seed: int,
        sources: dict[int, Census],
        vocabulary: Shipped[Vocabulary],
        by_field: "Shipped[ByField] | None" = None,
    ) -> "Deal":
        """Orders for sources in a random order of their own: which of them hold out the odd row is random."""
        numbers = sorted(sources)
        order = [numbers[i] for i in np.random.default_rng([seed, 0x0DD]).permutation(len(numbers))]
        ends = np.cumsum([0] + [sources[number].rows for number in order]).tolist()
        before = dict(zip(order, ends[:-1], strict=True))
        return cls(keys, places, held_out, seed, ends[-1], before, vocabulary, by_field)


# The dictionary of the last run that this worker process has seen: a worker deals many source partitions.
_dictionaries: dict[str, Dictionary] = {}


def _dictionary(vocabulary: Vocabulary) -> Dictionary:
    if vocabulary.run not in _dictionaries:
        _dictionaries.clear()
        _dictionaries[vocabulary.run] = Dictionary(vocabulary.features)
    return _dictionaries[vocabulary.run]


def pieces_of(sources: dict[int, Census]) -> int:
    """In how many pieces the rows of all sources are dealt."""
    return sum(-(-counted.rows // ROWS_TO_DEAL) for counted in sources.values())


def blocks_of(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, Block]]:
    """The packed blocks in batches, with the numbers of their sources."""
    for batch in batches:
        sources, data = batch.column("source"), batch.column("data")
        for i in range(batch.num_rows):
            yield sources[i].as_py(), Block.from_buffer(data[i].as_buffer())


class Locator:
    """Gives the blocks of one source, as they come, positions in the vocabulary for indices."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._dictionary = _dictionary(vocabulary)
        self._known = GrowableArray(np.empty(0, np.int32))

    def located(self, block: Block) -> Block:
        """The next block.

        Raises
        ------
        InputChangedError
            When it has a feature that is not in the vocabulary.
        """
        positions = self._dictionary.locate(block.features)
        if (positions < 0).any():
            unknown = block.features[positions < 0][0]
            raise InputChangedError(f"found the feature {unknown}, which did not occur before")
        self._known.append(positions)
        return replace(block, indices=self._known.view[block.indices], features=NO_FEATURES)


@task
def deal(batches: Iterator[pa.RecordBatch], orders: Deal) -> Iterator[pa.RecordBatch]:
    """Deal each source partition's rows to all chunks, a random share each, in the units of training.

    Raises
    ------
    InputChangedError
        When a source has not what was counted of it.
    """
    for source, blocks in groupby(blocks_of(batches), key=itemgetter(0)):
        yield from _Dealer(source, orders).deal(block for _, block in blocks)


class _Dealer:
    """Deals the rows of one source partition."""

    def __init__(self, source: int, orders: Deal) -> None:
        self._source, self._orders, self._vocabulary = source, orders, orders.vocabulary.get()
        self._locator = Locator(self._vocabulary)
        self._found = Census()

    def deal(self, blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
        """Some blocks at a time."""
        counted = self._vocabulary.sources.get(self._source, Census())
        first = self._orders.rows_before.get(self._source, 0)
        waiting: list[Block] = []
        number = 0
        for block in blocks:
            self._found += Census.of(block)
            waiting.append(self._locator.located(block))
            if sum(b.rows for b in waiting) >= ROWS_TO_DEAL:
                whole = concatenate(waiting)
                yield self._dealt(whole, number, first)
                waiting, number, first = [], number + 1, first + whole.rows
        if waiting:
            yield self._dealt(concatenate(waiting), number, first)
        self._found.check(counted, f" in partition {self._source}")

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
        held = flags[order]
        chosen, sizes = list[npt.NDArray[np.intp]](), list[npt.NDArray[np.int32]]()
        at_random = [(order[held], places.validation)]
        if orders.by_field is None:
            at_random.insert(0, (order[~held], places.partitions * places.parts))
        else:
            rows, counts = self._by_field(orders.by_field.get(), block, np.flatnonzero(~flags), first)
            chosen.append(rows)
            sizes.append(counts)
        for rows, chunks in at_random:
            if chunks:
                # Which chunk gets the odd row must not be the same for every block.
                odd = int(random.integers(chunks))
                share, more = divmod(rows.size, chunks)
                shares = np.full(chunks, share, np.int32)
                shares[:more] += 1
                chosen.append(np.roll(rows, -int(shares[:odd].sum())))
                sizes.append(np.roll(shares, -odd))
        return self._batch(block.take(np.concatenate(chosen)), np.concatenate(sizes), number)

    def _by_field(
        self, field: ByField, block: Block, rows: npt.NDArray[np.intp], first: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32]]:
        """The rows by partition, and how many each has."""
        partitions = self._orders.places.partitions
        features = field.features(block)[rows]
        of_field = np.append(field.partitions, np.int16(-1))[features]
        target = np.where(of_field >= 0, of_field, (first + rows) % partitions)
        counts = np.bincount(target, minlength=partitions).astype(np.int32)
        return rows[np.argsort(target, kind="stable")], counts

    def _batch(self, dealt: Block, sizes: npt.NDArray[np.int32], number: int) -> pa.RecordBatch:
        """A row for each bundle; ``dealt`` has the rows of all chunks in their order, of each so many."""
        bundles = self._orders.places.bundles()
        ends = np.cumsum([len(bundle) for bundle in bundles])
        parts = np.split(sizes, ends[:-1])
        row_ends = np.cumsum(sizes, dtype=np.int64)[ends - 1]
        runs = dealt.runs_to_bytes(row_ends)
        some = np.flatnonzero(np.diff(row_ends, prepend=0)).tolist()
        columns = {
            "key": [self._orders.keys[i] for i in some],
            "partition": [bundles[i][0][0] for i in some],
            "part": [bundles[i][0][1] for i in some],
            "source": [self._source] * len(some),
            "number": [number] * len(some),
            "sizes": [parts[i].tobytes() if parts[i].size > 1 else b"" for i in some],
            "data": [runs[i] for i in some],
        }
        return pa.RecordBatch.from_pydict(columns, schema=DEALT)


def dealt_rows(blocks: DataFrame, orders: Deal) -> DataFrame:
    """The pieces of all bundles (partition, part, sizes, data), hash-partitioned by their keys and in a fixed order; of
    blocks whose sources are in one partition each.
    """
    dealt = blocks.mapInArrow(partial(deal, orders=orders), DEALT_DDL)
    ordered = dealt.repartition(len(set(orders.keys)), "key").sortWithinPartitions(
        "partition", "part", "source", "number"
    )
    return ordered.select("partition", "part", "sizes", "data")
