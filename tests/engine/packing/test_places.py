import pytest

from spark_fm.engine.packing.places import MOST_NONZEROS_TOGETHER, Places, parts_together


def test_places_of_validation_come_after_all_others():
    places = Places(2, 3, 2)
    assert places.training(1) == [(0, 1), (1, 1)]
    assert places.validating() == [(2, 3), (3, 3)]
    assert places.all() == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 3), (3, 3)]


@pytest.mark.parametrize("together", [1, 2, 3, 4])
def test_bundles_have_all_chunks_in_their_order(together):
    places = Places(3, 4, 2, together)
    bundles = places.bundles()
    assert [chunk for bundle in bundles for chunk in bundle] == places.all()
    assert max(map(len, bundles)) == together
    for bundle in bundles:
        assert len({partition for partition, _ in bundle}) == 1
        assert [places.within_bundle(chunk) for chunk in bundle] == list(range(len(bundle)))


def test_few_rows_are_shuffled_to_each_chunk_by_itself():
    assert parts_together(2, 8, rows=2_000_000, nonzeros=78_000_000, pieces=40) == 1
    assert parts_together(16, 8, rows=10_000, nonzeros=100_000, pieces=70) == 1


def test_so_many_parts_travel_together_that_a_shuffled_row_has_some_of_the_users_rows():
    # 65,536 rows of a source make 8 for each of 8,000 chunks.
    assert parts_together(1000, 8, rows=65_536 * 31, nonzeros=10**7, pieces=31) == 8
    assert parts_together(250, 8, rows=65_536 * 31, nonzeros=10**7, pieces=31) == 2
    assert parts_together(1000, 2, rows=65_536 * 31, nonzeros=10**7, pieces=31) == 2


def test_not_more_travels_together_than_a_worker_has_room_for():
    chunk = MOST_NONZEROS_TOGETHER // 3
    assert parts_together(1000, 8, rows=10**7, nonzeros=8000 * chunk, pieces=10_000) == 3
    assert parts_together(1000, 8, rows=10**7, nonzeros=8000 * 9 * chunk, pieces=10_000) == 1
