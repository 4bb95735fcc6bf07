"""Data sets by name, as Parquet in a cache folder: Spark and the single-machine peers read the same files.

=========================  ====================================================================================
sample                     the MovieLens sample that pyspark ships
ml-latest-small            MovieLens, where the data folder has ml-latest-small/ratings.csv
a9a                        UCI Adult in LIBSVM form, where the data folder has a9a/a9a and a9a/a9a.t
ctr-0.4M, ctr-2M, ...      that many rows of :func:`benchmarks.data.ctr_chunk`, 39 fields hashed into 2^20 features;
                           ctr-2M-24 into 2^24; ctr-2M-24-1.2 with the Zipf exponent 1.2 (most features occur)
context-0.4M, ...          that many rows of :func:`benchmarks.data.context_chunk`
=========================  ====================================================================================

A generated set is tested on the 50,000 rows of the chunk after its last one.
"""

import json
import multiprocessing
import os
import re
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.common import show
from benchmarks.data import Rows

Part = Literal["train", "test"]
Features = Literal["vector", "ids"]
_GENERATED = re.compile(r"(ctr|context)-([\d.]+)([kM])(?:-(\d+))?(?:-(1\.\d+))?")
_VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class DataSet:
    """A data set in the cache: folders ``train`` and ``test`` of Parquet with a label, ids, and the ids as vector.

    Attributes
    ----------
    path : its folder
    size : number of features, the size of the vectors
    binary : whether labels are classes 0 and 1 (the metric is log-loss) or numbers (RMSE)
    factor_size : factors of every model of a comparison
    rows, nonzeros : of the training part
    """

    path: str
    name: str
    size: int
    binary: bool
    factor_size: int
    rows: int
    nonzeros: int

    @property
    def generated(self) -> bool:
        """Whether the rows come from a generator; such sets are read from Parquet, others are cached by Spark."""
        return _GENERATED.fullmatch(self.name) is not None

    @property
    def large(self) -> bool:
        """Whether a comparison must be sparing with settings that take minutes."""
        return self.rows >= 1_000_000

    @property
    def wide(self) -> bool:
        """Whether a dense vector of all parameters is costly to work with."""
        return self.size > 2**17

    def files(self, part: Part) -> list[Path]:
        """The files of a part, in the order of the rows."""
        return sorted(Path(self.path, part).glob("*.parquet"))

    def read(self, part: Part, share: int = 0, shares: int = 1) -> Rows:
        """The rows without Spark; of several shares, each has the rows of other files."""
        parts = []
        for file in self.files(part)[share::shares]:
            table = pq.read_table(file, columns=["label", "ids"]).combine_chunks()
            ids = table["ids"].chunk(0)
            indptr = ids.offsets.to_numpy().astype(np.int64)
            parts.append(Rows(indptr, ids.values.to_numpy(), table["label"].to_numpy()))
        return Rows.joined(parts)

    def frame(self, spark: Any, part: Part, features: Features) -> Any:
        """A DataFrame (label double, features vector or array<bigint>)."""
        from pyspark.ml.linalg import VectorUDT
        from pyspark.sql import functions as F
        from pyspark.sql.types import ArrayType, DoubleType, LongType, StructField, StructType

        kind: Any = VectorUDT() if features == "vector" else ArrayType(LongType())
        schema = StructType([StructField("label", DoubleType()), StructField(features, kind)])
        read = spark.read.schema(schema).parquet(str(Path(self.path, part)))
        return read.select("label", F.col(features).alias("features"))

    def marked(self, spark: Any, features: Features) -> Any:
        """Training and test rows together, the latter with ``is_test`` true."""
        from pyspark.sql import functions as F

        train, test = self.frame(spark, "train", features), self.frame(spark, "test", features)
        return train.withColumn("is_test", F.lit(False)).union(test.withColumn("is_test", F.lit(True)))


def add_options(options: Any, sets: list[str]) -> None:
    """The options by which a benchmark chooses its sets."""
    options.add_argument("--sets", nargs="+", default=sets, help=f"default: {' '.join(sets)}")
    options.add_argument("--data", type=Path, help="folder with ml-latest-small and a9a")
    options.add_argument(
        "--cache", type=Path, default=Path("benchmarks/data-cache"), help="folder for Parquet"
    )


def chosen_sets(args: Namespace) -> list[DataSet]:
    """The sets named by the options; one whose files are not there is left out with a printed line."""
    found = []
    for name in args.sets:
        try:
            found.append(open_set(name, args.data, args.cache))
        except FileNotFoundError as error:
            show(f"{name} is left out: {error}")
    return found


def open_set(name: str, folder: Path | None, cache: Path) -> DataSet:
    """The named set; it is made when the cache has none.

    Raises
    ------
    FileNotFoundError
        When it is a public set that ``folder`` does not have.
    ValueError
        When there is no set of this name.
    """
    path = cache / name
    if not (path / "set.json").exists():
        show(f"making {path}")
        match = _GENERATED.fullmatch(name)
        made = _generate(path, match) if match else _load(path, folder)
        (path / "set.json").write_text(json.dumps(asdict(made)))
    return DataSet(**{**json.loads((path / "set.json").read_text()), "path": str(path)})


def _load(path: Path, folder: Path | None) -> DataSet:
    name, here = path.name, folder or Path()
    if name not in ("sample", "ml-latest-small", "a9a"):
        raise ValueError(f"--sets: there is no set {name!r}; see benchmarks/sets.py")
    if name != "sample" and not (folder and (here / name).is_dir()):
        raise FileNotFoundError(f"--data has no folder {name}")
    if name == "sample":
        train, test = data.movielens_sample()
    elif name == "a9a":
        train, test = data.libsvm(here / name / "a9a"), data.libsvm(here / name / "a9a.t")
    else:
        train, test = data.movielens(here / name / "ratings.csv")
    size = int(max(train.ids.max(), test.ids.max())) + 1
    for part, rows in (("train", train), ("test", test)):
        half = -(-rows.size // 2)
        _write(rows.between(0, half), path / part / "0.parquet", size)
        _write(rows.between(half, rows.size), path / part / "1.parquet", size)
    return DataSet(str(path), name, size, name == "a9a", 8, train.size, train.ids.size)


def _generate(path: Path, match: "re.Match[str]") -> DataSet:
    kind, number, unit, bits, exponent = match.groups()
    rows = round(float(number) * {"k": 1_000, "M": 1_000_000}[unit])
    size = 2 ** int(bits or 20) if kind == "ctr" else data.CONTEXT_FEATURES
    chunk_of: Callable[[int], Rows] = data.context_chunk
    if kind == "ctr":
        chunk_of = partial(data.ctr_chunk, features=size, exponent=float(exponent or data.CTR_EXPONENT))
    chunks = -(-rows // data.CHUNK)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as pool:
        written = [
            pool.submit(_write_chunk, chunk_of, chunk, rows - chunk * data.CHUNK, path, size)
            for chunk in range(chunks + 1)
        ]
        nonzeros = sum(job.result() for job in written[:chunks])
        written[chunks].result()
    return DataSet(str(path), path.name, size, kind == "ctr", 16, rows, nonzeros)


def _write_chunk(chunk_of: Callable[[int], Rows], chunk: int, most: int, path: Path, size: int) -> int:
    """The chunk's first ``most`` rows as a file of the training part; the one after them is the test part."""
    rows = chunk_of(chunk)
    if most > 0:
        rows = rows.between(0, min(most, rows.size))
    _write(rows, path / ("train" if most > 0 else "test") / f"{chunk:05d}.parquet", size)
    return rows.ids.size


def _write(rows: Rows, path: Path, size: int) -> None:
    offsets = pa.array(rows.indptr.astype(np.int32))
    indices = pa.ListArray.from_arrays(offsets, pa.array(rows.ids.astype(np.int32)))
    ones = pa.ListArray.from_arrays(offsets, pa.array(np.ones(rows.ids.size)))
    sparse = pa.array(np.zeros(rows.size, np.int8))
    sizes = pa.array(np.full(rows.size, size, np.int32))
    vector = pa.StructArray.from_arrays([sparse, sizes, indices, ones], fields=list(_VECTOR))
    ids = pa.ListArray.from_arrays(offsets, pa.array(rows.ids))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"label": rows.label, "ids": ids, "vector": vector}), path)
