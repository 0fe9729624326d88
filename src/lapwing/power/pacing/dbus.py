"""The system bus of D-Bus, enough of it to call a method with texts and to stay connected.

Facts: dbus.freedesktop.org/doc/dbus-specification.html.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
import weakref
from urllib.parse import unquote

ADDRESS_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
ADDRESS = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"
DEADLINE_S = 0.2  # for everything together, from connecting to the last answer
_BUS = "org.freedesktop.DBus"
_HEAD = struct.Struct("<4BIII")  # order, type, flags, version; bytes of the body, serial, of fields
_CALL, _RETURN, _ERROR = 1, 2, 3
_NO_AUTO_START = 2  # a service that does not run is not started
_PATH, _INTERFACE, _MEMBER, _DESTINATION, _SIGNATURE = 1, 2, 3, 6, 8
_MOST_BYTES = 1 << 16  # of an answer


class Connection:
    """Authenticated as this user. Raises OSError where there is no bus or no answer in time.

    close: ends it; so does losing the last reference to it.
    """

    def __init__(self, address: str | None = None, deadline_s: float = DEADLINE_S) -> None:
        self._due_s = time.monotonic() + deadline_s
        self._serial = 0
        self._socket = _connect(address or os.environ.get(ADDRESS_VARIABLE) or ADDRESS, deadline_s)
        self.close = weakref.finalize(self, _hang_up, self._socket)
        try:
            user = str(os.geteuid()).encode().hex()
            self._send(f"\0AUTH EXTERNAL {user}\r\n".encode())
            answer = self._line()
            if not answer.startswith(b"OK "):
                raise PermissionError(f"the bus says {answer[:60].decode(errors='replace')}")
            self._send(b"BEGIN\r\n")
            self.call(_BUS, "/org/freedesktop/DBus", _BUS, "Hello")
        except BaseException:
            self.close()
            raise

    def call(self, service: str, path: str, interface: str, member: str, *texts: str) -> None:
        """Waits for the answer, which is not looked at; one that is an error raises OSError."""
        self._serial += 1
        self._send(_message(self._serial, service, path, interface, member, texts))
        while True:
            kind, body = self._receive()
            if kind == _RETURN:
                return
            if kind == _ERROR:
                raise OSError(_first_text(body) or f"{service} refuses")

    def _receive(self) -> tuple[int, bytes]:
        """Kind and body of the next message."""
        head = self._exactly(_HEAD.size)
        order, kind, _, _, body_bytes, _, field_bytes = _HEAD.unpack(head)
        if order != ord("l"):  # the daemon passes on what a service sends; none here is big-endian
            raise OSError("the bus answers in another byte order")
        skip = field_bytes + -field_bytes % 8
        if skip + body_bytes > _MOST_BYTES:
            raise OSError(f"the bus answers with {skip + body_bytes} bytes")
        return kind, self._exactly(skip + body_bytes)[skip:]

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self._some(count - len(data))
        return data

    def _line(self) -> bytes:
        data = b""
        while not data.endswith(b"\r\n"):
            data += self._some(1)
            if len(data) > 1024:
                raise OSError("the bus answers with an endless line")
        return data[:-2]

    def _some(self, most: int) -> bytes:
        self._socket.settimeout(self._left_s())
        data = self._socket.recv(most)
        if not data:
            raise ConnectionResetError("the bus hangs up")
        return data

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._left_s())
        self._socket.sendall(data)

    def _left_s(self) -> float:
        left_s = self._due_s - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("the bus does not answer in time")
        return left_s


def _connect(addresses: str, deadline_s: float) -> socket.socket:
    """To the first of `unix:path=…;unix:abstract=…` that answers."""
    refused: OSError = OSError("there is no system bus")
    for address in addresses.split(";"):
        kind, _, rest = address.partition(":")
        keys = dict(pair.partition("=")[::2] for pair in rest.split(","))
        path = keys.get("path") or ("\0" + keys["abstract"] if "abstract" in keys else "")
        if kind != "unix" or not path:
            continue
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline_s)
            connection.connect(unquote(path))
            return connection
        except FileNotFoundError:
            connection.close()
        except OSError as error:
            connection.close()
            refused = error
    raise refused


def _hang_up(connection: socket.socket) -> None:
    """Seen by the other end at once, even if a forked process has the socket, too."""
    with connection, contextlib.suppress(OSError):  # the other end may have been faster
        connection.shutdown(socket.SHUT_RDWR)


def _message(
    serial: int, service: str, path: str, interface: str, member: str, texts: tuple[str, ...]
) -> bytes:
    """A method call in the little-endian form."""
    named = ((_PATH, "o", path), (_DESTINATION, "s", service), (_INTERFACE, "s", interface))
    fields = body = b""
    for code, kind, text in (*named, (_MEMBER, "s", member)):
        fields = _padded(fields, 8) + bytes((code, 1, ord(kind), 0)) + _text(text)
    if texts:
        signature = b"s" * len(texts) + b"\0"
        head = bytes((_SIGNATURE, 1, ord("g"), 0, len(texts)))
        fields = _padded(fields, 8) + head + signature
    for text in texts:
        body = _padded(body, 4) + _text(text)
    head = _HEAD.pack(ord("l"), _CALL, _NO_AUTO_START, 1, len(body), serial, len(fields))
    return _padded(head + fields, 8) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _padded(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def _first_text(body: bytes) -> str:
    """What an error says for people, where its body begins with a text."""
    if len(body) < 5:
        return ""
    (size,) = struct.unpack_from("<I", body)
    return body[4 : 4 + size].decode(errors="replace")[:200]
