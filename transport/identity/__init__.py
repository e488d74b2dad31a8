"""Who somebody is: an Ed25519 key, its self-signed certificate, proofs of possession, and safety numbers.

Identity is the key (DESIGN D9). Names and addresses are only where a key can be found.
"""

from transport.identity.errors import IdentityError

__all__ = ["IdentityError"]
