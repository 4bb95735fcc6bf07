import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.sparse.dictionary import DenseDictionary, Dictionary, dictionary_of

any_ids = st.lists(st.one_of(st.integers(0, 50), st.integers(0, 2**63 - 1)), max_size=200)


def array(ids):
    return np.array(ids, np.int64)


@given(st.lists(any_ids, max_size=5))
def test_positions_are_those_of_first_meetings(batches):
    dictionary, expected = Dictionary(), {}
    for ids in batches:
        positions = dictionary.encode(array(ids))
        assert positions.dtype == np.int32
        assert positions.tolist() == [expected.setdefault(i, len(expected)) for i in ids]
        assert len(dictionary) == len(expected)
    assert dictionary.features().tolist() == list(expected)


@given(any_ids, any_ids)
def test_locate_finds_what_was_encoded_and_nothing_else(known, asked):
    dictionary = Dictionary()
    dictionary.encode(array(known))
    positions = {i: p for p, i in enumerate(dict.fromkeys(known))}
    assert dictionary.locate(array(asked + known)).tolist() == [positions.get(i, -1) for i in asked + known]
    assert len(dictionary) == len(positions)


@given(st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=100))
def test_dictionary_of_given_features_keeps_their_positions(ids):
    dictionary = Dictionary(array(ids))
    assert dictionary.features().tolist() == ids
    assert dictionary.locate(array(ids)).tolist() == list(range(len(ids)))
    assert dictionary.encode(array(ids)).tolist() == list(range(len(ids)))


@pytest.mark.parametrize("count", [511, 512, 513, 1024, 40_000])
@pytest.mark.parametrize("batches", [1, 7])
def test_dictionary_grows(count, batches):
    ids = np.random.default_rng(count).permutation(np.arange(count, dtype=np.int64) * 7919)
    dictionary = Dictionary()
    positions = [dictionary.encode(part) for part in np.array_split(ids, batches)]
    np.testing.assert_array_equal(np.concatenate(positions), np.arange(count))
    np.testing.assert_array_equal(dictionary.features(), ids)
    np.testing.assert_array_equal(dictionary.locate(ids[::-1]), np.arange(count)[::-1])
    assert (dictionary.locate(ids + 1) == -1).all()


@pytest.mark.parametrize("ids", [[0], [2**31 - 1, 2**31, 2**32, 2**63 - 1], [2**32 + 5, 5]])
def test_long_ids_are_told_apart(ids):
    dictionary = Dictionary()
    assert dictionary.encode(array(ids)).tolist() == list(range(len(ids)))
    assert dictionary.features().tolist() == ids


def test_short_and_long_arrays_mean_the_same_ids():
    dictionary = Dictionary()
    dictionary.encode(np.array([5, 6], np.int32))
    assert dictionary.encode(np.array([6, 5], np.int64)).tolist() == [1, 0]
    assert dictionary.locate(np.array([6, 7], np.int32)).tolist() == [1, -1]


def test_empty_dictionary_knows_nothing():
    dictionary = Dictionary()
    assert len(dictionary) == 0
    assert dictionary.features().size == 0
    assert dictionary.locate(array([0, 1])).tolist() == [-1, -1]
    assert dictionary.encode(array([])).size == 0


@pytest.mark.parametrize("count", [511, 512, 513, 40_000])
def test_dictionary_of_many_given_features_finds_and_grows(count):
    ids = np.random.default_rng(count).permutation(np.arange(count, dtype=np.int64) * 7919)
    dictionary = Dictionary(ids)
    np.testing.assert_array_equal(dictionary.locate(ids), np.arange(count))
    assert (dictionary.locate(ids + 1) == -1).all()
    assert dictionary.encode(array([5, 7, 5])).tolist() == [count, count + 1, count]
    np.testing.assert_array_equal(dictionary.features(), [*ids, 5, 7])


@given(st.sets(st.integers(0, 500)), st.lists(st.integers(0, 2**40)))
def test_fixed_dictionaries_agree(known, others):
    features = array(sorted(known))
    asked = array([*others, *range(-1, 502)])
    expected = Dictionary(features).locate(asked)
    for made in (DenseDictionary(features), dictionary_of(features)):
        found = made.locate(asked)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int32


@pytest.mark.parametrize(
    ("largest", "count", "kind"),
    [(2**22 - 1, 1, DenseDictionary), (2**22, 1, Dictionary), (2**22 + 8, 2**20 + 4, DenseDictionary)],
)
def test_fixed_dictionary_is_dense_where_there_is_room(largest, count, kind):
    features = np.concatenate([np.arange(count - 1), [largest]])
    assert type(dictionary_of(features)) is kind
    assert dictionary_of(features).locate(np.array([largest, largest + 1])).tolist() == [count - 1, -1]
