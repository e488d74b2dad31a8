"""Which routers ``segue demo`` can show."""

from enum import StrEnum


class Nat(StrEnum):
    """What the two routers do with ports. ``NONE``: no routers, both people on loopback."""

    HOME = "home"
    STRICT = "strict"
    BOTH_STRICT = "both-strict"
    NONE = "none"
