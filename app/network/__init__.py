"""What the engine knows of this machine's network between calls.

``nat_monitor`` measures the NAT when the network changes, ``port_mapping`` keeps a mapped port while one is wanted, and
``recall`` remembers what worked between two networks: all three are candidates and hints for the next call.
``netcheck`` is the report of ``segue netcheck``.
"""
