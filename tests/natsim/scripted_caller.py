"""A caller that says what the test wants, on a real end-to-end connection."""

from tests.natsim.call import Call
from transport.identity.statements import call_statement
from transport.link.events import Close, Open
from transport.link.handshake import admission_token
from transport.quic.call_connection import PeerConnection
from transport.quic.call_events import DatagramArrived, StreamBytes
from transport.wire import call_messages as messages
from transport.wire.framing import frame


class ScriptedCaller:
    """A caller that follows QUIC and TLS but says on the control stream whatever the test wants."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.quic = PeerConnection.caller(call.callee_identity.certificate, admission_token(call.call_id))
        # It takes the place of the caller's link, on the leg that the link has bound.
        self.host = call.caller.driver.host
        self.stream = b""
        self.datagrams: list[bytes] = []
        self.port = call.caller.driver.ports[0]
        call.caller.driver.submit(Close(messages.Bye()))
        self.host.open(self._received, self.port)
        self.quic.open(call.clock.now)
        self.flush()

    def _received(self, data: bytes, source: tuple[str, int]) -> None:
        self.quic.receive(data, self.call.clock.now)
        for event in self.quic.events():
            if isinstance(event, StreamBytes):
                self.stream += event.data
            elif isinstance(event, DatagramArrived):
                self.datagrams.append(event.data)
        self.flush()

    def flush(self) -> None:
        for data in self.quic.datagrams_to_send(self.call.clock.now):
            self.host.send(self.port, self.call.relay.address, data)

    def say(self, *messages_to_send: messages.PeerMessage) -> None:
        for message in messages_to_send:
            self.quic.send_stream(frame(messages.encode(message)))
        self.flush()

    def hello(self) -> messages.Hello:
        hello = messages.decode(self.stream[2:])
        assert isinstance(hello, messages.Hello)
        return hello


def with_scripted_caller(seed: int = 1) -> tuple[Call, ScriptedCaller]:
    """A callee's link and a caller that has shaken hands with it and been greeted."""
    call = Call(seed)
    # The callee comes later, so that it is the caller's handshake that it sees.
    call.caller.driver.submit(Open())
    call.run(0.1)
    caller = ScriptedCaller(call)
    call.callee.driver.submit(Open())
    call.run(1.0)
    assert caller.stream
    return call, caller


def prove(call: Call, nonce: bytes, **changes: object) -> messages.Prove:
    me = call.caller_identity
    statement = call_statement(nonce, call.callee_identity.certificate, call.call_id)
    proof = {
        "version": messages.PEER_VERSION,
        "call_id": call.call_id,
        "key": me.key,
        "certificate": me.certificate,
        "signature": me.sign(statement),
        "home": "caller@home.example",
    }
    return messages.Prove(**{**proof, **changes})  # type: ignore[arg-type]
