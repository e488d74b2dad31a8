"""What happened in one call, recorded once: the report, the trace, and the timeline of the window (pure).

In come the link's own events and figures, the phases of the call and samples of its audio, from
:mod:`app.call.session`.

1. :mod:`~app.report.recorder` keeps them: events in order, and beside them the records whose figures change in place.
2. :mod:`~app.report.report` and :mod:`~app.report.trace` are the structs that it makes of them. They are contracts
   with scripts: ``docs/report.schema.json`` and ``docs/trace.schema.json`` are made from them by
   :mod:`~app.report.schema`.
3. :mod:`~app.report.redact` takes addresses, names and keys out, for whoever may read it.

Out go a :class:`~app.report.report.CallReport`, a :class:`~app.report.trace.CallTrace`, and for the window the spans
and marks of :meth:`~app.report.recorder.Recorder.strip`. :mod:`app.engine.archive` keeps and writes them. What a new
field costs says ``docs/decisions/020-one-recorder.md``.
"""
