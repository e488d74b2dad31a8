"""A number that two people compare to know that nobody sits between them.

Both sides compute the same: 60 decimal digits in twelve groups of five, from the two keys in sorted order. Each key is
hashed many times over (as Signal's numeric fingerprint does) so that searching for a look-alike key costs more.
"""

import hashlib

# 30 digits are about 100 bits for each person; 5,200 rounds are Signal's number and take a few milliseconds.
ROUNDS = 5_200
GROUPS_PER_KEY = 6
DIGITS_PER_GROUP = 5
BYTES_PER_GROUP = 5


def _digits(key: bytes) -> list[str]:
    digest = b"segue-safety/1\n" + key
    for _ in range(ROUNDS):
        digest = hashlib.sha512(digest + key).digest()
    groups = (digest[i * BYTES_PER_GROUP : (i + 1) * BYTES_PER_GROUP] for i in range(GROUPS_PER_KEY))
    return [f"{int.from_bytes(group, 'big') % 10**DIGITS_PER_GROUP:0{DIGITS_PER_GROUP}d}" for group in groups]


def safety_number(one_key: bytes, other_key: bytes) -> str:
    """Twelve groups of five digits, the same whichever key comes first."""
    first, second = sorted((one_key, other_key))
    return " ".join(_digits(first) + _digits(second))
