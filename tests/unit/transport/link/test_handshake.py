from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.natsim.call import identity
from transport.identity.statements import call_statement
from transport.link.handshake import CalleeProof, CallerProof, Proof, ProofState, ProofStep, admission_token
from transport.wire.call_messages import (
    PEER_VERSION,
    Accept,
    Bye,
    Hello,
    Muted,
    PeerMessage,
    Prove,
    Proven,
    decode,
    encode,
)

CALLER, CALLEE, OTHER = identity(1), identity(2), identity(3)
CALL_ID = "0123456789abcdef" * 2
NONCE = bytes(range(32))


def caller() -> CallerProof:
    return CallerProof(CALLER, CALLEE.certificate, CALL_ID)


def callee() -> CalleeProof:
    return CalleeProof(CALLEE.certificate, NONCE, CALLER.key, CALL_ID)


def test_hello_prove_proven() -> None:
    ann, bob = caller(), callee()
    prove = ann.received(bob.hello()).reply
    assert isinstance(prove, Prove)
    proven = bob.received(prove)
    assert proven == ProofStep(Proven(), proven=True) and proven.reply is not None
    assert ann.received(proven.reply) == ProofStep(proven=True)
    assert ann.state is bob.state is ProofState.DONE


def test_what_is_signed_is_the_nonce_for_this_callee_and_this_call() -> None:
    prove = caller().received(callee().hello()).reply
    assert isinstance(prove, Prove)
    assert prove.signature == CALLER.sign(call_statement(NONCE, CALLEE.certificate, CALL_ID))
    for elsewhere in (
        CalleeProof(OTHER.certificate, NONCE, CALLER.key, CALL_ID),
        CalleeProof(CALLEE.certificate, bytes(32), CALLER.key, CALL_ID),
        CalleeProof(CALLEE.certificate, NONCE, OTHER.key, CALL_ID),
        CalleeProof(CALLEE.certificate, NONCE, CALLER.key, CALL_ID[::-1]),
    ):
        assert elsewhere.received(prove).fault and elsewhere.state is ProofState.FAILED


def test_the_callee_answers_only_whom_it_believes() -> None:
    step = callee().received(Prove(1, CALL_ID, CALLER.key, CALLER.certificate, bytes(64)))
    assert step.fault and step.reply is None


@pytest.mark.parametrize(
    ("proof", "message"),
    [
        (caller(), Hello(PEER_VERSION + 1, NONCE)),
        (callee(), Prove(PEER_VERSION + 1, CALL_ID, CALLER.key, CALLER.certificate, bytes(64))),
    ],
)
def test_another_version_is_named_as_the_fault(proof: Proof, message: PeerMessage) -> None:
    assert "version" in proof.received(message).fault


def test_a_peer_that_still_states_its_home_address_is_understood() -> None:
    """Fields that older versions send."""
    prove = Prove(1, CALL_ID, CALLER.key, CALLER.certificate, bytes(64), "ann@home.example")
    for message in (prove, Proven("bob@home.example")):
        assert decode(encode(message)) == message


def test_the_token_tells_nothing_of_the_call_and_differs_for_each() -> None:
    assert admission_token(CALL_ID) != admission_token(CALL_ID[::-1])
    assert CALL_ID.encode() not in admission_token(CALL_ID)


MESSAGES = st.one_of(
    st.sampled_from([Accept(), Bye(), Muted(False), Proven("x"), Hello(1, NONCE), Hello(2, NONCE)]),
    st.builds(
        Prove,
        st.sampled_from([1, 2]),
        st.sampled_from([CALL_ID, "f" * 32]),
        st.sampled_from([CALLER.key, OTHER.key, bytes(32)]),
        st.sampled_from([CALLER.certificate, OTHER.certificate, b"x"]),
        st.sampled_from([CALLER.sign(call_statement(NONCE, CALLEE.certificate, CALL_ID)), bytes(64)]),
    ),
)


@pytest.mark.parametrize("make", [caller, callee])
@given(received=st.lists(MESSAGES, max_size=5))
def test_the_proof_succeeds_once_at_most_and_only_for_the_truth(
    make: Callable[[], Proof], received: list[PeerMessage]
) -> None:
    proof, times = make(), 0
    for message in received:
        before = proof.state
        step = proof.received(message)
        if step.proven:
            times += 1
            assert before in (ProofState.PROVE, ProofState.PROVEN) and proof.state is ProofState.DONE
            if isinstance(proof, CalleeProof):
                assert isinstance(message, Prove) and message.signature != bytes(64)
        assert step.proven or step.reply is not None or step.fault
        if before in (ProofState.DONE, ProofState.FAILED):
            assert step.fault
    assert times <= 1
