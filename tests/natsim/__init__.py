"""The network in one process and in virtual time: the product's own machines, real aioquic, seeded chance.

``clock`` moves time, ``wire`` delays and loses, ``network`` joins hosts, ``driver`` runs any Link untouched,
``relay`` is the relay's own leg table behind a port, ``call`` puts two links and a relay together. ``sound`` is a sound
card, ``signalling`` the control sessions with the relay's own router, and ``talk`` the whole call of two people.

``nat`` is one NAT, ``ports`` the ports that it takes, ``internet`` puts it between networks, ``kinds`` names the usual
ones, ``scenario`` builds two sides behind stacks of them, ``prober`` measures from outside what they do
(docs/laboratories.md).
"""
