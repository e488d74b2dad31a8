"""How much is logged: the environment may say."""

import logging
import os

LEVEL_VARIABLE = "SEGUE_LOG"


def log_level(default: int) -> int:
    """The level that ``SEGUE_LOG`` names (DEBUG, INFO, WARNING, ERROR); ``default`` when it names none."""
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "").upper(), default)
