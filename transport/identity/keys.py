"""Ed25519 keys (RFC 8032) and the self-signed certificate that carries one (RFC 5280, RFC 8410)."""

import datetime
import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from transport.identity.errors import IdentityError

SECRET_BYTES = 32
KEY_BYTES = 32
# The certificate says nothing that could expire: trust lies in the key, so dates only have to hold on any clock.
_NOT_BEFORE = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)
# The same for all, so that a certificate tells no name to whoever sees it.
_COMMON_NAME = "segue"


@dataclass(frozen=True, slots=True)
class Identity:
    """A key pair with its certificate. ``repr`` shows no secret."""

    secret: bytes = field(repr=False)
    key: bytes
    certificate: bytes

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement of :mod:`transport.identity.statements`: 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(statement)


def new_identity(secret: bytes, serial_number: int) -> Identity:
    """Build an identity from 32 secret random bytes and a random serial number (1 to 2**159).

    Raises :class:`IdentityError` when the secret has another length.
    """
    if len(secret) != SECRET_BYTES:
        raise IdentityError(f"a secret key has {SECRET_BYTES} bytes, not {len(secret)}")
    private = Ed25519PrivateKey.from_private_bytes(secret)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(serial_number)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, None)
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Identity(secret, private.public_key().public_bytes_raw(), der)


def load_identity(secret: bytes, certificate: bytes) -> Identity:
    """Put a stored secret and certificate together again. Raises :class:`IdentityError` if they do not match."""
    if len(secret) != SECRET_BYTES:
        raise IdentityError(f"a secret key has {SECRET_BYTES} bytes, not {len(secret)}")
    key = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    if certificate_key(certificate) != key:
        raise IdentityError("the stored certificate belongs to another key")
    return Identity(secret, key, certificate)


def certificate_key(certificate: bytes) -> bytes:
    """The Ed25519 public key (32 bytes) in a DER certificate. Raises :class:`IdentityError`."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except Exception as error:  # the parser below raises many kinds for hostile input
        raise IdentityError("not a certificate that Segue can read") from error
    if not isinstance(public, Ed25519PublicKey):
        raise IdentityError("the certificate carries another kind of key than Ed25519")
    return public.public_bytes_raw()


def certificate_fingerprint(certificate: bytes) -> bytes:
    """SHA-256 of the DER form: 32 bytes. Its hex form's beginning is a relay's pin."""
    return hashlib.sha256(certificate).digest()


def verify(key: bytes, statement: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``statement`` was made with ``key``; never raises."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def certificate_pem(certificate: bytes) -> bytes:
    """DER to PEM, the form that QUIC's trust anchors are given in. Raises :class:`IdentityError`."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
    except Exception as error:  # the parser raises many kinds for hostile input
        raise IdentityError("not a certificate that Segue can read") from error
    return parsed.public_bytes(serialization.Encoding.PEM)
