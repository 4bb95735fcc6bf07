"""What the name of a column says of it: its words, and whether they are those of a key, a quantity or a time."""

import re

WORD = re.compile(r"[^\W\d_]+|\d+")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The last word, or the first: id_user.
IDENTIFIERS = _words("id ids uid uuid guid pk fk")
# The last word: order_no, but no_of_rooms.
KEYS = _words(
    "key code no nr number zip zipcode postcode postal plz barcode sku isbn asin ean upc iata icao serial hash fips"
)
# What has ids: such a column is one even without the word.
THINGS = _words(
    "user item movie film product customer client member account visitor session device site app ad advertiser"
    " campaign creative publisher store shop seller vendor supplier merchant buyer artist track song album book"
    " author article page query category brand department aisle region district county city country state zone"
    " station sensor machine employee resource manager mgr role job course student school teacher hotel airline"
    " airport carrier flight trip route driver patient doctor hospital genre tag topic channel game player team order"
    " host class segment cluster group type kind cookie ip domain"
)
# The last word.
QUANTITIES = _words(
    "age price amount amnt amt gain loss inc cost costs fee fare salary wage income revenue sales profit margin budget"
    " balance debt loan tax"
    " discount qty quantity count counts cnt total sum avg average mean median std max min size area sqft sqm length"
    " width height depth weight mass volume distance dist km mi miles meters metres duration minutes seconds secs hours"
    " days elapsed latency delay runtime speed velocity temperature temp humidity humid pressure voltage current power"
    " energy watts load level population votes views visits clicks impressions likes shares downloads followers friends"
    " payment paid spend spent value rate ratio percent pct percentage share points score lat latitude lon lng"
    " longitude altitude elevation bid clickcount mileage odometer tenure usage bytes calories"
)
# Any of several words.
UNITS = _words("per minutes seconds hours sqft sqm km kg kwh ms usd eur gbp mm cm celsius fahrenheit")
# The first word: number of things.
OF = _words("n num nb number count total sum avg average mean max min no nr")
TIMES = _words(
    "time times timestamp timestamps ts date dates datetime epoch unix utc at created updated modified when day since"
    " expires started ended"
)


def words_of(name: str) -> list[str]:
    """The words of a name, in small letters: at what is no letter, and at the humps of camelCase.

    >>> words_of("amount_paid"), words_of("userID"), words_of("HTTPCode2")
    (['amount', 'paid'], ['user', 'id'], ['http', 'code', '2'])
    """
    return [word.lower() for part in WORD.findall(name) for word in CAMEL.split(part)]


def is_key(name: str) -> bool:
    """Whether a name is that of a key: its values are names, even where they are numbers."""
    words = _letters(name)
    if not words or _counts(words):
        return False
    last = words[-1]
    if last == "num" and len(words) > 1:
        return words[-2] in THINGS
    joined = last.removesuffix("id")
    return (
        last in IDENTIFIERS | KEYS | THINGS
        or words[0] in IDENTIFIERS
        or (joined != last and joined in THINGS)
    )


def is_quantity(name: str) -> bool:
    """Whether a name is that of an amount, a count or a measure."""
    words = _letters(name)
    if not words or is_key(name):
        return False
    units = len(words) > 1 and bool(UNITS.intersection(words))
    return words[-1] in QUANTITIES or _counts(words) or units


def is_time(name: str) -> bool:
    """Whether a name is that of a point in time."""
    return not is_key(name) and bool(TIMES.intersection(words_of(name)))


def _letters(name: str) -> list[str]:
    """The words that are no numbers."""
    return [word for word in words_of(name) if not word.isdigit()]


def _counts(words: list[str]) -> bool:
    """Whether words are of the form: number of things."""
    return len(words) > 1 and words[0] in OF
