import pytest

from transport.path.receiver_reports import CALM_EVERY_S, CARRIES_S, REPORT_EVERY_S, Reports


def test_nothing_is_due_before_media_came() -> None:
    reports = Reports()
    assert reports.next_deadline() is None and reports.due(9.0) == []


def test_two_paths_are_reported_at_once_and_often_one_is_now_and_then() -> None:
    reports = Reports()
    reports.came(0, 0.0)
    assert reports.due(0.0) == [0]
    assert reports.next_deadline() == CALM_EVERY_S
    reports.came(1, 0.2)
    assert reports.due(0.2) == [0, 1]
    assert reports.next_deadline() == pytest.approx(0.2 + REPORT_EVERY_S)
    for step in range(60):
        reports.came(1, 0.2 + step * 0.02)
    assert reports.due(1.4) == [1]
    assert reports.next_deadline() == pytest.approx(1.4 + CALM_EVERY_S)


def test_a_path_without_media_is_forgotten() -> None:
    reports = Reports()
    reports.came(0, 0.0)
    reports.forget(0)
    reports.came(1, 0.0)
    assert reports.due(CARRIES_S) == [] and reports.next_deadline() is None
