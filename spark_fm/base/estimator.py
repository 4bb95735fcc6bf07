"""What the classifier and the regressor share: from a DataFrame and params to a model."""

import time
import warnings
import weakref
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Generic, TypeVar

from pyspark.ml.base import Estimator
from pyspark.ml.param import Param
from pyspark.sql import DataFrame

from spark_fm.base.callback import FitCallback, tell, telling
from spark_fm.base.checkpointed import checkpoints_of
from spark_fm.base.model import FMModel, ParamMap
from spark_fm.base.named import Start
from spark_fm.base.persistence import FMPersistable
from spark_fm.base.setters import FMSetters
from spark_fm.base.summary import FMTrainingSummary, Progress
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.interactions import Moments
from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.validation import metric_of
from spark_fm.engine.packing.attributes import layout_of
from spark_fm.engine.packing.input_columns import InputColumns
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.fit import Fitted, fit_packed, is_still_falling
from spark_fm.engine.training.solver import FitEpoch, FitStoppedError, Parallelism

M = TypeVar("M", bound=FMModel)
E = TypeVar("E", bound="FMEstimator[Any]")
CHAINS_APART = 1.1


@dataclass
class _PackedOnce:
    """Packed data shared by the fits of one fitMultiple call; released when the last is done."""

    dataset: DataFrame
    _packed: dict[tuple[InputColumns, str], PackedData]
    _layouts: dict[str, FieldLayout | None] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: DataFrame) -> "_PackedOnce":
        packed: dict[tuple[InputColumns, str], PackedData] = {}
        once = cls(dataset, packed)
        weakref.finalize(once, _release, packed)
        return once

    def layout(self, features: str) -> FieldLayout | None:
        if features not in self._layouts:
            self._layouts[features] = layout_of(self.dataset.schema, features)
        return self._layouts[features]

    def get(self, columns: InputColumns, cache_dir: str) -> PackedData:
        key = columns, cache_dir
        if key not in self._packed:
            self._packed[key] = PackedData.of(self.dataset, columns, shared=True, cache_dir=cache_dir)
        return self._packed[key]

    def release(self) -> None:
        _release(self._packed)


def _release(packed: dict[tuple[InputColumns, str], PackedData]) -> None:
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
            start = estimator._start(self._packed.layout(estimator.getFeaturesCol()))
            packed = self._packed.get(estimator._columns(), estimator.getCacheDir())
            seconds = time.perf_counter() - begun
        try:
            return index, estimator._fit_packed(packed, start, seconds, apart=True)
        finally:
            with self._lock:
                self._done += 1
                if self._done == len(self._estimators):
                    self._packed.release()


class FMEstimator(Estimator[M], FMSetters, FMPersistable, metaclass=ABCMeta):
    """Fits a Factorization Machine with AdaGrad over the partitions of a DataFrame."""

    _loss: Loss
    _callback: FitCallback = FitCallback()
    _stopped: M | None = None

    @abstractmethod
    def _new_model(self) -> M:
        """An empty model of the right class."""

    @classmethod
    @abstractmethod
    def _model_class(cls) -> type[M]:
        """The class of the models."""

    def _columns(self) -> InputColumns:
        def optional(param: Param[str]) -> str:
            return self.getOrDefault(param) if self.isDefined(param) else ""

        return InputColumns(
            features=self.getFeaturesCol(),
            label=self.getLabelCol(),
            weight=optional(self.weightCol),
            validation=optional(self.validationIndicatorCol),
            binary=self._loss.is_binary,
            normalize=self.getNormalize(),
        )

    def _start(self, column: FieldLayout | None) -> Start:
        """What training on a column of that layout begins with.

        Raises
        ------
        ValueError
            When the column's features are not those of the model to start from, and which are which can't be told.
        """
        initial: FMModel | None = self.getInitialModel()
        return Start(column) if initial is None else initial._start(column, self.getFeaturesCol())

    def _penalty_factors(self, layout: FieldLayout | None) -> tuple[tuple[int, int, float], ...]:
        """What the penalties of ranges of features are multiplied by.

        Raises
        ------
        ValueError
            When regParamByField names a field that there is not.
        """
        made = []
        for name, factor in self.getRegParamByField().items():
            try:
                one = (layout or FieldLayout(())).number_of(name)
            except ValueError as error:
                raise ValueError(
                    f"regParamByField: {error}, by the metadata of column {self.getFeaturesCol()!r}"
                ) from None
            assert layout is not None
            first, size = layout.fields[one].first, layout.fields[one].size
            made.append((first, first + size, factor))
        return tuple(made)

    def _settings(self, layout: FieldLayout | None = None) -> Settings:
        return Settings(
            loss=self._loss,
            factor_size=self.getFactorSize(),
            fit_intercept=self.getFitIntercept(),
            fit_linear=self.getFitLinear(),
            step_size=self.getStepSize(),
            reg_linear=self.getRegParamLinear(),
            reg_factors=self.getRegParamFactors(),
            reg_prior=self.getRegParamPrior(),
            adapt_prior=not self.isSet(self.regParamPrior),
            init_std=self.getInitStd(),
            max_epochs=self.getMaxIter(),
            tol=self.getTol(),
            patience=self.getPatience(),
            mini_batch_fraction=self.getMiniBatchFraction(),
            # Any integer is a seed for pyspark.ml; numpy wants none below 0.
            seed=self.getSeed() % 2**63,
            validation_metric=metric_of(self.getValidationMetric(), self._loss),
            penalty_factors=self._penalty_factors(layout),
            min_factor_count=self.getMinFactorCount(),
            nonnegative=self.getNonnegative(),
            keeps_optimizer=self.getKeepOptimizerState(),
            fields=tuple((one.first, one.first + one.size) for one in layout.fields) if layout else (),
        )

    def _check(self, dataset: DataFrame) -> Start:
        """Refuse before the data are packed what can be refused by then; what training begins with."""
        self._check_scoring(dataset)
        start = self._start(layout_of(dataset.schema, self.getFeaturesCol()))
        self._settings(start.layout)
        return start

    def _check_initial(self, start: Start, num_features: int, vectors: bool) -> None:
        model: FMModel | None = self.getInitialModel()
        if model is None:
            return
        size = model.weights.factors.shape[1]
        if size != self.getFactorSize():
            raise ValueError(
                f"initialModel: found factorSize {size}, expected {self.getFactorSize()} as this estimator's"
            )
        if not isinstance(model, self._model_class()):
            raise TypeError(
                f"initialModel: found a {type(model).__name__}, expected a {self._model_class().__name__}"
            )
        if vectors and start.num_features > num_features:
            raise ValueError(
                f"initialModel: it knows {start.num_features} features, expected at most {num_features}, "
                "the size of the training vectors"
            )
        least = min(model.weights.linear.min(initial=0.0), model.weights.factors.min(initial=0.0))
        if self.getNonnegative() and least < 0.0:
            raise ValueError(
                f"initialModel: found the parameter {least:g}, expected none below 0 where nonnegative is set"
            )

    def setCallback(self: E, callback: FitCallback) -> E:
        """Sets who is told of each fit while it trains; it isn't saved with the estimator.

        Raises
        ------
        TypeError
            When it is no :class:`spark_fm.FitCallback`.
        """
        if not isinstance(callback, FitCallback):
            raise TypeError(f"callback: found a {type(callback).__name__}, expected a FitCallback")
        self._callback = callback
        return self

    def _fit(self, dataset: DataFrame) -> M:
        start = self._check(dataset)
        begun = time.perf_counter()
        with PackedData.of(dataset, self._columns(), cache_dir=self.getCacheDir()) as packed:
            return self._fit_packed(packed, start, time.perf_counter() - begun)

    def fitMultiple(self, dataset: DataFrame, paramMaps: Sequence[ParamMap]) -> Iterator[tuple[int, M]]:
        """Fit a model for each param map; the data are packed once and shared.

        Returns
        -------
        A thread-safe iterator of (index of the param map, model).
        """
        estimators = [self.copy(extra) for extra in paramMaps]
        for estimator in estimators:
            estimator._check(dataset)
        return _FitIterator(estimators, dataset)

    def _fit_packed(self, packed: PackedData, start: Start, seconds: float, apart: bool = False) -> M:
        """``apart``: other fits on the same data have the same checkpointDir."""
        statistics = packed.statistics
        layout, weights = start.layout, start.weights
        self._check_initial(start, statistics.num_features, packed.kind == "vector")
        parallelism = Parallelism(
            self.getNumPartitions(), self.getRoundsPerEpoch(), self.getValidationFraction()
        )
        size = max(start.num_features, statistics.num_features)
        with (
            telling(self._callback, self) as told,
            Progress(self.getMaxIter(), self.getVerbose()) as progress,
        ):

            def report(epoch: FitEpoch) -> None:
                progress(epoch)
                tell(told, epoch)

            try:
                fitted = fit_packed(
                    packed,
                    self._settings(layout),
                    parallelism,
                    weights,
                    report,
                    self.getSolver(),
                    checkpoints_of(self, packed, weights, apart),
                )
            except FitStoppedError as error:
                self._stopped = self._model(Fitted(error.solved, statistics), size, layout)
                raise
            self._warn(fitted)
            fitted = replace(fitted, seconds={"pack": seconds} | fitted.seconds)
            model = self._model(fitted, size, layout)
        told.finished(model)
        return model

    @property
    def stoppedModel(self) -> M | None:
        """The model so far of the last fit that was stopped while solver gibbs sampled in rounds; None without one."""
        return self._stopped

    def _warn(self, fitted: Fitted) -> None:
        """Tell of a model that is not what was asked for."""
        story = ""
        if fitted.solved.stop_reason == "diverged":
            story = (
                f"stepSize: training with {self.getStepSize():g} diverged again and again; the model has the "
                "last good parameters"
            )
        elif fitted.solved.history and fitted.solved.best_epoch == 0:
            begun = "the constant" if self.getInitialModel() is None else "initialModel"
            story = (
                f"no epoch improved on {begun}, so the model predicts as that does: the features say nothing "
                "of the label, or need more epochs (maxIter), a smaller stepSize or a stronger regParamPrior"
            )
        elif fitted.solved.sampler is not None:
            apart = fitted.solved.sampler.r_hat["prediction"]
            if fitted.solved.sampler.still_falling:
                story = (
                    f"maxIter: the loss was still falling after {self.getMaxIter()} sweeps, expected more of them, or "
                    "fewer factors (factorSize)"
                )
            elif apart > CHAINS_APART:
                story = (
                    f"maxIter: after {self.getMaxIter()} sweeps the chains have not met, the R-hat of predictions is "
                    f"{apart:.3g}, expected at most {CHAINS_APART:g}: more sweeps, fewer factors (factorSize), or data "
                    "that say more"
                )
        elif is_still_falling(fitted.solved, self.getTol()):
            story = (
                f"maxIter: the loss was still falling after {self.getMaxIter()} epochs, expected more of them"
            )
        if story:
            warnings.warn(story, stacklevel=4)

    def _model(self, fitted: Fitted, num_features: int, layout: FieldLayout | None) -> M:
        model = self._new_model()
        model._resetUid(self.uid)
        self._copyValues(model)
        weights, counted = fitted.solved.weights, fitted.solved.counted
        model._weights, model._num_features = weights, num_features
        model._fields = None if layout is None else layout.among(weights.features)
        if counted is not None:
            model._moments = Moments.of(counted, fitted.statistics.weight_sum, weights.features)
        sampler = fitted.solved.sampler
        model._posterior = None if sampler is None else sampler.posterior
        model._summary = FMTrainingSummary.of(fitted, self._loss.metric, self.getValidationMetric(), layout)
        return model
