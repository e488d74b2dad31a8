"""``--trace`` of a real call: what strangers may read has nobody in it; who asks for addresses gets them."""

import json
from pathlib import Path

import pytest

from tests.netlab.people import SPEECH
from tests.processes import register, relay, segue

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_the_trace_of_a_call(tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in ("alicia", "bobby")}
    shared, own = tmp_path / "shared.json", tmp_path / "own.json"
    with relay(tmp_path / "relay") as address:
        addresses = {name: register(name, address, home) for name, home in homes.items()}
        with segue(
            *("listen", "--once", "--home", homes["bobby"], "--play", SPEECH, "--trace", own, "--trace-addresses")
        ) as listening:
            listening.wait_for("listening")
            calling = ("call", addresses["bobby"], "--for", "2.5", "--home", homes["alicia"], "--play", SPEECH)
            with segue(*calling, "--trace", shared) as caller:
                assert caller.wait() == 0, caller.output
            assert listening.wait() == 0, listening.output
    place, pin = address.split("#")
    host = place.rpartition(":")[0]
    everything = own.read_text()
    whole, redacted = json.loads(everything), json.loads(shared.read_text())
    assert whole["has_addresses"] and not redacted["has_addresses"]
    # What would give somebody away: it is there where it was asked for, and nowhere else.
    secrets = {"alicia", host, pin, whole["report"]["call_id"]}
    secrets |= {
        path[end].rpartition(":")[0].strip("[]") for path in whole["report"]["paths"] for end in ("local", "remote")
    }
    assert all(secret in everything for secret in secrets)
    assert not [secret for secret in {*secrets, "bobby"} if secret in shared.read_text()]
    for trace in (whole, redacted):
        happened = [event["what"] for event in trace["events"]]
        assert {"call", "path", "swap", "candidates"} <= set(happened), happened
        phases = [event["phase"] for event in trace["events"] if event["what"] == "call"]
        assert phases[-2:] == ["talking", "ended"], phases
        assert 1 <= len(trace["seconds"]) <= 4
        assert trace["seconds"][-1]["paths"][0]["packets_received"] > 20
