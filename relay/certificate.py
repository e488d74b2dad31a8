"""The relay's own key and certificate, kept in one file (PEM, mode 0600) so that its pin never changes by itself."""

import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.errors import RelayError
from transport.identity.errors import IdentityError
from transport.identity.keys import SECRET_BYTES, Identity, load_identity, new_identity

IDENTITY_FILE = "relay.pem"
# RFC 5280 §4.1.2.2: positive, at most 20 octets.
_SERIAL_BITS = 128


def own_identity(data_dir: Path) -> Identity:
    """Load the relay's identity, or make it at the first start. Raises :class:`RelayError`.

    A file that cannot be read stops the relay: with a new key every client's pin would fail, and whether that is
    wanted is for the operator to say.
    """
    path = data_dir / IDENTITY_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        identity = new_identity(secrets.token_bytes(SECRET_BYTES), secrets.randbits(_SERIAL_BITS) + 1)
        _write(path, identity)
        return identity
    except OSError as error:
        raise RelayError(f"the relay's key cannot be read: {error}") from error
    try:
        private = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
        if not isinstance(private, Ed25519PrivateKey):
            raise IdentityError("the key is of another kind than Ed25519")
        return load_identity(private.private_bytes_raw(), certificate.public_bytes(serialization.Encoding.DER))
    except (ValueError, TypeError, IdentityError) as error:
        raise RelayError(
            f"{path} is damaged ({error}). Put it back from a copy; if you move it away instead, the relay makes a "
            "new key and everybody has to be given the relay's new address"
        ) from error


def _write(path: Path, identity: Identity) -> None:
    private = Ed25519PrivateKey.from_private_bytes(identity.secret)
    content = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + x509.load_der_x509_certificate(identity.certificate).public_bytes(serialization.Encoding.PEM)
    temporary = path.with_suffix(".new")
    try:
        temporary.unlink(missing_ok=True)
        # Made with its final mode: there is no moment at which others can read it.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RelayError(f"the relay's key cannot be written: {error}") from error
