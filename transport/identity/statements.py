"""Statements that a key signs. Each has its own first line, so that no signature serves twice.

Every part has a fixed length or a length before it, so that no two lists of parts give the same bytes.
"""

from transport.identity.keys import certificate_fingerprint


def _statement(purpose: bytes, *parts: bytes) -> bytes:
    return purpose + b"\n" + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def session_statement(nonce: bytes, relay_certificate: bytes) -> bytes:
    """What a client signs to open a session: the relay's challenge, for this relay's certificate alone."""
    return _statement(b"segue-session/1", nonce, certificate_fingerprint(relay_certificate))


def registration_statement(nonce: bytes, relay_certificate: bytes, name: str, certificate: bytes) -> bytes:
    """What a client signs to claim ``name`` for ``certificate`` within the session that ``nonce`` opened."""
    return _statement(
        b"segue-register/1",
        nonce,
        certificate_fingerprint(relay_certificate),
        name.encode(),
        certificate_fingerprint(certificate),
    )


def call_statement(nonce: bytes, callee_certificate: bytes, call_id: str) -> bytes:
    """What a caller signs for the callee: a fresh challenge, bound to the certificate that TLS has verified."""
    return _statement(b"segue-call/1", nonce, certificate_fingerprint(callee_certificate), call_id.encode())
