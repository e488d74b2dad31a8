"""The ring: against a plain list, and between two real threads."""

import threading
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.format import FRAME_SAMPLES
from media.ring import SampleRing

operations = st.lists(st.tuples(st.sampled_from(["write", "read", "discard"]), st.integers(0, 2_500)), max_size=60)


@given(operations, st.integers(FRAME_SAMPLES, 2_000))
def test_it_behaves_like_a_bounded_queue(steps: list[tuple[str, int]], capacity: int) -> None:
    ring = SampleRing(capacity)
    model: deque[int] = deque()
    number = overruns = underruns = dropped = 0
    for step, count in steps:
        if step == "write":
            block = (np.arange(number, number + count) % 30_000 + 1).astype(np.int16)
            number += count
            fits = min(count, capacity - len(model))
            assert ring.write(block) == fits
            model.extend(block[:fits].tolist())
            overruns += fits < count
            dropped += count - fits
        elif step == "read":
            have = min(count, len(model))
            expected = [model.popleft() for _ in range(have)] + [0] * (count - have)
            assert ring.read(count).tolist() == expected
            underruns += have < count
        else:
            gone = min(count, len(model))
            assert ring.discard(count) == gone
            for _ in range(gone):
                model.popleft()
        assert ring.level == len(model)
    assert (ring.overruns, ring.dropped, ring.underruns) == (overruns, dropped, underruns)


def test_a_ring_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="960"):
        SampleRing(959)


def test_two_threads_lose_nothing() -> None:
    ring = SampleRing(1_500)
    total = 50_000
    source = (np.arange(total) * 7_919 % 65_521 - 32_760).astype(np.int16)

    def produce() -> None:
        sent = 0
        while sent < total:
            room = 1_500 - ring.level
            sent += ring.write(source[sent : sent + min(room, 137)])

    producer = threading.Thread(target=produce, name="ring-producer")
    producer.start()
    received: list[np.ndarray] = []
    count = 0
    while count < total:
        block = ring.read(min(ring.level, 211))
        received.append(block)
        count += block.size
    producer.join()
    assert np.array_equal(np.concatenate(received), source)
    assert ring.overruns == ring.underruns == 0
