"""Scores as a lazy column: nothing runs until the user's action, so streaming works too."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_fm.core.dictionary import DenseDictionary, Dictionary, dictionary_of
from spark_fm.core.kernel import score_rows
from spark_fm.core.weights import Weights
from spark_fm.engine.arrow import BadInputError, Sparse, read_features, unit_length
from spark_fm.engine.request import FeaturesKind
from spark_fm.engine.transport import Shipped
from spark_fm.engine.udf import score_struct


@dataclass(frozen=True)
class Scorer:
    """A model on a worker.

    ``num_features`` is the size that vectors must have; ids beyond it are features that the model does not
    know, which contribute nothing.
    """

    weights: Weights
    num_features: int
    normalize: bool

    @cached_property
    def _table(self) -> npt.NDArray[np.float32]:
        return self.weights.table

    @cached_property
    def _dictionary(self) -> Dictionary | DenseDictionary:
        return dictionary_of(self.weights.features)

    def score(self, sparse: Sparse) -> npt.NDArray[np.float64]:
        """Raw predictions z of CSR rows: float64 (rows,), computed in float64."""
        if self.normalize:
            sparse = unit_length(sparse)
        rows = sparse.indptr.size - 1
        z = np.empty(rows)
        score_rows(
            self._table,
            self.weights.intercept,
            sparse.indptr.astype(np.int32),
            self._dictionary.locate(sparse.ids),
            sparse.values,
            np.arange(rows, dtype=np.int32),
            z,
        )
        return z

    def score_column(self, features: pa.Array, kind: FeaturesKind, name: str) -> npt.NDArray[np.float64]:
        """Raw predictions of a column of vectors or ids.

        Raises
        ------
        BadInputError
            When a row is null, malformed, or of another size than the model's.
        """
        sparse = read_features(features, kind, name)
        if kind == "vector" and sparse.size not in (-1, self.num_features):
            raise BadInputError(
                f"column {name!r}: vectors of size {sparse.size}, expected {self.num_features}, the number of "
                "features that the model was trained on"
            )
        return self.score(sparse)


def _score(features: pa.Array, scorer: Shipped[Scorer], kind: FeaturesKind, name: str) -> pa.Array:
    try:
        z = pa.array(scorer.get().score_column(features, kind, name))
        errors = pa.nulls(len(features), pa.string())
    except BadInputError as error:
        # The sentence goes to every row of the batch: whichever of them is used raises it.
        z = pa.nulls(len(features), pa.float64())
        errors = pa.array([str(error)] * len(features), pa.string())
    return pa.StructArray.from_arrays([z, errors], ["z", "error"])


def raw_score(features: Column, scorer: Shipped[Scorer], kind: FeaturesKind, name: str) -> Column:
    """The column z of raw predictions, double; a bad row raises its sentence when it is computed."""

    def score(array: pa.Array) -> pa.Array:
        return _score(array, scorer, kind, name)

    scored = score_struct(score, features, kind)
    error = scored["error"]
    return F.when(error.isNull(), scored["z"]).otherwise(F.raise_error(error).cast("double"))
