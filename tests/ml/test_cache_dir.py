"""Fits that keep what they have packed in a folder: the same models, and nothing is left."""

import shutil
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressor
from spark_fm.engine.packing import folding
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training import adagrad, store
from spark_fm.engine.training.rounds import RoundsRunner
from tests.ml.frames import assert_same_weights
from tests.ml.test_recomputed import SETTINGS, after, drop_blocks, rows  # noqa: F401  a fixture

IN_ROUNDS = {**SETTINGS, "numPartitions": 2, "roundsPerEpoch": 2}
GIBBS = {"solver": "gibbs", "factorSize": 2, "maxIter": 3}
ESTIMATORS = {
    "one task": FMRegressor(**SETTINGS, numPartitions=1),
    "rounds": FMRegressor(**IN_ROUNDS),
    "refitted": FMRegressor(**IN_ROUNDS, validationFraction=0.5),
    "chains": FMRegressor(**GIBBS, numPartitions=1),
    "sampled in rounds": FMRegressor(**GIBBS, numPartitions=2, numChains=1),
}


@pytest.fixture
def folder(tmp_path):
    """Where fits keep what they pack; nothing must be left there."""
    path = tmp_path / "cache"
    yield str(path)
    assert not path.exists() or list(path.iterdir()) == []


def kept_files(folder):
    return sorted(Path(folder).glob("spark_fm-kept-*/**/*.parquet"))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_model_is_the_same(rows, folder, name, persisted):  # noqa: F811
    before = persisted()
    estimator = ESTIMATORS[name]
    expected = estimator.fit(rows)
    assert_same_weights(estimator.copy({estimator.cacheDir: folder}).fit(rows), expected)
    assert persisted() == before


def test_updates_that_are_summed_on_executors(rows, folder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(adagrad, "most_to_collect", lambda limits: 0)
    assert_same_weights(
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows), FMRegressor(**IN_ROUNDS).fit(rows)
    )


def test_named_means_used(rows, folder, monkeypatch):  # noqa: F811
    """Where caching works, too: nothing is persisted, and two folders hold blocks and chunks."""
    seen = []
    after(monkeypatch, RoundsRunner, "run", lambda: seen.append({path.parent for path in kept_files(folder)}))
    monkeypatch.setattr(type(rows), "persist", lambda frame: pytest.fail("found a frame that is persisted"))
    FMRegressor(**IN_ROUNDS, cacheDir=folder + "/").fit(rows)
    assert {path.name for path in seen[0]} > {"part=0", "part=1"}


@pytest.mark.parametrize("spread", [2_000, 20_000])
def test_files_may_be_read_in_pieces(spark, rows, folder, spread):  # noqa: F811
    """Whatever Spark's settings make of the files, no block is torn from its source and no chunk in two."""
    expected = FMRegressor(**IN_ROUNDS).fit(rows)
    settings = {
        "spark.sql.files.maxPartitionBytes": str(spread),
        "spark.sql.files.openCostInBytes": "0",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
    }
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        found = FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows)
    finally:
        for key in settings:
            spark.conf.unset(key)
    assert_same_weights(found, expected)


def test_fits_of_a_tuning_share_the_blocks(rows, folder, monkeypatch):  # noqa: F811
    packed = []
    after(monkeypatch, PackedData, "_packed", lambda: packed.append(len(list(Path(folder).iterdir()))))
    estimator = FMRegressor(**IN_ROUNDS, cacheDir=folder)
    maps = [{estimator.stepSize: 0.05}, {estimator.stepSize: 0.1}]
    models = dict(estimator.fitMultiple(rows, maps))
    assert packed == [1]
    assert_same_weights(models[0], FMRegressor(**IN_ROUNDS, stepSize=0.05).fit(rows))


def test_fits_at_the_same_time_do_not_meet(rows, folder):  # noqa: F811
    expected = FMRegressor(**IN_ROUNDS).fit(rows)
    estimator = FMRegressor(**IN_ROUNDS, cacheDir=folder)
    with ThreadPoolExecutor(3) as pool:
        for model in pool.map(lambda _: estimator.fit(rows), range(3)):
            assert_same_weights(model, expected)


def test_cross_validation(rows, folder):  # noqa: F811
    estimator = FMRegressor(**IN_ROUNDS)
    grid = ParamGridBuilder().addGrid(estimator.stepSize, [0.05, 0.1]).build()
    found = [
        CrossValidator(
            estimator=one,
            estimatorParamMaps=grid,
            evaluator=RegressionEvaluator(),
            numFolds=2,
            seed=3,
            parallelism=2,
        )
        .fit(rows)
        .avgMetrics
        for one in (estimator, estimator.copy({estimator.cacheDir: folder}))
    ]
    assert found[0] == found[1]


def test_an_input_that_is_never_the_same(spark, folder):
    """It is computed once: what each job computes again can't be fitted, what lies in a folder can."""
    frame = spark.range(0, 400, 1, 2).select(
        F.array((F.rand() * 9).cast("int")).alias("features"), F.rand().alias("label")
    )
    FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(frame)


def test_lost_blocks_cost_nothing(spark, rows, folder, monkeypatch):  # noqa: F811
    after(monkeypatch, RoundsRunner, "run", lambda: drop_blocks(spark))
    assert_same_weights(
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows), FMRegressor(**IN_ROUNDS).fit(rows)
    )


def test_bad_rows_are_told_and_nothing_is_left(rows, folder):  # noqa: F811
    with pytest.raises(ValueError, match="column 'label': in partition"):
        FMClassifier(**IN_ROUNDS, cacheDir=folder).fit(rows)


def test_a_folder_that_can_not_be_written_to(rows, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cacheDir: .*file/spark_fm-kept-") as caught:
        FMRegressor(**IN_ROUNDS, cacheDir=str(tmp_path / "file")).fit(rows)
    assert "\n" not in str(caught.value)


def test_a_chunk_that_is_too_large_for_a_row(rows, folder, monkeypatch):  # noqa: F811
    folded = folding.fold

    def small(batches):
        folding.LARGEST_ROW = 10
        return folded(batches)

    monkeypatch.setattr(store, "fold", small)
    with pytest.raises(
        ValueError, match=r"cacheDir: what a partition trains in a round takes .* larger numPartitions"
    ):
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows)


def lose(files):
    files[0].unlink()


def truncate(files):
    files[0].write_bytes(files[0].read_bytes()[:-20])


def duplicate(files):
    shutil.copy(files[0], files[0].with_name("part-99999.parquet"))


def take_another(files):
    other = next(file for file in files if file.parent.name == "part=1")
    mine = next(file for file in files if file.parent.name == "part=0")
    shutil.copy(other, mine)
    mine.with_name(f".{mine.name}.crc").unlink(missing_ok=True)


@pytest.mark.parametrize("harm", [lose, truncate])
@pytest.mark.parametrize(("owner", "name"), [(PackedData, "_packed"), (RoundsRunner, "run")])
def test_harmed_files_end_in_a_sentence(rows, folder, monkeypatch, harm, owner, name):  # noqa: F811
    def harmed():
        for path in {
            file.parents[len(file.parents) - len(Path(folder).parents) - 2] for file in kept_files(folder)
        }:
            harm(sorted(path.rglob("*.parquet")))

    after(monkeypatch, owner, name, harmed)
    with pytest.raises(
        RuntimeError, match=r"cacheDir: .*expected that nothing but this fit touches"
    ) as caught:
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("harm", [take_another, duplicate])
def test_chunks_of_other_rows_end_in_a_sentence(rows, folder, monkeypatch, harm):  # noqa: F811
    """Spark lists a folder anew where it is told to; the sentence is that of an input that changed."""

    def harmed():
        chunks = [file for file in kept_files(folder) if file.parent.name.startswith("part=")]
        if not any(file.name == "part-99999.parquet" for file in chunks):
            harm(chunks)
        rows.sparkSession.catalog.refreshByPath(folder)

    monkeypatch.setattr(store, "keep", _reading_anew(store.keep))
    after(monkeypatch, RoundsRunner, "run", harmed)
    with pytest.raises(RuntimeError, match=r"cacheDir: what this fit keeps below .* changed: found"):
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows)


def _reading_anew(keep):
    class Anew:
        def __init__(self, made, schema):
            self._made, self._schema, self.folder, self.lasts = made, schema, made.folder, True

        @property
        def frame(self):
            return self._made.frame.sparkSession.read.schema(self._schema).parquet(self.folder)

        def release(self):
            self._made.release()

    return lambda frame, schema, cache_dir, by: Anew(keep(frame, schema, cache_dir, by), schema)


def test_stop_removes_the_folders(rows, folder, monkeypatch):  # noqa: F811
    assert threading.current_thread() is threading.main_thread()
    after(monkeypatch, RoundsRunner, "run", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows)


def test_a_folder_that_can_not_be_removed_is_told(rows, tmp_path, monkeypatch):  # noqa: F811
    def refused(spark, path):
        raise OSError(f"{path}: permission denied")

    monkeypatch.setattr("spark_fm.engine.cluster.kept.drop", refused)
    with pytest.warns(
        UserWarning, match=r"cacheDir: expected to remove what the fit has kept, found .*denied"
    ):
        model = FMRegressor(**IN_ROUNDS, cacheDir=str(tmp_path)).fit(rows)
    assert_same_weights(model, FMRegressor(**IN_ROUNDS).fit(rows))


def test_nothing_is_warned_of_where_nothing_is_computed_again(rows, folder, monkeypatch):  # noqa: F811
    def refused(*args, **kwargs):
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    monkeypatch.setattr(type(rows), "persist", refused)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "cacheDir")
        FMRegressor(**IN_ROUNDS, cacheDir=folder).fit(rows)
        FMRegressor(**SETTINGS, numPartitions=1).fit(rows)


def test_fits_that_pack_again_are_warned_of(rows, monkeypatch):  # noqa: F811
    def refused(*args, **kwargs):
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    monkeypatch.setattr(type(rows), "persist", refused)
    estimator = FMRegressor(**SETTINGS, numPartitions=1)
    with pytest.warns(
        UserWarning, match="cacheDir: this cluster refuses to cache, so that every fit of the same rows"
    ):
        list(estimator.fitMultiple(rows, [{estimator.stepSize: 0.05}, {estimator.stepSize: 0.1}]))
