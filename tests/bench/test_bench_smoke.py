"""The benchmarks still run. What they find is nobody's business here."""

import pytest

from tests.audio_lab import missing_tools
from tests.bench import bench_call, bench_help, bench_quic, bench_relay, bench_window
from tests.bench.__main__ import page
from tests.bench.figures import Figure, Section, quantile, spread
from tests.gui.real_window import missing_tools as missing_window_tools


def test_quantiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(50, 0, -1)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 25.0, 48.0, 50.0]
    assert quantile([7.0], 0.95) == 7.0
    assert spread(values, "ms") == "25 / 48 ms"


def test_the_page_holds_every_figure() -> None:
    made = page([Section("A title", (Figure("what", "3 ms", "how"),))], "a machine", "abc123", "2000-01-01")
    assert "## A title" in made and "| what | 3 ms | how |" in made
    assert all(word in made for word in ("a machine", "abc123", "2000-01-01"))


def test_quic() -> None:
    assert len(bench_quic.run(handshake_count=1, frame_count=10, repeats=1).figures) == 2


@pytest.mark.process
def test_help() -> None:
    assert bench_help.run(repeats=1).figures


@pytest.mark.slow
@pytest.mark.process
def test_a_call() -> None:
    cost, delays = bench_call.run(idle_s=0.2, call_s=1.0, calls=2)
    assert cost.figures and delays.figures


@pytest.mark.slow
@pytest.mark.process
def test_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_relay, "MEASURE_S", 0.3)
    monkeypatch.setattr(bench_relay, "IDLE_CLIENTS", 10)
    monkeypatch.setattr(bench_relay, "CALLING_PAIRS", 2)
    assert bench_relay.run().figures


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.device
@pytest.mark.skipif(bool(missing_tools() or missing_window_tools()), reason="needs Xvfb and PulseAudio")
def test_the_window() -> None:
    assert bench_window.run(starts=1, charts_s=0.5).figures
