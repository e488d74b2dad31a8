"""Turns a microphone into packets and packets into sound; knows nothing of networks.

The data path through this package::

    microphone -> streams -> ring -> processing -> codec -> rtp
    rtp -> jitter -> codec -> stretch -> processing -> ring -> streams -> speaker

``pipeline`` joins the middle of both rows into two chains and ``pump`` moves samples between them and the rings.
Only ``streams``, ``devices``, ``frame_clock`` and ``wav`` know threads, clocks and files; all the rest is given
``now`` and decides alike under the virtual clock of the tests.
"""
