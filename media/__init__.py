"""Turns a microphone into packets and packets into sound; knows nothing of networks.

Voice out, 20 ms at a time::

    devices       the sound card (or a file) writes 960 samples into the capture ring, and wakes the engine
    ring          from the sound card's thread to the engine's
    pump          takes every frame out of the ring; what is older than 200 ms is dropped
    processing    high-pass, limiter, level, mute
    codec         Opus, with in-band FEC; rate_control sets its bitrate and how much FEC
    rtp           sequence number and timestamp; from here on it is the network's

Voice in::

    rtp           the header, once
    jitter        rtp_source: whose packet is it; playout_delay (over delay_estimator, stall_detector): how long to hold
                  it; then for each 20 ms: play this, recover that from FEC, conceal, or be silent
    codec         the frame, recovered or concealed
    stretch       one pitch period more or less, where the delay has to change
    pump          mixes a tone in (tones) and fills the playout ring
    ring          from the engine's thread to the sound card's
    devices       the sound card (or a file) takes 960 samples

``pipeline`` joins the middle of both rows into ``CaptureChain`` and ``PlayoutChain``; ``stats`` has what they count.
All of it is given ``now`` and decides alike under the virtual clock of the tests; threads, clocks and files are in
:mod:`media.devices` alone. ``format`` is the one sample format, ``errors`` what can be raised.
"""
