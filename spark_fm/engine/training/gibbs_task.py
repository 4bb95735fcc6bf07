"""Sampling that one core does: whole chains, each in a Spark task of its own that has all rows."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.in_memory import refit_in_memory, sample_in_memory
from spark_fm.core.solver.gibbs.samples import Samples, joined
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.hashing import ints_by_partition
from spark_fm.engine.cluster.worker_process import RefusedError, task
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.gathered import gathered

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

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
MEAN = ("linear", "factors", "intercept")


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
    with _refusing():
        samples = sample_in_memory(block, init.get(), features, chain, chains)
    arrays = {one.name: np.asarray(getattr(samples, one.name)) for one in fields(Samples)}
    if chain == 0:
        arrays |= {name: getattr(scaling, name) for name in SCALING}
        arrays |= {name: getattr(features, name) for name in COUNTED}
    yield from _pieces(chain, arrays)


@task
def refit_all(
    batches: Iterator[pa.RecordBatch],
    init: Shipped[ParameterInit],
    counted: Census,
    samples: Shipped[Samples],
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: everything into memory, refit the mean of all chains, return its arrays in pieces.

    Raises
    ------
    InputChangedError, RefusedError
        As of :func:`sample_all`.
    """
    found = gathered(batches, counted)
    if found is None:
        return
    block, features = found
    with _refusing():
        made = refit_in_memory(block, init.get(), features, samples.get())
    yield from _pieces(0, {name: np.asarray(getattr(made, name)) for name in MEAN})


@contextmanager
def _refusing() -> Iterator[None]:
    """What the sampler refuses, as an executor tells the driver."""
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        raise RefusedError(str(error)) from error


def _pieces(chain: int, arrays: Arrays) -> Iterator[pa.RecordBatch]:
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
    packed: PackedData, init: Shipped[ParameterInit], chains: int, factor_size: int, weight_of_row: float
) -> Sampled:
    """Each chain in a task of a single job; their mean has at most so many factors, refitted in a task of its own
    where there are several. Rows of the given weight count as one row.
    """
    blocks, counted = packed.blocks, packed.statistics.census
    if chains == 1:
        spread = blocks.withColumn("chain", F.lit(0)).coalesce(1)
    else:
        keys = F.array(*map(F.lit, ints_by_partition(chains)))
        every = blocks.select("*", F.posexplode(keys).alias("chain", "key"))
        spread = every.repartition(chains, "key").select("source", "number", "data", "chain")
    by_chain = _collected(spread, partial(sample_all, init=init, counted=counted, chains=chains))
    first = by_chain[0]
    scaling = FeatureScaling(
        first["mean"], first["inverse"], np.flatnonzero(first["mean"]).astype(np.int32), 0.0
    )
    features = FeatureCounts(*(first[name] for name in COUNTED))
    names = {one.name for one in fields(Samples)}
    made = [Samples(**_with_number(arrays, names)) for _, arrays in sorted(by_chain.items())]
    samples = joined(made, features.weights / weight_of_row, factor_size)
    if chains > 1 and samples.scores.size:
        shipped = ship(packed.spark, samples.without_draws())
        try:
            refit = partial(refit_all, init=init, counted=counted, samples=shipped)
            samples = replace(samples, **_with_number(_collected(blocks.coalesce(1), refit)[0], MEAN))
        finally:
            shipped.release()
    return Sampled(samples, scaling, features)


def _collected(blocks: DataFrame, function: Callable[..., Iterator[pa.RecordBatch]]) -> dict[int, Arrays]:
    """What a function of this module says, chain by chain."""
    rows = sorted(
        collect(blocks.mapInArrow(function, SAMPLED_DDL)),
        key=lambda row: (row["chain"], row["name"], row["number"]),
    )
    by_chain: dict[int, Arrays] = {}
    for (chain, name), found in groupby(rows, key=lambda row: (row["chain"], row["name"])):
        pieces = list(found)
        data = b"".join(bytes(piece["data"]) for piece in pieces)
        shape = tuple(int(size) for size in pieces[0]["shape"].split(",") if size)
        by_chain.setdefault(chain, {})[name] = np.frombuffer(data, pieces[0]["kind"]).reshape(shape)
    return by_chain


def _with_number(arrays: Arrays, names: Collection[str]) -> dict[str, Any]:
    """Attributes of samples, of which the intercept is a number."""
    return {name: arrays[name] for name in names} | {"intercept": float(arrays["intercept"])}
