"""relay.certificate: one key for ever, private to its owner."""

import os
import stat
from pathlib import Path

import pytest

from relay.certificate import IDENTITY_FILE, own_identity
from relay.errors import RelayError


def test_it_is_made_once_and_then_stays(tmp_path: Path) -> None:
    first = own_identity(tmp_path)
    assert own_identity(tmp_path) == first
    assert own_identity(tmp_path).certificate == first.certificate
    assert [path.name for path in tmp_path.iterdir()] == [IDENTITY_FILE]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        own_identity(tmp_path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / IDENTITY_FILE).stat().st_mode) == 0o600


def test_two_relays_have_two_keys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert own_identity(tmp_path / "a").key != own_identity(tmp_path / "b").key


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_damaged_file_stops_the_relay_and_is_left_as_it_is(tmp_path: Path, content: bytes | None) -> None:
    own_identity(tmp_path)
    path = tmp_path / IDENTITY_FILE
    damaged = path.read_bytes()[:150] if content is None else content
    path.write_bytes(damaged)
    with pytest.raises(RelayError, match="damaged"):
        own_identity(tmp_path)
    assert path.read_bytes() == damaged


def test_a_certificate_of_another_key_stops_the_relay(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        own_identity(tmp_path / name)
    marker = b"-----BEGIN CERTIFICATE-----"
    one, other = ((tmp_path / name / IDENTITY_FILE).read_bytes().partition(marker) for name in ("a", "b"))
    (tmp_path / "a" / IDENTITY_FILE).write_bytes(one[0] + marker + other[2])
    with pytest.raises(RelayError, match="another key"):
        own_identity(tmp_path / "a")


def test_a_folder_that_is_not_there_is_reported_plainly(tmp_path: Path) -> None:
    with pytest.raises(RelayError, match="cannot be written"):
        own_identity(tmp_path / "missing")
