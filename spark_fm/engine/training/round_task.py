"""What an executor does in a round: train its chunk, and say what changed."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from itertools import groupby
from operator import itemgetter
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.fm.constraints import Constraints
from spark_fm.core.fm.level import Level
from spark_fm.core.fm.measure import Totals, measure_typical
from spark_fm.core.fm.quantized import QuantizedTable
from spark_fm.core.fm.scaling import scaled
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import layout_of
from spark_fm.core.solver.adagrad.merge import Coupling, contributions, intercept_contributions
from spark_fm.core.solver.adagrad.visit import train_pass
from spark_fm.core.solver.plan import Plan
from spark_fm.core.sparse.block import Block
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.worker_process import table_of, task
from spark_fm.engine.packing.arrow import binary_array
from spark_fm.engine.packing.census import Census

UPDATES_DDL = "partition int, shard int, positions binary, sums binary, totals binary"
UPDATES = pa.schema(
    [
        ("partition", pa.int32()),
        ("shard", pa.int32()),
        ("positions", pa.binary()),
        ("sums", pa.binary()),
        ("totals", pa.binary()),
    ]
)
TOTALS_SHARD = -1
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
PositionArray = npt.NDArray[np.int32]
RowArray = npt.NDArray[np.uint16]

# What a task spends its time with, in the order in which a chunk's totals have the seconds.
PHASES = ("parameters in", "blocks in", "kernel", "updates")


@dataclass(frozen=True)
class StaticBroadcast:
    """What stays the same for a whole run: sent once.

    ``feature_penalties`` are float32 (m,), those of the table; ``constraints`` those of its features, if any.
    """

    feature_penalties: FloatArray
    constraints: Constraints | None = None


@dataclass(frozen=True)
class ParameterBroadcast:
    """The parameters that a round starts from."""

    rounded: QuantizedTable
    intercept: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """One round's orders, small enough to travel with the task.

    The table has so many ``features``, a shard the rows of ``shard_size``; chunks of a part from
    ``validation_part`` on have validation rows, which are only measured.
    """

    static: Shipped[StaticBroadcast]
    parameters: Shipped[ParameterBroadcast]
    plan: Plan
    settings: Settings
    scale: Scale
    coupling: Coupling
    features: int
    shard_size: int
    validation_part: int
    most_rows: int | None = None


class Clock:
    """Adds up seconds by phase."""

    def __init__(self) -> None:
        self.seconds = np.zeros(len(PHASES))
        self._since = perf_counter()

    def spent(self, phase: str) -> None:
        """The time since the last call was spent with ``phase``."""
        now = perf_counter()
        self.seconds[PHASES.index(phase)] += now - self._since
        self._since = now


@dataclass(frozen=True)
class ChunkTotals:
    """What a chunk tells besides the rows of its table; adds up over the chunks.

    Attributes
    ----------
    intercept : float64 (3,), the contributions of w0
    census : what the chunk has
    start, train : see :class:`spark_fm.core.solver.loop.Result`
    seconds : float64, by phase
    centre : float64 (K' + 3,), see :mod:`spark_fm.core.solver.adagrad.merge`
    validation : float64, the sums of the validation metric; empty where no row was measured
    """

    intercept: DoubleArray
    census: Census
    start: Totals
    train: Totals
    seconds: DoubleArray
    centre: DoubleArray
    validation: DoubleArray

    @classmethod
    def none(cls, width: int) -> "ChunkTotals":
        """Nothing, of tables of so many (padded) factors."""
        return cls(
            np.zeros(3), Census(), Totals(), Totals(), np.zeros(len(PHASES)), np.zeros(width + 3), np.empty(0)
        )

    @classmethod
    def of(cls, numbers: DoubleArray, width: int) -> "ChunkTotals":
        """The inverse of :meth:`numbers`, of tables of so many (padded) factors."""
        intercept, counted, losses, seconds, centre, validation = np.split(
            numbers, np.cumsum([3, 4, 6, len(PHASES), width + 3])
        )
        start, train = (Totals(loss, by, int(rows)) for loss, by, rows in losses.reshape(2, 3).tolist())
        return cls(intercept, Census(*map(int, counted)), start, train, seconds, centre, validation)

    def numbers(self) -> DoubleArray:
        """All of it in one float64 array."""
        losses = [[one.loss, one.weight, one.rows] for one in (self.start, self.train)]
        return np.concatenate(
            [
                self.intercept,
                astuple(self.census),
                np.ravel(losses),
                self.seconds,
                self.centre,
                self.validation,
            ]
        )

    def __add__(self, other: "ChunkTotals") -> "ChunkTotals":
        return ChunkTotals(
            self.intercept + other.intercept,
            self.census + other.census,
            self.start + other.start,
            self.train + other.train,
            self.seconds + other.seconds,
            self.centre + other.centre,
            _added(self.validation, other.validation),
        )


def _added(one: DoubleArray, other: DoubleArray) -> DoubleArray:
    """The sum of sums, of which either may be of no rows."""
    return one + other if one.size and other.size else one if one.size else other


def updates_batch(partition: int, shard: int, positions: RowArray, sums: FloatArray) -> pa.RecordBatch:
    """One row of updates: what changed in the shard's rows ``positions``; no array is copied."""
    columns = [pa.array([n], pa.int32()) for n in (partition, shard)]
    columns += [binary_array(array) for array in (positions, sums)]
    return pa.RecordBatch.from_arrays([*columns, pa.nulls(1, pa.binary())], schema=UPDATES)


@dataclass
class ChunkState:
    """The state of one chunk while its blocks stream by.

    ``positions`` are the rows of the round's table that the chunk uses, ascending, or None for all of them.
    """

    parameters: ParameterBroadcast
    positions: PositionArray | None
    before: FloatArray
    after: FloatArray
    intercept: npt.NDArray[np.float64]
    is_trained: bool
    clock: Clock
    constraints: Constraints | None = None
    census: Census = field(default_factory=Census)
    start: Totals = field(default_factory=Totals)
    train: Totals = field(default_factory=Totals)
    validation: DoubleArray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, features: npt.NDArray[np.int64], part: int, orders: Round, clock: Clock) -> "ChunkState":
        """A chunk at the round's initial parameters, from its dictionary."""
        static, parameters = orders.static.get(), orders.parameters.get()
        positions = features.astype(np.int32) if features.size else None
        shape = (orders.features if positions is None else positions.size, orders.settings.factor_size)
        before = table_of("before", *shape)
        parameters.rounded.restore(static.feature_penalties, positions, before)
        after = before
        is_trained = orders.plan.train and part < orders.validation_part
        if is_trained:
            after = table_of("after", *shape)
            np.copyto(after, before)
        constraints = static.constraints and static.constraints.take(positions)
        chunk = cls(
            parameters, positions, before, after, parameters.intercept.copy(), is_trained, clock, constraints
        )  # fmt: skip
        clock.spent("parameters in")
        return chunk

    def visit(self, block: Block, number: int, chunk: tuple[int, int], orders: Round) -> None:
        """Measure and train one block."""
        plan, settings = orders.plan, orders.settings
        self.census += Census.of(block)
        block = scaled(block, orders.scale)
        rows = np.arange(block.rows, dtype=np.int32)
        w0 = float(self.parameters.intercept[0])
        if chunk[1] >= orders.validation_part:
            found = settings.validation_metric.measure(self.before, w0, block, rows, settings.loss)
            self.validation = _added(self.validation, found)
            return
        if self.start.rows == 0:
            self.start += measure_typical(self.before, w0, block, rows, settings.loss)
        if orders.most_rows is not None:
            rows = rows[: max(0, orders.most_rows - self.train.rows)]
        if not self.is_trained or not rows.size:
            return
        random = np.random.default_rng([settings.seed, plan.number, plan.part, chunk[0], number])
        self.train += train_pass(
            self.after, self.intercept, block, rows, plan, settings, random, orders.scale.mean_squared_norm,
            self.constraints,
        )  # fmt: skip

    def updates(self, partition: int, orders: Round) -> Iterator[pa.RecordBatch]:
        """The contributions to the merge, a shard of the table at a time, then the totals."""
        weighted = orders.scale.weighted
        centre = np.zeros(layout_of(self.before).factors + 3)
        if self.train.rows:
            size = orders.shard_size
            rows = self.before.shape[0]
            last = rows if self.positions is None else int(self.positions[-1]) + 1
            for shard, first in enumerate(range(0, last, size)):
                start, stop = first, min(first + size, rows)
                if self.positions is not None:
                    start, stop = np.searchsorted(self.positions, (first, first + size))
                touched, sums, moved = contributions(
                    self.before[start:stop], self.after[start:stop], orders.coupling, weighted
                )
                centre += moved
                positions = touched if self.positions is None else self.positions[touched + start] - first
                self.clock.spent("updates")
                if positions.size:
                    yield updates_batch(partition, shard, positions.astype(np.uint16), sums)
        intercept = intercept_contributions(
            self.parameters.intercept, self.intercept, orders.coupling, weighted
        )
        totals = ChunkTotals(
            intercept, self.census, self.start, self.train, self.clock.seconds, centre, self.validation
        )  # fmt: skip
        row = {"partition": partition, "shard": TOTALS_SHARD, "totals": totals.numbers().tobytes()}
        yield pa.RecordBatch.from_pylist([row], schema=UPDATES)


def _chunks(
    batches: Iterator[pa.RecordBatch], clock: Clock
) -> Iterator[tuple[tuple[int, int], Iterator[tuple[int, Block]]]]:
    """The chunks of a task, one after the other, with their blocks' numbers and blocks."""

    def blocks() -> Iterator[tuple[tuple[int, int], int, Block]]:
        for batch in batches:
            partitions, parts, numbers = (batch.column(name) for name in ("partition", "part", "number"))
            for i, data in enumerate(batch.column("data")):
                block = Block.from_buffer(data.as_buffer())
                clock.spent("blocks in")
                yield (partitions[i].as_py(), parts[i].as_py()), numbers[i].as_py(), block

    for chunk, rows in groupby(blocks(), key=itemgetter(0)):
        yield chunk, ((number, block) for _, number, block in rows)


@task
def run_round(batches: Iterator[pa.RecordBatch], orders: Round) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function of a round: train the partition's chunk, block by block, or measure validation rows."""
    clock = Clock()
    for chunk, blocks in _chunks(batches, clock):
        state: ChunkState | None = None
        for number, block in blocks:
            if state is None:
                state = ChunkState.of(block.features, chunk[1], orders, clock)
            state.visit(block, number, chunk, orders)
            clock.spent("kernel")
        if state is not None:
            yield from state.updates(chunk[0], orders)
        clock = Clock()


@task
def measure_level(batches: Iterator[pa.RecordBatch], orders: Round) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function that sums up the level of the predictions: a row of totals for each chunk."""
    for chunk, blocks in _chunks(batches, Clock()):
        state: ChunkState | None = None
        level, census = Level.none(orders.settings.loss), Census()
        for _, block in blocks:
            if state is None:
                state = ChunkState.of(block.features, orders.validation_part, orders, Clock())
            census += Census.of(block)
            block = scaled(block, orders.scale)
            rows = np.arange(block.rows, dtype=np.int32)
            w0 = float(state.parameters.intercept[0])
            level += Level.of(state.before, w0, block, rows, orders.settings.loss)
        numbers = np.concatenate([astuple(census), level.numbers()])
        row = {"partition": chunk[0], "shard": chunk[1], "totals": numbers.tobytes()}
        yield pa.RecordBatch.from_pylist([row], schema=UPDATES)
