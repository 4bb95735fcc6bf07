"""What a fitted classifier and a fitted regressor share."""

from abc import ABCMeta
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.base import Model
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.param import Param
from pyspark.sql import DataFrame

from spark_fm.base.explain import Explanation, Row, explain, raw_prediction, sparse_of
from spark_fm.base.field_reports import FieldReports
from spark_fm.base.persistence import FMPersistable
from spark_fm.base.recommend import Recommending
from spark_fm.base.summary import FMTrainingSummary
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.interactions import Moments
from spark_fm.core.fm.posterior import Posterior
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped, application_of, ship
from spark_fm.engine.packing.columns import features_kind, field_of
from spark_fm.engine.scoring.explaining import Explainer
from spark_fm.engine.scoring.model_table import ModelTable
from spark_fm.engine.scoring.scoring import Invalid, Scorer, with_raw_score

M = TypeVar("M", bound="FMModel")
ParamMap = dict[Param[Any], Any]


class FMModel(FieldReports, Model, Recommending, FMPersistable, metaclass=ABCMeta):
    """A fitted Factorization Machine.

    z(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j   (S. Rendle, Factorization Machines, ICDM 2010)

    Only features that occurred in training have parameters; another contributes nothing to a score. A vector must
    have the size of the training vectors. Ids (array<int> or array<bigint>) may be any: ids that
    training has not met are unseen features.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights = Weights(
            np.empty(0, np.int64), np.empty(0, np.float32), np.empty((0, 0), np.float32), 0.0
        )
        self._num_features = 0
        self._summary: FMTrainingSummary | None = None
        self._fields: FieldLayout | None = None
        self._moments: Moments | None = None
        self._posterior: Posterior | None = None
        self._shipped: Shipped[Scorer] | None = None
        self._shipped_for: tuple[object, int, bool] | None = None

    @property
    def weights(self) -> Weights:
        """Parameters of the features that occurred in training, as numpy arrays."""
        return self._weights

    @property
    def intercept(self) -> float:
        """The global bias w0."""
        return self._weights.intercept

    @property
    def linear(self) -> DenseVector:
        """w: numFeatures numbers, 0 for a feature that did not occur; made anew at each call.

        Raises
        ------
        ValueError
            When they don't fit into memory; :attr:`weights` has those of the features that occurred.
        """
        dense = _zeros("linear", (self._num_features,))
        dense[self._weights.features] = self._weights.linear
        return DenseVector(dense)

    @property
    def factors(self) -> DenseMatrix:
        """V: numFeatures x factorSize numbers, 0 for a feature that did not occur; made anew at each call.

        Raises
        ------
        ValueError
            As of :attr:`linear`.
        """
        size = self._weights.factors.shape[1]
        dense = _zeros("factors", (self._num_features, size))
        dense[self._weights.features] = self._weights.factors
        return DenseMatrix(self._num_features, size, dense.ravel(), isTransposed=True)

    @property
    def numFeatures(self) -> int:
        """The size of the training vectors; for ids the largest id plus one."""
        return self._num_features

    @property
    def fields(self) -> FieldLayout | None:
        """The fields of the features, and the names of those that have parameters, as the metadata of the training rows
        told them; None where they told nothing.
        """
        return self._fields

    @property
    def hasSummary(self) -> bool:
        """Whether the model has a training summary; one that version 0.1 saved has none."""
        return self._summary is not None

    @property
    def summary(self) -> FMTrainingSummary:
        """Losses by epoch, time by phase, and why training stopped.

        Raises
        ------
        RuntimeError
            When the model has none.
        """
        if self._summary is None:
            raise RuntimeError(
                f"No training summary available for this {type(self).__name__}: it was saved without one"
            )
        return self._summary

    def _raw(self, value: Row) -> float:
        return raw_prediction(self._weights, *sparse_of(value, self._num_features, self.getNormalize()))

    def explain(self, value: Row) -> Explanation:
        """The parts of one row's raw prediction z.

        Parameters
        ----------
        value : a vector of size numFeatures, feature ids in a list, a tuple or an integer array, or a row of ids and
            values, as FieldEncoder makes

        Returns
        -------
        The intercept, each w_i x_i and each <v_i, v_j> x_i x_j, with the names of the features; their sum is z.

        Raises
        ------
        TypeError
            When it is anything else.
        ValueError
            When the vector has another size, a value is not finite, an id is below 0, or the row has more than 2,000
            features that the model knows.
        """
        ids, values = sparse_of(value, self._num_features, self.getNormalize())
        return explain(self._weights, ids, values, self._fields or FieldLayout(()))

    def _table(self) -> ModelTable:
        """What is saved of each feature."""
        labels = None
        if self._fields is not None:
            ids, names = self._weights.features.tolist(), self._fields.names
            told = zip(ids, self._fields.labels(self._weights.features), strict=True)
            labels = [label if i in names else None for i, label in told]
        return ModelTable(self._weights, labels, self._moments, self._posterior)

    def _evaluable(self: M, dataset: DataFrame) -> M:
        """A copy that has a prediction column, after checking the rows' columns."""
        if not hasattr(dataset, "schema"):
            raise TypeError(f"dataset must be a DataFrame but got {type(dataset)}.")
        field_of(dataset, self.getLabelCol(), "labelCol")
        if self.isDefined(self.weightCol):
            field_of(dataset, self.getWeightCol(), "weightCol")
        model = self.copy()
        if not model.getPredictionCol():
            model.setPredictionCol(f"prediction_{self.uid}")
        return model.setExplainCol("")

    def _evaluated_columns(self) -> tuple[str, str, str]:
        """Names of the prediction, the label and the weight column; no name where rows have no weights."""
        weight = self.getWeightCol() if self.isDefined(self.weightCol) else ""
        return self.getPredictionCol(), self.getLabelCol(), weight

    def _with_raw_score(self, dataset: DataFrame, output: str) -> DataFrame:
        """The rows with the lazy column ``output`` of raw predictions."""
        name = self.getFeaturesCol()
        self._check_names(dataset, name)
        kind = features_kind(field_of(dataset, name, "featuresCol").dataType, name)
        parts, deviation = self.getExplainCol(), self._deviation_column()
        # What was shipped is gone with the application that it was shipped in: a notebook may start another.
        wanted = application_of(dataset.sparkSession), self.getExplainTop() if parts else 0, bool(deviation)
        if self._shipped is None or self._shipped_for != wanted:
            explainer, posterior = (
                self._explainer() if parts else None,
                self._posterior if deviation else None,
            )
            scorer = Scorer(replace(self._weights, optimizer=None), self._num_features, explainer, posterior)
            self._shipped, self._shipped_for = ship(dataset.sparkSession, scorer), wanted
        invalid = cast(Invalid, self.getHandleInvalid())
        return with_raw_score(
            dataset, self._shipped, name, kind, output, self.getNormalize(), invalid, parts, deviation
        )

    def _deviation_column(self) -> str:
        """Name of the column of standard deviations; empty for none."""
        return ""

    def _explainer(self) -> Explainer:
        """What workers need to name the parts of scores."""
        labels = (self._fields or FieldLayout(())).labels(self._weights.features)
        return Explainer(pa.array(labels, pa.string()), self.getExplainTop())

    def setFeaturesCol(self: M, value: str) -> M:
        """Sets the value of featuresCol."""
        return self._set(featuresCol=value)

    def setPredictionCol(self: M, value: str) -> M:
        """Sets the value of predictionCol."""
        return self._set(predictionCol=value)

    def setExplainCol(self: M, value: str) -> M:
        """Sets the value of explainCol."""
        return self._set(explainCol=value)

    def setExplainTop(self: M, value: int) -> M:
        """Sets the value of explainTop."""
        return self._set(explainTop=value)

    def setHandleInvalid(self: M, value: str) -> M:
        """Sets the value of handleInvalid."""
        return self._set(handleInvalid=value)

    def copy(self: M, extra: ParamMap | None = None) -> M:
        """A copy with some params changed; the parameters of the model are shared."""
        copied = super().copy(extra)
        copied._shipped = None
        return copied

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}: uid={self.uid}, numFeatures={self.numFeatures}, "
            f"factorSize={self._weights.factors.shape[1]}"
        )


def _zeros(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    try:
        return np.zeros(shape)
    except (MemoryError, ValueError):
        raise ValueError(
            f"{name}: the model has {shape[0]} features, expected so few that all their numbers fit into memory; "
            "weights has those of the features that occurred"
        ) from None
