"""MLflow: the params, the losses by epoch and the learning curve of a fit (needs the extra ``mlflow``)."""

import math
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from spark_fm.base.callback import FitCallback
from spark_fm.base.summary import FMTrainingSummary
from spark_fm.engine.training.solver import FitEpoch

SECONDS_BETWEEN = 1.0
MOST_IN_A_BATCH = 500


class MLflowCallback(FitCallback):
    """Logs fits to MLflow while they train.

    Of a fit it logs the estimator's params; ``epoch``, ``trainingLoss``, ``validationLoss`` and, of training in
    rounds, ``epochSeconds`` by step, which counts the epochs that were trained, those that were taken back included;
    in the end ``bestEpoch``, ``bestValidationLoss``, ``seconds/PHASE``, the tag ``stopReason``, ``summary.json`` and
    ``learning-curve.png``. What has to be logged before training raises MLflow's error; later a fit goes on without
    MLflow, with a warning.

    Parameters
    ----------
    nested : bool
        False: one fit is logged to the run that is active when this is made. True: each fit has a run of its own
        below that one, as CrossValidator needs.

    Raises
    ------
    RuntimeError
        When no run is active.

    Examples
    --------
    >>> import mlflow
    >>> from spark_fm import FMRegressor
    >>> from spark_fm.tracking import MLflowCallback
    >>> with mlflow.start_run():  # doctest: +SKIP
    ...     model = FMRegressor().setCallback(MLflowCallback()).fit(train)
    ...     mlflow.spark.log_model(model, artifact_path="model")
    """

    def __init__(self, nested: bool = False) -> None:
        run = mlflow.active_run()
        if run is None:
            raise RuntimeError(
                "MLflowCallback: found no active run, expected one: with mlflow.start_run(): ..."
            )
        self._client, self._run, self._nested = mlflow.MlflowClient(), run.info, nested
        self._fits, self._lock = 0, Lock()

    def started(self, estimator: Any) -> FitCallback:
        """Make the run of a nested fit, and log the estimator's params.

        Raises
        ------
        RuntimeError
            At the second fit that is not nested.
        """
        with self._lock:
            self._fits += 1
            if self._fits > 1 and not self._nested:
                raise RuntimeError(
                    f"MLflowCallback: the run {self._run.run_name} has a fit already, expected nested=True where "
                    "there are several, as CrossValidator makes them"
                )
        run_id = self._run.run_id
        if self._nested:
            tags = {MLFLOW_PARENT_RUN_ID: run_id}
            name = f"{estimator.uid} {self._fits}"
            run_id = self._client.create_run(self._run.experiment_id, tags=tags, run_name=name).info.run_id
        told = _RunOfFit(self._client, run_id, ends=self._nested)
        try:
            told.log_params(estimator)
        except BaseException as error:
            told.failed(error)
            raise
        return told


class _RunOfFit(FitCallback):
    """One fit, logged to a run, which it ends where that is its own."""

    def __init__(self, client: mlflow.MlflowClient, run_id: str, ends: bool) -> None:
        self._client, self._run_id, self._ends = client, run_id, ends
        self._steps, self._waiting, self._lost = 0, list[Metric](), False
        self._sent = -math.inf

    def log_params(self, estimator: Any) -> None:
        """All params of the estimator but a model to start from."""
        params = {param.name: str(value) for param, value in estimator.extractParamMap().items()}
        params.pop("initialModel", None)
        self._client.log_batch(self._run_id, params=[Param(name, value) for name, value in params.items()])

    def epoch(self, epoch: FitEpoch) -> None:
        self._steps += 1
        self._add("epoch", epoch.number)
        self._add("trainingLoss", epoch.training_loss)
        self._add("validationLoss", epoch.validation_loss)
        if epoch.seconds:
            self._add("epochSeconds", sum(epoch.seconds.values()))
        if not self._lost and time.monotonic() - self._sent > SECONDS_BETWEEN:
            self._lost = not self._logs(self._send)

    def finished(self, model: Any) -> None:
        summary: FMTrainingSummary = model.summary
        self._add("bestEpoch", summary.bestEpoch)
        if summary.bestEpoch:
            self._add("bestValidationLoss", summary.validationLoss[summary.bestEpoch - 1])
        for phase, seconds in summary.seconds.items():
            self._add(f"seconds/{phase}", seconds)
        self._logs(lambda: self._finish(summary))
        self._end(RunStatus.FINISHED)

    def failed(self, error: BaseException) -> None:
        self._logs(self._send)
        self._end(RunStatus.KILLED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED)

    def _end(self, status: int) -> None:
        if self._ends:
            self._logs(lambda: self._client.set_terminated(self._run_id, RunStatus.to_string(status)))

    def _finish(self, summary: FMTrainingSummary) -> None:
        self._send()
        self._client.set_tag(self._run_id, "stopReason", summary.stopReason)
        self._client.log_dict(self._run_id, summary.to_json(), "summary.json")
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "learning-curve.png"
            summary.plot(picture)
            self._client.log_artifact(self._run_id, str(picture))

    def _add(self, name: str, value: float) -> None:
        if math.isfinite(value):
            now = int(time.time() * 1000)
            self._waiting.append(Metric(name, value, now, self._steps))

    def _send(self) -> None:
        while self._waiting:
            self._client.log_batch(self._run_id, metrics=self._waiting[:MOST_IN_A_BATCH])
            del self._waiting[:MOST_IN_A_BATCH]
        self._sent = time.monotonic()

    def _logs(self, log: Callable[[], None]) -> bool:
        """Whether something could be logged. A model that has trained for hours isn't lost for want of a server."""
        try:
            log()
        except Exception as error:
            warnings.warn(
                f"MLflowCallback: the fit goes on, but the run {self._run_id} lacks some of it: {error}",
                stacklevel=2,
            )
            return False
        return True
