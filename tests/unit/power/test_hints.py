"""What the system is told, by calls that are faked; on Linux also by what /proc says of us."""

from __future__ import annotations

import contextlib
import ctypes
import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapwing.power.governor.command import Qos
from lapwing.power.pacing import dbus
from lapwing.power.pacing.dbus import Connection
from lapwing.power.pacing.hints import SystemHints, system_hints
from lapwing.power.pacing.linux_hints import LinuxHints, OwnThreads, hold_power_saver
from lapwing.power.pacing.macos_hints import Darwin, MacHints
from lapwing.power.pacing.windows_hints import Kernel32, WindowsHints

NO_WAY_BACK = "for RLIMIT_NICE allows no way back"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has threads like these")
ON_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="there are no such sockets")


@pytest.mark.parametrize(
    ("platform", "kind"),
    [
        *(("linux", LinuxHints), ("darwin", MacHints), ("win32", WindowsHints)),
        ("freebsd14", SystemHints),
    ],
)
def test_each_system_has_its_own(platform: str, kind: type[SystemHints]) -> None:
    hints = system_hints(platform)
    assert type(hints) is kind
    hints.release()  # nothing was applied: nothing is called
    assert hints.apply("normal") is None


def test_a_system_without_hints() -> None:
    hints = SystemHints()
    assert hints.apply("efficient") == f"no hints to {sys.platform} are known"
    assert hints.apply("normal") is None


# Linux: threads.


class FakeThreads:
    """niceness and policy by thread. limit: the lowest niceness that can be come back to."""

    def __init__(self, niceness: dict[int, int], limit: int = -20) -> None:
        self.nice = dict(niceness)
        self.batch: dict[int, bool | None] = dict.fromkeys(niceness, False)
        self.limit = limit
        self.on_set: Callable[[int], None] = lambda thread: None

    def ids(self) -> set[int]:
        return set(self.nice)

    def niceness(self, thread: int) -> int:
        if thread not in self.nice:
            raise ProcessLookupError(3, "no such thread")
        return self.nice[thread]

    def set_niceness(self, thread: int, value: int) -> None:
        if value < self.niceness(thread) and value < self.limit:
            raise PermissionError(13, "denied")
        self.nice[thread] = value
        self.on_set(thread)

    def is_batch(self, thread: int) -> bool | None:
        self.niceness(thread)
        return self.batch[thread]

    def set_batch(self, thread: int, on: bool) -> None:
        self.batch[thread] = on

    def way_back(self) -> bool:
        return self.limit <= 0


class Hold:
    """Counts what is held."""

    def __init__(self, error: OSError | None = None) -> None:
        self.held, self.taken, self.error = 0, 0, error

    def __call__(self) -> Any:
        if self.error:
            raise self.error
        self.held, self.taken = self.held + 1, self.taken + 1
        return self

    def close(self) -> None:
        self.held -= 1


def linux(threads: FakeThreads, hold: Hold | None = None) -> LinuxHints:
    return LinuxHints(threads, hold or Hold())


def test_nicer_and_back() -> None:
    threads, hold = FakeThreads({10: 0, 11: 0, 12: 3}), Hold()
    hints = linux(threads, hold)
    seen = []
    plan: list[Qos] = ["efficient", "background", "efficient", "normal", "background", "normal"]
    for qos in plan:
        assert hints.apply(qos) is None
        seen.append((threads.nice[10], threads.nice[12], threads.batch[11], hold.held))
    assert seen == [
        (5, 8, False, 1),
        (15, 18, True, 0),  # the machine is not slowed for a job
        (5, 8, False, 1),
        (0, 3, False, 0),
        (15, 18, True, 0),
        (0, 3, False, 0),
    ]


def test_the_same_again_is_no_work() -> None:
    hold = Hold()
    hints = linux(FakeThreads({10: 0}), hold)
    assert [hints.apply("efficient") for _ in range(3)] == [None] * 3
    assert hold.taken == 1
    hints.release()
    hints.release()
    assert hold.held == 0


def test_who_cannot_come_back_does_not_go() -> None:
    """A request must not be slower because of what came before it; a job's process may be."""
    threads, hold = FakeThreads({10: 0, 11: 2}, limit=40), Hold()
    hints = linux(threads, hold)
    assert hints.apply("efficient") == f"not nicer, {NO_WAY_BACK}"
    assert (threads.nice, hold.held) == ({10: 0, 11: 2}, 1)  # the profile is held all the same
    assert hints.apply("background") is None
    assert (threads.nice, hold.held) == ({10: 15, 11: 17}, 0)
    assert hints.apply("normal") == f"niceness stays at 17, {NO_WAY_BACK}"
    assert threads.batch == {10: False, 11: False}  # that way is open
    assert hints.apply("background") is None
    assert threads.nice == {10: 15, 11: 17}  # not 15 more
    reason = f"not nicer, {NO_WAY_BACK}; niceness stays at 17, {NO_WAY_BACK}"
    assert hints.apply("efficient") == reason


def test_threads_that_begin_and_end_meanwhile() -> None:
    threads = FakeThreads({10: 0, 11: 0})

    def begin(thread: int) -> None:
        if 12 not in threads.nice:
            threads.nice[12], threads.batch[12] = threads.nice[10], False  # inherited
            threads.nice.pop(11, None)

    threads.on_set = begin
    hints = linux(threads)
    hints.apply("background")
    assert threads.nice == {10: 15, 12: 15}
    threads.nice[13], threads.batch[13] = 15, True  # begins as nice as who began it
    hints.apply("efficient")
    assert threads.nice == {10: 5, 12: 5, 13: 5}
    hints.apply("normal")
    assert threads.nice == {10: 0, 12: 0, 13: 0}
    assert not any(threads.batch.values())


def test_what_was_chosen_before_stays() -> None:
    """A thread of another policy keeps it, one that is as nice as can be stays so."""
    threads = FakeThreads({10: 0, 11: 12, 12: 0})
    threads.batch[11], threads.batch[12] = None, True
    hints = linux(threads)
    hints.apply("background")
    assert threads.nice == {10: 15, 11: 19, 12: 15}
    assert threads.batch == {10: True, 11: None, 12: True}
    hints.release()
    assert threads.nice == {10: 0, 11: 12, 12: 0}
    assert threads.batch == {10: False, 11: None, 12: True}


def test_a_system_that_refuses_everything() -> None:
    class Refusing(FakeThreads):
        def ids(self) -> set[int]:
            raise PermissionError(13, "no /proc")

    hints = linux(Refusing({}), Hold(OSError("there is no system bus")))
    reason = "niceness: permission denied; power-saver profile: there is no system bus"
    assert hints.apply("efficient") == reason
    assert hints.apply("normal") is None


# Linux: this machine.

SCRIPT = """
import contextlib, json, os, resource, sys, threading
from pathlib import Path
from lapwing.power.pacing.linux_hints import LinuxHints
with contextlib.suppress(PermissionError):
    os.setpriority(os.PRIO_PROCESS, 0, 0)  # whatever the tests run at
{before}
stop = threading.Event()
for _ in range(3):
    threading.Thread(target=stop.wait, daemon=True).start()
ids = [thread.native_id for thread in threading.enumerate()]
def threads():
    found = []
    for thread in ids:
        text = Path(f"/proc/self/task/{{thread}}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        found.append((int(fields[16]), int(fields[38])))  # niceness, policy
    return found
def refuse():
    raise OSError("not tested here")
hints = LinuxHints(hold=refuse)
seen = [threads()]
reasons = []
for qos in sys.argv[1:]:
    reasons.append(hints.apply(qos))
    seen.append(threads())
stop.set()
print(json.dumps([seen, reasons]))
"""
UNPRIVILEGED = """
resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
"""
NOT_HELD = "power-saver profile: not tested here"
BATCH = 3


def in_a_process(before: str, *plan: Qos) -> tuple[list[list[list[int]]], list[str | None]]:
    """Niceness and policy of its four threads at first and after each step; what apply said."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before), *plan],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    seen, reasons = json.loads(done.stdout)
    if seen[0][0][0] > 4:
        pytest.skip("the tests themselves run too nicely, and may not change that")
    return seen, reasons


@ON_LINUX
def test_background_makes_all_threads_nicer() -> None:
    (own, background), reasons = in_a_process("", "background")
    ((niceness, policy),) = {tuple(thread) for thread in own}
    assert policy == 0
    assert background == [[niceness + 15, BATCH]] * 4
    assert reasons == [None]


@ON_LINUX
def test_without_privileges() -> None:
    """`efficient` leaves niceness alone, `background` does not; its policy goes back."""
    seen, reasons = in_a_process(UNPRIVILEGED, "efficient", "background", "normal")
    own, efficient, background, normal = seen
    niceness = own[0][0]
    assert efficient == own == [[niceness, 0]] * 4
    assert background == [[niceness + 15, BATCH]] * 4
    assert normal == [[niceness + 15, 0]] * 4
    assert reasons == [
        f"not nicer, {NO_WAY_BACK}; {NOT_HELD}",
        None,
        f"niceness stays at {niceness + 15}, {NO_WAY_BACK}",
    ]


@ON_LINUX
def test_with_a_way_back() -> None:
    seen, reasons = in_a_process("", "efficient", "normal", "background", "normal")
    if reasons[0] != NOT_HELD:
        pytest.skip(f"this user has none: {reasons[0]}")
    own, efficient, normal, background, again = seen
    assert efficient == [[own[0][0] + 5, 0]] * 4
    assert background == [[own[0][0] + 15, BATCH]] * 4
    assert normal == again == own
    assert reasons == [NOT_HELD, None, None, None]


@ON_LINUX
def test_a_trial_leaves_nothing_behind() -> None:
    threads = OwnThreads()
    before = {thread: threads.niceness(thread) for thread in threads.ids()}
    assert threads.way_back() in (True, False)
    assert {thread: threads.niceness(thread) for thread in before} == before


# Linux: the power-saver profile.

RETURN, ERROR, SIGNAL = 2, 3, 4


class FakeBus:
    """A daemon for one connection: answers calls from `answers`, in turn; None: never.

    calls: what came in, as (flags, fields, texts). ended: set when the other side has hung up.
    """

    def __init__(self, path: Path, answers: list[bytes | None], ok: bytes = b"OK 0123\r\n") -> None:
        self.address = f"unix:path={path},guid=0123"
        self.calls: list[tuple[int, dict[int, str], list[str]]] = []
        self.said = b""
        self.ended = threading.Event()
        self._answers, self._ok = list(answers), ok
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(ConnectionError):  # who hangs up may have unread mail
            connection.settimeout(5)
            while not self.said.endswith(b"\r\n"):
                self.said += connection.recv(1)
            connection.sendall(self._ok)
            if not self._ok.startswith(b"OK"):
                return
            begin = b""
            while not begin.endswith(b"\r\n"):
                begin += connection.recv(1)
            self.said += begin
            while head := connection.recv(16, socket.MSG_WAITALL):
                self.calls.append(parsed(head, connection))
                if self._answers and (answer := self._answers.pop(0)) is not None:
                    connection.sendall(answer)
        self.ended.set()


def parsed(head: bytes, connection: socket.socket) -> tuple[int, dict[int, str], list[str]]:
    """Read by the specification's rules: what is aligned to 4 is so from the message's start."""
    order, kind, flags, version, body_bytes, serial, field_bytes = struct.unpack("<4BIII", head)
    assert (order, kind, version) == (ord("l"), 1, 1)
    assert serial > 0
    rest = connection.recv(-(-field_bytes // 8) * 8 + body_bytes, socket.MSG_WAITALL)
    fields, at = dict[int, str](), 0
    while at < field_bytes:
        at = -(-at // 8) * 8
        code, signature_bytes, signature, zero = rest[at : at + 4]
        assert (signature_bytes, zero) == (1, 0)
        at += 4
        if signature == ord("g"):
            size, at = rest[at], at + 1
        else:
            assert signature == ord("o" if code == 1 else "s")
            (size,) = struct.unpack_from("<I", rest, at)
            at += 4
        fields[code] = rest[at : at + size].decode()
        assert rest[at + size] == 0
        at += size + 1
    assert at == field_bytes
    body, texts, at = rest[-(-at // 8) * 8 :], [], 0
    for _ in fields.get(8, ""):
        at = -(-at // 4) * 4
        (size,) = struct.unpack_from("<I", body, at)
        texts.append(body[at + 4 : at + 4 + size].decode())
        assert body[at + 4 + size] == 0
        at += 5 + size
    assert at == len(body)
    return flags, fields, texts


def message(kind: int, text: str | None = None) -> bytes:
    """As a daemon sends it: with a reply serial, and a text in its body."""
    fields = struct.pack("<BBBxI", 5, 1, ord("u"), 1)
    body = b"" if text is None else struct.pack("<I", len(text)) + text.encode() + b"\0"
    return struct.pack("<4BIII", ord("l"), kind, 1, 1, len(body), 7, len(fields)) + fields + body


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeBus]]:
    buses: list[FakeBus] = []

    def start(*answers: bytes | None, **more: bytes) -> FakeBus:
        buses.append(FakeBus(tmp_path / f"bus{len(buses)}", list(answers), **more))
        monkeypatch.setenv(dbus.ADDRESS_VARIABLE, buses[-1].address)
        return buses[-1]

    yield start
    for each in buses:
        each.stop()


@ON_UNIX
def test_a_hold_lasts_as_long_as_its_connection(bus: Callable[..., FakeBus]) -> None:
    name = message(SIGNAL, "the name that the bus has given")
    daemon = bus(message(RETURN, ":1.1") + name, message(RETURN))
    hints = LinuxHints(FakeThreads({10: 0}))
    assert hints.apply("efficient") is None
    assert daemon.said.startswith(b"\0AUTH EXTERNAL ")
    assert daemon.said.endswith(b"\r\nBEGIN\r\n")
    (_, hello, nothing), (flags, fields, texts) = daemon.calls
    assert (hello[3], hello[6], nothing) == ("Hello", "org.freedesktop.DBus", [])
    service = "org.freedesktop.UPower.PowerProfiles"
    path = "/org/freedesktop/UPower/PowerProfiles"
    assert fields == {1: path, 2: service, 3: "HoldProfile", 6: service, 8: "sss"}
    assert flags == 2  # a daemon that does not run is not started
    profile, reason, who = texts
    assert (profile, who) == ("power-saver", "lapwing")
    assert reason.replace(" ", "").isalpha()
    assert not daemon.ended.wait(0.2)
    assert hints.apply("background") is None
    assert daemon.ended.wait(5)


@ON_UNIX
def test_a_hold_ends_with_who_has_it(bus: Callable[..., FakeBus]) -> None:
    daemon = bus(message(RETURN), message(RETURN))
    held = hold_power_saver()
    assert not daemon.ended.wait(0.1)
    del held
    assert daemon.ended.wait(5)


@ON_UNIX
def test_an_older_daemon(bus: Callable[..., FakeBus]) -> None:
    unknown = message(ERROR, "The name is not activatable")
    daemon = bus(message(RETURN), unknown, message(RETURN))
    hold_power_saver().close()
    assert daemon.calls[2][1][1] == "/net/hadess/PowerProfiles"


@ON_UNIX
@pytest.mark.parametrize(
    ("answers", "more", "reason"),
    [
        ([message(RETURN), *[message(ERROR, "Not authorized")] * 2], {}, "Not authorized"),
        (
            [message(RETURN), *[message(ERROR)] * 2],
            {},
            "net.hadess.PowerProfiles refuses",
        ),
        ([], {}, "timed out"),
        ([message(RETURN), message(SIGNAL) * 3], {}, "timed out"),
        ([], {"ok": b"REJECTED EXTERNAL\r\n"}, "permission denied"),
        ([], {"ok": b"x" * 5000}, "the bus answers with an endless line"),
        ([b"B" + message(RETURN)[1:]], {}, "the bus answers in another byte order"),
        ([struct.pack("<4BIII", ord("l"), 2, 0, 1, 1 << 27, 1, 8)], {}, "bytes"),
    ],
)
def test_a_bus_that_does_not(
    answers: list[bytes | None], more: dict[str, bytes], reason: str, bus: Callable[..., FakeBus]
) -> None:
    """It costs 0.2 s at most; the test allows for a machine that is busy."""
    bus(*answers, **more)
    hints = LinuxHints(FakeThreads({10: 0}))
    began_s = time.monotonic()
    said = hints.apply("efficient")
    assert time.monotonic() - began_s < 2.0
    assert said is not None
    assert said.startswith("power-saver profile: ")
    assert said.endswith(reason)
    assert hints.apply("normal") is None


@ON_UNIX
@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80), st.booleans())
def test_nothing_a_bus_says_can_make_it_raise_more(noise: bytes, authenticates: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbus, "_connect", lambda *_: ours)
        theirs.sendall((b"OK 1\r\n" if authenticates else b"") + noise)
        theirs.shutdown(socket.SHUT_WR)
        try:
            Connection("unix:path=x", 5.0).close()
        except OSError:
            return


@ON_UNIX
@pytest.mark.parametrize(
    "address", ["unix:path=/nowhere/at-all", "tcp:host=localhost,port=1", "nonsense", ";;"]
)
def test_no_bus(address: str) -> None:
    with pytest.raises(OSError, match="there is no system bus"):
        Connection(address)


@ON_LINUX
def test_the_second_address_and_an_abstract_one() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0lapwing-test-{id(listener)}")
        listener.listen(1)
        name = f"lapwing%2dtest-{id(listener)}"
        with pytest.raises(TimeoutError):  # it listens, and does not answer
            Connection(f"unix:path=/nowhere;unix:abstract={name}", 0.05)


@ON_LINUX
def test_a_real_daemon() -> None:
    """It understands us, and knows no power profiles: it was started for this test."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("dbus-daemon is not installed")
    command = [program, "--session", "--nofork", "--print-address=1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as daemon:
        try:
            assert daemon.stdout is not None
            address = daemon.stdout.readline().strip()
            connection = Connection(address, 5.0)
            own = "org.freedesktop.DBus"
            connection.call(own, "/org/freedesktop/DBus", own, "GetNameOwner", own)
            with pytest.raises(OSError, match="wrong args \\(sss, expected s\\)"):
                connection.call(own, "/", own, "GetNameOwner", "a", "four", "fives")
            with pytest.raises(OSError, match="PowerProfiles"):
                connection.call("net.hadess.PowerProfiles", "/", "net.hadess.P", "HoldProfile")
            connection.close()
        finally:
            daemon.terminate()


# macOS and Windows.


class Log:
    """Calls in their order; those named in `failing` raise."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.done: list[tuple[Any, ...]] = []
        self.own_class = 0x8000

    def _log(self, *call: Any) -> None:
        if call[0] in self.failing:
            raise OSError(f"{call[0]} says error 5")
        self.done.append(call)

    def tiers(self, latency: int, throughput: int) -> None:
        self._log("tiers", latency, throughput)

    def background(self, on: bool) -> None:
        self._log("background", on)

    def throttle(self, controlled: int, on: int) -> None:
        self._log("throttle", controlled, on)

    def priority_class(self) -> int:
        return self.own_class

    def set_priority_class(self, value: int) -> None:
        self._log("class", value)


PLAN: list[Qos] = ["efficient", "efficient", "background", "normal"]


def test_macos() -> None:
    log = Log()
    hints = MacHints(log)
    assert [hints.apply(qos) for qos in PLAN] == [None] * 4
    saving = ("tiers", 0xFF0004, 0xFE0003)
    assert log.done == [
        *(saving, saving, ("background", True)),
        *(("tiers", 0, 0), ("background", False)),
    ]


def test_windows() -> None:
    log = Log()
    hints = WindowsHints(log)
    assert [hints.apply(qos) for qos in PLAN] == [None] * 4
    eco = ("throttle", 1, 1)
    assert log.done == [
        *(eco, eco, ("class", 0x40)),
        *(("throttle", 0, 0), ("class", 0x8000)),  # as it was before
    ]


@pytest.mark.parametrize(
    ("kind", "failing", "undone"),
    [
        (MacHints, "tiers", ("background", False)),
        (MacHints, "background", ("tiers", 0, 0)),
        (WindowsHints, "throttle", ("class", 0x8000)),
        (WindowsHints, "class", ("throttle", 0, 0)),
    ],
)
def test_what_was_done_is_undone_though_the_rest_failed(
    kind: type[MacHints | WindowsHints], failing: str, undone: tuple[Any, ...]
) -> None:
    log = Log(failing)
    hints = kind(log)
    reason = hints.apply("background")
    assert reason is not None
    assert reason.endswith(f"{failing} says error 5")
    log.failing.clear()
    hints.release()
    assert undone in log.done


LIBRARY = """
unsigned mach_task_self_ = 0x103;
int seen[5];
int task_policy_set(unsigned task, unsigned flavor, int *policy, unsigned count) {
  int *into = seen;
  *into++ = task; *into++ = flavor; *into++ = count;
  *into++ = policy[0]; *into = policy[1];
  return policy[0] ? 0 : 46;
}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="cc makes no library for it")
def test_the_call_of_macos(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a library with")
    (tmp_path / "system.c").write_text(LIBRARY)
    path = tmp_path / "libsystem.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, tmp_path / "system.c"], check=True)
    library = ctypes.CDLL(str(path))
    calls = Darwin(library)
    calls.tiers(0xFF0004, 0xFE0003)
    assert list((ctypes.c_int * 5).in_dll(library, "seen")) == [0x103, 8, 2, 0xFF0004, 0xFE0003]
    with pytest.raises(OSError, match="task_policy_set says error 46"):
        calls.tiers(0, 0)


@pytest.mark.skipif(sys.platform == "darwin", reason="there it would be done")
def test_a_library_without_the_call() -> None:
    reason = MacHints(Darwin()).apply("efficient")
    assert reason is not None
    assert reason.startswith("task tiers: ")


class FakeKernel32:
    """Answers as its functions do: 0 is a failure."""

    class Function:
        def __init__(self, call: Callable[..., int]) -> None:
            self.call, self.restype = call, None

        def __call__(self, *arguments: Any) -> int:
            return self.call(*arguments)

    def __init__(self, works: bool = True) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.GetCurrentProcess = self.Function(lambda: (1 << 64) - 1)
        for name, value in (("SetProcessInformation", 1), ("SetPriorityClass", 1)):
            setattr(self, name, self.Function(self._answer(name, value if works else 0)))
        self.GetPriorityClass = self.Function(lambda process: 0x20 if works else 0)

    def _answer(self, name: str, value: int) -> Callable[..., int]:
        def answer(process: ctypes.c_void_p, *arguments: Any) -> int:
            assert process.value == (1 << 64) - 1
            self.seen.append((name, *arguments))
            return value

        return answer


def test_the_calls_of_windows() -> None:
    library = FakeKernel32()
    calls = Kernel32(library)
    calls.throttle(1, 1)
    calls.set_priority_class(0x40)
    state = bytes.fromhex("01000000 01000000 01000000")
    assert library.seen == [("SetProcessInformation", 4, state, 12), ("SetPriorityClass", 0x40)]
    assert calls.priority_class() == 0x20


def test_calls_of_windows_that_fail() -> None:
    calls = Kernel32(FakeKernel32(works=False))
    fail: list[Callable[[], object]] = [
        lambda: calls.throttle(1, 1),
        lambda: calls.set_priority_class(0x40),
        calls.priority_class,
    ]
    for call in fail:
        with pytest.raises(OSError, match="says error 0x"):
            call()
