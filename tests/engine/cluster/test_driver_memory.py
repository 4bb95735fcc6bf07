import pytest

from spark_fm import FMRegressor
from spark_fm.engine.cluster import driver_memory as rooms
from spark_fm.engine.cluster.driver_memory import CONTAINER, MACHINE, OVERHEAD, check_room, room
from spark_fm.engine.training import adagrad
from tests.ml.frames import planted_frame


class Session:
    """A classic session with these settings."""

    def __init__(self, **settings):
        self.sparkContext = self
        self._settings = settings

    def getConf(self):
        return self

    def get(self, name):
        return self._settings.get(name)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 8 GiB left, in a container with 3 of 4 GiB left."""
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    (tmp_path / "max").write_text(f"{4 * 2**30}\n")
    (tmp_path / "current").write_text(f"{2**30}\n")
    monkeypatch.setattr(rooms, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(rooms, "CGROUPS", [(tmp_path / "max", tmp_path / "current")])
    return tmp_path


def test_room_is_that_of_machine_and_container(system):
    assert room(Session()) == {MACHINE: 8 * 2**30, CONTAINER: 3 * 2**30}


def test_room_without_a_limit_or_without_such_files_is_unknown(system, monkeypatch):
    (system / "max").write_text("max\n")
    assert room(Session()) == {MACHINE: 8 * 2**30}
    monkeypatch.setattr(rooms, "MEMINFO", system / "none")
    assert room(Session()) == {}


@pytest.mark.parametrize(("overhead", "expected"), [("2g", 2 * 2**30), ("512", 512 * 2**20)])
def test_overhead_counts_in_cluster_mode(system, overhead, expected):
    settings = {OVERHEAD: overhead, "spark.submit.deployMode": "cluster"}
    assert room(Session(**settings))[OVERHEAD] == expected
    assert OVERHEAD not in room(Session(**(settings | {"spark.submit.deployMode": "client"})))


def test_model_that_has_room_is_let_through():
    check_room({MACHINE: 10**9, OVERHEAD: 10**9}, 10**6, 16)
    check_room({}, 10**12, 64)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (MACHINE, "the driver's machine has 1 GiB left: use a larger one"),
        (
            OVERHEAD,
            "spark.driver.memoryOverhead has 1 GiB left: start Spark with spark.driver.memoryOverhead of 8g",
        ),
    ],
)
def test_model_that_has_no_room_names_what_is_too_small(name, told):
    sentence = f"10,000,000 features that occur and 16 factors takes 7.7 GiB of the driver's Python, {told}"
    with pytest.raises(ValueError, match=sentence):
        check_room({name: 2**30}, 10**7, 16)


def test_fit_refuses_before_the_first_round(spark, monkeypatch):
    monkeypatch.setattr(adagrad, "room", lambda _: {MACHINE: 1000})
    with pytest.raises(ValueError, match="45 features that occur and 8 factors takes"):
        FMRegressor(numPartitions=2, maxIter=1).fit(planted_frame(spark, 400))
