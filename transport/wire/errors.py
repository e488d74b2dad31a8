"""The one error of the wire parsers."""


class WireError(ValueError):
    """Bytes or text that are not what the format allows. The message is fit to be shown or logged."""
