"""transport.path.direct_paths: which packet came by which path."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from transport.net.sockets import Address
from transport.path.direct_paths import DirectPath, DirectPaths, is_gone

OURS: Address = ("192.168.1.23", 5_000)
ADDRESSES = st.sampled_from([("203.0.113.1", 1_000 + number) for number in range(4)])


def test_the_address_before_still_counts_and_the_one_before_that_does_not() -> None:
    paths = DirectPaths()
    paths.add(1, DirectPath(7, OURS, ("203.0.113.1", 1_000), "punch"))
    for port in (1_001, 1_002):
        paths.move(1, ("203.0.113.1", port))
    assert [paths.path_of(7, ("203.0.113.1", port)) for port in (1_000, 1_001, 1_002)] == [None, 1, 1]
    direct = paths.get(1)
    assert direct is not None and (direct.remote[1], direct.before) == (1_002, ("203.0.113.1", 1_001))
    assert paths.path_of(8, ("203.0.113.1", 1_002)) is None, "another socket"
    assert paths.forget(1) is direct and paths.forget(1) is None
    assert not paths and paths.path_of(7, ("203.0.113.1", 1_002)) is None


def test_paths_whose_address_the_machine_no_longer_has() -> None:
    paths = DirectPaths()
    paths.add(1, DirectPath(7, OURS, ("203.0.113.1", 1_000), "punch"))
    paths.add(2, DirectPath(8, ("2001:db8::1", 5_000), ("2001:db8::2", 1_000), "host"))
    assert paths.without_host({"192.168.1.23"}) == [2]
    assert paths.without_host({"192.168.1.23", "2001:db8::1"}) == []
    assert not is_gone(None, ()) and not is_gone(("0.0.0.0", 5_000), ()) and not is_gone(("::", 5_000), ())


class Model(RuleBasedStateMachine):
    """Against a plain list of paths, each with the two addresses that count."""

    def __init__(self) -> None:
        super().__init__()
        self.paths = DirectPaths()
        self.model: dict[int, tuple[int, list[Address]]] = {}

    @rule(path=st.integers(0, 3), remote=ADDRESSES)
    def add(self, path: int, remote: Address) -> None:
        if path not in self.model:
            # As the carriage does: a socket has one path.
            self.paths.add(path, DirectPath(path + 10, OURS, remote, "punch"))
            self.model[path] = (path + 10, [remote])

    @rule(path=st.integers(0, 3), remote=ADDRESSES)
    def move(self, path: int, remote: Address) -> None:
        if path in self.model and remote not in self.model[path][1]:
            self.paths.move(path, remote)
            socket, remotes = self.model[path]
            self.model[path] = (socket, [*remotes[-1:], remote])

    @rule(path=st.integers(0, 3))
    def forget(self, path: int) -> None:
        assert (self.paths.forget(path) is None) is (path not in self.model)
        self.model.pop(path, None)

    @invariant()
    def every_packet_finds_its_path(self) -> None:
        assert len(self.paths) == len(self.model)
        assert self.paths.sockets == {socket for socket, _ in self.model.values()}
        for number in range(4):
            remote = ("203.0.113.1", 1_000 + number)
            for socket in range(10, 14):
                expected = [path for path, (own, known) in self.model.items() if own == socket and remote in known]
                assert self.paths.path_of(socket, remote) == (expected[0] if expected else None)
                assert self.paths.on_socket(socket) == [path for path, (own, _) in self.model.items() if own == socket]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60)
