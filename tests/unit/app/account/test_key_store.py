"""app.account.key_store and app.account.keyring: one key for ever, wherever it lives, and never another one without
a word."""

import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import keyring.errors
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.account.key_store import (
    KeyLoaded,
    KeyNotSaved,
    KeyringLocked,
    KeyUnreadable,
    file_only,
    load_identity_of,
    load_or_create,
)
from app.account.keyring import KeyringClient, KeyringSilent, KeyringUnusable, usable_backend
from app.system.data_dir import Home, find_home, prepare
from transport.identity.keys import certificate_key, new_identity

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
NOW = 1_800_000_000.0
LIMIT_S = 0.05


class FakeKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory; ``block`` makes it hang as one that waits for its user."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.block: threading.Event | None = None
        self.error: Exception | None = None

    def _gate(self) -> None:
        if self.block is not None:
            self.block.wait()
        if self.error is not None:
            raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        self._gate()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._gate()
        self.entries[service, username] = password


class PlaintextKeyring(FakeKeyring):
    pass


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = find_home(tmp_path / "home")
    prepare(found)
    return found


@pytest.fixture
def fake() -> Iterator[FakeKeyring]:
    backend = FakeKeyring()
    yield backend
    if backend.block is not None:
        backend.block.set()


def load(home: Home, backend: keyring.backend.KeyringBackend | None = None) -> KeyLoaded:
    if backend is None:
        return load_or_create(home, None, lambda: NOW)
    client = KeyringClient(lambda: backend, LIMIT_S)
    try:
        return load_or_create(home, client, lambda: NOW)
    finally:
        client.close()


def aside(home: Home, word: str) -> list[Path]:
    return sorted(path for path in home.folder.iterdir() if f".{word}-" in path.name)


# -- which place -------------------------------------------------------------------------------------------------------


def test_a_chosen_home_and_the_variable_keep_the_key_in_the_file(tmp_path: Path) -> None:
    assert file_only(find_home(tmp_path), {})
    assert file_only(Home(tmp_path, chosen=False), {"SEGUE_KEY_PLACE": "file"})
    assert not file_only(Home(tmp_path, chosen=False), {})


def test_the_key_stays_the_same_in_the_file(home: Home) -> None:
    first, second = load(home), load(home)
    assert first.identity == second.identity
    assert (first.place, first.findings, second.findings) == ("file", (), ())
    if sys.platform != "win32":
        assert stat.S_IMODE(home.key.stat().st_mode) == 0o600


def test_the_key_stays_the_same_in_the_keyring(home: Home, fake: FakeKeyring) -> None:
    first, second = load(home, fake), load(home, fake)
    assert first.identity == second.identity
    assert (first.place, second.place, second.findings) == ("keyring", "keyring", ())
    assert first.identity.secret.hex() not in home.key.read_text()
    assert list(fake.entries) == [("segue", home.keyring_user)]


def test_two_homes_have_two_entries(tmp_path: Path, fake: FakeKeyring) -> None:
    keys = set()
    for name in ("a", "b"):
        home = find_home(tmp_path / name)
        prepare(home)
        keys.add(load(home, fake).identity.key)
    assert len(keys) == len(fake.entries) == 2


def test_a_file_wins_over_the_keyring(home: Home, fake: FakeKeyring) -> None:
    in_file = load(home)
    assert load(home, fake) == in_file
    assert not fake.entries


@pytest.mark.parametrize(
    "backend",
    [keyring.backends.fail.Keyring(), keyring.backends.null.Keyring(), PlaintextKeyring()],
    ids=["fail", "null", "plaintext"],
)
def test_a_keyring_that_keeps_nothing_safe_is_not_used(home: Home, backend: keyring.backend.KeyringBackend) -> None:
    assert usable_backend(backend) is None
    loaded = load(home, backend)
    assert loaded.place == "file"
    assert loaded.findings == ()


def test_a_keyring_that_hangs_is_left_alone(home: Home, fake: FakeKeyring) -> None:
    fake.block = threading.Event()
    first = load(home, fake)
    assert first.place == "file"
    fake.block.set()
    assert load(home, fake).identity == first.identity


def test_a_keyring_that_forgets_is_not_trusted_with_the_only_copy(
    home: Home, fake: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "set_password", lambda *_: None)
    first = load(home, fake)
    assert first.place == "file"
    assert load(home, fake).identity == first.identity


def test_the_computers_keyring_is_asked_only_where_it_may_be(
    tmp_path: Path, fake: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(fake)
    try:
        places = []
        for name, chosen, environment in (("a", True, {}), ("b", False, {"SEGUE_KEY_PLACE": "file"}), ("c", False, {})):
            home = Home(tmp_path / name, chosen)
            prepare(home)
            places.append(load_identity_of(home, environment, lambda: NOW).place)
    finally:
        keyring.set_keyring(before)
    assert places == ["file", "file", "keyring"]
    assert "keyring" not in [thread.name for thread in threading.enumerate()]


# -- the keyring has the key and does not give it ------------------------------------------------------------------


def test_a_locked_keyring_is_no_reason_for_a_new_key(home: Home, fake: FakeKeyring) -> None:
    first = load(home, fake)
    fake.error = keyring.errors.KeyringLocked("…")
    with pytest.raises(KeyringLocked, match="keyring-locked"):
        load(home, fake)
    with pytest.raises(KeyringLocked, match="keyring-none"):
        load(home, keyring.backends.fail.Keyring())
    with pytest.raises(KeyringLocked, match="SEGUE_KEY_PLACE"):
        load(home)
    fake.error, fake.block = None, threading.Event()
    with pytest.raises(KeyringLocked, match="keyring-silent"):
        load(home, fake)
    fake.block.set()
    assert load(home, fake).identity == first.identity


def test_a_key_gone_from_the_keyring_is_reported(home: Home, fake: FakeKeyring) -> None:
    first = load(home, fake)
    fake.entries.clear()
    second = load(home, fake)
    assert second.identity.key != first.identity.key
    assert [finding.code for finding in second.findings] == ["key-gone-from-keyring"]
    assert aside(home, "old")[0].read_bytes() == first.identity.certificate
    assert load(home, fake).findings == ()


def test_a_damaged_entry_is_left_and_reported(home: Home, fake: FakeKeyring) -> None:
    load(home, fake)
    entry = ("segue", home.keyring_user)
    fake.entries[entry] = "garbage ☃"
    loaded = load(home, fake)
    assert (loaded.place, fake.entries[entry]) == ("file", "garbage ☃")
    assert [finding.code for finding in loaded.findings] == ["key-damaged-in-keyring"]
    assert load(home, fake).identity == loaded.identity


# -- the file is damaged, open, closed, missing ------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_any_damage_to_the_file_is_seen_kept_and_reported(home: Home, data: st.DataObject) -> None:
    for path in home.folder.iterdir():
        if path.is_file():
            path.unlink()
    first = load(home)
    text = bytearray(home.key.read_bytes().strip())
    if data.draw(st.booleans(), "flip"):
        text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        text = bytearray(data.draw(st.binary(max_size=200)))
    home.key.write_bytes(text)
    second = load(home)
    assert [finding.code for finding in second.findings] == ["key-file-damaged"]
    assert second.identity.key != first.identity.key
    assert [path.read_bytes() for path in aside(home, "damaged")] == [bytes(text)]
    assert second.findings[0].values["kept"] == str(aside(home, "damaged")[0])
    assert load(home) == KeyLoaded(second.identity, "file", ())


@posix
def test_a_file_open_to_others_is_closed_and_reported(home: Home) -> None:
    first = load(home)
    home.key.chmod(0o644)
    second = load(home)
    assert second.identity == first.identity
    assert [finding.code for finding in second.findings] == ["key-was-open"]
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert load(home).findings == ()


def test_a_file_that_cannot_be_read_is_not_replaced(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    load(home)
    before = home.key.read_bytes()
    real = Path.open

    def refuse(path: Path, *arguments: object, **names: object) -> object:
        if path == home.key:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **names)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(KeyUnreadable, match="not-permitted"):
            load(home)
    assert home.key.read_bytes() == before


def test_a_folder_in_the_files_place_is_an_error(home: Home) -> None:
    home.key.mkdir()
    with pytest.raises(KeyUnreadable, match="folder-in-the-way"):
        load(home)


def test_a_deleted_file_is_reported(home: Home) -> None:
    first = load(home)
    home.key.unlink()
    second = load(home)
    assert second.identity.key != first.identity.key
    assert [finding.code for finding in second.findings] == ["key-gone"]


def test_a_full_disk_makes_no_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(KeyNotSaved, match="disk-full"):
            load(home)
    assert [path.name for path in home.folder.iterdir()] == ["logs"]


# -- the certificate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"garbage", new_identity(b"x" * 32, 1).certificate])
def test_a_certificate_that_does_not_fit_is_made_anew(home: Home, content: bytes | None) -> None:
    first = load(home)
    if content is None:
        home.certificate.unlink()
    else:
        home.certificate.write_bytes(content)
    second = load(home)
    assert second.identity.key == first.identity.key == certificate_key(second.identity.certificate)
    assert home.certificate.read_bytes() == second.identity.certificate


# -- nothing secret is shown -------------------------------------------------------------------------------------------


def test_no_secret_in_what_is_shown(home: Home, fake: FakeKeyring) -> None:
    loaded = load(home, fake)
    fake.error = ValueError(f"cannot store {loaded.identity.secret.hex()}")
    with pytest.raises(KeyringLocked) as caught:
        load(home, fake)
    shown = f"{loaded!r} {caught.value!s} {caught.value.__cause__!r}"
    assert loaded.identity.secret.hex() not in shown
    assert repr(loaded.identity.secret) not in shown


# -- the keyring client ------------------------------------------------------------------------------------------------


def test_the_keyring_is_not_asked_again_after_one_silence(fake: FakeKeyring) -> None:
    fake.block = threading.Event()
    client = KeyringClient(lambda: fake, LIMIT_S)
    with pytest.raises(KeyringSilent):
        client.get("me")
    assert not client.close()
    fake.block.set()
    with pytest.raises(KeyringSilent):
        client.set("me", "x")
    for thread in threading.enumerate():
        if thread.name == "keyring":
            thread.join(5)
            assert not thread.is_alive()


def test_closing_ends_its_thread(fake: FakeKeyring) -> None:
    client = KeyringClient(lambda: fake)
    assert client.close()
    client.set("me", "x")
    assert client.get("me") == "x"
    assert client.close()
    assert "keyring" not in [thread.name for thread in threading.enumerate()]


def test_a_backend_that_cannot_be_found_is_unusable() -> None:
    def find() -> keyring.backend.KeyringBackend:
        raise RuntimeError("no desktop")

    client = KeyringClient(find)
    with pytest.raises(KeyringUnusable, match="RuntimeError"):
        client.get("me")
    assert client.close()
