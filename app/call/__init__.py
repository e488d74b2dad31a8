"""One call, without I/O: from ringing to hang-up, with its link, its media and its record.

    user, relay session, sockets, sound card, clock
            | app.call.events (SessionEvent)
      CallSession                 app.call.session
        |   |   |   |
        |   |   |   record        app.report.recorder: what report, trace and window read
        |   |   CallMedia         app.call.media: microphone -> RTP packets, RTP packets -> speaker
        |   Link                  transport.link: the end-to-end connection, on every path there is
        CallMachine               app.call.machine: rings, talks, reconnects, has ended
            | SessionCommand
    sockets, relay session, speaker, microphone, tones, windows

**In**: what the user did (placed, answered, muted, hung up), what the relay says about this call, datagrams of the
call's sockets, ``AudioReady`` each time that the sound card has taken or given samples, and ``TimerFired`` at
:meth:`~app.call.session.CallSession.next_deadline`.

**Out**: socket commands, messages for the relay session, the speaker and the microphone to open, tones to play,
``ViewChanged`` when windows would show something else, ``Finished`` exactly once, and ``Released`` when a call that
nobody looks at any more holds nothing.

**In which order.** An outgoing call is invited over the relay session; the relay grants a leg and names the callee,
and the link is opened over that leg while it rings. An incoming call opens its link at once, so the handshake has
ended before anybody answers. Media start when both have agreed: at the callee with the answer, at the caller with the
``Accept`` that the link delivers. Packets that overtake the ``Accept`` are kept. Once a second the session sends a
receiver report, adapts the bitrate, and records a sample.

**Who decides what.** Whether the call rings, talks or has ended is the call machine's alone; which path carries it is
the link's alone; :mod:`app.engine.core` decides whether there is a call at all, and whom to trust.

Every module here is pure. :mod:`app.engine.call_runner` runs a session on asyncio, ``tests.natsim.people`` on a virtual
clock.
"""
