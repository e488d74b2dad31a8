"""A port of our own on the router, asked for by PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP IGD.

:class:`~transport.portmap.mapper.PortMapper` speaks to the default gateway in all three at once, and to one behind it
where that one answers; each protocol is a machine (``pcp_client``, ``natpmp_client``, ``igd_client``) over a codec
(``pcp``, ``natpmp``; UPnP's is a library's, in ``transport.io.upnp``). What comes out is a list of
:class:`~transport.net.port_mapping.MappedPort`: candidates for every call. All pure.
"""
