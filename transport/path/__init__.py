"""The ways to the peer: what each is like, which is alive, and which carries the next packet."""
