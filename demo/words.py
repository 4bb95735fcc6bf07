"""Words for titles that read like titles, and for names of people."""

# By genre: adjectives, and nouns that go with them.
TITLES = {
    "Action": (
        ["Final", "Rapid", "Steel", "Burning", "Relentless"],
        ["Pursuit", "Convoy", "Impact", "Countdown", "Getaway", "Strike"],
    ),
    "Animation": (
        ["Paper", "Tiny", "Marvellous", "Upside-Down", "Painted"],
        ["Whale", "Balloon", "Robot", "Fox", "Umbrella", "Parade"],
    ),
    "Comedy": (
        ["Accidental", "Awkward", "Perfectly Normal", "Second-Best", "Reluctant"],
        ["Wedding", "Neighbour", "Plumber", "Holiday", "Reunion", "Best Man"],
    ),
    "Crime": (
        ["Dirty", "Unmarked", "Crooked", "Honest", "Double"],
        ["Ledger", "Heist", "Witness", "Alibi", "Score", "Safecracker"],
    ),
    "Documentary": (
        ["Invisible", "Living", "Forgotten", "Deep", "Slow"],
        ["Coast", "Archive", "Harvest", "Glacier", "Orchestra", "Railway"],
    ),
    "Drama": (
        ["Quiet", "Distant", "Broken", "Long", "Borrowed"],
        ["Harbour", "Letter", "Inheritance", "Winter", "Season", "Daughter"],
    ),
    "Family": (
        ["Brave", "Lost", "Secret", "Golden", "Runaway"],
        ["Puppy", "Treehouse", "Lighthouse", "Circus", "Birthday", "Pony"],
    ),
    "Fantasy": (
        ["Silver", "Thirteenth", "Enchanted", "Sleeping", "Nameless"],
        ["Crown", "Dragon", "Gate", "Oracle", "Forest", "Kingdom"],
    ),
    "Horror": (
        ["Hollow", "Pale", "Whispering", "Sleepless", "Drowned"],
        ["Cellar", "Orchard", "Attic", "Hour", "Scarecrow", "Chapel"],
    ),
    "Musical": (
        ["Dancing", "Midnight", "Sweet", "Broadway", "Summer"],
        ["Serenade", "Chorus", "Ballroom", "Melody", "Spotlight", "Encore"],
    ),
    "Noir": (
        ["Black", "Smoke-Filled", "Crimson", "Rain-Soaked", "Empty"],
        ["Alley", "Cigarette", "Boulevard", "Mirror", "Trenchcoat", "Shadow"],
    ),
    "Romance": (
        ["First", "Tender", "Unexpected", "Parisian", "Stolen"],
        ["Kiss", "Spring", "Promise", "Rendezvous", "Valentine", "Sunday"],
    ),
    "Science Fiction": (
        ["Orbital", "Quantum", "Last", "Silent", "Artificial"],
        ["Colony", "Signal", "Horizon", "Android", "Station", "Eclipse"],
    ),
    "Western": (
        ["Dusty", "Lonesome", "Iron", "Wild", "Bitter"],
        ["Canyon", "Sheriff", "Stagecoach", "Saddle", "Frontier", "Duel"],
    ),
}
PLACES = [
    "Lisbon",
    "Salt Lake",
    "Trieste",
    "Kyoto",
    "Montreal",
    "Tangier",
    "Bergen",
    "Valparaíso",
    "Odessa",
    "Galway",
]
PATTERNS = [
    "The {adjective} {noun}",
    "{adjective} {noun}",
    "A {noun} in {place}",
    "The {noun} of {place}",
    "Beyond the {noun}",
    "{adjective} {noun} II",
    "Return to the {noun}",
    "No {noun} Tonight",
]
FIRST_NAMES = [
    "Ada", "Amir", "Bea", "Carlos", "Chidi", "Dana", "Elif", "Emil", "Farah", "Greta", "Hana", "Ivan", "Jonas", "Kofi",
    "Lena", "Maya", "Mina", "Noor", "Olga", "Pablo", "Priya", "Quinn", "Rosa", "Sven", "Tariq", "Uma", "Vera", "Wei",
    "Yuki", "Zoe",
]  # fmt: skip
LAST_NAMES = [
    "Adler", "Berg", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kaya", "Lopez",
    "Mensah", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Singh", "Tanaka", "Usman", "Vogel", "Weber", "Yilmaz",
]  # fmt: skip
