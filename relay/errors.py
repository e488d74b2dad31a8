"""The error root of the relay."""


class RelayError(Exception):
    """The relay cannot start or go on. The message is fit to be shown to its operator."""
