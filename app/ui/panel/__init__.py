"""The connection panel: how the audio of one call travels, from its first second to its last.

``panel`` hands each part what it shows: the state of the call to ``path_strip`` (the timeline), ``traversal_steps`` and
``nat_details``; each sample to the ``charts``, five a second. ``marks`` are the same on timeline and charts.
``export`` copies the report and saves the trace. Hidden, the panel keeps its points and draws nothing.
"""
