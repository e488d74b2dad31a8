"""Which outside port a sequential NAT gave to a flow between two that servers saw (RFC 4787 §4.2). Pure."""

from dataclasses import dataclass

from transport.nat.port_allocation import FLOW_BETWEEN, MAX_STEP, ORDERED, PORTS, wrapped


@dataclass(frozen=True, slots=True)
class Guess:
    """A port and how probable it is."""

    port: int
    probability: float


def between(before: int | None, after: int | None, step: int) -> tuple[Guess, ...]:
    """The likeliest ports of a flow that left between two requests, with them and from the same socket, by what the
    requests' servers saw. ``None``: no answer. ``step`` as in :class:`transport.nat.port_allocation.Counter`.

    Where the mappings are two steps apart the port is certain; one step apart, the flow came before or after both
    (packets overtake each other)."""
    if before is None or after is None:
        return _beside(before, step) if before is not None else _beside(after, -step)
    advance = (after - before) % PORTS
    apart = advance if step > 0 else PORTS - advance if advance else 0
    size = abs(step)
    if apart > PORTS // 2:
        # The second request overtook the first.
        before, after, apart = after, before, PORTS - apart
    if apart == size:
        return Guess(wrapped(after + step), 0.5), Guess(wrapped(before - step), 0.5)
    if apart == 0 or apart > size * MAX_STEP:
        return ()
    inner = list(range(size, apart - size + 1, size))
    # Steps of foreign flows may have rounded to another parity: then ours is a whole number of steps from either end.
    inner += [apart - offset for offset in inner if apart % size and apart - offset not in inner]
    sign = 1 if step > 0 else -1
    # With a foreign flow in between, the flow itself may be outside with another one in its place: both are rare.
    outside = FLOW_BETWEEN if len(inner) > 1 or apart != 2 * size else 0.0
    guesses = [Guess(wrapped(before + sign * offset), (1 - outside) / len(inner)) for offset in inner]
    if outside:
        guesses += [Guess(wrapped(after + step), outside / 2), Guess(wrapped(before - step), outside / 2)]
    return tuple(guesses)


def _beside(known: int | None, step: int) -> tuple[Guess, ...]:
    """Around the one request that was answered: the step that is due, one or two foreign flows, packets overtaking."""
    if known is None:
        return ()
    shuffled = 1 - ORDERED
    # Shuffled, two of three packets are neighbours in four of six orders.
    near = {
        1: ORDERED * (1 - FLOW_BETWEEN) + shuffled / 3,
        -1: shuffled / 3,
        2: ORDERED * FLOW_BETWEEN + shuffled / 6,
        -2: shuffled / 6,
    }
    ranked = sorted(near.items(), key=lambda item: -item[1])
    return tuple(Guess(wrapped(known + step * steps), probability) for steps, probability in ranked)
