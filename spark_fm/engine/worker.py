"""What an executor does in a round: train its unit, and say what changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.block import NO_FLAGS, Block
from spark_fm.core.local import START_SAMPLE, measure, scaled, train_pass
from spark_fm.core.merge import Coupling, contributions, intercept_contributions
from spark_fm.core.rounded import Rounded
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan, Totals
from spark_fm.engine.arrow import binary_array
from spark_fm.engine.process import table_of, task
from spark_fm.engine.transport import Shipped

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

# What a task spends its time with, in the order in which a unit's totals have the seconds.
PHASES = ("parameters in", "blocks in", "kernel", "updates")


@dataclass(frozen=True)
class Fixed:
    """What stays the same for a whole run: sent once.

    ``own`` is the table's last column, the features' own penalties.
    """

    inverse_scale: FloatArray | None
    own: FloatArray


@dataclass(frozen=True)
class Moving:
    """The parameters that a round starts from."""

    rounded: Rounded
    intercept: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """One round's orders, small enough to travel with the task.

    The table has so many ``features``, the sums of one so many numbers (``width``), a shard the rows of ``shard_size``.
    """

    fixed: Shipped[Fixed]
    moving: Shipped[Moving]
    plan: Plan
    settings: Settings
    scale: Scale
    coupling: Coupling
    features: int
    width: int
    shard_size: int
    all_rows: bool
    most_rows: int | None = None

    @property
    def is_warm_up(self) -> bool:
        """Whether one partition alone trains, on its first ``most_rows`` rows."""
        return self.most_rows is not None


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
class UnitTotals:
    """What a unit tells besides the rows of its table; adds up over the units.

    Attributes
    ----------
    intercept : float64 (2,), the contributions of w0
    start, train, validation : see :class:`spark_fm.core.training.Result`
    seconds : float64, by phase
    centre : float64 (K' + 3,), see :mod:`spark_fm.core.merge`
    """

    intercept: DoubleArray
    start: Totals
    train: Totals
    validation: Totals
    seconds: DoubleArray
    centre: DoubleArray

    @classmethod
    def none(cls, width: int) -> "UnitTotals":
        """Nothing, of tables of which a row's sums are so wide."""
        return cls(np.zeros(2), Totals(), Totals(), Totals(), np.zeros(len(PHASES)), np.zeros(width))

    @classmethod
    def of(cls, numbers: DoubleArray) -> "UnitTotals":
        """The inverse of :meth:`numbers`."""
        intercept, losses, seconds, centre = np.split(numbers, np.cumsum([2, 9, len(PHASES)]))
        start, train, validation = (
            Totals(loss, by, int(rows)) for loss, by, rows in losses.reshape(3, 3).tolist()
        )
        return cls(intercept, start, train, validation, seconds, centre)

    def numbers(self) -> DoubleArray:
        """All of it in one float64 array."""
        losses = [[one.loss, one.weight, one.rows] for one in (self.start, self.train, self.validation)]
        return np.concatenate([self.intercept, np.ravel(losses), self.seconds, self.centre])

    def __add__(self, other: "UnitTotals") -> "UnitTotals":
        return UnitTotals(
            self.intercept + other.intercept,
            self.start + other.start,
            self.train + other.train,
            self.validation + other.validation,
            self.seconds + other.seconds,
            self.centre + other.centre,
        )


def updates_batch(partition: int, shard: int, positions: RowArray, sums: FloatArray) -> pa.RecordBatch:
    """One row of updates: what changed in the shard's rows ``positions``; no array is copied."""
    columns = [pa.array([n], pa.int32()) for n in (partition, shard)]
    columns += [binary_array(array) for array in (positions, sums)]
    return pa.RecordBatch.from_arrays([*columns, pa.nulls(1, pa.binary())], schema=UPDATES)


@dataclass
class Unit:
    """The state of one unit while its blocks stream by.

    ``positions`` are the rows of the round's table that the unit uses, ascending, or None for all of them.
    """

    moving: Moving
    positions: PositionArray | None
    before: FloatArray
    after: FloatArray
    intercept: npt.NDArray[np.float64]
    inverse_scale: FloatArray | None
    clock: Clock
    start: Totals = field(default_factory=Totals)
    train: Totals = field(default_factory=Totals)
    validation: Totals = field(default_factory=Totals)

    @classmethod
    def of(cls, features: npt.NDArray[np.int64], orders: Round, clock: Clock) -> "Unit":
        """A unit at the round's initial parameters, from its dictionary."""
        fixed, moving = orders.fixed.get(), orders.moving.get()
        positions = features.astype(np.int32) if features.size else None
        shape = (orders.features if positions is None else positions.size, orders.width + 1)
        before, inverse = table_of("before", *shape), fixed.inverse_scale
        moving.rounded.restore(fixed.own, positions, before)
        if positions is not None and inverse is not None:
            inverse = inverse[positions]
        after = before
        if orders.plan.train:
            after = table_of("after", *shape)
            np.copyto(after, before)
        unit = cls(moving, positions, before, after, moving.intercept.copy(), inverse, clock)
        clock.spent("parameters in")
        return unit

    def visit(self, block: Block, number: int, partition: int, orders: Round) -> None:
        """Measure and train one block."""
        plan, settings = orders.plan, orders.settings
        block = scaled(block, orders.scale, self.inverse_scale)
        if orders.all_rows:
            block = replace(block, validation=NO_FLAGS)
        everything = np.arange(block.rows, dtype=np.int32)
        training = everything[~block.validation] if block.validation.size else everything
        w0 = float(self.moving.intercept[0])
        if block.validation.size and plan.part == 0:
            held = everything[block.validation]
            self.validation += measure(self.before, w0, block, held, settings.loss)
        if self.start.rows == 0:
            sample = training[:START_SAMPLE]
            self.start += measure(self.before, w0, block, sample, settings.loss)
        if not plan.train:
            return
        if orders.most_rows is not None:
            training = training[: max(0, orders.most_rows - self.train.rows)]
        if not training.size:
            return
        random = np.random.default_rng([settings.seed, plan.number, plan.part, partition, number])
        self.train += train_pass(self.after, self.intercept, block, training, plan, settings, random)

    def updates(self, partition: int, orders: Round) -> Iterator[pa.RecordBatch]:
        """The contributions to the merge, a shard of the table at a time, then the totals."""
        centre = np.zeros(self.before.shape[1] - 1)
        if self.train.rows:
            size = orders.shard_size
            rows = self.before.shape[0]
            last = rows if self.positions is None else int(self.positions[-1]) + 1
            for shard, first in enumerate(range(0, last, size)):
                start, stop = first, min(first + size, rows)
                if self.positions is not None:
                    start, stop = np.searchsorted(self.positions, (first, first + size))
                touched, sums, moved = contributions(
                    self.before[start:stop], self.after[start:stop], orders.coupling
                )
                centre += moved
                positions = touched if self.positions is None else self.positions[touched + start] - first
                self.clock.spent("updates")
                if positions.size:
                    yield updates_batch(partition, shard, positions.astype(np.uint16), sums)
        intercept = intercept_contributions(self.moving.intercept, self.intercept, orders.coupling)
        totals = UnitTotals(intercept, self.start, self.train, self.validation, self.clock.seconds, centre)
        row = {"partition": partition, "shard": TOTALS_SHARD, "totals": totals.numbers().tobytes()}
        yield pa.RecordBatch.from_pylist([row], schema=UPDATES)


@task
def run_round(batches: Iterator[pa.RecordBatch], orders: Round) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function of a round: train the partition's unit, block by block."""
    unit: Unit | None = None
    partition = 0
    clock = Clock()
    for batch in batches:
        partitions, numbers = batch.column("partition"), batch.column("number")
        for i, data in enumerate(batch.column("data")):
            block = Block.from_buffer(data.as_buffer())
            clock.spent("blocks in")
            if unit is None:
                partition = partitions[i].as_py()
                unit = Unit.of(block.features, orders, clock)
            unit.visit(block, numbers[i].as_py(), partition, orders)
            clock.spent("kernel")
    if unit is not None:
        yield from unit.updates(partition, orders)
