"""The program: the call, the engine that owns network and audio, the window and the command line.

Three processes (DESIGN D6)::

    segue (window: ui, bridge)  <- protocol, over a local socket ->  engine (call machine, link, media)  <->  relay

The command line runs the engine without Qt. ``app.ui`` knows :mod:`app.ipc.messages` and the bridge, nothing below.
"""
