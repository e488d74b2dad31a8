"""The terms that all of the app shares, and rules about them that need nothing else (pure).

:mod:`~app.model.terms` has the words of a call (phase, path, outcome) as types and the base of the values that travel;
:mod:`~app.model.settings` and :mod:`~app.model.history` two of these values. :mod:`~app.model.end_reasons` and
:mod:`~app.model.exit_status` say why a call ends and what a script learns of it. :mod:`~app.model.key_pinning` decides
what another key means, :mod:`~app.model.network_history` what past calls say about the next one, and
:mod:`~app.model.sanitize` cleans every text that comes from outside.
"""
