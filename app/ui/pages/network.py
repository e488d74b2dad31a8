"""The user's own network: what it is like, how old that knowledge is, and which calls can be direct."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app.ipc.engine_state import CallFeasibility, NetworkState
from app.text import networks
from app.text.catalogue import sentence
from app.ui.panel.nat_details import NatDetails
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import quiet
from app.ui.widgets.format import age
from app.ui.widgets.labels import ElidedLabel, Icon, Label, small, strong
from app.ui.widgets.layout import card, column, row, sheet, wrap
from app.ui.widgets.rows import show_rows

MAX_WIDTH_PX = 640
LOOKS = {
    "": ("globe", "muted"),
    "easy": ("circle-check", "accent"),
    "hard": ("triangle-alert", "warn"),
    "blocked": ("ban", "warn"),
}


def summary(network: NetworkState) -> str:
    """What to expect of a call from here, in a few words."""
    found = [one.chance for one in network.chances]
    if not found:
        return sentence("Not tested yet")
    possible = found.count("direct") + found.count("search")
    if possible * 2 > len(found):
        return sentence("Most calls can be direct")
    if possible:
        return sentence("Some calls can be direct")
    if "maybe" in found:
        return sentence("Some calls might be direct")
    return sentence("Calls stay on the relay")


class NetworkLine(QWidget):
    """The network in two lines below the contacts; the first is a button."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.button = quiet(icon="globe", name=name)
        self._text = ElidedLabel(size="small", tone="muted", name="network_summary")
        self._text.setContentsMargins(GRID_PX + 4, 0, GRID_PX, 0)
        self.setLayout(column(self.button, self._text, spacing=0))

    def show_network(self, network: NetworkState, now: float) -> None:
        """Show the headline, what to expect of calls, and how old that is."""
        headline = networks.headline(network.nat.kind)
        parts = [summary(network)]
        if network.measured is not None:
            parts.append(age(network.measured, now))
        self._text.set_text(" · ".join(parts))
        self.button.setText(headline or self.tr("Your network"))
        self.button.setAccessibleName(self.tr("Your network: {summary}").format(summary=headline or parts[0]))
        self.button.setAccessibleDescription(self._text.whole_text())


class NetworkPage(QWidget):
    """All that is known of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("network_page")
        self._shown: NetworkState | None = None
        self._icon = Icon("globe", "muted", 24)
        self._age = small(name="network_age", wrap=False)
        self._details = NatDetails(
            self.tr("Segue tests it with the help of your relay: when it starts, and before a call."),
            size="body",
            beside=self._age,
        )
        line = row(self._icon, self._details, spacing=2 * GRID_PX, stretch=1)
        line.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        self._rows = column()
        note = self.tr(
            "Every call starts on the relay. On the same network, or with IPv6 on both sides, more calls can be direct."
        )
        self._chances = card(
            strong(self.tr("Calls to somebody behind…")), self._rows, small(note), name="network_chances"
        )
        title = Label(self.tr("Your network"), size="title")
        parts = title, card(line, name="own_network"), self._chances, None
        self.setLayout(column(sheet(*parts, width_px=MAX_WIDTH_PX, name="network_scroll")))

    def show_network(self, network: NetworkState, now: float) -> None:
        """Bring the page up to date, and the age with it."""
        measured = network.measured
        tested = self.tr("Tested {ago}").format(ago=age(measured, now)) if measured is not None else ""
        self._age.show_text(tested)
        if network == self._shown:
            return
        self._shown = network
        self._icon.set_icon(*LOOKS[networks.ease(network.nat.kind)])
        self._details.show_profile(network.nat, networks.port_text(network), port_open=network.mapping == "won")
        self._chances.setVisible(bool(network.chances))
        show_rows(self._rows, (_chance_row(chance) for chance in network.chances))


def _chance_row(chance: CallFeasibility) -> QWidget:
    icon, tone = {
        "direct": ("arrow-left-right", "direct"),
        "search": ("search", "direct"),
        "maybe": ("circle-dashed", "muted"),
        "relay": ("server", "relay"),
    }[chance.chance]
    expected = small(networks.chance_text(chance), tone=tone)
    expected.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    line = row(Icon(icon, tone, 18), Label(networks.peer_text(chance), wrap=True), expected, spacing=12, stretch=1)
    line.setStretch(2, 1)
    made = wrap(line)
    made.setMinimumHeight(36)
    return made
