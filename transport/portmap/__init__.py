"""A port of our own on the router, by PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP IGD; without I/O.

In come default gateways, packets and UPnP's answers; out come a list of
:class:`~transport.net.port_mapping.MappedPort`, candidates for every call, and a
:class:`~transport.portmap.status.MappingStatus` for people::

    mapper  (mapper_events)   which gateways, which protocol, what to remember
       |
    client                    states, leases, retransmission, renewal, deletion
       +-- pcp_client         over the codec pcp
       +-- natpmp_client      over the codec natpmp
       +-- igd_client         over the questions and answers of igd

The mapper asks the default gateway in all three protocols at once and lets the best one that answers map; where the
external address is a private one it asks the router behind that one for a mapping of the mapping.
"""
