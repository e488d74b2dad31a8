"""Settings, Network: the own address, which paths a call may take, and what worked before."""

from PySide6.QtCore import Qt, Signal

from app.ipc.messages import EngineState, SignOff
from app.text.accounts import relay_text
from app.ui.commands import Now, Send
from app.ui.pages.network_history import NetworkHistory
from app.ui.pages.settings_section import Section
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import icon_button, primary, quiet
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import ElidedLabel, small
from app.ui.widgets.layout import card, column, copy_text, row
from app.ui.widgets.rows import ruled


class NetworkSection(Section):
    """``setup_wanted``: the person wants to choose a name and a relay."""

    setup_wanted = Signal()

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__(send)
        self._address = ElidedLabel(size="strong", mode=Qt.TextElideMode.ElideMiddle, name="my_address")
        self._relay = small()
        self._copy = icon_button("copy", self.tr("Copy your address"), name="copy_my_address", clicked=self._copy_mine)
        self._sign_off = quiet(self.tr("Sign out…"), name="sign_off", clicked=self._ask_sign_off)
        self._set_up = primary(self.tr("Set up"), name="settings_setup", clicked=self.setup_wanted.emit)
        mine = column(self._address, self._relay, spacing=2)
        paths = (
            self._switch(
                "always_relay",
                self.tr("Always use the relay"),
                self.tr("Hides your IP address from the people you talk to. Adds a little delay."),
            ),
            self._switch(
                "port_mapping",
                self.tr("Use port mapping (UPnP, NAT-PMP, PCP)"),
                self.tr(
                    "Asks your router to open a port for Segue, so that others can reach you directly. It is closed "
                    "when Segue ends."
                ),
            ),
            self._switch(
                "try_harder",
                self.tr("Try harder on carrier networks"),
                self.tr(
                    "May use up to half of the ports that your carrier gives you, for up to five minutes of a call. "
                    "Only with people who have turned it on too."
                ),
            ),
        )
        self._history = NetworkHistory(send, now)
        self.setLayout(
            column(
                card(
                    small(self.tr("Your address"), wrap=False),
                    row(mine, self._copy, self._sign_off, self._set_up, stretch=0),
                ),
                card(ruled(paths)),
                self._history,
                spacing=2 * GRID_PX,
            )
        )

    def show_state(self, state: EngineState) -> None:
        super().show_state(state)
        me = state.me
        registered = bool(me.address)
        self._address.set_text(short_address(me.address) if registered else self.tr("No address yet"))
        text = {
            "none": self.tr("Choose a name and a relay, so that people can call you."),
            "connecting": self.tr("Connecting to the relay…"),
            "online": self.tr("Connected to the relay."),
            "offline": self.tr("The relay cannot be reached. Segue keeps trying."),
            "refused": self.tr("The relay refused to let you in."),
        }[me.relay]
        self._relay.setText(plain(relay_text(me), 400) or text)
        self._relay.set_tone("warn" if me.relay == "refused" else "muted")
        self._copy.setVisible(registered)
        self._sign_off.setVisible(registered)
        self._set_up.setVisible(not registered)
        self._history.show_network(state.network)

    def _copy_mine(self) -> None:
        copy_text(self._state.me.address)

    def _ask_sign_off(self) -> None:
        confirm(
            self,
            self.tr("Sign out?"),
            self.tr("Nobody can call you until you register again. Your key, contacts and calls are kept."),
            self.tr("Sign out"),
            lambda: self._send(SignOff()),
        )
