"""Sampling that one core does: whole chains, each in a Spark task of its own that has all rows."""

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.in_memory import sample_in_memory
from spark_fm.core.solver.gibbs.samples import Samples, joined
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.hashing import ints_by_partition
from spark_fm.engine.cluster.worker_process import RefusedError, task
from spark_fm.engine.packing.census import Census
from spark_fm.engine.training.gathered import gathered

BYTES_A_ROW = 2**24
SAMPLED_DDL = "chain int, name string, number int, kind string, shape string, data binary"
SAMPLED = pa.schema(
    [
        ("chain", pa.int32()),
        ("name", pa.string()),
        ("number", pa.int32()),
        ("kind", pa.string()),
        ("shape", pa.string()),
        ("data", pa.binary()),
    ]
)
SCALING = ("mean", "inverse")
COUNTED = ("ids", "counts", "means", "spreads", "weights")


class Sampled(NamedTuple):
    """Samples, and in the order of their features the units of training and what was counted of them; whether somebody
    ``stopped`` the sampling.
    """

    samples: Samples
    scaling: FeatureScaling
    counted: FeatureCounts
    stopped: bool = False


@task
def sample_all(
    batches: Iterator[pa.RecordBatch], init: Shipped[ParameterInit], counted: Census, chains: int
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: everything into memory, sample, return the samples' arrays in pieces.

    Raises
    ------
    InputChangedError
        When the blocks are not those that were ``counted``.
    RefusedError
        When they can't be sampled.
    """
    chain = 0

    def watched() -> Iterator[pa.RecordBatch]:
        nonlocal chain
        for batch in batches:
            if batch.num_rows:
                chain = batch.column("chain")[0].as_py()
            yield batch

    found = gathered(watched(), counted)
    if found is None:
        return
    block, features = found
    scaling = FeatureScaling.of(features, block.training_weight, init.get().settings.centres)
    try:
        samples = sample_in_memory(block, init.get(), features, chain, chains)
    except (ValueError, FloatingPointError) as error:
        raise RefusedError(str(error)) from error
    arrays = {one.name: np.asarray(getattr(samples, one.name)) for one in fields(Samples)}
    if chain == 0:
        arrays |= {name: getattr(scaling, name) for name in SCALING}
        arrays |= {name: getattr(features, name) for name in COUNTED}
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        for number, first in enumerate(range(0, max(1, len(data)), BYTES_A_ROW)):
            row = {
                "chain": chain,
                "name": name,
                "number": number,
                "kind": array.dtype.str,
                "shape": ",".join(map(str, array.shape)),
                "data": data[first : first + BYTES_A_ROW],
            }
            yield pa.RecordBatch.from_pylist([row], schema=SAMPLED)


def sample_in_tasks(
    blocks: DataFrame,
    init: Shipped[ParameterInit],
    counted: Census,
    chains: int,
    factor_size: int,
    weight_of_row: float,
) -> Sampled:
    """Each chain in a task of a single job; their mean has at most so many factors. Rows of the given weight count as
    one row.
    """
    if chains == 1:
        spread = blocks.withColumn("chain", F.lit(0)).coalesce(1)
    else:
        keys = F.array(*map(F.lit, ints_by_partition(chains)))
        every = blocks.select("*", F.posexplode(keys).alias("chain", "key"))
        spread = every.repartition(chains, "key").select("source", "number", "data", "chain")
    sampled = spread.mapInArrow(partial(sample_all, init=init, counted=counted, chains=chains), SAMPLED_DDL)
    by_chain: dict[int, dict[str, npt.NDArray[Any]]] = {}
    rows = sorted(collect(sampled), key=lambda row: (row["chain"], row["name"], row["number"]))
    whole: dict[tuple[int, str], list[Any]] = {}
    for row in rows:
        whole.setdefault((row["chain"], row["name"]), []).append(row)
    for (chain, name), pieces in whole.items():
        data = b"".join(bytes(piece["data"]) for piece in pieces)
        shape = tuple(int(size) for size in pieces[0]["shape"].split(",") if size)
        by_chain.setdefault(chain, {})[name] = np.frombuffer(data, pieces[0]["kind"]).reshape(shape)
    first = by_chain[0]
    scaling = FeatureScaling(
        first["mean"], first["inverse"], np.flatnonzero(first["mean"]).astype(np.int32), 0.0
    )
    features = FeatureCounts(*(first[name] for name in COUNTED))
    made = [
        _samples({one.name: arrays[one.name] for one in fields(Samples)})
        for _, arrays in sorted(by_chain.items())
    ]
    return Sampled(joined(made, features.weights / weight_of_row, factor_size), scaling, features)


def _samples(arrays: dict[str, Any]) -> Samples:
    return Samples(**arrays | {"intercept": float(arrays["intercept"])})
