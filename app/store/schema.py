"""The tables, as the list of steps that lead to them. A step that has been released is never changed."""

# "Segu" in ASCII: tells the file from every other SQLite database.
APPLICATION_ID = 0x53656775

_FIRST = (
    """
    CREATE TABLE people (
        address TEXT PRIMARY KEY,  -- name@host:port, without the relay's pin
        relay_pin TEXT NOT NULL,
        alias TEXT NOT NULL,
        listed INTEGER NOT NULL CHECK (listed IN (0, 1)),
        blocked INTEGER NOT NULL CHECK (blocked IN (0, 1)),
        added_at REAL NOT NULL,
        seen_at REAL NOT NULL,
        key BLOB NOT NULL CHECK (length(key) IN (0, 32)),
        certificate BLOB NOT NULL,
        verified INTEGER NOT NULL CHECK (verified IN (0, 1)),
        offered_key BLOB NOT NULL CHECK (length(offered_key) IN (0, 32)),
        offered_certificate BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE calls (
        number INTEGER PRIMARY KEY,  -- counts up; call ids are the other side's choice and could repeat
        call BLOB NOT NULL  -- app.model.history.RecentCall as JSON
    ) STRICT
    """,
    """
    CREATE TABLE relays (
        endpoint TEXT PRIMARY KEY,  -- host:port
        pin TEXT NOT NULL,
        certificate BLOB NOT NULL,
        seen_at REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE documents (
        name TEXT PRIMARY KEY,
        json BLOB NOT NULL
    ) STRICT
    """,
)

_NETWORKS = (
    """
    CREATE TABLE networks (
        pair TEXT PRIMARY KEY,  -- keyed hashes of both networks' prefixes
        record BLOB NOT NULL  -- app.model.network_history.NetworkPair as JSON
    ) STRICT
    """,
)

_BLOCKED_KEYS = (
    """
    CREATE TABLE blocked_keys (
        key BLOB PRIMARY KEY CHECK (length(key) = 32),
        address TEXT NOT NULL,  -- name@host:port under which it was met
        vouched INTEGER NOT NULL CHECK (vouched IN (0, 1)),  -- whether that address is blocked with it
        blocked_at REAL NOT NULL
    ) STRICT
    """,
    """
    INSERT OR IGNORE INTO blocked_keys
        SELECT key, address, 1, seen_at FROM people WHERE blocked = 1 AND length(key) = 32
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _NETWORKS, _BLOCKED_KEYS)
VERSION = len(MIGRATIONS)
