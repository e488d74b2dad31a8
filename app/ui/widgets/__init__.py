"""What pages are made of. Each reads its colours from the theme, and can be reached with the keyboard.

``labels``, ``buttons``, ``fields``, ``avatar`` and ``level_bars`` are single parts; ``layout`` and ``rows`` put them
together; ``dialogs``, ``notices`` and ``error_bar`` speak to the person; ``format`` turns figures, times and names
into text.
"""
