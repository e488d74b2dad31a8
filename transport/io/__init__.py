"""What runs the machines of transport on asyncio: sockets, timers, threads, the routing table. Nothing here decides.

``runner`` runs machines with UDP sockets (``udp``); ``relay_session`` a session with a relay; ``port_mapper_io`` the
port mapper, with UPnP (``upnp``, ``upnp_client``) and the default gateways (``gateways``); ``nat_measurement`` a NAT
profile. ``network_watch`` polls the interfaces, ``host_lock`` lets one process of a host at a time probe many ports,
``stop_signals`` and ``tasks`` are where all of Segue handles signals and starts tasks.
"""
