"""What an executor does in a round: train its unit, and say what changed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.block import NO_FLAGS, Block
from spark_fm.core.dictionary import Dictionary
from spark_fm.core.growing import Growing
from spark_fm.core.local import START_SAMPLE, measure, scaled, train_pass
from spark_fm.core.merge import Coupling, contributions, intercept_contributions
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan, Totals
from spark_fm.engine.process import task
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


@dataclass(frozen=True)
class Fixed:
    """What stays the same for a whole run: sent once. ``run`` names it for the workers' cache."""

    run: str
    features: npt.NDArray[np.int64]
    inverse_scale: FloatArray | None


@dataclass(frozen=True)
class Moving:
    """The parameters that a round starts from."""

    table: FloatArray
    intercept: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """One round's orders, small enough to travel with the task."""

    fixed: Shipped[Fixed]
    moving: Shipped[Moving]
    plan: Plan
    settings: Settings
    scale: Scale
    coupling: Coupling
    shards: int
    shard_size: int
    all_rows: bool
    most_rows: int | None = None


# The last run's dictionary of this worker process: building it costs as much as a fifth of a round.
_dictionaries: dict[str, Dictionary] = {}


def _positions(fixed: Fixed, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    if fixed.run not in _dictionaries:
        _dictionaries.clear()
        _dictionaries[fixed.run] = Dictionary(fixed.features)
    return _dictionaries[fixed.run].locate(ids)


@dataclass
class Unit:
    """The state of one unit while its blocks stream by."""

    fixed: Fixed
    moving: Moving
    intercept: npt.NDArray[np.float64]
    positions: Growing[np.int32]
    before: Growing[np.float32]
    after: Growing[np.float32]
    inverse_scale: Growing[np.float32]
    start: Totals = field(default_factory=Totals)
    train: Totals = field(default_factory=Totals)
    validation: Totals = field(default_factory=Totals)
    seconds: float = 0.0

    @classmethod
    def of(cls, fixed: Fixed, moving: Moving) -> "Unit":
        """An empty unit at the round's initial parameters."""
        rows = (0, moving.table.shape[1])
        return cls(
            fixed,
            moving,
            moving.intercept.copy(),
            Growing(np.empty(0, np.int32)),
            Growing(np.empty(rows, np.float32)),
            Growing(np.empty(rows, np.float32)),
            Growing(np.empty(0, np.float32)),
        )

    def extend(self, ids: npt.NDArray[np.int64]) -> None:
        """Fetch the parameters of the ids that a block adds to the unit's dictionary."""
        if not ids.size:
            return
        positions = _positions(self.fixed, ids)
        rows = self.moving.table[positions]
        self.positions.append(positions)
        self.before.append(rows)
        self.after.append(rows)
        if self.fixed.inverse_scale is not None:
            self.inverse_scale.append(self.fixed.inverse_scale[positions])

    def visit(self, block: Block, number: int, partition: int, orders: Round) -> None:
        """Measure and train one block."""
        plan, settings = orders.plan, orders.settings
        self.extend(block.features)
        inverse = None if self.fixed.inverse_scale is None else self.inverse_scale.view
        block = scaled(block, orders.scale, inverse)
        if orders.all_rows:
            block = replace(block, validation=NO_FLAGS)
        everything = np.arange(block.rows, dtype=np.int32)
        training = everything[~block.validation] if block.validation.size else everything
        w0 = float(self.moving.intercept[0])
        if block.validation.size and plan.part == 0:
            held = everything[block.validation]
            self.validation += measure(self.before.view, w0, block, held, settings.loss)
        if self.start.rows == 0:
            sample = training[:START_SAMPLE]
            self.start += measure(self.before.view, w0, block, sample, settings.loss)
        if not plan.train:
            return
        if orders.most_rows is not None:
            training = training[: max(0, orders.most_rows - self.train.rows)]
        if not training.size:
            return
        started = time.perf_counter()
        random = np.random.default_rng([settings.seed, plan.number, plan.part, partition, number])
        self.train += train_pass(self.after.view, self.intercept, block, training, plan, settings, random)
        self.seconds += time.perf_counter() - started

    def updates(self, partition: int, orders: Round) -> Iterator[pa.RecordBatch]:
        """The totals, and the contributions to the merge split into shards of positions."""
        totals = np.concatenate(
            [
                intercept_contributions(self.moving.intercept, self.intercept, orders.coupling),
                [self.start.loss, self.start.weight, self.start.rows],
                [self.train.loss, self.train.weight, self.train.rows],
                [self.validation.loss, self.validation.weight, self.validation.rows],
                [self.seconds],
            ]
        )
        row: dict[str, object] = {"partition": partition, "shard": TOTALS_SHARD}
        yield pa.RecordBatch.from_pylist([row | {"totals": totals.tobytes()}], schema=UPDATES)
        if not self.train.rows:
            return
        sums = contributions(self.before.view, self.after.view, orders.coupling)
        everywhere = self.positions.view
        shard_of = everywhere // orders.shard_size
        for shard in range(orders.shards):
            mine = np.flatnonzero(shard_of == shard) if orders.shards > 1 else slice(None)
            positions = everywhere[mine]
            if positions.size:
                row = {
                    "partition": partition,
                    "shard": shard,
                    "positions": positions.tobytes(),
                    "sums": sums[mine].tobytes(),
                }
                yield pa.RecordBatch.from_pylist([row], schema=UPDATES)


@task
def run_round(batches: Iterator[pa.RecordBatch], orders: Round) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function of a round: train the partition's unit, block by block."""
    unit: Unit | None = None
    partition = 0
    for batch in batches:
        partitions, numbers = batch.column("partition"), batch.column("number")
        for i, data in enumerate(batch.column("data")):
            if unit is None:
                partition = partitions[i].as_py()
                unit = Unit.of(orders.fixed.get(), orders.moving.get())
            unit.visit(Block.from_buffer(data.as_buffer()), numbers[i].as_py(), partition, orders)
    if unit is not None:
        yield from unit.updates(partition, orders)
