"""Whole calls over the relay, in virtual time."""

from tests.natsim.call import Call


def test_two_links_prove_each_other_and_talk_through_the_relay() -> None:
    call = Call().connect()
    for side in call.sides:
        side.talk()
    call.run(10.0)
    for side in call.sides:
        side.be_silent()
    call.run(1.0)
    assert call.caller.sent == call.callee.sent == 501
    assert call.caller.frames == list(range(501))
    assert call.callee.frames == list(range(501))
