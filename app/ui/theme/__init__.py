"""How the window looks: a dark and a light ``palette`` by role, sizes and the style sheet (``theme``, ``window.qss``),
and ``icons`` drawn in a colour of the palette.

Widgets name a role ("warn", "muted"), never a colour. The palette in use stands in Qt's own, so a change of theme
reaches every window as a ``PaletteChange``.
"""
