"""The connection panel: charts, timeline, steps and networks."""

import msgspec
import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.ipc.engine_state import PathSpan, TraversalStep
from app.ui.main_window import MainWindow
from app.ui.panel.charts import Chart
from app.ui.panel.path_strip import PathStrip
from app.ui.panel.traversal_steps import Progress, TraversalSteps
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import VERSIONS
from tests.gui.states import DIRECT, HARDEST, HOME, NOW, TALKING, TRYING, samples, with_
from tests.gui.text import words

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


def test_charts_draw_what_the_samples_say(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    drawn = samples(DIRECT)
    for one in drawn:
        window.call.panel.add_sample(one)
    window.call.panel.add_sample(msgspec.structs.replace(drawn[-1], call_id="another call", rtt_ms=9_999.0))
    rtt, delay = window.findChild(Chart, "chart_rtt"), window.findChild(Chart, "chart_delay")
    assert rtt is not None and delay is not None
    relay, direct = rtt.lines
    assert relay.latest() == drawn[-1].paths[0].rtt_ms
    assert direct.latest() == drawn[-1].paths[1].rtt_ms
    assert next(at for at, value in direct.points if value is None) == 0.0
    assert delay.lines[0].latest() == drawn[-1].playout_delay_ms
    assert rtt.accessibleDescription() == f"{drawn[-1].rtt_ms:.0f} ms"
    # Another call begins with empty charts.
    window.show_state(with_(HOME, call=msgspec.structs.replace(TALKING, call_id="call-2")))
    window.call.open_panel(True)
    assert all(not line.points for line in rtt.lines)


def test_the_strip_is_read_with_the_arrow_keys(qtbot: QtBot, window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    window.call.open_panel(True)
    strip = window.findChild(PathStrip, "path_strip")
    text = window.findChild(QLabel, "strip_text")
    assert strip is not None and text is not None
    read = []
    for _ in range(len(strip.moments) + 2):
        qtbot.keyClick(strip, Qt.Key.Key_Right)
        read.append(text.accessibleName())
    assert read[0] == "0:00 · On the relay"
    assert any("Back on the relay" in line for line in read)
    assert read[-1] == read[-2]  # stays at the last
    qtbot.keyClick(strip, Qt.Key.Key_Home)
    assert text.accessibleName() == read[0]
    assert strip.accessibleDescription() == read[0]


def test_the_strip_is_read_with_the_mouse(qtbot: QtBot, window: MainWindow, qapp: QApplication) -> None:
    # An overlap wide enough that its own marks do not cover it.
    spans = (PathSpan("relay", "relay", 0.0, 20.0), PathSpan("direct", "punch", 12.0, 30.0), DIRECT.spans[3])
    window.show_state(with_(HOME, call=msgspec.structs.replace(DIRECT, spans=spans)))
    window.call.open_panel(True)
    strip = window.findChild(PathStrip, "path_strip")
    assert strip is not None
    qapp.processEvents()
    read: list[str] = []
    strip.pointed.connect(read.append)
    for x in range(0, strip.width(), 2):
        qtbot.mouseMove(strip, QPoint(x, 40))
    seen = "\n".join(read)
    for part in (
        "On the relay",
        "Direct, by hole punching",
        "Direct, by birthday search",
        "on both paths",
        "no connection",
        "Back on the relay",
    ):
        assert part in seen


def test_the_steps_show_each_phase(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    window.call.open_panel(True)
    steps = window.findChild(TraversalSteps, "traversal_steps")
    assert steps is not None
    seen = words(steps)
    for part in ("Port mapping", "Failed", "Skipped", "Succeeded", "902 packets", "4.4 s", "found after 871 tries"):
        assert part in seen
    window.show_state(with_(HOME, call=TALKING))
    assert "Segue is not looking for a direct path" in words(steps)
    assert "Waiting" not in words(steps)
    some = msgspec.structs.replace(TALKING, phases=(TraversalStep("punch", "trying", 0.5),))
    window.show_state(with_(HOME, call=some))
    assert "Trying" in words(steps) and "Waiting" not in words(steps), (
        "a phase that the engine does not have is not promised"
    )


def test_overlapping_phases_have_their_own_progress_and_time_left(qtbot: QtBot, bridge: RecordingBridge) -> None:
    now = [NOW]
    window = MainWindow(bridge, VERSIONS, now=lambda: now[0])
    qtbot.addWidget(window)
    window.show_state(with_(HOME, call=TRYING))
    window.call.open_panel(True)

    def step(name: str) -> QWidget:
        found = window.findChild(QWidget, f"step_{name}")
        assert found is not None
        return found

    def progress(name: str) -> Progress:
        (found,) = step(name).findChildren(Progress)
        return found

    # By what it counts, and by its time.
    assert progress("birthday").share == pytest.approx(487 / 1_024)
    assert progress("port_mapping").share == pytest.approx(0.8)
    assert "487 of 1,024 ports · 6 s left" in words(step("birthday"))
    assert "Trying 1,024 ports there" in words(step("birthday"))
    assert "1 s left" in words(step("port_mapping"))
    assert progress("birthday").accessibleName() == "Birthday search: 48%"
    assert step("birthday").accessibleName() == "Birthday search: Trying"
    assert "Bob Okafor's network uses a random port for every destination" in step("birthday").accessibleDescription()
    # The clock goes on without a word of the engine.
    now[0] += 4
    qtbot.waitUntil(lambda: "2 s left" in words(step("birthday")), timeout=2_000)
    assert not progress("punch").isVisibleTo(window)


def test_a_search_of_minutes_and_an_open_port(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=HARDEST))
    window.call.open_panel(True)
    seen = words(window.call)
    assert "5,940 ports tried · 4 min left" in seen and "Random ports cannot be predicted." in seen
    assert seen.count("opened a port, but another router stands") == 2, "on its step, and on the card of the network"
    assert "Port open" in seen.splitlines() and "Succeeded" not in seen
    # By time, where there is nothing to count: 34.8 s of 300 s.
    step = window.findChild(QWidget, "step_blocks")
    assert step is not None
    assert step.findChildren(Progress)[0].share == pytest.approx(0.116, abs=0.001)


@pytest.mark.parametrize(
    ("reason", "word"), [("relay-trouble", "Stopped"), ("not-needed", "Not needed"), ("", "Not needed")]
)
def test_what_a_cancelled_phase_is_called(window: MainWindow, reason: str, word: str) -> None:
    phases = (TraversalStep("birthday", "cancelled", started=1.0, ended=2.0, reason=reason),)
    window.show_state(with_(HOME, call=msgspec.structs.replace(TALKING, phases=phases)))
    window.call.open_panel(True)
    assert word in words(window.call).splitlines()


def test_every_swap_stands_on_every_chart(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    window.call.open_panel(True)
    for one in samples(DIRECT):
        window.call.panel.add_sample(one)
    moved = [mark for mark in DIRECT.marks if mark.kind != "phase"]
    assert [mark.kind for mark in moved] == ["swap", "failover", "network", "swap"]
    for chart in window.findChildren(Chart):
        assert list(chart.marks()) == moved
        before = chart.grab().toImage()
        chart.set_marks(())
        assert chart.grab().toImage() != before
        chart.set_marks(DIRECT.marks)
    # What has left the minute is no longer drawn.
    window.call.panel.add_sample(msgspec.structs.replace(samples(DIRECT)[-1], at=80.0))
    assert [mark.at for mark in window.findChildren(Chart)[0].marks()] == [26.6, 27.4, 32.9]


def test_networks_are_empty_until_they_are_known(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=TALKING))
    window.call.open_panel(True)
    assert words(window.call).count("Not known yet") == 2
    window.show_state(with_(HOME, call=DIRECT))
    seen = words(window.call)
    assert "Not known yet" not in seen and "Strict router" in seen and "Hard" in seen


def test_charts_cost_nothing_while_the_panel_is_closed(window: MainWindow, qapp: QApplication) -> None:
    """And a sample paints each chart once, with no more points than a minute has."""
    painted: list[str] = []

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint and isinstance(watched, Chart):
                painted.append(watched.objectName())
            return False

    watch = Watch()
    qapp.installEventFilter(watch)
    window.show_state(with_(HOME, call=DIRECT))
    drawn = samples(DIRECT)
    for one in drawn:
        window.call.panel.add_sample(one)
        qapp.processEvents()
    assert painted == []
    window.call.open_panel(True)
    qapp.processEvents()
    painted.clear()
    for step in range(1, 21):
        window.call.panel.add_sample(msgspec.structs.replace(drawn[-1], at=drawn[-1].at + step / 5))
        qapp.processEvents()
    qapp.removeEventFilter(watch)
    charts = ("chart_rtt", "chart_loss", "chart_delay", "chart_rate")
    assert {name: painted.count(name) for name in charts} == dict.fromkeys(charts, 20)
