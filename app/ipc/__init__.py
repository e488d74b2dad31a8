"""Between the engine and its windows: msgpack documents over a local socket.

Engine to window: the whole :class:`~app.ipc.messages.EngineState` after each change (its values are in
:mod:`~app.ipc.engine_state`), samples and levels while there is something to show, answers to commands. Window to
engine: commands. All of them are codes and figures; :mod:`app.text` makes sentences of them where they are shown.

1. :mod:`~app.ipc.socket` is the place: a Unix socket, or loopback TCP on Windows, and a file with a secret that only
   the user can read. Whoever connects proves to have read it.
2. :mod:`~app.ipc.server` is the engine's end. It never waits for a window: each one has a slot for the newest state,
   sample and levels, and a bounded queue of answers.
3. :mod:`~app.ipc.client` is the window's end, and starts an engine where none runs.

Both ends are the same version of Segue (:data:`~app.ipc.messages.ENGINE_VERSION`), so class names may be tags and may
change.
"""
