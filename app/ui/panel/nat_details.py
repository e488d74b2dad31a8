"""What is known of a network: its kind, the evidence in small print, and the mapped port."""

from PySide6.QtWidgets import QFrame, QWidget

from app.ipc.engine_state import NatSummary
from app.text import networks
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.labels import ElidedLabel, Icon, Label, small, strong
from app.ui.widgets.layout import column, row


class NatDetails(QWidget):
    """The lines about one network. ``unknown`` is shown while nothing is known; ``beside`` stands by the headline."""

    def __init__(self, unknown: str, *, size: str = "small", beside: Label | None = None) -> None:
        super().__init__()
        self._unknown = unknown
        self._headline = strong(name="network_headline", wrap=True)
        self._detail = Label(size=size, wrap=True)
        self._evidence = small()
        self._port = Label(size=size, name="network_port", wrap=True)
        self._port_icon = Icon("circle-check", "accent", 16)
        head = row(self._headline, *([beside] if beside else []), stretch=0)
        port = row(self._port_icon, self._port, stretch=1)
        self.setLayout(column(head, self._detail, self._evidence, port, spacing=4))

    def show_profile(self, profile: NatSummary, port: str = "", *, port_open: bool = True) -> None:
        """Show ``profile``, and what became of the request for a ``port``."""
        tone = "text" if profile.kind else "muted"
        self._headline.setText(networks.headline(profile.kind) or self.tr("Not known yet"))
        self._headline.set_tone(tone)
        self._detail.show_text(networks.detail(profile.kind) or self._unknown)
        self._detail.set_tone(tone)
        self._evidence.show_text(networks.small_print(profile))
        self._port.show_text(port)
        self._port_icon.setVisible(bool(port))
        self._port_icon.set_icon(*(("circle-check", "accent") if port_open else ("circle-minus", "muted")))

    def spoken(self) -> list[str]:
        """What assistive technology reads."""
        return [self._headline.text(), self._port.text()]


class NetworkCard(QFrame):
    """One side's network in the connection panel, and how hard it makes a direct path."""

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.setProperty("kind", "card")
        self._title = ElidedLabel(title, size="small", tone="muted")
        self._ease = small(wrap=False)
        self._ease_icon = Icon("circle-check", "muted", 16)
        self._details = NatDetails(self.tr("Segue finds out when it looks for a direct path."))
        head = row(self._title, self._ease_icon, self._ease, spacing=4, stretch=0)
        self.setLayout(column(head, self._details, None, spacing=4, margins=(2 * GRID_PX, 12, 2 * GRID_PX, 12)))
        self.show_profile(NatSummary())

    def set_title(self, who: str) -> None:
        """Whose network it is."""
        self._title.set_text(self.tr("{name}'s network").format(name=who))

    def show_profile(self, profile: NatSummary, port: str = "") -> None:
        """Show what is known, and what became of the request for a ``port``."""
        self._details.show_profile(profile, port)
        word, icon, tone = {
            "": ("", "circle-check", "muted"),
            "easy": (self.tr("Easy"), "circle-check", "muted"),
            "hard": (self.tr("Hard"), "triangle-alert", "warn"),
            "blocked": (self.tr("Blocked"), "ban", "warn"),
        }[networks.ease(profile.kind)]
        self._ease.show_text(word)
        self._ease.set_tone(tone)
        self._ease_icon.setVisible(bool(word))
        self._ease_icon.set_icon(icon, tone)
        self.setAccessibleName(self._title.whole_text())
        spoken = [word, *self._details.spoken()]
        self.setAccessibleDescription(". ".join(part.rstrip(".") for part in spoken if part))
