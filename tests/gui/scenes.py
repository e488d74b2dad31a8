"""The states of the window, made by hand: what an engine would send on each page. Times are seconds."""

from dataclasses import dataclass

import msgspec
from PySide6.QtWidgets import QApplication, QLineEdit, QScrollArea

from app.ipc.engine_state import DeviceProblem, NetworkState
from app.ipc.messages import EngineState, Levels
from app.network.network_view import network_state
from app.ui.main_window import MainWindow
from app.ui.pages.settings_sections import Versions
from tests.gui.states import (
    AUDIO,
    BLOCK,
    BOB,
    CHANGED,
    CLAIM,
    DIRECT,
    FIRST,
    HARDEST,
    HOME,
    HOPELESS,
    HOUR,
    NOTICES,
    NOW,
    OPEN_PORT,
    RANDOM,
    TALKING,
    TRIAL,
    TRYING,
    call,
    samples,
    with_,
)

VERSIONS = Versions(segue="0.1.0", qt="6.11.3", python="3.11.2", system="Linux")


@dataclass(frozen=True)
class Scene:
    """A page in a state, as the window shows it."""

    name: str
    state: EngineState
    prepare: str = ""
    """What is done after the state has come: the name of a function in this module."""


def _panel(window: MainWindow, state: EngineState) -> None:
    assert state.call is not None
    for one in samples(state.call):
        window.call.panel.add_sample(one)
    window.call.open_panel(True)


def _levels(window: MainWindow, state: EngineState) -> None:
    window.show_levels(Levels(microphone=0.62, speaker=0.41))


def _panel_levels(window: MainWindow, state: EngineState) -> None:
    _panel(window, state)
    _levels(window, state)


def _panel_end(window: MainWindow, state: EngineState) -> None:
    """Scrolled down: the steps and the two networks."""
    _panel_levels(window, state)
    QApplication.processEvents()
    area = window.findChild(QScrollArea, "panel_scroll")
    assert area is not None
    area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())


def _bob(window: MainWindow, state: EngineState) -> None:
    window.home.people.select(BOB.address)


def _latest(window: MainWindow, state: EngineState) -> None:
    window.findChild(object, "recent_button").click()  # type: ignore[union-attr]


def _network(window: MainWindow, state: EngineState) -> None:
    window.findChild(object, "network_button").click()  # type: ignore[union-attr]


def _typed(window: MainWindow, state: EngineState) -> None:
    search = window.findChild(QLineEdit, "search")
    assert search is not None
    search.setFocus()
    search.setText("zoe@calls.example")


def _step(place: int, **fields: str):  # type: ignore[no-untyped-def]
    def go(window: MainWindow, state: EngineState) -> None:
        for name, text in fields.items():
            window.findChild(object, name).setText(text)  # type: ignore[union-attr]
        window.first_run._show_step(place)
        _levels(window, state)

    return go


def _relay_wrong(window: MainWindow, state: EngineState) -> None:
    from app.ipc.messages import CommandFailed

    _step(1, relay_field="relay.exmaple")(window, state)
    window.command_failed(CommandFailed("RegisterName", "relay-unreachable", field="relay"))


def _section(place: int):  # type: ignore[no-untyped-def]
    def go(window: MainWindow, state: EngineState) -> None:
        window._go_settings(True)
        window.settings.open_section(place)
        _levels(window, state)

    return go


def _gone(window: MainWindow, state: EngineState) -> None:
    window.engine_gone("The part of Segue that handles your calls stopped unexpectedly. A call in progress has ended.")


PREPARE = {
    "panel": _panel_levels,
    "panel-end": _panel_end,
    "levels": _levels,
    "bob": _bob,
    "latest": _latest,
    "network": _network,
    "typed": _typed,
    "name": _step(0, name_field="maria"),
    "relay": _step(1, name_field="maria"),
    "relay-wrong": _relay_wrong,
    "sound": _step(2),
    "ready": _step(3),
    "gone": _gone,
    **{f"section-{place}": _section(place) for place in range(5)},
}


SCENES = (
    Scene("starting", EngineState()),
    Scene("first-run-name", FIRST, "name"),
    Scene("first-run-relay", FIRST, "relay"),
    Scene("first-run-relay-wrong", FIRST, "relay-wrong"),
    Scene("first-run-sound", FIRST, "sound"),
    Scene("first-run-ready", with_(TRIAL, first_run=True), "ready"),
    Scene("home", HOME, "bob"),
    Scene("home-trial", TRIAL),
    Scene("home-address-typed", HOME, "typed"),
    Scene("home-latest", HOME, "latest"),
    Scene("home-network", HOME, "network"),
    Scene("home-network-hard", with_(HOME, network=network_state(BLOCK, NOW - 40, OPEN_PORT)), "network"),
    Scene("home-network-strict", with_(HOME, network=network_state(RANDOM, NOW - 3 * HOUR)), "network"),
    Scene("home-network-unknown", with_(HOME, network=NetworkState()), "network"),
    Scene("home-nobody", with_(HOME, contacts=(), recents=())),
    Scene("home-not-set-up", EngineState(ready=True, first_run=False, audio=AUDIO)),
    Scene("home-offline", with_(HOME, me=msgspec.structs.replace(HOME.me, relay="offline"), notices=NOTICES), "bob"),
    Scene("call-calling", with_(HOME, call=call("calling"))),
    Scene("call-ringing", with_(HOME, call=call("ringing"))),
    Scene("call-connecting", with_(HOME, call=call("connecting"))),
    Scene(
        "call-blocked", with_(HOME, call=call("ended", ended=NOW, end_reason="declined", blocked=True, outgoing=False))
    ),
    Scene("call-incoming-guest", with_(HOME, call=call("incoming", **CLAIM))),
    Scene("call-incoming", with_(HOME, call=call("incoming", outgoing=False, first_call=True))),
    Scene("call-talking", with_(HOME, call=TALKING), "levels"),
    Scene("call-direct", with_(HOME, call=DIRECT), "levels"),
    Scene(
        "call-muted",
        with_(
            HOME,
            call=msgspec.structs.replace(TALKING, muted=True, peer_muted=True),
            audio=msgspec.structs.replace(AUDIO, input_problem=DeviceProblem("gone", "USB microphone")),
        ),
        "levels",
    ),
    Scene(
        "call-reconnecting",
        with_(HOME, call=msgspec.structs.replace(TALKING, phase="reconnecting", reconnecting_since=NOW - 4)),
    ),
    Scene(
        "call-ended", with_(HOME, call=msgspec.structs.replace(DIRECT, phase="ended", ended=NOW, end_reason="hung-up"))
    ),
    Scene("call-no-answer", with_(HOME, call=call("ended", ended=NOW, end_reason="no-answer"))),
    Scene("call-panel-relay", with_(HOME, call=TALKING), "panel"),
    Scene("call-panel-trying", with_(HOME, call=TRYING), "panel"),
    Scene("call-panel-direct", with_(HOME, call=DIRECT), "panel"),
    Scene("call-panel-hardest", with_(HOME, call=HARDEST), "panel-end"),
    Scene("call-panel-hopeless", with_(HOME, call=HOPELESS), "panel-end"),
    Scene("key-changed", with_(HOME, call=CHANGED)),
    Scene("key-changed-guest", with_(HOME, call=call("incoming", **{**CLAIM, "trust": "changed"}))),
    Scene("settings-audio", HOME, "section-0"),
    Scene("settings-network", HOME, "section-1"),
    Scene("settings-privacy", HOME, "section-2"),
    Scene("settings-appearance", HOME, "section-3"),
    Scene("settings-about", HOME, "section-4"),
    Scene("engine-gone", HOME, "gone"),
)
