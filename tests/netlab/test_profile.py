"""`segue netcheck` behind real routers, against a real relay with two addresses: the filter, too."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.natsim.scenario import pair
from tests.natsim.wire import WireSpec
from tests.netlab.lab import kernel_world
from tests.netlab.people import Person, register, relay_in

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

EIM, ADM, APDM = "endpoint-independent", "address-dependent", "address-and-port-dependent"
# Mapping and filtering; the first two are the laboratory's router, the others the kernel's own.
EXPECTED = {
    "full-cone": (EIM, EIM),
    "adm-sequential": (ADM, ADM),
    "linux": (EIM, APDM),
    "linux-random": (APDM, APDM),
}


@pytest.mark.parametrize(("one", "other"), [("full-cone", "linux"), ("adm-sequential", "linux-random")])
def test_real_sockets_behind_real_routers_see_what_the_simulator_sees(one: str, other: str, tmp_path: Path) -> None:
    with kernel_world(pair(one, other, WireSpec(delay_ms=5.0))) as world, relay_in(world, tmp_path / "relay") as relay:
        people = [Person(world, side, name, tmp_path / name) for side, name in enumerate(("alice", "bob"))]
        register(relay, *people)
        for person, kind in zip(people, (one, other), strict=True):
            nat = look(person)
            assert (nat["mapping"], nat["filtering"]) == EXPECTED[kind], nat
            assert nat["hairpin"] is (False if EXPECTED[kind][0] == EIM else None)
            if kind == "adm-sequential":
                assert (nat["allocation"], nat["delta"]) == ("sequential", 1), nat


def look(person: Person) -> dict[str, Any]:
    """What it says about its NAT. A busy machine loses packets, and then says that it does not know: once more."""
    nat: dict[str, Any] = {}
    for _ in range(3):
        with person.start("netcheck", "--json") as checking:
            assert checking.wait() == 0, checking.output
        nat = json.loads(checking.output)["nat"]
        if not {"filtering", "mapping"} & set(nat["unknowns"]):
            break
    return nat
