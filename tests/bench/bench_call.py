"""What a call costs and how soon the first audio is played: real programs on loopback, with Opus and WAV files."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure, Section, spread
from tests.bench.people import Ended, Person, attached, one_call, write_long_speech
from tests.bench.process import CpuShare, Memory, memory
from tests.processes import register, segue

CALL_S = 30.0
CALLS = 50
# Long enough for both voices to arrive; 50 calls of it stay within the relay's limit of invitations.
SHORT_TALK_S = 0.4
IDLE_S = 5.0
# The first second of a call has the handshake and the opening of files in it.
SETTLE_S = 1.0
FRAME_MS = 20.0


@dataclass(frozen=True, slots=True)
class Lab:
    """Two homes with running engines, and the relay between them."""

    relay_pid: int
    homes: tuple[Path, Path]
    addresses: tuple[str, str]


@contextlib.contextmanager
def lab(speech_s: float, *options: str) -> Iterator[Lab]:
    """A relay and two people who answer at once and speak ``speech_s`` seconds of speech in all; ``options`` are both
    people's."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-bench-")))
        speech = write_long_speech(folder / "speech.wav", speech_s)
        data = folder / "relay"
        relay = stack.enter_context(
            segue("relay", "--bind", "127.0.0.1", "--port", "0", "--data", data, "--drain", "0")
        )
        place = relay.wait_for("ready ").removeprefix("ready ")
        homes, addresses = [], []
        for name in ("alice", "bob"):
            home = folder / name
            addresses.append(register(name, place, home))
            person = stack.enter_context(
                segue("listen", "--home", home, "--play", speech, "--record", folder / f"{name}.wav", *options)
            )
            person.wait_for("listening as ")
            homes.append(home)
        yield Lab(relay.process.pid, (homes[0], homes[1]), (addresses[0], addresses[1]))


@dataclass(frozen=True, slots=True)
class LongCall:
    """Shares of a core in percent; ``idle`` and ``talking``: the caller's engine."""

    idle_percent: float
    caller_percent: float
    callee_percent: float
    relay_percent: float
    idle: Memory
    talking: Memory
    ended: tuple[Ended, Ended]


async def long_call(where: Lab, people: list[Person], *, idle_s: float, call_s: float) -> LongCall:
    """One call, watched from its second second on."""
    alice, bob = people
    watched = CpuShare(alice.pid)
    await asyncio.sleep(idle_s)
    idle_percent, idle = watched.percent(alice.pid), memory(alice.pid)
    calling = asyncio.ensure_future(one_call(alice, bob, where.addresses[1], SETTLE_S + call_s + SETTLE_S))
    try:
        await alice.talking()
        await asyncio.sleep(SETTLE_S)
        watched = CpuShare(alice.pid, bob.pid, where.relay_pid)
        await asyncio.sleep(call_s)
        caller, callee, relay = (watched.percent(pid) for pid in (alice.pid, bob.pid, where.relay_pid))
        talking = memory(alice.pid)
    finally:
        ended = await calling
    return LongCall(idle_percent, caller, callee, relay, idle, talking, ended)


async def short_calls(places: list[tuple[Lab, list[Person]]], count: int) -> list[list[tuple[Ended, Ended]]]:
    """``count`` calls in each place one after the other, the places by turns, so that all meet the same machine.
    People by turns, too, so that nobody meets the relay's limit for one person."""
    made: list[list[tuple[Ended, Ended]]] = [[] for _ in places]
    for number in range(count):
        caller, callee = (0, 1) if number % 2 == 0 else (1, 0)
        for (where, people), calls in zip(places, made, strict=True):
            calls.append(await one_call(people[caller], people[callee], where.addresses[callee], SHORT_TALK_S))
    return made


def cost_figures(call: LongCall, relayed: LongCall, call_s: float) -> Section:
    """The figures of a long call that goes direct, and of one that stays on the relay."""
    span = f"/proc/PID/stat over {call_s:.0f} s of a call; Opus, speech from WAV files, recorded to WAV files"
    media = [side.report["media"] for each in (call, relayed) for side in each.ended]
    stays = "a call with --always-relay, as long"
    return Section(
        "A call's cost",
        (
            Figure("engine in a direct call, caller", f"{call.caller_percent:.1f} % of a core", span),
            Figure("engine in a direct call, callee", f"{call.callee_percent:.1f} % of a core", "the same call"),
            Figure("engine in a call that stays on the relay", f"{relayed.caller_percent:.1f} % of a core", stays),
            Figure("relay, one call that stays there", f"{relayed.relay_percent:.1f} % of a core", "the same call"),
            Figure("relay, one call that went direct", f"{call.relay_percent:.1f} % of a core", "the first call"),
            Figure("engine without a call", f"{call.idle_percent:.1f} % of a core", "registered, a window attached"),
            Figure("engine memory without a call", str(call.idle), "RSS / PSS"),
            Figure("engine memory in a call", str(call.talking), f"RSS / PSS at its second {call_s:.0f}"),
            Figure("frames lost, both ends", str(sum(each["frames_lost"] for each in media)), "both calls' reports"),
            Figure(
                "samples concealed, both ends",
                str(sum(each["samples_concealed"] for each in media)),
                "the same reports",
            ),
        ),
    )


def first_audio_ms(calls: list[tuple[Ended, Ended]]) -> tuple[list[float], list[float]]:
    """From the answer to the first sound, at the callers and at the callees."""
    at_caller = [1000 * (caller.at("first_audio_played") - callee.at("answered")) for caller, callee in calls]
    at_callee = [1000 * (callee.at("first_audio_played") - callee.at("answered")) for _, callee in calls]
    return at_caller, at_callee


def delay_figures(calls: list[tuple[Ended, Ended]], relayed: list[tuple[Ended, Ended]]) -> Section:
    """How soon, over many calls, and over others that look for no direct path. Each engine's clock is tied to the wall
    clock at its start."""
    to_caller, to_callee = first_audio_ms(calls)
    attempted = sum(bool(caller.report["phases"]) for caller, _ in calls)
    without = f"{len(relayed)} calls with --always-relay in between, for comparison"
    relayed_to_caller, relayed_to_callee = first_audio_ms(relayed)
    mouth_to_ear = [
        1000 * (hearer.at("first_audio_played") - speaker.at("first_audio_sent")) + FRAME_MS
        for pair in calls
        for speaker, hearer in (pair, pair[::-1])
    ]
    set_up = [1000 * float(caller.report["times"]["answered"]) for caller, _ in calls]
    playout = [float(side.report["media"]["playout_delay_ms"]["p50"]) for pair in calls for side in pair]
    concealed = sum(side.report["media"]["samples_concealed"] for pair in calls for side in pair)
    what = f"{len(calls)} calls on loopback, from both reports; median / p95"
    return Section(
        "Time to first audio",
        (
            Figure("accept → callee's voice played at the caller", spread(to_caller, "ms"), what),
            Figure("accept → caller's voice played at the callee", spread(to_callee, "ms"), what),
            Figure("of these, looked for a direct path meanwhile", f"{attempted} of {len(calls)}", "from the reports"),
            Figure("the same at the caller, without traversal", spread(relayed_to_caller, "ms"), without),
            Figure("the same at the callee, without traversal", spread(relayed_to_callee, "ms"), without),
            Figure(
                "mouth to ear without a network",
                spread(mouth_to_ear, "ms"),
                "first frame: its 20 ms of sound, then encoded → QUIC → relay → played",
            ),
            Figure("playout delay", spread(playout, "ms"), "packet's arrival → speaker; medians of each side's call"),
            Figure("call set up: placed → talking", spread(set_up, "ms"), "with a peer that answers at once"),
            Figure("samples concealed", str(concealed), "sum of all these calls"),
        ),
    )


def run(*, idle_s: float = IDLE_S, call_s: float = CALL_S, calls: int = CALLS) -> list[Section]:
    """Both sections."""

    async def main(where: Lab, relayed: Lab) -> list[Section]:
        async with attached(*where.homes) as people, attached(*relayed.homes) as relayed_people:
            for person in (*people, *relayed_people):
                await person.online()
            long = await long_call(where, people, idle_s=idle_s, call_s=call_s)
            stays = await long_call(relayed, relayed_people, idle_s=idle_s, call_s=call_s)
            places = [(where, people), (relayed, relayed_people)]
            with_traversal, without = await short_calls(places, calls)
        return [cost_figures(long, stays, call_s), delay_figures(with_traversal, without)]

    speech_s = call_s + calls * (SHORT_TALK_S + 1.0) + 10.0
    with lab(speech_s) as where, lab(speech_s, "--always-relay") as relayed:
        return asyncio.run(main(where, relayed))
