import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.natsim.call import identity
from transport.identity.statements import call_statement
from transport.link.handshake import (
    Believe,
    CalleeProof,
    CallerProof,
    Disbelieve,
    Proof,
    ProofState,
    Say,
    admission_token,
)
from transport.wire.call_messages import PEER_VERSION, Accept, Bye, Hello, Muted, PeerMessage, Prove, Proven

CALLER, CALLEE, OTHER = identity(1), identity(2), identity(3)
CALL_ID = "0123456789abcdef" * 2
NONCE = bytes(range(32))


def caller() -> CallerProof:
    return CallerProof(CALLER, CALLEE.certificate, CALL_ID, "ann@home.example")


def callee() -> CalleeProof:
    return CalleeProof(CALLEE.certificate, NONCE, CALLER.key, CALL_ID, "bob@home.example")


def test_hello_prove_proven() -> None:
    ann, bob = caller(), callee()
    (said,) = ann.handle(bob.hello())
    assert isinstance(said, Say)
    answer, believed = bob.handle(said.message)
    assert believed == Believe("ann@home.example") and isinstance(answer, Say)
    assert ann.handle(answer.message) == [Believe("bob@home.example")]
    assert ann.state is bob.state is ProofState.DONE


def test_what_is_signed_is_the_nonce_for_this_callee_and_this_call() -> None:
    (said,) = caller().handle(callee().hello())
    assert isinstance(said, Say) and isinstance(said.message, Prove)
    assert said.message.signature == CALLER.sign(call_statement(NONCE, CALLEE.certificate, CALL_ID))
    for elsewhere in (
        CalleeProof(OTHER.certificate, NONCE, CALLER.key, CALL_ID, ""),
        CalleeProof(CALLEE.certificate, bytes(32), CALLER.key, CALL_ID, ""),
        CalleeProof(CALLEE.certificate, NONCE, OTHER.key, CALL_ID, ""),
        CalleeProof(CALLEE.certificate, NONCE, CALLER.key, CALL_ID[::-1], ""),
    ):
        (verdict,) = elsewhere.handle(said.message)
        assert isinstance(verdict, Disbelieve) and elsewhere.state is ProofState.FAILED


def test_the_callee_says_its_home_only_to_whom_it_believes() -> None:
    bob = callee()
    assert b"home" not in repr(bob.hello()).encode()
    (verdict,) = bob.handle(Prove(1, CALL_ID, CALLER.key, CALLER.certificate, bytes(64)))
    assert isinstance(verdict, Disbelieve)


def test_another_version_is_named_as_the_fault() -> None:
    (verdict,) = caller().handle(Hello(PEER_VERSION + 1, NONCE))
    assert isinstance(verdict, Disbelieve) and "version" in verdict.text


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
@given(said=st.lists(MESSAGES, max_size=5))
def test_one_belief_at_most_and_only_for_the_truth(make: type[Proof], said: list[PeerMessage]) -> None:
    proof = make()  # type: ignore[call-arg]
    beliefs = 0
    for message in said:
        before = proof.state
        out = proof.handle(message)
        assert out
        for command in out:
            if isinstance(command, Believe):
                beliefs += 1
                assert before in (ProofState.PROVE, ProofState.PROVEN)
                if isinstance(proof, CalleeProof):
                    assert isinstance(message, Prove) and message.signature != bytes(64)
        if before in (ProofState.DONE, ProofState.FAILED):
            assert isinstance(out[0], Disbelieve)
    assert beliefs <= 1
