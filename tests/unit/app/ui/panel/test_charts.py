"""What a chart keeps, and where its scale ends."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.ui.panel.charts import KEPT_POINTS, SCALE_STEPS, WINDOW_S, Points, scale_top


@given(st.floats(0, 1e9), st.floats(1e-3, 1e6))
def test_scale_ends_at_a_round_number_above_the_peak(peak: float, least: float) -> None:
    top = scale_top(peak, least)
    assert top >= max(peak, least)
    mantissa = top / 10 ** math.floor(math.log10(top) + 1e-9)
    assert any(math.isclose(mantissa, step, rel_tol=1e-6) for step in SCALE_STEPS)
    # Not needlessly large: the next smaller end (2.5 times smaller at most) would not do.
    assert top / 2.5 < max(peak, least) * (1 + 1e-9)


@given(st.lists(st.tuples(st.floats(0, 1.0), st.one_of(st.none(), st.floats(0, 500))), max_size=900))
def test_history_keeps_the_last_minute(steps: list[tuple[float, float | None]]) -> None:
    history = Points()
    at = 0.0
    for step, value in steps:
        at += step
        history.add(at, value)
        assert history.latest() == value
        assert history.points[-1][0] == at
        assert len(history.points) <= KEPT_POINTS
        assert at - history.points[0][0] <= WINDOW_S
    values = [value for _, value in history.points if value is not None]
    assert history.peak() == max(values, default=0.0)


def test_another_call_begins_anew() -> None:
    history = Points()
    for at in (1.0, 2.0, 0.2):
        history.add(at, at)
    assert list(history.points) == [(0.2, 0.2)]
