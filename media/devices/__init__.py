"""Microphones and speakers: everything in ``media`` that has threads, clocks or files.

::

    engine ──open, release──> AudioStreams ──Want, Release──> stream_state ──OpenStream, CloseStream──> portaudio
    engine <──take_events──── AudioStreams <──────────────── a new status, a new list of devices
    engine <──capture_ring─── device_port  <── the microphone's callback
    engine ──playout_ring───> device_port  ──> the speaker's callback

``streams`` is the interface; after each wake-up the engine empties one ring, fills the other and takes the events.
Three things implement it: ``hardware`` (real devices: a worker thread that may block, and a clock that supplies
silence while a device is missing), and in ``clocked`` files and Echo, moved by ``frame_clock`` alone. ``device_list``
says which devices there are, ``wav`` reads and writes files. ``portaudio`` is the only importer of sounddevice, and is
loaded by the worker when devices are wanted: a machine without PortAudio has an empty list with the reason.
"""
