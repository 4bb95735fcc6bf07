"""All packed rows in one task."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.sparse.block import NO_FEATURES, Block, concatenate
from spark_fm.engine.packing.census import Census, InputChangedError
from spark_fm.engine.packing.vocabulary import Counter


def gathered(batches: Iterator[pa.RecordBatch], counted: Census) -> tuple[Block, FeatureCounts] | None:
    """The rows of all packed blocks as one, whose indices are positions of features, and the counts of these.

    The order does not depend on which block came first. None where there are no blocks.

    Raises
    ------
    InputChangedError
        When the blocks are not those that were ``counted``.
    """
    found: list[tuple[int, int, Block]] = []
    for batch in batches:
        sources, numbers = batch.column("source"), batch.column("number")
        for i, data in enumerate(batch.column("data")):
            block = Block.from_buffer(data.as_buffer())
            found.append((sources[i].as_py(), numbers[i].as_py(), block))
    sum((Census.of(block) for _, _, block in found), Census()).check(counted, "")
    if not found:
        return None
    if len({block[:2] for block in found}) < len(found):
        raise InputChangedError("found two blocks of the same place")
    return _joined([(source, b) for source, _, b in sorted(found, key=lambda f: f[:2])])


def _joined(blocks: list[tuple[int, Block]]) -> tuple[Block, FeatureCounts]:
    """The blocks of all source partitions as one, with one dictionary, and the counts of its features."""
    counter, pieces = Counter(), list[Block]()
    last, known = -1, np.empty(0, np.int32)
    for source, block in blocks:
        if source != last:
            last, known = source, np.empty(0, np.int32)
        known = np.concatenate([known, counter.dictionary.encode(block.features)])
        piece = replace(block, indices=known[block.indices], features=NO_FEATURES)
        counter.count(piece)
        pieces.append(piece)
    counted = counter.result()
    return concatenate(pieces), counted
