"""Every colour of the window, by role, for dark and for light.

Text roles keep a contrast of at least 4.5:1 (WCAG 2.2, 1.4.3) on every ground that they are drawn on, fills of
graphics 3:1 (1.4.11); a test computes both. Amber is the relay and green the direct path; nothing else uses them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colours:
    """Named roles; each value is ``#rrggbb``."""

    surface: str
    """The window itself."""
    raised: str
    """Cards, menus, the bar over the window."""
    sunken: str
    """Fields and the ground of charts."""
    hover: str
    line: str
    """Hairlines; carries no meaning of its own."""
    outline: str
    """The edge of a control, 3:1 against its ground."""
    text: str
    muted: str
    accent: str
    accent_hover: str
    on_accent: str
    accent_soft: str
    """The ground of what is selected."""
    relay: str
    relay_fill: str
    direct: str
    direct_fill: str
    warn: str
    warn_soft: str
    danger: str
    """Hang up, decline, remove."""
    danger_hover: str
    on_danger: str
    on_fill: str
    """Text on the fills of relay and direct."""


DARK = Colours(
    surface="#14161c",
    raised="#1c1f27",
    sunken="#0f1116",
    hover="#272b36",
    line="#2a2e39",
    outline="#666d7e",
    text="#eceef3",
    muted="#a2a9b8",
    accent="#9aa8ff",
    accent_hover="#b3beff",
    on_accent="#12142b",
    accent_soft="#282d4d",
    relay="#f2b84b",
    relay_fill="#e3a32f",
    direct="#5fd39b",
    direct_fill="#37b67c",
    warn="#ff9a8f",
    warn_soft="#3a2023",
    danger="#d43d45",
    danger_hover="#bf343c",
    on_danger="#ffffff",
    on_fill="#0c0e13",
)

LIGHT = Colours(
    surface="#f6f7fa",
    raised="#ffffff",
    sunken="#eef0f5",
    hover="#e6e9f1",
    line="#e0e3ec",
    outline="#838a9b",
    text="#181b23",
    muted="#555d6e",
    accent="#4350d6",
    accent_hover="#3743bd",
    on_accent="#ffffff",
    accent_soft="#e5e8ff",
    relay="#875200",
    relay_fill="#c27a06",
    direct="#10693f",
    direct_fill="#199a5f",
    warn="#b3261e",
    warn_soft="#fdecea",
    danger="#c8323a",
    danger_hover="#ad272f",
    on_danger="#ffffff",
    on_fill="#0c0e13",
)
