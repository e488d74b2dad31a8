"""The user's own network in words: what it is like, how old that knowledge is, and which calls can go direct."""

from typing import Literal

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QWidget

from app.ipc.messages import CallFeasibility, NetworkState
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.format import age, plain
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import card, clear, column, holder, row, rule, scrolled

MAX_WIDTH_PX = 640

translate = QCoreApplication.translate


def summary(network: NetworkState) -> str:
    """What to expect of a call from here, in a few words."""
    found = [one.chance for one in network.chances]
    if not found:
        return translate("network", "Not looked at yet")
    possible = found.count("direct") + found.count("search")
    if possible * 2 > len(found):
        return translate("network", "Most calls can go direct")
    if possible:
        return translate("network", "Some calls can go direct")
    if "maybe" in found:
        return translate("network", "Some calls may go direct")
    return translate("network", "Calls stay on the relay")


class NetworkLine(QWidget):
    """The network in two lines, at the foot of the list of people; the first is a button."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.button = Button(kind="quiet", picture="globe", name=name)
        self._words = ElidedLabel(size="small", tone="muted")
        self._words.setObjectName("network_words")
        self._words.setContentsMargins(GRID_PX + 4, 0, GRID_PX, 0)
        self.setLayout(column(self.button, self._words, spacing=0))

    def show_network(self, network: NetworkState, now: float) -> None:
        """Show the headline, what follows from it, and its age."""
        known = bool(network.nat.headline)
        self.button.setText(plain(network.nat.headline) if known else self.tr("Your network"))
        parts = [summary(network)]
        if network.measured is not None:
            parts.append(age(network.measured, now))
        self._words.set_text(" · ".join(parts))
        self.button.setAccessibleName(self.tr("Your network: {0}").format(plain(network.nat.headline or parts[0])))
        self.button.setAccessibleDescription(self._words.whole_text())


class NetworkPage(QWidget):
    """All that is known of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("network_page")
        self._shown: NetworkState | None = None
        inside = QWidget()
        inside.setMaximumWidth(MAX_WIDTH_PX)
        whole = column(
            Label(self.tr("Your network"), size="title"),
            self._build_network(),
            self._build_chances(),
            None,
            spacing=2 * GRID_PX,
        )
        whole.setContentsMargins(0, 4 * GRID_PX, 0, 3 * GRID_PX)
        inside.setLayout(whole)
        centred = row(4 * GRID_PX, inside, 4 * GRID_PX, spacing=0)
        centred.setStretchFactor(inside, 1)
        self.setLayout(column(scrolled(holder(centred), name="network_scroll")))

    def show_network(self, network: NetworkState, now: float) -> None:
        """Bring the page up to date; the age grows by itself."""
        measured = network.measured
        self._age.setText(self.tr("Measured {0}").format(age(measured, now)) if measured is not None else "")
        if network == self._shown:
            return
        self._shown = network
        nat = network.nat
        known = bool(nat.headline)
        self._picture.set_picture(*_LOOKS[nat.ease])
        self._headline.setText(nat.headline if known else self.tr("Not known yet"))
        self._detail.setText(
            nat.detail if known else self.tr("Segue looks at it through your relay when it starts, and before a call.")
        )
        self._small.setText(" · ".join(part for part in (nat.kind, nat.evidence) if part))
        self._small.setVisible(bool(self._small.text()))
        self._age.setVisible(measured is not None)
        self._door.setText(network.door)
        look = ("circle-check", "accent") if network.door_open else ("circle-minus", "muted")
        self._door_picture.set_picture(*look)
        for part in (self._door, self._door_picture):
            part.setVisible(bool(network.door))
        self._chances.setVisible(bool(network.chances))
        clear(self._rows)
        for place, chance in enumerate(network.chances):
            if place:
                self._rows.addWidget(rule())
            self._rows.addWidget(_chance_row(chance))

    def _build_network(self) -> QWidget:
        frame, inside = card(name="own_network")
        self._picture = Picture("globe", "muted", 24)
        self._headline = Label(size="strong", wrap=True)
        self._headline.setObjectName("network_headline")
        self._detail = Label(wrap=True)
        self._small = Label(size="small", tone="muted", wrap=True)
        self._age = Label(size="small", tone="muted")
        self._age.setObjectName("network_age")
        self._door_picture = Picture("circle-dashed", "muted", 16)
        self._door = Label(wrap=True)
        self._door.setObjectName("network_door")
        door = row(self._door_picture, self._door)
        door.setStretch(1, 1)
        head = row(self._headline, self._age)
        head.setStretch(0, 1)
        line = row(self._picture, column(head, self._detail, self._small, door, spacing=4), spacing=2 * GRID_PX)
        line.setStretch(1, 1)
        line.setAlignment(self._picture, Qt.AlignmentFlag.AlignTop)
        inside.addLayout(line)
        return frame

    def _build_chances(self) -> QWidget:
        self._chances, inside = card(name="network_chances")
        self._rows = column(spacing=0)
        inside.addWidget(Label(self.tr("A call with somebody behind"), size="strong"))
        inside.addLayout(self._rows)
        inside.addWidget(
            Label(
                self.tr("Calls begin on the relay. Within one network, or with IPv6 at both ends, more can be direct."),
                size="small",
                tone="muted",
                wrap=True,
            )
        )
        return self._chances


_LOOKS: dict[Literal["", "easy", "hard", "blocked"], tuple[str, str]] = {
    "": ("globe", "muted"),
    "easy": ("circle-check", "accent"),
    "hard": ("triangle-alert", "warn"),
    "blocked": ("ban", "warn"),
}


def _chance_row(chance: CallFeasibility) -> QWidget:
    picture, tone = {
        "direct": ("arrow-left-right", "direct"),
        "search": ("search", "direct"),
        "maybe": ("circle-dashed", "muted"),
        "relay": ("server", "relay"),
    }[chance.chance]
    peer = plain(chance.peer)
    words = Label(peer[:1].upper() + peer[1:], wrap=True)
    text = plain(chance.text, 120)
    expected = Label(text[:1].upper() + text[1:], size="small", tone=tone, wrap=True)
    expected.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    line = row(Picture(picture, tone, 18), words, expected, spacing=12)
    line.setStretch(1, 1)
    line.setStretch(2, 1)
    made = holder(line)
    made.setMinimumHeight(36)
    return made
