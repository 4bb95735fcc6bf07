from concurrent.futures import ThreadPoolExecutor

import pytest
from chispa import assert_df_equality
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.tuning import (
    CrossValidator,
    CrossValidatorModel,
    ParamGridBuilder,
    TrainValidationSplit,
    TrainValidationSplitModel,
)

from spark_fm import FMRegressor
from spark_fm.engine.packing.packed_data import PackedData
from tests.ml.frames import assert_same_weights


@pytest.fixture
def packings(monkeypatch):
    """The columns of each call of PackedData.of."""
    seen, original = [], PackedData.of

    def counted(dataset, columns, **how):
        seen.append(columns)
        return original(dataset, columns, **how)

    monkeypatch.setattr(PackedData, "of", counted)
    return seen


@pytest.fixture
def estimator():
    return FMRegressor(factorSize=2, maxIter=2, seed=3)


@pytest.mark.parametrize("partitions", [1, 2])
def test_fit_multiple_packs_once_and_fits_what_single_fits_do(
    small, estimator, packings, persisted, partitions
):
    estimator.setNumPartitions(partitions).setRoundsPerEpoch(1).setValidationFraction(0.05)
    if partitions > 1:
        estimator.setMaxIter(1)
    maps = [
        {estimator.factorSize: 3},
        {estimator.seed: 8},
    ]
    before = persisted()
    found = dict(estimator.fitMultiple(small, maps))
    assert len(packings) == 1
    assert persisted() == before
    assert sorted(found) == [0, 1]
    for index, map_ in enumerate(maps):
        assert_same_weights(found[index], estimator.fit(small, map_))
        assert found[index].getFactorSize() == (3 if index == 0 else 2)


def test_fit_multiple_packs_once_for_each_set_of_columns(small, estimator, packings, persisted):
    before = persisted()
    maps = [{estimator.normalize: flag, estimator.seed: seed} for flag in (True, False) for seed in (1, 2)]
    assert len(list(estimator.fitMultiple(small, maps))) == 4
    assert [columns.normalize for columns in packings] == [True, False]
    assert persisted() == before


def test_fit_multiple_is_thread_safe(small, estimator, packings, persisted):
    before = persisted()
    maps = [{estimator.seed: seed} for seed in range(4)]
    models = estimator.fitMultiple(small, maps)
    with ThreadPoolExecutor(3) as pool:
        found = dict(pool.map(lambda _: next(models), maps))
    assert sorted(found) == [0, 1, 2, 3]
    assert len(packings) == 1
    assert persisted() == before
    with pytest.raises(StopIteration):
        next(models)
    assert_same_weights(found[2], estimator.fit(small, maps[2]))


def test_fit_multiple_that_is_given_up_releases_its_data(small, estimator, persisted):
    before = persisted()
    models = estimator.fitMultiple(small, [{}, {}])
    next(models)
    assert persisted() == before + 1
    del models
    assert persisted() == before


def test_fit_multiple_releases_its_data_after_errors(small, estimator, persisted):
    before = persisted()
    models = estimator.fitMultiple(small, [{estimator.labelCol: "nobody"}, {}])
    with pytest.raises(ValueError, match="labelCol: there is no column 'nobody'"):
        next(models)
    index, _ = next(models)
    assert index == 1
    del models
    assert persisted() == before


@pytest.mark.parametrize("parallelism", [1, 2])
def test_cross_validator(small, estimator, packings, persisted, tmp_path, parallelism):
    grid = ParamGridBuilder().addGrid(estimator.maxIter, [0, 5]).addGrid(estimator.regParam, [0.0]).build()
    validator = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=RegressionEvaluator(), numFolds=2, seed=1,
        parallelism=parallelism,
    )  # fmt: skip
    before = persisted()
    model = validator.fit(small)
    assert len(packings) == 3, "once for each fold and once for the best model"
    assert persisted() == before
    assert model.avgMetrics[1] < model.avgMetrics[0]
    assert model.bestModel.getFactorSize() == 2
    assert_same_weights(model.bestModel, estimator.fit(small, grid[1]))
    if parallelism == 1:
        path = str(tmp_path / "cv")
        model.write().overwrite().save(path)
        loaded = CrossValidatorModel.load(path)
        assert loaded.avgMetrics == pytest.approx(model.avgMetrics)
        assert_df_equality(loaded.transform(small), model.transform(small))
        validator.save(str(tmp_path / "validator"))
        again = CrossValidator.load(str(tmp_path / "validator"))
        assert again.getEstimator().getFactorSize() == 2
        assert [list(m.values()) for m in again.getEstimatorParamMaps()] == [list(m.values()) for m in grid]


def test_train_validation_split(small, estimator, packings, tmp_path):
    grid = ParamGridBuilder().addGrid(estimator.maxIter, [0, 5]).build()
    split = TrainValidationSplit(
        estimator=estimator, estimatorParamMaps=grid, evaluator=RegressionEvaluator(), trainRatio=0.7, seed=1
    )
    model = split.fit(small)
    assert len(packings) == 2
    assert model.validationMetrics[1] < model.validationMetrics[0]
    path = str(tmp_path / "split")
    model.write().overwrite().save(path)
    loaded = TrainValidationSplitModel.load(path)
    assert_same_weights(loaded.bestModel, model.bestModel)
