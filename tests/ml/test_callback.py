"""What a fit tells its callback, and what becomes of the callback's errors."""

import time
import warnings
from threading import Lock

import pytest
from pyspark.ml import Pipeline
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

from spark_fm import FitCallback, FMRegressor
from tests.ml.frames import assert_same_weights


class Recorder(FitCallback):
    """What was told, for each fit; raises an error at an epoch."""

    def __init__(self, fails_at=0, error=None, fits=None):
        self.fails_at, self.error = fails_at, error
        self.fits, self.lock = [] if fits is None else fits, Lock()
        self.params, self.epochs, self.end = {}, [], None

    def started(self, estimator):
        told = Recorder(self.fails_at, self.error, self.fits)
        told.params = {param.name: value for param, value in estimator.extractParamMap().items()}
        with self.lock:
            self.fits.append(told)
        return told

    def epoch(self, epoch):
        self.epochs.append(epoch)
        if epoch.number == self.fails_at:
            raise self.error

    def finished(self, model):
        self.end = model

    def failed(self, error):
        self.end = error


@pytest.fixture
def estimator():
    return FMRegressor(factorSize=2, maxIter=3, roundsPerEpoch=1, validationFraction=0.0, seed=3)


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("solver", ["adagrad", "gibbs"])
@pytest.mark.filterwarnings("ignore:maxIter")
def test_a_fit_tells_its_epochs_and_is_the_same(small, estimator, partitions, solver):
    estimator.setNumPartitions(partitions).setSolver(solver)
    plain = estimator.fit(small)
    recorder = Recorder()
    model = estimator.setCallback(recorder).fit(small)
    (told,) = recorder.fits
    assert told.end is model
    assert told.params["factorSize"] == 2
    assert [epoch.number for epoch in told.epochs] == [1, 2, 3]
    assert [epoch.training_loss for epoch in told.epochs] == model.summary.trainingLoss
    assert_same_weights(model, plain)


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("solver", ["adagrad", "auto"])
def test_an_error_of_a_callback_ends_the_fit_and_leaves_nothing(
    small, estimator, partitions, solver, persisted
):
    """``auto`` takes a ValueError of the sampler for its refusal, and goes on with the other solver."""
    error = ValueError("no more")
    recorder = Recorder(fails_at=2, error=error)
    estimator.setNumPartitions(partitions).setSolver(solver).setNumChains(1).setCallback(recorder)
    before = persisted()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"^no more$") as raised:
            estimator.fit(small)
    (told,) = recorder.fits
    assert raised.value is error is told.end
    assert len(told.epochs) == 2
    assert persisted() == before


def test_a_callback_hears_of_a_fit_that_fails(small, estimator):
    recorder = Recorder()
    initial = FMRegressor(factorSize=3, maxIter=0).fit(small)
    estimator.setSolver("gibbs").setMiniBatchFraction(0.5).setCallback(recorder)
    with pytest.raises(ValueError, match="miniBatchFraction") as raised:
        estimator.fit(small)
    assert recorder.fits[0].end is raised.value
    # What is refused before training begins is not told of.
    with pytest.raises(ValueError, match="initialModel"):
        estimator.setInitialModel(initial).fit(small)
    assert len(recorder.fits) == 1


@pytest.mark.filterwarnings("ignore:maxIter")
def test_pipelines_and_cross_validation_take_the_callback_along(small, estimator, persisted):
    recorder = Recorder()
    pipeline = Pipeline(stages=[estimator.setCallback(recorder)])
    grid = ParamGridBuilder().addGrid(estimator.factorSize, [1, 2]).build()
    tuning = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=grid,
        evaluator=RegressionEvaluator(),
        numFolds=2,
        parallelism=2,
    )
    before = persisted()
    best = tuning.fit(small).bestModel.stages[0]
    assert sorted(told.params["factorSize"] for told in recorder.fits[:4]) == [1, 1, 2, 2]
    assert all(len(told.epochs) == told.end.summary.totalIterations for told in recorder.fits)
    assert len(recorder.fits) == 5
    assert recorder.fits[-1].end is best
    recorder.fits.clear()
    recorder.fails_at, recorder.error = 1, RuntimeError("no more")
    with pytest.raises(RuntimeError, match="no more"):
        tuning.fit(small)
    # The other thread's fit is still to end.
    end = time.monotonic() + 60
    while persisted() != before and time.monotonic() < end:
        time.sleep(0.1)
    assert persisted() == before


@pytest.mark.filterwarnings("ignore:maxIter")
def test_an_error_in_one_fit_of_fit_multiple_is_that_fits_own(small, estimator, persisted):
    class Picky(FitCallback):
        def started(self, told):
            if told.getFactorSize() == 1:
                raise RuntimeError("no factorSize of 1")
            return self

    before = persisted()
    maps = [{estimator.factorSize: 1}, {estimator.factorSize: 2}]
    models = estimator.setCallback(Picky()).fitMultiple(small, maps)
    with pytest.raises(RuntimeError, match="no factorSize of 1"):
        next(models)
    assert next(models)[1].getFactorSize() == 2
    assert persisted() == before


def test_a_callback_is_copied_and_not_saved(estimator, tmp_path):
    recorder = Recorder()
    assert estimator.setCallback(recorder).copy()._callback is recorder
    estimator.save(str(tmp_path / "estimator"))
    assert type(FMRegressor.load(str(tmp_path / "estimator"))._callback) is FitCallback


def test_what_is_no_callback_is_refused(estimator):
    with pytest.raises(TypeError, match="callback: found a function, expected a FitCallback"):
        estimator.setCallback(lambda epoch: None)
