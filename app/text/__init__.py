"""Sentences: from codes and figures to what a person reads, in the window and on the command line alike (pure).

In come the values of :mod:`app.ipc.engine_state`, and the codes and values of errors and notices. Out go whole
sentences. Nothing below the window and the command line imports this package, so nothing there can hold a finished
sentence (the contract "layers of app" in ``pyproject.toml``).

1. :mod:`~app.text.catalogue` has the tools: :func:`~app.text.catalogue.sentence` fills a template with named places,
   :func:`~app.text.catalogue.plural` chooses the form for a count, :class:`~app.text.catalogue.UserMessage` is what
   happened, what Segue does about it, and what the person can do. :func:`~app.text.catalogue.use_translator` is the
   one hook by which a window puts in its translation.
2. One module for each subject holds its templates as constants, by code, and the functions that choose among them:
   :mod:`~app.text.calls` (how a call ended, the line under the name), :mod:`~app.text.accounts` (the user's relay),
   :mod:`~app.text.devices` (microphone and speaker), :mod:`~app.text.networks` (what a network is like),
   :mod:`~app.text.traversal` (the search for a direct path), :mod:`~app.text.problems` (errors and notices),
   :mod:`~app.text.netcheck` (``segue netcheck``).

A new code costs one line in its catalogue; tests find codes without a sentence. What strangers wrote passes
:mod:`app.model.sanitize` and is quoted. Sentences are put side by side, never together from halves.
"""
