"""What our NAT does, and what two NATs allow together (RFC 4787, RFC 5128, RFC 5780). Pure: no sockets, no clock.

From what STUN servers see to a decision::

    ice.stun_client    observations of one socket
    classification     what they show: mapping and allocation; right or unknown, never wrong
      port_allocation    the counter behind the outside ports, if there is one
    profile            what is known of a NAT; on the wire, and renewed by another look
    next_port          which port a counting NAT gave to a flow between two that servers saw
    port_blocks        the block that a carrier gave us; in which order to try its ports
    profiler           asks by itself, before a call and after a network change; also tests hairpinning
      filtering          whom the NAT lets in: answers from where nobody has asked
    mapping_lifetime   how long it remembers a mapping that nobody uses
    compatibility      from both sides' profiles: can punching work, and which technique if not

The profile is kept by :mod:`app.network`, sent to the peer with our candidates (without addresses), and renewed by what
a call's own STUN requests show.
"""
