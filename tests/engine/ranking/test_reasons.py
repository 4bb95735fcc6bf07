import numpy as np
import pytest

from spark_fm.engine.ranking.reasons import Rows

INDPTR = np.array([0, 2, 2, 5, 6])
POSITIONS = np.array([3, -1, 0, 1, 7, -1], np.int32)
VALUES = np.array([0.5, 9.0, 1.0, -2.0, 3.0, 9.0])


def as_lists(rows):
    return [
        [(int(rows.features[j]), float(rows.values[j])) for j in range(*rows.indptr[[r, r + 1]])]
        for r in range(rows.indptr.size - 1)
    ]


def test_unknown_features_are_left_out():
    known = Rows.known(INDPTR, POSITIONS, VALUES)
    assert as_lists(known) == [[(3, 0.5)], [], [(0, 1.0), (1, -2.0), (7, 3.0)], []]
    assert as_lists(Rows.known(INDPTR, POSITIONS, np.empty(0)))[2] == [(0, 1.0), (1, 1.0), (7, 1.0)]


@pytest.mark.parametrize("step", [1, 2, 3, 10])
def test_rows_travel_in_packets(step):
    known = Rows.known(INDPTR, POSITIONS, VALUES)
    packets = known.to_arrow(step)
    sizes = np.diff(np.append(np.arange(0, 4, step), 4))
    assert len(packets) == sizes.size
    assert as_lists(Rows.of_arrow(packets, sizes)) == as_lists(known)
    rest = Rows.of_arrow(packets.slice(1), sizes[1:])
    assert as_lists(rest) == as_lists(known)[step:]
    both = Rows.joined([Rows.of_arrow(packets.slice(0, 1), sizes[:1]), rest])
    assert as_lists(both) == as_lists(known)


def test_no_rows():
    nothing = Rows.joined([])
    assert as_lists(nothing) == []
    assert len(nothing.to_arrow(3)) == 0
    assert as_lists(Rows.of_arrow(nothing.to_arrow(3), np.empty(0, np.int64))) == []
