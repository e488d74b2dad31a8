"""Which outside port a NAT takes next, from those that it took before (RFC 4787 §4.2).

Pure functions from observations to probabilities. A counter is judged by Bayes' rule: every step from 1 to 64 in both
directions, with and without parity kept (RFC 4787 §4.2.2), against ports drawn from a block or from the full range.
Cross traffic is a Poisson process of unknown rate, which is estimated beside it.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

FIRST_PORT, LAST_PORT = 1_024, 65_535
"""What NATs hand out (RFC 4787 §4.2.1 leaves the well-known ports alone)."""
PORTS = LAST_PORT - FIRST_PORT + 1
MAX_STEP = 64
MIN_SEEN = 3
# Steps of a busy carrier's counter over some seconds; more apart says nothing any more.
MAX_ADVANCE = 8_192
# Less certain is no counter.
MIN_CONFIDENCE = 0.8
# How far packets on the way to the NAT may overtake each other, and how rarely a network lets them.
REORDER_S = 0.03
ORDERED = 0.9
# Between packets that left together: what the host and its network make of "together".
MIN_GAP_S = 0.002
# That a foreign flow comes between two packets that leave together: MIN_GAP_S of ten flows a second.
FLOW_BETWEEN = 0.02
# Rate of the cross traffic before anything is known: a gamma distribution of mean 10/s that believes in 0 as well as
# in 40/s.
RATE_SHAPE = 0.5
RATE_EXPOSURE_S = 0.05
# Steps that take more foreign flows than these are not worth weighing.
MAX_RATE_PER_S = 60.0
SPARE_FLOWS = 12
# A port that is in use is passed over; counters come to used ports after a whole turn.
SKIPPED = 0.001
MAX_SKIPPED = 3
# A counter that turns around at the end of a range which is not the full one: one jump, to anywhere.
TURNED = 0.001
# Of parity kept, of steps 1 and 2 and of all others: as often as NATs in the field are reported to have them.
KEEPS_PARITY = 0.15
STEP_PRIOR = {1: 0.35, 2: 0.2}
OTHER_STEP_PRIOR = 0.45 / (MAX_STEP - 2)
# Correlation of the order at the NAT with the order of the answers, where both ways have the same jitter.
ANSWER_CORRELATION = 0.68
MAX_TERMS = 32
# Larger exponents overflow.
MAX_LOG = 700.0
BLOCK_SIZES = (512, 1_024, 2_048, 4_096)
"""Ports a subscriber gets of a carrier's NAT."""


@dataclass(frozen=True, slots=True)
class NewMapping:
    """One new mapping of our NAT: asked for at ``at`` (s) as the ``order``-th flow, got outside port ``port``.

    ``first_try``: one packet was enough, so the moment of the mapping is known. ``inside`` is the socket's own port
    where several sockets asked (only its parity matters), ``answered_at`` when the answer came (s)."""

    at: float
    port: int
    order: int
    first_try: bool
    inside: int = 0
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """``step``: from one flow of a socket to its next, where nobody comes in between. ``rate_per_s``: cross traffic
    (mean of what is believed). ``confidence``: probability that ``step`` is right, against other steps and ports at
    random."""

    step: int
    rate_per_s: float
    confidence: float


def wrapped(port: int) -> int:
    """Within the range that NATs hand out."""
    return FIRST_PORT + (port - FIRST_PORT) % PORTS


# -- the counter behind what was seen


@dataclass(frozen=True, slots=True)
class _Course:
    """Observations as the NAT may have seen them, with the advances between them (``None``: to anywhere) and how
    likely they came in this order (log)."""

    seen: tuple[NewMapping, ...]
    advances: tuple[int | None, ...]
    order: float


@dataclass(frozen=True, slots=True)
class _Explanation:
    """One step on one course; ``evidence`` is a logarithm."""

    evidence: float
    delta: int
    keeps_parity: bool
    foreign: float
    course: _Course

    @property
    def step(self) -> int:
        if self.keeps_parity and self.delta % 2:
            return self.delta + (1 if self.delta > 0 else -1)
        return self.delta


def track(observations: Iterable[NewMapping]) -> Counter | None:
    """The counter that explains the observations of one NAT's new mappings, if one does.

    Ports that come again are no new mappings and are left out, as are those whose moment is not known: each of these,
    and each number missing in ``order``, may have advanced the counter unseen."""
    found, at_random = _explanations(observations)
    if not found:
        return None
    best = max(found, key=lambda one: one.evidence)
    weights = [math.exp(one.evidence - best.evidence) for one in found]
    total = sum(weights) + math.exp(min(MAX_LOG, at_random - best.evidence))
    by_step: dict[int, float] = {}
    for one, weight in zip(found, weights, strict=True):
        by_step[one.step] = by_step.get(one.step, 0.0) + weight / total
    step = max(by_step, key=lambda each: by_step[each])
    if by_step[step] < MIN_CONFIDENCE:
        return None
    foreign = sum(one.foreign * weight for one, weight in zip(found, weights, strict=True)) / sum(weights)
    rate = (RATE_SHAPE + foreign) / (RATE_EXPOSURE_S + sum(_gaps_s(best.course.seen)))
    return Counter(step, rate, by_step[step])


def randomness(observations: Iterable[NewMapping]) -> float:
    """How probable it is that these ports come from no counter of whatever step and direction."""
    found, at_random = _explanations(observations)
    if not found:
        return 1.0
    return 1 / (1 + math.exp(min(MAX_LOG, _log_sum(one.evidence for one in found) - at_random)))


def _explanations(observations: Iterable[NewMapping]) -> tuple[list[_Explanation], float]:
    """All that explain them, and the log evidence of ports at random."""
    asked = sorted(observations, key=lambda one: (one.at, one.order))
    fresh = list({one.port: one for one in reversed(asked) if one.first_try}.values())[::-1]
    if len(fresh) < MIN_SEEN:
        return [], 0.0
    orders = [one.order for one in asked]
    unseen = max(0, max(orders) - min(orders) + 1 - len(fresh))
    skipped = max(SKIPPED, unseen / (unseen + len(fresh)))
    found: list[_Explanation] = []
    for sign in (1, -1):
        for course in _courses(fresh, sign):
            believable = SPARE_FLOWS + MAX_RATE_PER_S * sum(_gaps_s(course.seen))
            for delta, keeps_parity in _candidates(course):
                if _least_foreign(course, delta, keeps_parity) > believable:
                    continue
                evidence, foreign = _weigh(course, delta, keeps_parity, skipped)
                if evidence > -math.inf:
                    found.append(_Explanation(evidence, sign * delta, keeps_parity, foreign, course))
    return found, _at_random(fresh)


def _courses(fresh: Sequence[NewMapping], sign: int) -> Iterator[_Course]:
    """Up (or down) through the ports, with one turn at the end of the range or none."""
    rising = sorted(fresh, key=lambda one: sign * one.port)
    steps = [sign * (after.port - before.port) for before, after in itertools.pairwise(rising)]
    widest = max(range(len(steps)), key=lambda number: steps[number])
    if steps[widest] <= MAX_ADVANCE:
        in_order = _in_order(fresh, rising)
        if in_order is not None:
            yield _Course(tuple(rising), tuple(steps), in_order[0])
    if len(fresh) == MIN_SEEN:
        # Two steps, one of which says nothing, would be no counter.
        return
    turned = rising[widest + 1 :] + rising[: widest + 1]
    in_order = _in_order(fresh, turned)
    others = steps[widest + 1 :] + steps[:widest]
    if in_order is None or max(others, default=0) > MAX_ADVANCE:
        return
    around: int | None = sign * (rising[0].port - rising[-1].port) % PORTS
    if around is not None and around > MAX_ADVANCE:
        if not in_order[1]:
            return
        around = None
    at = len(rising) - widest - 2
    advances = (*others[:at], around, *others[at:])
    yield _Course(tuple(turned), advances, in_order[0] + math.log(TURNED))


def _in_order(asked: Sequence[NewMapping], course: Sequence[NewMapping]) -> tuple[float, bool] | None:
    """How likely (log) packets sent in the one order came to the NAT in the other, and whether it is the same."""
    rank = {id(one): number for number, one in enumerate(asked)}
    ranks = [rank[id(one)] for one in course]
    same = all(before < after for before, after in itertools.pairwise(ranks))
    latest = -math.inf
    for one in course:
        if one.at < latest - REORDER_S:
            return None
        latest = max(latest, one.at)
    ways = math.fsum(
        math.log(sum(later.at - one.at <= REORDER_S for later in asked[number:])) for number, one in enumerate(asked)
    )
    likely = math.log((ORDERED if same else 0.0) + (1 - ORDERED) * math.exp(-ways))
    return likely + ANSWER_CORRELATION * _correlation(course) * (len(course) - 1), same


def _correlation(course: Sequence[NewMapping]) -> float:
    """Spearman's, of the order at the NAT with that of the answers; 0 where it is not known when these came."""
    by_answer = sorted(range(len(course)), key=lambda number: course[number].answered_at or 0.0)
    if any(one.answered_at is None for one in course):
        return 0.0
    count = len(course)
    apart = sum((number - rank) ** 2 for rank, number in enumerate(by_answer))
    return 1 - 6 * apart / (count * (count * count - 1))


def _gaps_s(seen: Sequence[NewMapping]) -> list[float]:
    return [max(MIN_GAP_S, after.at - before.at) for before, after in itertools.pairwise(seen)]


def _candidates(course: _Course) -> list[tuple[int, bool]]:
    """Steps that can explain every advance."""
    known = [advance for advance in course.advances if advance is not None]
    if not known:
        return []
    common = math.gcd(*known)
    found = [(delta, False) for delta in range(1, min(MAX_STEP, min(known)) + 1) if common % delta == 0]
    changes = [(after.inside ^ before.inside) & 1 for before, after in itertools.pairwise(course.seen)]
    pairs = [(advance, odd) for advance, odd in zip(course.advances, changes, strict=True) if advance is not None]
    if any(advance % 2 != odd for advance, odd in pairs):
        return found
    for delta in range(1, min(MAX_STEP, min(known)) + 1):
        if all(-(-advance // (delta + 1)) <= advance // delta for advance, _ in pairs):
            found.append((delta, True))
    return found


def _least_foreign(course: _Course, delta: int, keeps_parity: bool) -> int:
    longest = delta + keeps_parity
    return sum(-(-advance // longest) - 1 for advance in course.advances if advance is not None)


def _weigh(course: _Course, delta: int, keeps_parity: bool, skipped: float) -> tuple[float, float]:
    """Log evidence of a step, and how many foreign flows came, with their rate integrated out (a gamma prior
    and Poisson counts): exact up to terms that do not count."""
    gaps_s = _gaps_s(course.seen)
    sums = {0: 0.0}
    for number, advance in enumerate(course.advances):
        if advance is None:
            sums = {foreign: weight - math.log(PORTS) for foreign, weight in sums.items()}
            continue
        odd = (course.seen[number + 1].inside ^ course.seen[number].inside) & 1
        terms = _terms(advance, odd, delta, keeps_parity, gaps_s[number], skipped)
        if not terms:
            return -math.inf, 0.0
        joined: dict[int, float] = {}
        for foreign, weight in sums.items():
            for more, factor in terms.items():
                _add(joined, foreign + more, weight + factor)
        sums = dict(sorted(joined.items(), key=lambda item: -item[1])[:MAX_TERMS])
    exposed = RATE_EXPOSURE_S + sum(gaps_s)
    for foreign in sums:
        sums[foreign] += (
            math.lgamma(RATE_SHAPE + foreign)
            - math.lgamma(RATE_SHAPE)
            + RATE_SHAPE * math.log(RATE_EXPOSURE_S)
            - (RATE_SHAPE + foreign) * math.log(exposed)
        )
    evidence = _log_sum(sums.values())
    mean = sum(foreign * math.exp(weight - evidence) for foreign, weight in sums.items())
    prior = STEP_PRIOR.get(delta, OTHER_STEP_PRIOR) / 2 * (KEEPS_PARITY if keeps_parity else 1 - KEEPS_PARITY)
    return evidence + math.log(prior) + course.order, mean


def _terms(advance: int, odd: int, delta: int, keeps_parity: bool, gap_s: float, skipped: float) -> dict[int, float]:
    """Foreign flows in between → log weight, their rate left out."""
    terms: dict[int, float] = {}
    least = -(-advance // (delta + 1)) if keeps_parity else advance // delta
    for flows in range(max(1, least), advance // delta + 1):
        fits = _fits(advance, flows, odd, delta) if keeps_parity else 0.0
        if fits == -math.inf:
            continue
        for passed in range(min(flows - 1, MAX_SKIPPED) + 1):
            foreign = flows - 1 - passed
            weight = foreign * math.log(gap_s) - math.lgamma(foreign + 1)
            _add(terms, foreign, fits + weight + passed * math.log(skipped) + math.log1p(-skipped))
    return dict(sorted(terms.items(), key=lambda item: -item[1])[:MAX_TERMS])


def _fits(advance: int, flows: int, odd: int, delta: int) -> float:
    """Log probability of an advance by so many flows where parity is kept: each flow takes ``delta``, and one more
    where that has the wrong parity. ``odd``: the last flow's parity is not that of the one before the first; those in
    between have any."""
    rounded = advance - flows * delta
    changes = rounded if delta % 2 == 0 else flows - rounded
    if not 0 <= changes <= flows or changes % 2 != odd:
        return -math.inf
    return _log_choose(flows, changes) - (flows - 1) * math.log(2)


def _at_random(fresh: Sequence[NewMapping]) -> float:
    """Log evidence of ports at random from a block somewhere, or from the full range."""
    ports = [one.port for one in fresh]
    spread = max(ports) - min(ports)
    sizes = (*BLOCK_SIZES, PORTS)
    inside = [
        math.log((size - spread) / size) - (len(ports) - 1) * math.log(size) for size in sizes if size > spread
    ] or [-(len(ports) - 1) * math.log(PORTS)]
    return _log_sum(inside) - math.log(len(sizes))


def _log_choose(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)


def _log_sum(logs: Iterable[float]) -> float:
    listed = list(logs)
    most = max(listed)
    return most + math.log(math.fsum(math.exp(one - most) for one in listed))


def _add(terms: dict[int, float], key: int, log: float) -> None:
    terms[key] = _log_sum((terms[key], log)) if key in terms else log
