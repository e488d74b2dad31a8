"""The program: the call, the engine that owns network and audio, the window and the command line.

Three processes (DESIGN D6)::

    segue (window)  <- app.ipc, over a local socket ->  engine  <- QUIC and UDP ->  relay

The rooms, from the ground up; a room may import those before it:

- ``model`` terms, settings, key pinning, exit statuses; ``system`` folder, files, event loop, logs
- ``ipc`` what engine and window send each other; ``store`` what is remembered between starts
- ``report`` what happened in a call, for the report, the trace and the window; ``text`` codes as sentences
- ``account`` key, name and relay sessions; ``network`` what is known of this machine's NAT, and its port mapping
- ``call`` one call, from the invitation to the end; ``engine`` all of it together, and its process
- ``cli`` and ``ui`` the command line and the window; ``demo`` two people on one machine

A click on “Call”: ``ui.pages`` → ``ui.bridge`` → ``ipc`` → ``engine`` → ``call`` → ``transport.link``.
"""
