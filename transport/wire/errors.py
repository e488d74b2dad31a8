"""The errors of the wire parsers."""


class WireError(ValueError):
    """Bytes or text that are not what the format allows. The message is fit to be shown or logged."""


class AddressError(WireError):
    """What somebody typed is not an address. ``code`` says which rule it breaks, ``part`` is what breaks it."""

    def __init__(self, message: str, code: str, part: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.part = part
