"""Scores as a lazy column: nothing runs until the user's action, so streaming works too."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.core.fm.posterior import Posterior
from spark_fm.core.fm.score import score_rows
from spark_fm.core.fm.weights import Weights
from spark_fm.core.sparse.dictionary import DenseDictionary, Dictionary, dictionary_of
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.packing.arrow import BadInputError, Sparse, read_known, unit_length
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.packing.input_columns import FeaturesKind
from spark_fm.engine.scoring.explaining import Explainer
from spark_fm.engine.scoring.udf import as_rows, score_struct

RAW, SCORED = "__spark_fm_z", "__spark_fm_scored"
OTHERWISE = "handleInvalid = 'skip' or 'keep' would score the other rows"
Invalid = Literal["error", "skip", "keep"]
PARTS_TYPE = "array<struct<label:string,contribution:double>>"
PARTS, DEVIATION = ("labels", "contributions"), "deviation"
LABELS, CONTRIBUTIONS = pa.list_(pa.string()), pa.list_(pa.float64())


class Scores(NamedTuple):
    """Raw predictions, float64 (rows,), and by its name what else is told of them."""

    z: npt.NDArray[np.float64]
    more: dict[str, pa.Array]


@dataclass(frozen=True)
class Scorer:
    """A model on a worker.

    ``num_features`` is the size that vectors must have; ids beyond it are features that the model does not
    know, which contribute nothing. With an ``explainer`` rows get the largest parts of their scores too, with a
    ``posterior`` their standard deviations.
    """

    weights: Weights
    num_features: int
    explainer: Explainer | None = None
    posterior: Posterior | None = None

    @cached_property
    def _table(self) -> npt.NDArray[np.float32]:
        return self.weights.table

    @cached_property
    def _dictionary(self) -> Dictionary | DenseDictionary:
        return dictionary_of(self.weights.features)

    def score(self, sparse: Sparse, normalize: bool = False) -> Scores:
        """Raw predictions z of CSR rows, computed in float64, and what else is wanted of them."""
        if normalize:
            sparse = unit_length(sparse)
        rows = sparse.indptr.size - 1
        z = np.empty(rows)
        indptr, indices = sparse.indptr.astype(np.int32), self._dictionary.locate(sparse.ids)
        order = np.arange(rows, dtype=np.int32)
        score_rows(self._table, self.weights.intercept, indptr, indices, sparse.values, order, z)
        more: dict[str, pa.Array] = {}
        if self.explainer is not None:
            parts = self.explainer.parts(self._table, indptr, indices, sparse.values)
            more |= dict(zip(PARTS, parts, strict=True))
        if self.posterior is not None:
            more[DEVIATION] = pa.array(self.posterior.deviations(indptr, indices, sparse.values))
        return Scores(z, more)

    def score_column(
        self, features: pa.Array, kind: FeaturesKind, name: str, normalize: bool = False
    ) -> Scores:
        """The scores of a column of vectors or ids.

        Raises
        ------
        BadInputError
            When a row is null, malformed, or of another size than the model's.
        """
        return self.score(read_known(features, kind, name, self.num_features), normalize)

    def unscored(self, rows: int, z: float) -> Scores:
        """What stands for the scores of rows that have none."""
        more: dict[str, pa.Array] = {}
        if self.explainer is not None:
            more |= dict(zip(PARTS, (pa.nulls(rows, LABELS), pa.nulls(rows, CONTRIBUTIONS)), strict=True))
        if self.posterior is not None:
            more[DEVIATION] = pa.array(np.full(rows, z))
        return Scores(np.full(rows, z), more)


def _score(
    features: pa.Array,
    scorer: Shipped[Scorer],
    kind: FeaturesKind,
    name: str,
    normalize: bool,
    invalid: Invalid,
) -> pa.Array:
    """struct<z, error> of a batch, with the parts where they are wanted: the sentence, or where invalid rows are kept
    NaN, for rows that can't be scored.
    """
    model, sentence = scorer.get(), None
    try:
        scores = model.score_column(features, kind, name, normalize)
    except BadInputError as error:
        if invalid == "error":
            # The sentence goes to every row of the batch: whichever of them is used raises it.
            scores, sentence = model.unscored(len(features), 0.0), f"{error}; {OTHERWISE}"
        elif len(features) == 1:
            scores, sentence = model.unscored(1, np.nan), None if invalid == "keep" else str(error)
        else:
            middle = len(features) // 2
            halves = (features.slice(0, middle), features.slice(middle))
            scored = [_score(half, scorer, kind, name, normalize, invalid) for half in halves]
            return pa.concat_arrays(scored)
    errors = pa.array([sentence] * len(features), pa.string())
    return pa.StructArray.from_arrays(
        [pa.array(scores.z), errors, *scores.more.values()], ["z", "error", *scores.more]
    )


def with_raw_score(
    dataset: DataFrame,
    scorer: Shipped[Scorer],
    features: str,
    kind: FeaturesKind,
    output: str,
    normalize: bool = False,
    invalid: Invalid = "error",
    parts: str = "",
    deviation: str = "",
) -> DataFrame:
    """The rows with a column of raw predictions, double.

    Parameters
    ----------
    features, kind : the column to score, and what it holds
    output : name of the column
    invalid : what becomes of a row that can't be scored: "error" raises its sentence when it is computed, "skip" leaves
        the row out, "keep" predicts NaN
    parts : name of a column of the largest parts, array<struct<label: string, contribution: double>>, for which the
        scorer must have an explainer; without a name there is none. It is null for a row that is kept without a score.
    deviation : name of a column of standard deviations, double, for which the scorer must have a posterior; likewise
    """

    def score(array: pa.Array) -> pa.Array:
        return _score(array, scorer, kind, features, normalize, invalid)

    # The function is mentioned once, as it travels with each mention of its column on Spark Connect.
    made = score_struct(score, dataset[quoted(features)], kind, bool(parts), bool(deviation))
    scored = as_rows(dataset).withColumn(SCORED, made)
    z, error = F.col(SCORED)["z"], F.col(SCORED)["error"]
    if invalid == "error":
        z = F.when(error.isNull(), z).otherwise(F.raise_error(error).cast("double"))
    elif invalid == "skip":
        scored = scored.where(error.isNull())
    else:
        # A pandas UDF takes NaN for null.
        z = F.coalesce(z, F.lit(np.nan))
    scored = scored.withColumn(output, z)
    if parts:
        pairs = F.arrays_zip(F.col(SCORED)["labels"], F.col(SCORED)["contributions"])
        scored = scored.withColumn(parts, pairs.cast(PARTS_TYPE))
    if deviation:
        found = F.col(SCORED)[DEVIATION]
        scored = scored.withColumn(
            deviation, F.coalesce(found, F.lit(np.nan)) if invalid == "keep" else found
        )
    return scored.drop(SCORED)
