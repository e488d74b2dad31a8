"""The errors of this package: one root, one kind for each thing that can be wrong."""


class MediaError(Exception):
    """Root of everything that ``media`` raises. The message is fit to be shown or logged."""


class RtpError(MediaError):
    """Bytes that are not an RTP packet of ours."""


class CodecError(MediaError):
    """The Opus library is missing, or refuses to make an encoder or decoder."""


class WavError(MediaError):
    """A WAV file that cannot be played or recorded: unreadable, or not 48 kHz mono 16-bit."""
