"""What the classifier and the regressor share: fitting, and the fitted model."""

import time
import warnings
import weakref
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
from pyspark.ml.base import Estimator, Model
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vector
from pyspark.ml.param import Param
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import Column, DataFrame

from spark_fm.core.loss import Loss
from spark_fm.core.settings import Settings
from spark_fm.core.weights import Weights
from spark_fm.engine.columns import features_kind, field_of, quoted
from spark_fm.engine.dataset import PackedData
from spark_fm.engine.fit import Division, Fitted, fit_packed
from spark_fm.engine.request import Columns
from spark_fm.engine.scoring import Scorer, raw_score
from spark_fm.engine.transport import Shipped, ship
from spark_fm.explain import Explanation, explain, raw_prediction, sparse_of
from spark_fm.params import FMModelParams, FMParams
from spark_fm.persistence import FMReader, FMWriter
from spark_fm.summary import FMTrainingSummary, Progress

M = TypeVar("M", bound="FMModel")
E = TypeVar("E", bound="FMEstimator[Any]")
ParamMap = dict[Param[Any], Any]


class FMModel(Model, FMModelParams, MLWritable, MLReadable[Any], metaclass=ABCMeta):
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
        self._shipped: Shipped[Scorer] | None = None

    @property
    def weights(self) -> Weights:
        """The parameters of the features that occurred, as numpy arrays."""
        return self._weights

    @property
    def intercept(self) -> float:
        """The global bias w0."""
        return self._weights.intercept

    @property
    def linear(self) -> DenseVector:
        """w: numFeatures numbers, 0 for a feature that did not occur; made anew at each call."""
        dense = np.zeros(self._num_features)
        dense[self._weights.features] = self._weights.linear
        return DenseVector(dense)

    @property
    def factors(self) -> DenseMatrix:
        """V: numFeatures x factorSize numbers, 0 for a feature that did not occur; made anew at each call."""
        size = self._weights.factors.shape[1]
        dense = np.zeros((self._num_features, size))
        dense[self._weights.features] = self._weights.factors
        return DenseMatrix(self._num_features, size, dense.ravel(), isTransposed=True)

    @property
    def numFeatures(self) -> int:
        """The size of the training vectors; for ids the largest id plus one."""
        return self._num_features

    @property
    def hasSummary(self) -> bool:
        """Whether there is a training summary: not after loading."""
        return self._summary is not None

    @property
    def summary(self) -> FMTrainingSummary:
        """Losses by epoch, time by phase, and why training stopped.

        Raises
        ------
        RuntimeError
            When the model was loaded.
        """
        if self._summary is None:
            raise RuntimeError(f"No training summary available for this {type(self).__name__}: it was loaded")
        return self._summary

    def _scorer(self) -> Scorer:
        return Scorer(self._weights, self._num_features, self.getNormalize())

    def _raw(self, value: Vector | Sequence[int]) -> float:
        return raw_prediction(self._weights, *sparse_of(value, self._num_features, self.getNormalize()))

    def explain(self, value: Vector | Sequence[int]) -> Explanation:
        """The parts of one row's raw prediction z.

        Parameters
        ----------
        value : a vector of size numFeatures, or a list of feature ids

        Returns
        -------
        The intercept, each w_i x_i and each <v_i, v_j> x_i x_j; their sum is z.

        Raises
        ------
        ValueError
            When the vector has another size.
        """
        return explain(self._weights, *sparse_of(value, self._num_features, self.getNormalize()))

    def _check_output(self, dataset: DataFrame, name: str) -> None:
        if name and name in dataset.columns:
            raise ValueError(f"Output column {name} already exists.")

    def _score_column(self, dataset: DataFrame) -> Column:
        """The lazy column of raw predictions."""
        name = self.getFeaturesCol()
        kind = features_kind(field_of(dataset, name, "featuresCol").dataType, name)
        if self._shipped is None:
            self._shipped = ship(dataset.sparkSession, self._scorer())
        return raw_score(dataset[quoted(name)], self._shipped, kind, name)

    def setFeaturesCol(self: M, value: str) -> M:
        """Sets the value of featuresCol."""
        return self._set(featuresCol=value)

    def setPredictionCol(self: M, value: str) -> M:
        """Sets the value of predictionCol."""
        return self._set(predictionCol=value)

    def copy(self: M, extra: ParamMap | None = None) -> M:
        """A copy with some params changed; the parameters of the model are shared."""
        copied = super().copy(extra)
        copied._shipped = None
        return copied

    def write(self) -> FMWriter:
        """A writer: ``write().overwrite().save(path)``."""
        return FMWriter(self)

    @classmethod
    def read(cls) -> FMReader:
        """A reader: ``read().load(path)``."""
        return FMReader(cls)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}: uid={self.uid}, numFeatures={self.numFeatures}, "
            f"factorSize={self._weights.factors.shape[1]}"
        )


@dataclass
class _PackedOnce:
    """Packed data shared by the fits of one fitMultiple call; released when the last is done."""

    dataset: DataFrame
    _packed: dict[Columns, PackedData]

    @classmethod
    def of(cls, dataset: DataFrame) -> "_PackedOnce":
        packed: dict[Columns, PackedData] = {}
        once = cls(dataset, packed)
        weakref.finalize(once, _release, packed)
        return once

    def get(self, columns: Columns) -> PackedData:
        if columns not in self._packed:
            self._packed[columns] = PackedData.of(self.dataset, columns)
        return self._packed[columns]

    def release(self) -> None:
        _release(self._packed)


def _release(packed: dict[Columns, PackedData]) -> None:
    for data in packed.values():
        data.release()
    packed.clear()


class _FitIterator(Generic[M]):
    """Thread-safe iterator over (index, model), as Estimator.fitMultiple promises."""

    def __init__(self, estimators: Sequence["FMEstimator[M]"], dataset: DataFrame) -> None:
        self._estimators, self._packed = estimators, _PackedOnce.of(dataset)
        self._given, self._done, self._lock = 0, 0, Lock()

    def __iter__(self) -> Iterator[tuple[int, M]]:
        return self

    def __next__(self) -> tuple[int, M]:
        with self._lock:
            index = self._given
            if index >= len(self._estimators):
                raise StopIteration
            self._given += 1
            estimator = self._estimators[index]
            begun = time.perf_counter()
            packed = self._packed.get(estimator._columns())
            seconds = time.perf_counter() - begun
        try:
            return index, estimator._fit_packed(packed, seconds)
        finally:
            with self._lock:
                self._done += 1
                if self._done == len(self._estimators):
                    self._packed.release()


class FMEstimator(Estimator[M], FMParams, MLWritable, MLReadable[Any], metaclass=ABCMeta):
    """Fits a Factorization Machine with AdaGrad over the partitions of a DataFrame."""

    _loss: Loss

    @abstractmethod
    def _new_model(self) -> M:
        """An empty model of the right class."""

    @classmethod
    @abstractmethod
    def _model_class(cls) -> type[M]:
        """The class of the models."""

    def _columns(self) -> Columns:
        def optional(param: Param[str]) -> str:
            return self.getOrDefault(param) if self.isDefined(param) else ""

        return Columns(
            features=self.getFeaturesCol(),
            label=self.getLabelCol(),
            weight=optional(self.weightCol),
            validation=optional(self.validationIndicatorCol),
            binary=self._loss is Loss.LOGISTIC,
            normalize=self.getNormalize(),
        )

    def _checked(self: E) -> E:
        """Param maps bypass the params' converters: apply them again."""
        for param, value in self.extractParamMap().items():
            param.typeConverter(value)
        return self

    def _settings(self) -> Settings:
        return Settings(
            loss=self._loss,
            factor_size=self.getFactorSize(),
            fit_intercept=self.getFitIntercept(),
            fit_linear=self.getFitLinear(),
            step_size=self.getStepSize(),
            reg_linear=self.getRegParamLinear(),
            reg_factors=self.getRegParamFactors(),
            init_std=self.getInitStd(),
            max_epochs=self.getMaxIter(),
            tol=self.getTol(),
            patience=self.getPatience(),
            mini_batch_fraction=self.getMiniBatchFraction(),
            # Any integer is a seed for pyspark.ml; numpy wants none below 0.
            seed=self.getSeed() % 2**63,
        )

    def _initial(self, num_features: int, vectors: bool) -> FMModel | None:
        model: FMModel | None = self.getInitialModel()
        if model is None:
            return None
        size = model.weights.factors.shape[1]
        if size != self.getFactorSize():
            raise ValueError(
                f"initialModel: found factorSize {size}, expected {self.getFactorSize()} as this estimator's"
            )
        if not isinstance(model, self._model_class()):
            raise TypeError(
                f"initialModel: found a {type(model).__name__}, expected a {self._model_class().__name__}"
            )
        if vectors and model.numFeatures > num_features:
            raise ValueError(
                f"initialModel: it knows {model.numFeatures} features, expected at most {num_features}, "
                "the size of the training vectors"
            )
        return model

    def _fit(self, dataset: DataFrame) -> M:
        estimator = self._checked()
        begun = time.perf_counter()
        with PackedData.of(dataset, estimator._columns()) as packed:
            return estimator._fit_packed(packed, time.perf_counter() - begun)

    def fitMultiple(self, dataset: DataFrame, paramMaps: Sequence[ParamMap]) -> Iterator[tuple[int, M]]:
        """Fit a model for each param map; the data are packed once and shared.

        Returns
        -------
        A thread-safe iterator of (index of the param map, model).
        """
        estimators = [self.copy(extra)._checked() for extra in paramMaps]
        return _FitIterator(estimators, dataset)

    def _fit_packed(self, packed: PackedData, seconds: float) -> M:
        statistics = packed.statistics
        initial = self._initial(statistics.num_features, packed.kind == "vector")
        division = Division(self.getNumPartitions(), self.getRoundsPerEpoch(), self.getValidationFraction())
        with Progress(self.getMaxIter(), self.getVerbose()) as progress:
            fitted = fit_packed(
                packed,
                self._settings(),
                division,
                None if initial is None else initial.weights,
                progress,
            )
        if fitted.stop_reason == "diverged":
            warnings.warn(
                f"stepSize: training with {self.getStepSize():g} diverged again and again; the model has the "
                f"last good parameters, of epoch {fitted.best_epoch}",
                stacklevel=2,
            )
        fitted = replace(fitted, seconds={"pack": seconds} | fitted.seconds)
        known = 0 if initial is None else initial.numFeatures
        return self._model(fitted, max(known, fitted.num_features))

    def _model(self, fitted: Fitted, num_features: int) -> M:
        model = self._new_model()
        model._resetUid(self.uid)
        self._copyValues(model)
        model._weights, model._num_features = fitted.weights, num_features
        loss_name = "log-loss" if self._loss is Loss.LOGISTIC else "mean squared error"
        model._summary = FMTrainingSummary.of(fitted, loss_name)
        return model

    def write(self) -> FMWriter:
        """A writer: ``write().overwrite().save(path)``."""
        return FMWriter(self)

    @classmethod
    def read(cls) -> FMReader:
        """A reader: ``read().load(path)``."""
        return FMReader(cls)

    def setFeaturesCol(self: E, value: str) -> E:
        """Sets the value of featuresCol."""
        return self._set(featuresCol=value)

    def setLabelCol(self: E, value: str) -> E:
        """Sets the value of labelCol."""
        return self._set(labelCol=value)

    def setPredictionCol(self: E, value: str) -> E:
        """Sets the value of predictionCol."""
        return self._set(predictionCol=value)

    def setWeightCol(self: E, value: str) -> E:
        """Sets the value of weightCol."""
        return self._set(weightCol=value)

    def setValidationIndicatorCol(self: E, value: str) -> E:
        """Sets the value of validationIndicatorCol."""
        return self._set(validationIndicatorCol=value)

    def setFactorSize(self: E, value: int) -> E:
        """Sets the value of factorSize."""
        return self._set(factorSize=value)

    def setFitIntercept(self: E, value: bool) -> E:
        """Sets the value of fitIntercept."""
        return self._set(fitIntercept=value)

    def setFitLinear(self: E, value: bool) -> E:
        """Sets the value of fitLinear."""
        return self._set(fitLinear=value)

    def setRegParam(self: E, value: float) -> E:
        """Sets the value of regParam."""
        return self._set(regParam=value)

    def setRegParamLinear(self: E, value: float) -> E:
        """Sets the value of regParamLinear."""
        return self._set(regParamLinear=value)

    def setRegParamFactors(self: E, value: float) -> E:
        """Sets the value of regParamFactors."""
        return self._set(regParamFactors=value)

    def setMiniBatchFraction(self: E, value: float) -> E:
        """Sets the value of miniBatchFraction."""
        return self._set(miniBatchFraction=value)

    def setInitStd(self: E, value: float) -> E:
        """Sets the value of initStd."""
        return self._set(initStd=value)

    def setMaxIter(self: E, value: int) -> E:
        """Sets the value of maxIter."""
        return self._set(maxIter=value)

    def setStepSize(self: E, value: float) -> E:
        """Sets the value of stepSize."""
        return self._set(stepSize=value)

    def setTol(self: E, value: float) -> E:
        """Sets the value of tol."""
        return self._set(tol=value)

    def setSolver(self: E, value: str) -> E:
        """Sets the value of solver."""
        return self._set(solver=value)

    def setSeed(self: E, value: int) -> E:
        """Sets the value of seed."""
        return self._set(seed=value)

    def setPatience(self: E, value: int) -> E:
        """Sets the value of patience."""
        return self._set(patience=value)

    def setValidationFraction(self: E, value: float) -> E:
        """Sets the value of validationFraction."""
        return self._set(validationFraction=value)

    def setNumPartitions(self: E, value: int) -> E:
        """Sets the value of numPartitions."""
        return self._set(numPartitions=value)

    def setRoundsPerEpoch(self: E, value: int) -> E:
        """Sets the value of roundsPerEpoch."""
        return self._set(roundsPerEpoch=value)

    def setInitialModel(self: E, value: FMModel) -> E:
        """Sets the value of initialModel."""
        return self._set(initialModel=value)

    def setNormalize(self: E, value: bool) -> E:
        """Sets the value of normalize."""
        return self._set(normalize=value)

    def setVerbose(self: E, value: bool) -> E:
        """Sets the value of verbose."""
        return self._set(verbose=value)
