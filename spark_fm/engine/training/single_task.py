"""Training that one core does in about a second: all epochs in a single Spark task."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.settings import Prior
from spark_fm.core.fm.table import Parameters, columns_of
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.in_memory import fit_in_memory
from spark_fm.core.solver.plan import Epoch, Outcome
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.census import Census
from spark_fm.engine.training.gathered import gathered

ROWS_A_CHUNK = 2**18

ARRAYS = ("features", "table", "mean", "inverse", "counts", "means", "spreads", "weights")
TRAINED_DDL = "number int, outcome string, " + ", ".join(f"{name} binary" for name in ARRAYS)
TRAINED = pa.schema(
    [("number", pa.int32()), ("outcome", pa.string())] + [(name, pa.binary()) for name in ARRAYS]
)


@task
def train_all(
    batches: Iterator[pa.RecordBatch],
    init: Shipped[ParameterInit],
    counted: Census,
    validation_fraction: float,
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: everything into memory, train, return model and history in chunks.

    Raises
    ------
    InputChangedError
        When the blocks are not those that were ``counted``.
    """
    found = gathered(batches, counted)
    if found is None:
        return
    whole, features = found
    outcome = fit_in_memory(whole, init.get(), features, validation_fraction)
    scaling = FeatureScaling.of(features, whole.training_weight, init.get().settings.centres)
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
        features.counts, features.means, features.spreads, features.weights,
    )  # fmt: skip
    for number, first in enumerate(range(0, max(1, trained.features.size), ROWS_A_CHUNK)):
        chunk = slice(first, first + ROWS_A_CHUNK)
        row: dict[str, object] = {"number": number, "outcome": json.dumps(summary)}
        row |= {name: array[chunk].tobytes() for name, array in zip(ARRAYS, arrays, strict=True)}
        yield pa.RecordBatch.from_pylist([row], schema=TRAINED)


def train_in_one_task(
    blocks: DataFrame,
    init: Shipped[ParameterInit],
    factor_size: int,
    counted: Census,
    validation_fraction: float,
) -> tuple[Outcome[Parameters], FeatureScaling, FeatureCounts]:
    """Train in a single task of a single job.

    Returns
    -------
    The outcome, and in the order of its features their units of training and what was counted of them.
    """
    trained = blocks.coalesce(1).mapInArrow(
        partial(
            train_all,
            init=init,
            counted=counted,
            validation_fraction=validation_fraction,
        ),
        TRAINED_DDL,
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
    mean, inverse, *counted_arrays = (
        np.concatenate([np.frombuffer(row[name]) for row in rows]) for name in ARRAYS[2:]
    )
    scaling = FeatureScaling(mean, inverse, np.flatnonzero(mean).astype(np.int32), 0.0)
    return outcome, scaling, FeatureCounts(features, *counted_arrays)
