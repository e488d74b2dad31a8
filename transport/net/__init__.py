"""The ground: what a machine is (``machine``), sockets as commands and events (``sockets``), what a mapped port is
(``port_mapping``), and the token bucket of every rate limit (``token_bucket``)."""
