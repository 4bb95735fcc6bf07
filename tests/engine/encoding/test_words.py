"""What names of columns say."""

import pytest

from spark_fm.engine.encoding.words import is_key, is_quantity, is_time, words_of


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("userId", ["user", "id"]),
        ("MGR_ID", ["mgr", "id"]),
        ("HTTPCode2", ["http", "code", "2"]),
        ("a.b c-d`e", ["a", "b", "c", "d", "e"]),
        ("größeInCm", ["größe", "in", "cm"]),
        ("_c0", ["c", "0"]),
        ("", []),
        ("🎬", []),
    ],
)
def test_words(name: str, words: list[str]) -> None:
    assert words_of(name) == words


KEYS = "id userId user_id userid USER_ID id_user MGR_ID zip zip_code zipcode order_no orderNo order_number account_num"
KEYS += " movie sku RESOURCE productKey session_id2 time_id"
QUANTITIES = (
    "price unitPrice amount_paid item_count n_items num_users number_of_reviews no_of_rooms age sqft_living"
)
QUANTITIES += " ms_played hours_per_week max_temp loan_amnt total"
TIMES = "timestamp created_at unixReviewTime eventTime ts date_of_birth"
NEITHER = "humidor volcano valid grid android solid paidy piano casino monkey barcoded x _c0 I1 1 ROLE_FAMILY"


@pytest.mark.parametrize("name", [*KEYS.split(), *QUANTITIES.split(), *TIMES.split(), *NEITHER.split()])
def test_what_a_name_says(name: str) -> None:
    found = [kind for kind, says in (("k", is_key), ("q", is_quantity), ("t", is_time)) if says(name)]
    lists = {"k": KEYS, "q": QUANTITIES, "t": TIMES}
    assert found == [kind for kind, names in lists.items() if name in names.split()]
