"""What hypothesis draws: sparse rows as users may have them."""

from hypothesis import strategies as st

FEATURES = 12

# Ones and zeros often, as one-hot data have them; else anything from tiny to huge, of both signs.
ordinary = st.one_of(st.just(1.0), st.floats(-3.0, 3.0, width=32))
extreme = st.one_of(
    ordinary,
    st.sampled_from([0.0, 1e-30, -1e-30, 1e-12, 1e6, -1e6, 1e12, -1e12, 1e30, -1e30]),
)


def rows(values=ordinary, most=6, features=FEATURES):
    """Rows as (ascending ids, values); empty rows and single features among them."""

    def row(ids):
        ids = sorted(ids)
        return st.tuples(st.just(ids), st.lists(values, min_size=len(ids), max_size=len(ids)))

    ids = st.sets(st.integers(0, features - 1), max_size=8)
    return st.lists(ids.flatmap(row), min_size=1, max_size=most)
