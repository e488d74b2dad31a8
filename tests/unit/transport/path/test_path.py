"""What belongs to a path, and to which of the machine's addresses it is bound."""

from hypothesis import given
from hypothesis import strategies as st

from transport.path.path import Path

REMOTES = [("203.0.113.1", 1_000 + number) for number in range(3)]


def direct(host: str = "192.168.1.23") -> Path:
    path = Path(1, "direct", "punch", REMOTES[0])
    path.local = (host, 5_000)
    return path


def test_the_address_before_still_counts_and_the_one_before_that_does_not() -> None:
    path = direct()
    for remote in REMOTES[1:]:
        path.move_to(remote)
    assert [path.accepts(remote) for remote in REMOTES] == [False, True, True]
    assert path.remote == REMOTES[2]


@given(st.lists(st.sampled_from(REMOTES), min_size=2))
def test_of_a_direct_path_the_last_two_addresses_count(moves: list[tuple[str, int]]) -> None:
    path = direct()
    for remote in moves:
        path.move_to(remote)
    assert {remote for remote in REMOTES if path.accepts(remote)} == set(moves[-2:])


def test_of_the_relay_only_the_present_address_counts() -> None:
    path = Path(0, "relay", "relay", REMOTES[0])
    path.move_to(REMOTES[1])
    assert not path.accepts(REMOTES[0]) and path.accepts(REMOTES[1])


def test_a_path_lives_on_an_address_of_the_machine() -> None:
    assert not direct().is_without_host({"192.168.1.23", "2001:db8::1"})
    assert direct("2001:db8::1").is_without_host({"192.168.1.23"})
    assert not direct("0.0.0.0").is_without_host(()) and not direct("::").is_without_host(())
    assert not Path(1, "direct", "punch", REMOTES[0]).is_without_host(())
