"""A station (``station.py``) whose serving sockets answer STUN Binding requests (RFC 8489)."""

from tests.netlab.station import Address, run
from transport.wire import stun
from transport.wire.errors import WireError


def answer(data: bytes, source: Address) -> bytes | None:
    """The mapped address of whoever asks."""
    try:
        request = stun.parse(data)
    except WireError:
        return None
    return stun.binding_success(request, source) if request.kind is stun.StunClass.REQUEST else None


if __name__ == "__main__":
    run(answer)
