"""Training that one core does in about a second: all epochs in a single Spark task."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.settings import Prior
from spark_fm.core.fm.table import Parameters, columns_of
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.plan import Epoch, Outcome
from spark_fm.core.sparse.block import NO_FEATURES, Block, concatenate
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.census import Census, InputChangedError
from spark_fm.engine.packing.vocabulary import Counter

ROWS_A_CHUNK = 2**18

Solve = Callable[[Block, ParameterInit, FeatureCounts], Outcome[Parameters]]

ARRAYS = ("features", "table", "mean", "inverse", "counts", "means", "spreads")
TRAINED_DDL = "number int, outcome string, " + ", ".join(f"{name} binary" for name in ARRAYS)
TRAINED = pa.schema(
    [("number", pa.int32()), ("outcome", pa.string())] + [(name, pa.binary()) for name in ARRAYS]
)


@task
def train_all(
    batches: Iterator[pa.RecordBatch],
    init: Shipped[ParameterInit],
    counted: Census,
    solve: Solve,
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: everything into memory, train, return model and history in chunks.

    ``solve`` gets the block of all rows, whose indices are positions of the features that it gets too.

    Raises
    ------
    InputChangedError
        When the blocks are not those that were ``counted``.
    """
    found: list[tuple[int, int, Block]] = []
    for batch in batches:
        sources, numbers = batch.column("source"), batch.column("number")
        for i, data in enumerate(batch.column("data")):
            block = Block.from_buffer(data.as_buffer())
            found.append((sources[i].as_py(), numbers[i].as_py(), block))
    sum((Census.of(block) for _, _, block in found), Census()).check(counted, "")
    if not found:
        return
    if len({block[:2] for block in found}) < len(found):
        raise InputChangedError("found two blocks of the same place")
    # The order must not depend on which block came first.
    whole, features = _joined([(source, b) for source, _, b in sorted(found, key=lambda f: f[:2])])
    outcome = solve(whole, init.get(), features)
    training_rows = whole.rows - int(whole.validation.sum())
    scaling = FeatureScaling.of(features, training_rows, init.get().settings.centres)
    trained = outcome.state
    summary = {
        "history": [asdict(epoch) for epoch in outcome.history],
        "intercept": list(trained.intercept),
        "best_epoch": outcome.best_epoch,
        "stop_reason": outcome.stop_reason,
        "rollbacks": outcome.rollbacks,
        "prior": asdict(outcome.prior),
        "loss": outcome.loss,
        "first_loss": outcome.first_loss,
    }
    arrays: tuple[npt.NDArray[Any], ...] = (
        trained.features, trained.table, scaling.mean, scaling.inverse,
        features.counts, features.means, features.spreads,
    )  # fmt: skip
    for number, first in enumerate(range(0, max(1, trained.features.size), ROWS_A_CHUNK)):
        chunk = slice(first, first + ROWS_A_CHUNK)
        row: dict[str, object] = {"number": number, "outcome": json.dumps(summary)}
        row |= {name: array[chunk].tobytes() for name, array in zip(ARRAYS, arrays, strict=True)}
        yield pa.RecordBatch.from_pylist([row], schema=TRAINED)


def _joined(blocks: list[tuple[int, Block]]) -> tuple[Block, FeatureCounts]:
    """The blocks of all source partitions as one, with one dictionary, and the counts of its features."""
    counter, pieces = Counter(), list[Block]()
    last, known = -1, np.empty(0, np.int32)
    for source, block in blocks:
        if source != last:
            last, known = source, np.empty(0, np.int32)
        known = np.concatenate([known, counter.dictionary.encode(block.features)])
        piece = replace(block, indices=known[block.indices], features=NO_FEATURES)
        counter.count(piece)
        pieces.append(piece)
    counted = counter.result()
    return concatenate(pieces), counted


def train_in_one_task(
    packed: DataFrame,
    init: Shipped[ParameterInit],
    factor_size: int,
    counted: Census,
    solve: Solve,
) -> tuple[Outcome[Parameters], FeatureScaling, FeatureCounts]:
    """Train in a single task of a single job, see :func:`train_all`.

    Returns
    -------
    The outcome, and in the order of its features their units of training and what was counted of them.
    """
    trained = (
        packed.where(F.col("data").isNotNull())
        .select("source", "number", "data")
        .coalesce(1)
        .mapInArrow(
            partial(
                train_all,
                init=init,
                counted=counted,
                solve=solve,
            ),
            TRAINED_DDL,
        )
    )
    rows = sorted(collect(trained), key=lambda row: row["number"])
    summary = json.loads(rows[0]["outcome"])
    features = np.concatenate([np.frombuffer(row["features"], np.int64) for row in rows])
    table = np.concatenate([np.frombuffer(row["table"], np.float32) for row in rows])
    parameters = Parameters(
        features,
        table.reshape(features.size, columns_of(factor_size)),
        np.array(summary["intercept"]),
        factor_size,
    )
    outcome = Outcome(
        parameters,
        summary["best_epoch"],
        [Epoch(**epoch) for epoch in summary["history"]],
        summary["stop_reason"],
        summary["rollbacks"],
        Prior(**summary["prior"]),
        summary["loss"],
        summary["first_loss"],
    )
    mean, inverse, counts, means, spreads = (
        np.concatenate([np.frombuffer(row[name]) for row in rows]) for name in ARRAYS[2:]
    )
    scaling = FeatureScaling(mean, inverse, np.flatnonzero(mean).astype(np.int32), 0.0)
    return outcome, scaling, FeatureCounts(features, counts, means, spreads)
