"""Tests that take the fixture ``kernel`` are left out, with one line that says why, where there are no namespaces."""

import pytest

from tests.netlab.namespaces import why_not


@pytest.fixture(scope="session")
def kernel() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
