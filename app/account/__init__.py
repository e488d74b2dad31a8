"""The user's account: the key, the registered name, and sessions with relays.

``key_store`` finds the identity at the start, in the system's ``keyring`` or in a file. ``account`` registers a name,
signs off and follows the home session; it shows itself in ``view``. ``relay_sessions`` holds the session with the home
relay and, during a call to somebody at another relay, one as a guest. ``local_relay`` runs a relay and an Echo on this
machine for a first try. ``registration`` does the same as ``account`` for ``segue register``, without an engine.
"""
