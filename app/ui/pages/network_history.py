"""What is remembered of calls between networks, in the settings: what worked, how often, when. It can be erased."""

import time
from collections.abc import Callable

from PySide6.QtWidgets import QFrame, QWidget

from app.ipc.messages import EraseNetworks, KnownPair, NetworkState
from app.ui.commands import Send
from app.ui.panel.traversal_steps import phase_name
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import age, plain
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import clear, column, holder, row, rule


class KnownNetworks(QFrame):
    """The card of the settings."""

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.setObjectName("known_networks")
        self.setProperty("kind", "card")
        self._send = send
        self._now = now
        self._shown: tuple[tuple[KnownPair, ...], int] | None = None
        self._erase = Button(self.tr("Erase…"), name="erase_networks", clicked=self._ask_erase)
        title = column(
            Label(self.tr("What worked on which network"), size="strong"),
            Label(
                self.tr("So that the next call tries first what worked. Kept on this machine only, without addresses."),
                size="small",
                tone="muted",
                wrap=True,
            ),
            spacing=2,
        )
        head = row(title, self._erase, spacing=2 * GRID_PX)
        head.setStretch(0, 1)
        self._rows = column(spacing=0)
        inside = column(head, self._rows)
        inside.setContentsMargins(2 * GRID_PX, 2 * GRID_PX, 2 * GRID_PX, 2 * GRID_PX)
        self.setLayout(inside)
        self.show_network(NetworkState())

    def show_network(self, network: NetworkState) -> None:
        """Show what is remembered."""
        told = (network.known, network.known_in_all)
        if told == self._shown:
            return
        self._shown = told
        self._erase.setEnabled(bool(network.known))
        clear(self._rows)
        if not network.known:
            self._rows.addWidget(Label(self.tr("Nothing yet."), size="small", tone="muted"))
        for place, pair in enumerate(network.known):
            if place:
                self._rows.addWidget(rule())
            self._rows.addWidget(_pair_row(pair, self._now(), self))
        more = network.known_in_all - len(network.known)
        if more > 0:
            self._rows.addWidget(Label(self.tr("{0} more").format(more), size="small", tone="muted"))

    def _ask_erase(self) -> None:
        confirm(
            self,
            self.tr("Erase what is known of networks?"),
            self.tr("Segue tries everything from the beginning again. Calls work as before."),
            self.tr("Erase"),
            lambda: self._send(EraseNetworks()),
        )


def _pair_row(pair: KnownPair, now: float, owner: QWidget) -> QWidget:
    direct = pair.way is not None
    title = ElidedLabel(owner.tr("{0} to {1}").format(plain(pair.ours), within(plain(pair.theirs))))
    parts = [phase_name(pair.way) if pair.way is not None else owner.tr("On the relay")]
    if pair.seconds is not None:
        parts.append(owner.tr("{0} s after the answer").format(f"{pair.seconds:.1f}"))
    if pair.worked + pair.failed > 1:
        parts.append(owner.tr("{0} of {1} calls direct").format(pair.worked, pair.worked + pair.failed))
    if pair.here:
        parts.append(owner.tr("from this network"))
    words = column(title, ElidedLabel(" · ".join(parts), size="small", tone="muted"), spacing=0)
    picture = Picture("arrow-left-right" if direct else "server", "direct" if direct else "relay", 18)
    line = row(picture, words, Label(age(pair.at, now), size="small", tone="muted"), spacing=12)
    line.setStretch(1, 1)
    made = holder(line)
    made.setMinimumHeight(48)
    return made


def within(words: str) -> str:
    """A heading as part of a sentence; an abbreviation stays."""
    return words[:1].lower() + words[1:] if words[1:2].islower() else words
