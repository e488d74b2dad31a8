"""What worked between which networks, how often and when, as the settings show it. It can be erased."""

from PySide6.QtWidgets import QFrame, QWidget

from app.ipc.engine_state import KnownPair, NetworkState
from app.ipc.messages import EraseNetworks
from app.text.catalogue import sentence
from app.text.networks import headline
from app.ui.commands import Now, Send
from app.ui.panel.traversal_steps import phase_name
from app.ui.widgets.buttons import Button
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import age
from app.ui.widgets.labels import ElidedLabel, Icon, small
from app.ui.widgets.layout import PADDING, column, row, wrap
from app.ui.widgets.rows import setting, show_rows


class NetworkHistory(QFrame):
    """The card of the settings."""

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__()
        self.setObjectName("network_history")
        self.setProperty("kind", "card")
        self._send = send
        self._now = now
        self._shown: tuple[tuple[KnownPair, ...], int] | None = None
        self._erase = Button(self.tr("Erase…"), name="erase_networks", clicked=self._ask_erase)
        self._rows = column()
        self._more = small(wrap=False)
        about = self.tr("The next call tries first what worked before. Kept on this computer only, without addresses.")
        head = setting(self.tr("What worked between networks"), about, self._erase)
        self.setLayout(column(head, self._rows, self._more, margins=PADDING))
        self.show_network(NetworkState())

    def show_network(self, network: NetworkState) -> None:
        """Show what is remembered."""
        known = (network.known, network.known_in_all)
        if known == self._shown:
            return
        self._shown = known
        self._erase.setEnabled(bool(network.known))
        now = self._now()
        show_rows(self._rows, (_pair_row(pair, now) for pair in network.known), self.tr("Nothing yet."))
        more = network.known_in_all - len(network.known)
        self._more.show_text(self.tr("%n more", "", more) if more > 0 else "")

    def _ask_erase(self) -> None:
        confirm(
            self,
            self.tr("Erase what worked between networks?"),
            self.tr("The next calls try everything from the start. They work as before."),
            self.tr("Erase"),
            lambda: self._send(EraseNetworks()),
        )


def _pair_row(pair: KnownPair, now: float) -> QWidget:
    direct = pair.way is not None
    title = f"{headline(pair.ours)} → {headline(pair.theirs)}"
    parts = [phase_name(pair.way) if pair.way is not None else sentence("On the relay")]
    if pair.seconds is not None:
        parts.append(sentence("{seconds:.1f} s after the answer", seconds=pair.seconds))
    calls = pair.worked + pair.failed
    if calls > 1:
        parts.append(sentence("{direct} of {calls} calls direct", direct=pair.worked, calls=calls))
    if pair.here:
        parts.append(sentence("from this network"))
    text = column(ElidedLabel(title), ElidedLabel(" · ".join(parts), size="small", tone="muted"), spacing=0)
    icon = Icon("arrow-left-right" if direct else "server", "direct" if direct else "relay", 18)
    made = wrap(row(icon, text, small(age(pair.at, now), wrap=False), spacing=12, stretch=1))
    made.setMinimumHeight(48)
    return made
