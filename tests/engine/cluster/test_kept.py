"""Where rows are kept, and how folders go on Spark Connect, whose clients reach no file system."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import functions as F

from spark_fm.engine.cluster import folders
from spark_fm.engine.cluster.execute import plain_errors
from spark_fm.engine.cluster.kept import keep

DDL = "id bigint, part int"


@pytest.fixture
def frame(spark):
    return spark.range(10).withColumn("part", (F.col("id") % 2).cast("int"))


def test_rows_in_a_folder_are_those_of_the_frame(frame, tmp_path, persisted_count):
    before = persisted_count()
    kept = keep(frame, DDL, str(tmp_path / "cache"), by=["part"])
    assert sorted(kept.frame.select("id", "part").collect()) == sorted(frame.collect())
    assert kept.lasts
    assert persisted_count() == before
    kept.release()
    kept.release()
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_folder_they_are_in_sparks_cache(frame, persisted_count):
    before = persisted_count()
    kept = keep(frame, DDL, "")
    kept.frame.count()
    assert (kept.frame, kept.lasts, persisted_count()) == (frame, True, before + 1)
    kept.release()
    assert persisted_count() == before


def test_what_goes_wrong_in_the_rows_is_told_as_it_is(spark, tmp_path):
    """It is nothing of the folder's."""
    frame = spark.range(3).withColumn("part", F.raise_error(F.lit("found a wolf")).cast("int"))
    with pytest.raises(Exception, match="found a wolf") as caught:
        keep(frame, DDL, str(tmp_path))
    assert not isinstance(caught.value, OSError)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_lost_is_named(frame, tmp_path):
    kept = keep(frame, DDL, str(tmp_path))
    kept.frame.count()
    for file in tmp_path.rglob("*.parquet"):
        file.unlink()
    with (
        pytest.raises(RuntimeError, match=r"cacheDir: \S*/spark_fm-kept-\S+\.parquet is lost"),
        plain_errors(),
    ):
        kept.frame.collect()
    kept.release()


class ConnectSession:
    """A Spark Connect session that only says what it was asked for."""

    def __init__(self, refuses=False, keeps=False):
        self.refuses, self.keeps, self.statements, self.emptied = refuses, keeps, [], []
        self.read = SimpleNamespace(text=self._text)

    def sql(self, statement):
        if self.refuses:
            raise AnalysisException("[INSUFFICIENT_PERMISSIONS] no")
        self.statements.append(statement)

    def _text(self, path):
        if not (self.refuses or self.keeps):
            raise AnalysisException("[PATH_NOT_FOUND] no such path")
        return SimpleNamespace(schema=None)

    def range(self, end):
        assert end == 0
        write = SimpleNamespace(
            mode=lambda mode: SimpleNamespace(parquet=lambda path: self.emptied.append((mode, path)))
        )
        return SimpleNamespace(write=write)


ConnectSession.__module__ = "pyspark.sql.connect.session"


def test_on_connect_a_folder_goes_with_a_database():
    session = ConnectSession()
    folders.drop(session, "s3://it's/here")
    create, drop = session.statements
    assert create.endswith(r"LOCATION 's3://it\'s/here'")
    assert drop.removesuffix(" CASCADE").split()[-1] == create.split()[2]
    assert session.emptied == []


@pytest.mark.parametrize("session", [ConnectSession(refuses=True), ConnectSession(keeps=True)])
def test_where_the_catalog_does_not_it_is_emptied(session):
    folders.drop(session, "s3://here")
    assert session.emptied == [("overwrite", "s3://here")]


def test_on_databricks_its_utilities_remove(monkeypatch):
    removed, session = [], ConnectSession()
    utilities = SimpleNamespace(fs=SimpleNamespace(rm=lambda path, recurse: removed.append((path, recurse))))
    module = ModuleType("pyspark.dbutils")
    module.DBUtils = lambda spark: utilities
    monkeypatch.setitem(sys.modules, "pyspark.dbutils", module)
    folders.drop(session, "/Volumes/main/ratings/cache/one")
    assert removed == [("/Volumes/main/ratings/cache/one", True)]
    assert session.statements == []

    def refused(path, recurse):
        raise RuntimeError("no permission\nat somewhere")

    utilities.fs.rm = refused
    with pytest.raises(OSError, match=r"^/Volumes/one: no permission$"):
        folders.drop(session, "/Volumes/one")


@pytest.fixture
def persisted_count(spark):
    return lambda: spark.sparkContext._jsc.getPersistentRDDs().size()
