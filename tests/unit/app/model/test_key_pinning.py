"""app.model.key_pinning: a changed key never takes the place of the pinned one by itself."""

from hypothesis import given
from hypothesis import strategies as st

from app.model.key_pinning import Pin, Trust, accept_changed_key, decide, mark_verified, meet

keys = st.sampled_from([b"a" * 32, b"b" * 32, b"c" * 32])


def test_first_use_then_the_same() -> None:
    verdict, pin = meet(Pin(), b"a" * 32, b"cert")
    assert verdict is Trust.FIRST_USE
    assert pin == Pin(b"a" * 32, b"cert")
    assert pin.trust == "first-use"
    verdict, again = meet(pin, b"a" * 32, b"newer cert")
    assert verdict is Trust.SAME
    assert again == Pin(b"a" * 32, b"newer cert")


def test_a_changed_key_waits_for_the_user() -> None:
    pin = mark_verified(Pin(b"a" * 32, b"cert"))
    assert pin.trust == "verified"
    verdict, pin = meet(pin, b"b" * 32, b"other")
    assert verdict is Trust.CHANGED
    assert (pin.key, pin.certificate, pin.trust) == (b"a" * 32, b"cert", "changed")
    assert mark_verified(pin) == pin
    accepted = accept_changed_key(pin)
    assert accepted == Pin(b"b" * 32, b"other")
    assert accepted.trust == "first-use"


def test_the_pinned_key_withdraws_the_other_offer() -> None:
    pin = mark_verified(Pin(b"a" * 32, b"cert"))
    _, pin = meet(pin, b"b" * 32, b"other")
    verdict, pin = meet(pin, b"a" * 32, b"cert")
    assert verdict is Trust.SAME
    assert pin.trust == "verified"
    assert accept_changed_key(pin) == pin


def test_nothing_known_cannot_be_verified() -> None:
    assert mark_verified(Pin()) == Pin()
    assert Pin().trust == "unknown"


@given(st.lists(st.one_of(keys, st.sampled_from(["accept", "verify"]))))
def test_the_pinned_key_changes_only_by_acceptance(steps: list[bytes | str]) -> None:
    pin = Pin()
    for step in steps:
        before = pin
        if step == "accept":
            pin = accept_changed_key(pin)
            assert pin.key in (before.key, before.offered_key)
            assert not pin.offered_key
        elif step == "verify":
            pin = mark_verified(pin)
            assert pin.key == before.key
        else:
            assert isinstance(step, bytes)
            verdict, pin = meet(pin, step, b"certificate of " + step)
            assert verdict is decide(before.key, step)
            assert pin.key == (before.key or step)
            assert (pin.trust == "changed") == (step != pin.key)
        if pin.verified:
            assert before.verified or step == "verify"
            assert pin.key == before.key
