"""The one error root of this package."""


class IdentityError(Exception):
    """A key, certificate or proof that is not what it should be. The message is fit to be shown."""
