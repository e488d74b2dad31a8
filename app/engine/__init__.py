"""The engine: one process that owns network, sound and local data, and does what windows and commands ask.

    windows (app.ipc)      relay sessions (app.account)      interfaces, NAT, port mapping (app.network)
          \\                        |                                /
           runner     asyncio: carries out, owns every task and timer
             | events (app.engine.events)            ^ commands
           core       decides about calls, without I/O: place, take, refuse, trust
             | app.call.events
           call_runner    one app.call.session.CallSession: sockets, timer, relay, sound
           audio          devices and files, tones, test recordings, levels
             sound_system   which streams of media.devices are used
           contacts       changes to people, history and notices
           view           the one state that windows show
           archive        report and trace of the last call; lines of the histories

**In**: commands of windows (:class:`app.ipc.messages` ``WindowMessage``), events of the relay sessions, changes of the
network. **Out**: an ``EngineState`` whenever it changed, figures of a call five times a second, levels fifteen times.

**One call from here.** ``PlaceCall`` reaches the core, which finds the person, asks for the way to their relay and
emits ``BeginCall`` with a new session; the runner gives it sockets and sound. Messages of the relay go through the
core to the session. When the session says ``Finished`` the core writes the histories and the runner keeps report and
trace. The session is shown until it is dismissed or the next call begins; then it is left, says goodbye, and is
released.

``core`` and ``events`` are pure: the simulator of the tests runs them as they are. Threads exist below ``audio`` only.
"""
