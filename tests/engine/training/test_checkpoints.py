"""Which of two checkpoints is read, and which is written over."""

import numpy as np
import pytest

from spark_fm.engine.training import checkpoints as checkpoints_module
from spark_fm.engine.training.checkpoints import Checkpoints


def opened(spark, folder):
    return Checkpoints.of(spark, str(folder), 1, {"maxIter": 3})


def written(spark, folder, numbers):
    checkpoints = opened(spark, folder)
    for number in numbers:
        checkpoints.write("adagrad", {"epoch": number}, {"table": np.full((3, 2), number, np.float32)})


def that_of_epoch_2_stays(spark, folder, checkpoints):
    """The next one is written over the other."""
    checkpoints.write("adagrad", {"epoch": 4}, {"table": np.zeros(1)})
    assert opened(spark, folder).resumed("adagrad").numbers["epoch"] == 4
    for part in (folder / "odd").glob("*.parquet"):
        part.unlink()
    assert opened(spark, folder).resumed("adagrad").numbers["epoch"] == 2


def test_the_latest_is_read(spark, tmp_path):
    written(spark, tmp_path / "fit", [1, 2, 3])
    found = opened(spark, tmp_path / "fit").resumed("adagrad")
    assert found.numbers["epoch"] == 3
    np.testing.assert_array_equal(found.arrays["table"], np.full((3, 2), 3, np.float32))
    assert opened(spark, tmp_path / "fit").resumed("gibbs") is None


def test_a_damaged_one_is_written_over_and_not_the_good_one(spark, tmp_path):
    folder = tmp_path / "fit"
    written(spark, folder, [1, 2, 3])
    for part in (folder / "odd").glob("*.parquet"):
        part.write_bytes(b"")
    for crc in (folder / "odd").glob(".*.crc"):
        crc.unlink()
    again = opened(spark, folder)
    assert again.resumed("adagrad").numbers["epoch"] == 2
    that_of_epoch_2_stays(spark, folder, again)


@pytest.mark.filterwarnings("ignore:checkpointDir")
def test_where_an_array_is_lost_the_good_one_stays(spark, tmp_path):
    folder = tmp_path / "fit"
    written(spark, folder, [1, 2, 3])
    pieces = spark.read.parquet(str(folder / "odd")).where("name = ''").localCheckpoint()
    pieces.coalesce(1).write.mode("overwrite").parquet(str(folder / "odd"))
    again = opened(spark, folder)
    assert again.resumed("adagrad").numbers["epoch"] == 2
    that_of_epoch_2_stays(spark, folder, again)


def test_where_one_cannot_be_written_the_fit_goes_on_and_the_last_one_stays(spark, tmp_path):
    folder = tmp_path / "fit"
    checkpoints = opened(spark, folder)
    checkpoints.write("adagrad", {"epoch": 1}, {"table": np.zeros(1)})
    checkpoints.write("adagrad", {"epoch": 2}, {"table": np.zeros(1)})
    aside = folder.rename(tmp_path / "aside")
    folder.write_text("a file where the folder was")
    with pytest.warns(UserWarning, match=r"^checkpointDir: .*/fit: .*; expected to write"):
        checkpoints.write("adagrad", {"epoch": 3}, {"table": np.zeros(1)})
    folder.unlink()
    aside.rename(folder)
    assert opened(spark, folder).resumed("adagrad").numbers["epoch"] == 2
    that_of_epoch_2_stays(spark, folder, checkpoints)


def test_a_folder_that_cannot_be_removed_takes_no_model(spark, tmp_path, monkeypatch):
    def refuse(spark, path):
        raise OSError(f"{path}: Permission denied")

    monkeypatch.setattr(checkpoints_module, "drop", refuse)
    checkpoints = opened(spark, tmp_path / "fit")
    with pytest.warns(
        UserWarning, match=r"^checkpointDir: expected to remove the checkpoints, found .*denied"
    ):
        checkpoints.clear()


def test_clear_leaves_the_checkpoints_that_another_fit_has_written_in_the_meantime(spark, tmp_path):
    first = opened(spark, tmp_path / "fit")
    other = Checkpoints.of(spark, str(tmp_path / "fit"), 1, {"maxIter": 4})
    other.write("adagrad", {"epoch": 1}, {"table": np.zeros(1)})
    first.clear()
    with pytest.raises(ValueError, match="maxIter 4, expected 3"):
        first.write("adagrad", {"epoch": 1}, {"table": np.zeros(1)})
    other.clear()
    assert not list(tmp_path.iterdir())
