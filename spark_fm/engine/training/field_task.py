"""What an executor does to draw a field: draw the features whose rows it has, or say what its rows sum up to."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.fm.scaling import scaled
from spark_fm.core.fm.settings import Scale
from spark_fm.core.solver.gibbs.grouped import GroupedRows, draw_groups, sum_groups
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.refit import held_out, refit_groups
from spark_fm.core.solver.gibbs.state import LEFT_THE_RANGE
from spark_fm.core.sparse.block import Block
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.worker_process import RefusedError, task
from spark_fm.engine.packing.census import Census
from spark_fm.engine.training.round_task import UPDATES

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]

NO_CLASS = -1


class FieldStatic(NamedTuple):
    """What stays the same for a whole run: int64 (m,) ids, and int16 (m,) the class that each feature is drawn in."""

    ids: LongArray
    classes: npt.NDArray[np.int16]


class FieldParameters(NamedTuple):
    """The sample to go on from: float64 (m, K + 1) w and v, and w0."""

    theta: DoubleArray
    intercept: float


class Refit(NamedTuple):
    """To refit to the scores of a model, float32 (m, columns + 1) w and v and an intercept; of the rows those that are
    held out, the ``judges``, or all others.
    """

    towards: Shipped[tuple[FloatArray, float]]
    judges: bool

    def rows(self, block: Block, ids: LongArray) -> Block:
        """The rows of a block that are asked for, with the scores as their labels."""
        some = block.take(np.flatnonzero(held_out(block, ids) == self.judges))
        return replace(some, label=predict(some, *self.towards.get()))


@dataclass(frozen=True)
class FieldRound:
    """The orders for a class of features that never meet; small enough to travel with the task.

    Without a ``prior`` (mean and strength, float64 (K + 1,) each) the rows are summed up and nothing is drawn. To
    ``refit`` draws nothing either: each feature's prior has its parameters so far as the mean.
    """

    static: Shipped[FieldStatic]
    parameters: Shipped[FieldParameters]
    scale: Scale
    number: int
    sweep: int
    seed: int
    noise: float
    prior: tuple[DoubleArray, DoubleArray] | None
    refit: Refit | None


def _chunks(batches: Iterator[pa.RecordBatch], scale: Scale) -> Iterator[tuple[int, int, Census, Block]]:
    for batch in batches:
        partitions, parts = batch.column("partition"), batch.column("part")
        for i, data in enumerate(batch.column("data")):
            block = Block.from_buffer(data.as_buffer())
            yield partitions[i].as_py(), parts[i].as_py(), Census.of(block), scaled(block, scale)


@task
def draw_field(batches: Iterator[pa.RecordBatch], orders: FieldRound) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: a row for each chunk.

    ``positions`` are those of the features that it met, ``sums`` their draws, or what their rows sum up to; ``totals``
    the sums of weights, residuals and squared residuals, and the census.

    Raises
    ------
    RefusedError
        When a conditional has no Cholesky decomposition.
    """
    static, parameters = orders.static.get(), orders.parameters.get()
    theta, d = parameters.theta, parameters.theta.shape[1]
    for partition, part, census, whole in _chunks(batches, orders.scale):
        block = whole if orders.refit is None else orders.refit.rows(whole, static.ids)
        rows = GroupedRows.of(block, static.classes, orders.number)
        features, totals = rows.positions.size, np.zeros(3)
        values = block.values.astype(np.float32, copy=False)
        indices = np.asarray(block.indices, np.int32)
        if orders.prior is not None:
            sums = np.empty((features, d))
            mean, strength = orders.prior
            if orders.refit is not None:
                done = refit_groups(
                    rows.order, rows.begins, rows.positions, block.indptr, indices, values, block.label,
                    block.weight, rows.entries, theta, parameters.intercept, strength, sums,
                )  # fmt: skip
            else:
                done = draw_groups(
                    rows.order, rows.begins, rows.positions, static.ids, block.indptr, indices, values, block.label,
                    block.weight, rows.entries, theta, parameters.intercept, mean, strength, orders.noise,
                    orders.seed, orders.sweep, sums, totals,
                )  # fmt: skip
            if not done:
                raise RefusedError(LEFT_THE_RANGE)
        else:
            precision, moment, reach = (
                np.zeros((features, d, d)),
                np.zeros((features, d)),
                np.zeros((features, d)),
            )
            sum_groups(
                rows.order, rows.begins, block.indptr, indices, values, block.label, block.weight,
                rows.entries, theta, parameters.intercept, precision, moment, reach, totals,
            )  # fmt: skip
            sums = np.concatenate([precision.reshape(features, d * d), moment, reach], axis=1)
        yield _row(partition, part, rows.positions.tobytes(), sums, np.concatenate([totals, astuple(census)]))


@task
def predict_rows(batches: Iterator[pa.RecordBatch], orders: FieldRound) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: scores, labels and weights of each chunk's rows, in the units of training."""
    parameters = orders.parameters.get()
    for partition, part, census, block in _chunks(batches, orders.scale):
        z = predict(block, parameters.theta, parameters.intercept)
        weight = block.weight if block.weight.size else np.ones(block.rows)
        sums = np.stack([z, block.label, weight.astype(np.float64)])
        yield _row(partition, part, b"", sums, np.concatenate([np.zeros(3), astuple(census)]))


def _row(
    partition: int, part: int, positions: bytes, sums: DoubleArray, totals: DoubleArray
) -> pa.RecordBatch:
    row = {
        "partition": partition,
        "shard": part,
        "positions": positions,
        "sums": sums.tobytes(),
        "totals": totals.tobytes(),
    }
    return pa.RecordBatch.from_pylist([row], schema=UPDATES)
