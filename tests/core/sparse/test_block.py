from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.sparse.block import Block, concatenate
from tests.core.strategies import extreme, rows
from tests.oracle import block_of, rows_of

ARRAYS = ("indptr", "indices", "values", "label", "weight", "validation", "features")


@st.composite
def blocks(draw):
    data = draw(rows(extreme))
    n = len(data)

    def column(values):
        return draw(st.none() | st.lists(values, min_size=n, max_size=n))

    return block_of(
        data,
        column(st.floats(allow_nan=False)),
        column(st.floats(0.0, 100.0, width=32)),
        column(st.booleans()),
        draw(st.lists(st.integers(0, 2**62), max_size=5)),
        draw(st.sampled_from([np.float32, np.float64])),
    )


def assert_same(found, expected):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype, name


@given(blocks())
def test_bytes_make_the_same_block(block):
    data = block.to_bytes()
    assert len(data) % 8 == 0
    assert_same(Block.from_buffer(data), block)
    assert_same(Block.from_buffer(memoryview(data)), block)


def test_block_from_bytes_can_not_be_written():
    block = Block.from_buffer(block_of([([1], [2.0])]).to_bytes())
    with pytest.raises(ValueError, match="read-only"):
        block.values[0] = 1.0


@pytest.mark.parametrize("label", [-1.0, 0.0, 0.5, 1.0, 255.0, 256.0, np.inf])
@pytest.mark.parametrize("length", [0, 1, 255, 256])
def test_short_labels_and_rows_are_whole_again(label, length):
    block = block_of([(list(range(length)), [1.0] * length), ([], [])], [label, 1.0])
    assert_same(Block.from_buffer(block.to_bytes()), block)


def test_classes_and_short_rows_take_a_byte():
    data = [([1, 2], [1.0, 1.0])] * 800
    assert len(block_of(data, [0.0, 1.0] * 400).to_bytes()) == 64 + 800 + 800 + 1600 * 2
    assert len(block_of(data, [0.5, 1.0] * 400).to_bytes()) == 64 + 6400 + 800 + 1600 * 2
    longer = [(list(range(256)), [1.0] * 256)] * 800
    assert len(block_of(longer, [0.0, 1.0] * 400).to_bytes()) == 64 + 800 + 3208 + 800 * 256 * 2


def test_foreign_bytes_are_refused():
    with pytest.raises(ValueError, match="not a packed block"):
        Block.from_buffer(bytes(64))


def test_absent_columns_take_no_bytes():
    bare = block_of([([1, 2], [1.0, 1.0])] * 100)
    full = block_of([([1, 2], [1.0, 2.0])] * 100, weight=[2.0] * 100, validation=[True] * 100)
    assert len(full.to_bytes()) - len(bare.to_bytes()) == 200 * 4 + 100 * 4 + 104


def test_values_of_double_precision_stay_as_they_are():
    block = block_of([([1, 2], [1e9 + 1.0, 0.1])], dtype=np.float64)
    for found in (
        Block.from_buffer(block.to_bytes()),
        block.take(np.array([0])),
        concatenate([block, block]),
    ):
        assert found.values.dtype == np.float64
        assert found.values[:2].tolist() == [1e9 + 1.0, 0.1]
    short = block_of([([3], [0.5])])
    assert concatenate([short, block]).values.tolist() == [0.5, 1e9 + 1.0, 0.1]


@given(blocks(), st.data())
def test_fingerprint_is_that_of_the_labels_in_any_order(block, data):
    order = data.draw(st.permutations(range(block.rows)))
    assert block.take(np.array(order)).fingerprint == block.fingerprint
    halves = [block.take(np.arange(block.rows)[part]) for part in (slice(0, 2), slice(2, None))]
    assert sum(half.fingerprint for half in halves) == block.fingerprint


def test_other_labels_have_another_fingerprint():
    rows = [([1], [1.0])] * 3
    prints = {
        block_of(rows, label).fingerprint
        for label in (
            [0.0, 1.0, 1.0],
            [0.0, 0.0, 1.0],
            [0.5, 1.0, 1.0],
            [1.0, 1.0, 1.0],
            [1.0, 1.0, 1.0 + 1e-15],
        )
    }
    assert len(prints) == 5


@given(blocks(), st.data())
def test_taken_rows_are_the_rows_in_that_order(block, data):
    chosen = data.draw(st.lists(st.integers(0, block.rows - 1), max_size=10))
    taken = block.take(np.array(chosen, np.intp))
    everything = rows_of(block)
    assert rows_of(taken) == [everything[r] for r in chosen]
    assert taken.indices.dtype == block.indices.dtype
    np.testing.assert_array_equal(taken.features, block.features)


@given(st.lists(blocks(), min_size=1, max_size=4))
def test_concatenated_rows_follow_each_other(many):
    whole = concatenate(many)
    assert rows_of(whole) == [row for block in many for row in rows_of(block)]
    assert whole.features.tolist() == [f for block in many for f in block.features.tolist()]
    assert (whole.rows, whole.nonzeros) == (sum(b.rows for b in many), sum(b.nonzeros for b in many))


def test_concatenation_fills_in_what_some_blocks_leave_out():
    bare = block_of([([1, 2], [1.0, 1.0])])
    full = block_of([([3], [5.0])], weight=[2.0], validation=[True])
    whole = concatenate([bare, full])
    np.testing.assert_array_equal(whole.values, np.float32([1, 1, 5]))
    np.testing.assert_array_equal(whole.weight, np.float32([1, 2]))
    np.testing.assert_array_equal(whole.validation, [False, True])


def test_concatenation_of_bare_blocks_stays_bare():
    whole = concatenate([block_of([([1], [1.0])]), block_of([([2], [1.0])])])
    assert (whole.values.size, whole.weight.size, whole.validation.size) == (0, 0, 0)


@given(st.lists(st.sampled_from([0, 1, 65534, 65535, 65536, 2**31 - 1]), max_size=30))
def test_indices_of_any_size_come_back(indices):
    block = block_of([([0] * len(indices), [1.0] * len(indices))])
    block = replace(block, indices=np.array(indices, np.int32))
    assert_same(Block.from_buffer(block.to_bytes()), block)


def test_small_indices_take_two_bytes():
    small = block_of([(list(range(1000)), [1.0] * 1000)])
    large = replace(small, indices=small.indices + 100_000)
    assert len(large.to_bytes()) - len(small.to_bytes()) == 2000
