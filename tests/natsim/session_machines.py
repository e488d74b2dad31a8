"""The relay session for ``test_all_machines.py``, with what can happen to it."""

import random

from tests.natsim.call import identity
from tests.natsim.machines import Run, Subject, each, on
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SocketFailed, SocketOpened
from transport.quic import session_events as ev
from transport.quic.relay_session import RelaySession, State
from transport.wire import relay_messages
from transport.wire.addresses import RelayAddress

REMOTE = ("192.0.2.1", 7850)


def _session(now: float) -> RelaySession:
    config = ev.RelaySessionConfig(RelayAddress("relay.example", 7850, "0" * 32), "ann")
    return RelaySession(config, identity(1), random.Random(1))


def _logs_out(run: Run) -> None:
    run.do(on(ev.LogOut()))
    assert run.machine.state is State.CLOSED and run.due is None
    opened = [command.socket for command in run.commands if isinstance(command, OpenSocket)]
    assert opened == [command.socket for command in run.commands if isinstance(command, CloseSocket)]


SESSION_SUBJECTS = (
    Subject(
        RelaySession,
        _session,
        each(
            ev.StartSession(),
            ev.HostResolved(()),
            ev.HostResolved((REMOTE, ("2001:db8::1", 7850))),
            *(SocketOpened(socket, ("198.51.100.1", 9)) for socket in (1, 2, 3)),
            *(SocketFailed(socket, "gone") for socket in (1, 2)),
            *(DatagramReceived(socket, REMOTE, data) for socket in (1, 2) for data in (b"", b"\xc0" * 1_200)),
            ev.SendRelayMessage(relay_messages.Watch(["bob"])),
            ev.ClaimName(1, "bob"),
            ev.LookUpName(2, "bob", 0.5),
            ev.CheckConnection(),
            ev.LogOut(),
            TimerFired(),
        ),
        _logs_out,
        fire=on(TimerFired()),
        events=ev.SessionEvent,
    ),
)
