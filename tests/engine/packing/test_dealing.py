from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.sparse.block import NO_FEATURES, Block
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.packing import dealing, joining
from spark_fm.engine.packing.census import Census, InputChangedError
from spark_fm.engine.packing.dealing import DEALT, Deal, Vocabulary, deal
from spark_fm.engine.packing.joining import CHUNKS, join, join_pieces
from spark_fm.engine.packing.places import Places
from tests.oracle import block_of, rows_of


def with_all_features(block):
    """A block whose indices are ids, as packing leaves it when it meets them in ascending order."""
    return replace(block, features=np.arange(50))


def packed(*blocks, source=0):
    """Arrow batches as packing leaves them: only the first block of a source adds features."""
    blocks = [b if n == 0 else replace(b, features=NO_FEATURES) for n, b in enumerate(blocks)]
    return [
        pa.RecordBatch.from_pylist(
            [{"source": source, "number": n, "data": b.to_bytes()}],
            pa.schema([("source", pa.int32()), ("number", pa.int32()), ("data", pa.binary())]),
        )
        for n, b in enumerate(blocks)
    ]


@st.composite
def many_blocks(draw):
    """Blocks whose rows can be told apart by their labels; some with values, weights or validation rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    with_validation = draw(st.booleans())
    made, label = [], 0
    for rows in draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)):
        data = []
        for _ in range(rows):
            ids = sorted(random.choice(50, random.integers(0, 5), replace=False).tolist())
            data.append((ids, random.choice([1.0, 2.0], len(ids)).tolist()))
        made.append(
            with_all_features(
                block_of(
                    data,
                    list(range(label, label + rows)),
                    random.choice([0.5, 2.0], rows).tolist() if draw(st.booleans()) else None,
                    (random.random(rows) < 0.3).tolist() if with_validation else None,
                )
            )
        )
        label += rows
    return made


def counted(*sources):
    """What was counted of sources, each a list of blocks, by their numbers."""
    return {
        n: sum(
            (
                Census.of(Block.from_buffer(row["data"]))
                for batch in packed(*blocks)
                for row in batch.to_pylist()
            ),
            Census(),
        )
        for n, blocks in enumerate(sources)
    }


def orders_of(sources, places, held_out=0, seed=0, features=None, scaling=None):
    features = np.arange(50) if features is None else features
    keys = list(range(100, 100 + len(places.bundles())))
    scaling = scaling or FeatureScaling.identity(features.size)
    vocabulary = Vocabulary(f"test run {features.tobytes()}", features, scaling, sources)
    return Deal.of(keys, places, held_out, seed, sources, Shipped(None, vocabulary))


def dealt_sources(sources, orders):
    batches = [batch for n, blocks in enumerate(sources) for batch in packed(*blocks, source=n)]
    rows = [row for batch in deal(iter(batches), orders) for row in batch.to_pylist()]
    key_of = dict(zip((bundle[0] for bundle in orders.places.bundles()), orders.keys, strict=True))
    assert all(row["key"] == key_of[row["partition"], row["part"]] for row in rows)
    return rows


def dealt(blocks, partitions, parts, held_out=0, seed=0, validation=1, together=1):
    places = Places(partitions, parts, validation, together)
    return dealt_sources([blocks], orders_of(counted(blocks), places, held_out, seed))


def chunks_of(rows, own_dictionaries=True):
    """Dealt rows, sorted as Spark sorts them, joined: {(partition, part): [Block, ...]}."""
    rows = sorted(rows, key=lambda r: (r["partition"], r["part"], r["source"], r["number"]))
    batches = [pa.RecordBatch.from_pylist([row], DEALT) for row in rows]
    chunks = {}
    for batch in join(iter(batches), partial(join_pieces, own_dictionaries=own_dictionaries)):
        assert batch.schema == CHUNKS
        for row in batch.to_pylist():
            chunk = chunks.setdefault((row["partition"], row["part"]), [])
            assert row["number"] == len(chunk)
            chunk.append(Block.from_buffer(row["data"]))
    return chunks


def global_rows(blocks):
    """The rows of a chunk's blocks with the positions in the vocabulary that their indices stand for."""
    features, found = blocks[0].features, []
    assert (np.diff(features) > 0).all()
    assert all(block.features.size == 0 for block in blocks[1:])
    if not features.size:
        features = np.arange(50)
    for block in blocks:
        for ids, *rest in rows_of(block):
            found.append((tuple(int(features[i]) for i in ids), *rest))
    return found


@given(many_blocks(), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_every_row_is_in_one_chunk_exactly_once(blocks, partitions, parts, seed, own):
    chunks = chunks_of(dealt(blocks, partitions, parts, seed=seed), own)
    # The chunk that a row lies in says whether it is for validation.
    found = [(*row[:-1], part == parts) for (_, part), chunk in chunks.items() for row in global_rows(chunk)]
    expected = [row for block in blocks for row in rows_of(block)]
    assert Counter(found) == Counter(expected)


@given(
    many_blocks(), st.integers(1, 4), st.integers(2, 5), st.integers(0, 9), st.integers(0, 20), st.booleans()
)
def test_chunks_are_the_same_whatever_travels_together(blocks, partitions, parts, seed, size, own):
    """Down to the order of the rows and where blocks end: what a model is must not depend on it."""
    held_out = sum(block.rows for block in blocks) // 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealing, "ROWS_TO_DEAL", 10 + size)
        patch.setattr(joining, "ROWS_A_BLOCK", 7)
        alone, *others = [
            chunks_of(dealt(blocks, partitions, parts, held_out, seed, 2, together), own)
            for together in range(1, parts + 1)
        ]
    for found in others:
        assert found.keys() == alone.keys()
        for chunk, expected in alone.items():
            assert [rows_of(block) for block in found[chunk]] == [rows_of(block) for block in expected]
            assert [b.features.tolist() for b in found[chunk]] == [b.features.tolist() for b in expected]


def test_what_travels_together_is_one_row_for_each_partition():
    blocks = [with_all_features(block_of([([0], [1.0])] * 600, list(range(600))))]
    assert len(dealt(blocks, 5, 8, held_out=60)) == 5 * 8 + 1
    assert len(dealt(blocks, 5, 8, held_out=60, together=8)) == 5 + 1
    assert len(dealt(blocks, 5, 8, held_out=60, together=3)) == 5 * 3 + 1


@given(many_blocks(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))
def test_validation_rows_lie_in_chunks_of_their_own(blocks, partitions, parts, validation):
    held = Counter(row[2] for block in blocks for row in rows_of(block) if row[-1])
    chunks = chunks_of(dealt(blocks, partitions, parts, validation=validation))
    places = Places(partitions, parts, validation)
    assert chunks.keys() <= set(places.all())
    found = Counter(
        row[2] for chunk in chunks.keys() & set(places.validating()) for row in global_rows(chunks[chunk])
    )
    assert found == held


@given(many_blocks(), st.integers(1, 4), st.integers(1, 3))
def test_chunks_have_nearly_the_same_number_of_rows(blocks, partitions, parts):
    counts = Counter()
    for row in dealt(blocks, partitions, parts):
        counts[row["partition"], row["part"]] += Block.from_buffer(row["data"]).rows
    sizes = [counts[chunk] for chunk in Places(partitions, parts, 0).all()]
    assert max(sizes) - min(sizes) <= 1


def held_out_of(rows, places):
    return sum(Block.from_buffer(r["data"]).rows for r in rows if r["part"] == places.parts)


@pytest.mark.parametrize("sources", [1, 3, 400])
@pytest.mark.parametrize("held_out", [1, 37, 399])
@pytest.mark.parametrize("seed", [0, 1])
def test_held_out_rows_are_as_many_as_asked_for_however_rows_are_cut(sources, held_out, seed):
    random = np.random.default_rng(0)
    cuts = np.sort(random.choice(np.arange(1, 1200), sources - 1, replace=False))
    blocks = [
        [with_all_features(block_of([([0], [1.0])] * part.size, part.tolist()))]
        for part in np.split(np.arange(1200), cuts)
    ]
    places = Places(2, 2, 2)
    rows = dealt_sources(blocks, orders_of(counted(*blocks), places, held_out, seed))
    assert held_out_of(rows, places) == held_out
    labels = [label for row in rows for label in Block.from_buffer(row["data"]).label]
    assert sorted(labels) == list(range(1200))


def test_held_out_rows_are_as_many_as_asked_for_piece_by_piece(monkeypatch):
    monkeypatch.setattr(dealing, "ROWS_TO_DEAL", 50)
    blocks = [with_all_features(block_of([([0], [1.0])] * 17, [float(n)] * 17)) for n in range(20)]
    places = Places(2, 1, 1)
    assert held_out_of(dealt(blocks, 2, 1, held_out=33), places) == 33


def test_which_sources_hold_out_the_odd_row_is_random():
    blocks = [[with_all_features(block_of([([0], [1.0])] * 3, [float(n)] * 3))] for n in range(40)]
    places = Places(1, 1, 1)

    def odd(seed):
        rows = dealt_sources(blocks, orders_of(counted(*blocks), places, 10, seed))
        return {row["source"] for row in rows if row["part"] == places.parts}

    assert len(odd(0)) == len(odd(1)) == 10
    assert odd(0) == odd(0) != odd(1)


def test_dealing_is_random_and_repeats_itself():
    blocks = [with_all_features(block_of([([i % 7], [1.0]) for i in range(100)], list(range(100))))]

    def labels(seed):
        return {
            key: [r[2] for r in global_rows(chunk)]
            for key, chunk in chunks_of(dealt(blocks, 3, 2, seed=seed)).items()
        }

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)
    first = labels(1)[0, 0]
    assert max(first) - min(first) > 40, "a chunk gets rows from everywhere"


def test_large_sources_are_dealt_piece_by_piece(monkeypatch):
    monkeypatch.setattr(dealing, "ROWS_TO_DEAL", 50)
    blocks = [
        with_all_features(block_of([([i], [1.0])] * 20, list(range(20 * i, 20 * i + 20)))) for i in range(7)
    ]
    rows = dealt(blocks, 2, 1)
    assert len({row["number"] for row in rows}) == 3
    labels = [r[2] for chunk in chunks_of(rows).values() for r in global_rows(chunk)]
    assert sorted(labels) == list(range(140))


@pytest.mark.parametrize("own", [True, False])
def test_large_chunks_are_several_blocks_with_one_dictionary(monkeypatch, own):
    monkeypatch.setattr(dealing, "ROWS_TO_DEAL", 50)
    monkeypatch.setattr(joining, "ROWS_A_BLOCK", 40)
    blocks = [
        with_all_features(block_of([([i, i + 1], [1.0, 1.0])] * 20, [float(i)] * 20)) for i in range(10)
    ]
    chunks = chunks_of(dealt(blocks, 1, 1), own)
    (chunk,) = chunks.values()
    assert len(chunk) > 2
    assert Counter(global_rows(chunk)) == Counter(row for block in blocks for row in rows_of(block))
    assert chunk[0].features.size == (11 if own else 0)


def test_indices_become_positions_in_the_union_whatever_the_source():
    """Two source partitions have met the same ids in different order."""
    first = replace(block_of([([0, 1], [1.0, 1.0])]), features=np.array([2**40, 7]))
    second = replace(block_of([([0], [1.0])], [5.0]), features=np.array([7]))
    sources = [[first], [second]]
    rows = dealt_sources(
        sources, orders_of(counted(*sources), Places(1, 1, 0), features=np.array([7, 2**40]))
    )
    assert [row["source"] for row in rows] == [0, 1]
    assert [Block.from_buffer(row["data"]).indices.tolist() for row in rows] == [[1, 0], [0]]


def test_values_are_in_the_chunks_of_training_once_dealt():
    block = block_of([([0, 1], [6.0, 4.0]), ([1], [8.0])], [7.0, 8.0], features=[5, 3], dtype=np.float64)
    scaling = replace(
        FeatureScaling.identity(2),
        mean=np.array([0.0, 2.0]), inverse=np.array([0.25, 0.5]), dense=np.array([1], np.int32),
    )  # fmt: skip
    orders = orders_of(counted([block]), Places(1, 1, 0), features=np.array([3, 5]), scaling=scaling)
    (row,) = dealt_sources([[block]], orders)
    found = Block.from_buffer(row["data"])
    assert found.values.dtype == np.float32
    # 3 is at position 0 and sparse; 5, at position 1, is dense: its zero is a value.
    assert {label: dict(zip(ids, values, strict=True)) for ids, values, label, *_ in rows_of(found)} == {
        7.0: {0: 1.0, 1: 2.0}, 8.0: {0: 2.0, 1: -1.0}
    }  # fmt: skip


FOUND = with_all_features(block_of([([0, 1], [1.0, 1.0]), ([2], [1.0])], [1.0, 2.0]))
COUNTED = {
    "rows": (replace(FOUND.take(np.arange(1))), "found 2 rows with 3 non-zeros in partition 1, expected 1 with 2"),
    "non-zeros": (
        block_of([([0], [1.0]), ([2], [1.0])], [1.0, 2.0]),
        "found 2 rows with 3 non-zeros in partition 1, expected 2 with 2",
    ),
    "labels": (
        replace(FOUND, label=np.array([1.0, 2.5])),
        "found other labels or features in as many rows in partition 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "sentence"), COUNTED.values(), ids=COUNTED)
def test_source_that_changed_is_told_in_a_sentence(before, sentence):
    sources = [[FOUND], [FOUND]]
    orders = orders_of(counted([FOUND], [before]), Places(2, 1, 0))
    told = (
        f"the input changed between two computations of it: {sentence}; write it to a table, or checkpoint it"
    )
    with pytest.raises(InputChangedError, match=f"^{told}"):
        dealt_sources(sources, orders)


def test_source_that_was_not_counted_is_told_in_a_sentence():
    with pytest.raises(
        InputChangedError, match="found 2 rows with 3 non-zeros in partition 1, expected 0 with 0"
    ):
        dealt_sources([[FOUND], [FOUND]], orders_of(counted([FOUND]), Places(2, 1, 0)))


def test_feature_that_did_not_occur_before_is_told_in_a_sentence():
    orders = orders_of(counted([FOUND]), Places(1, 1, 0), features=np.arange(49))
    with pytest.raises(InputChangedError, match="found the feature 49, which did not occur before"):
        dealt_sources([[FOUND]], orders)


def test_census_adds_up_and_does_not_depend_on_the_order_of_rows():
    block = block_of([([0, 1], [1.0, 1.0]), ([2], [1.0]), ([], [])], [1.0, -2.5, 3e10])
    parts = [block.take(np.array(rows)) for rows in ([2, 0], [1])]
    assert sum(map(Census.of, parts), Census()) == Census.of(block)
    assert (Census.of(block).rows, Census.of(block).nonzeros) == (3, 3)


def test_nothing_dealt_is_nothing():
    assert dealt([], 3, 2) == []
    for own in (True, False):
        assert list(join(iter([]), partial(join_pieces, own_dictionaries=own))) == []
