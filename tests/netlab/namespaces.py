"""Network namespaces of one's own, without root where the system has user namespaces, and processes in them.

One process holds them all; when it ends, by the end of its stdin even if the test is killed, the kernel takes back
every interface, route and rule in them. Processes are ended by their id.
"""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20.0
_TOOLS = ("unshare", "nsenter", "ip", "nft")
# `ip netns` keeps its names in /run, which belongs to the machine: the holder has a /run of its own.
_HOLD = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec cat"
_TRY = "mount -t tmpfs tmpfs /run && ip netns add one && ip -n one tuntap add probe mode tun && exec 3<>/dev/net/tun"


@cache
def why_not() -> str:
    """Why there can be no laboratory here, in one line; empty when there can be one."""
    if not sys.platform.startswith("linux"):
        return "network namespaces exist on Linux only"
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            return f"the kernel laboratory needs “{tool}” (packages util-linux, iproute2, nftables)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "the kernel laboratory needs /dev/net/tun, which this user may not open"
    problems = []
    for unshare in _unshares():
        done = subprocess.run([*unshare, "sh", "-c", _TRY], capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode == 0:
            return ""
        problems.append((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return f"no network namespaces with a TUN interface here: {problems[0]}"


def _unshares() -> list[list[str]]:
    own_user = ["unshare", "-Urnm"]
    return [own_user, ["unshare", "-nm"]] if os.geteuid() == 0 else [own_user]


class NamespaceError(AssertionError):
    """A command in a namespace failed; the text is its output."""


@dataclass
class Namespaces:
    """Use through :func:`namespaces`."""

    holder: "subprocess.Popen[str]"
    enter: list[str]
    _ends: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def script(self, text: str) -> None:
        """Run shell commands in the holder's own namespace, from where ``ip -n NAME`` reaches the others."""
        done = subprocess.run(
            [*self.enter, "sh", "-ec", text], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            raise NamespaceError(f"{done.stderr.strip()}\nin\n{text}")

    def prefix(self, name: str) -> list[str]:
        """What to put before a command so that it runs in the namespace."""
        return [*self.enter, "ip", "netns", "exec", name]

    def output(self, name: str, *command: str) -> str:
        """Run a command in a namespace to its end; what it says."""
        done = subprocess.run(
            [*self.prefix(name), *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            raise NamespaceError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def module(self, name: str, module: str) -> str:
        """Run a Python module of the tests in a namespace to its end; what it says."""
        return self.output(name, "env", f"PYTHONPATH={ROOT}", sys.executable, "-m", module)

    def start(self, name: str, module: str, *arguments: str) -> "Talker":
        """A Python module of the tests in a namespace, spoken with in lines of JSON; ends with the laboratory."""
        process = subprocess.Popen(
            [*self.prefix(name), sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        talker = Talker(process)
        self._ends.callback(talker.close)
        talker.begin()
        return talker

    def close(self) -> None:
        """End everything, the newest first."""
        self._ends.close()
        end(self.holder)


class Talker:
    """A process that answers each line of JSON with one."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="netlab-answers")
        self._reader.start()

    def begin(self) -> None:
        """Wait until it serves."""
        self._answer()

    def ask(self, command: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Give a command and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self._answer(timeout_s)
        assert "error" not in answer, answer
        return answer

    def close(self) -> None:
        """End it."""
        end(self.process)
        self._reader.join()

    def _answer(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        line = self._answers.get(timeout=timeout_s)
        if not line:
            raise NamespaceError(f"the process has ended with status {self.process.wait(TIMEOUT_S)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(line)
        self._answers.put("")
        self.process.stdout.close()


def end(process: "subprocess.Popen[str]") -> None:
    """The end of its stdin is a process' sign to go; one that stays is killed."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def namespaces() -> Iterator[Namespaces]:
    """The holder, with no namespace in it yet. Ask :func:`why_not` first."""
    for unshare in _unshares():
        holder = subprocess.Popen(
            [*unshare, "sh", "-c", _HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None and holder.stderr is not None
        if holder.stdout.readline() == "ready\n":
            break
        problem = holder.stderr.read()
        _close(holder)
    else:
        raise NamespaceError(problem)
    user = ["--user", "--preserve-credentials"] if "-Urnm" in unshare else []
    held = Namespaces(
        holder, ["nsenter", "--target", str(holder.pid), *user, "--net", "--mount", f"--wd={os.getcwd()}"]
    )
    try:
        yield held
    finally:
        held.close()
        _close(holder)


def _close(holder: "subprocess.Popen[str]") -> None:
    end(holder)
    for pipe in (holder.stdout, holder.stderr):
        if pipe is not None:
            pipe.close()
