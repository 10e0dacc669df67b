"""Messages between the processes of a run: pickles over a stream socket, with descriptors beside them.

Only processes that this run started talk over a wire; nothing that lies on disk is unpickled.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import select
import socket
import struct
from array import array
from collections import deque
from typing import Any

from flambe.executors.segment import Descriptor

_HEADER = struct.Struct("!QI")
_READ_BYTES = 1 << 18
_DESCRIPTORS_AT_ONCE = 200
"""The system takes at most 253 in one call."""


class Wire:
    """Sends and receives messages; a `Descriptor` inside a message arrives as one of the receiver's own."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()
        self._messages: deque[Any] = deque()

    @classmethod
    def pair(cls) -> tuple[Wire, socket.socket]:
        """A wire for this process, and the end for the other one."""
        ours, theirs = socket.socketpair()
        return cls(ours), theirs

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Any) -> None:
        """Send a message; blocks until the other side has room for it.

        Raises:
            OSError: nobody listens any more.
        """
        packer = _Packer()
        packer.dump(message)
        body = packer.stream.getbuffer()
        data = memoryview(_HEADER.pack(len(body), len(packer.descriptors)))
        for start in range(0, len(packer.descriptors), _DESCRIPTORS_AT_ONCE):  # each lot rides on a byte
            socket.send_fds(self._end, [data[:1]], packer.descriptors[start : start + _DESCRIPTORS_AT_ONCE])
            data = data[1:]
            if not data:
                data, body = body, body[:0]
        self._end.sendall(data)
        self._end.sendall(body)

    def receive(self) -> Any:
        """The next message; blocks for it.

        Raises:
            EOFError: the other side is gone.
        """
        while not self._messages:
            self.read()
        return self._messages.popleft()

    def waiting(self) -> deque[Any]:
        """The messages that have arrived and were not taken yet, without blocking."""
        while not self._messages and self.readable():
            self.read()
        return self._messages

    def arrived(self) -> deque[Any]:
        """The messages that `read` has completed and nobody has taken yet."""
        return self._messages

    def readable(self, timeout_s: float = 0) -> bool:
        """Whether `receive` would return, or find the end of the wire, within `timeout_s`."""
        if self._messages:
            return True
        if not hasattr(select, "poll"):  # Windows
            return bool(select.select([self._end], [], [], timeout_s)[0])
        poll = select.poll()  # knows no limit to descriptors, as select does
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def read(self) -> None:
        """Take in what the other side has sent so far; blocks for the first byte."""
        try:
            data = self._receive_some()
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError("the other side of the wire is gone")
        self._bytes += data
        while (message := self._next()) is not None:
            self._messages.append(message[0])

    def close(self) -> None:
        """Close this end; the other side finds out."""
        self._end.close()
        while self._descriptors:
            Descriptor(self._descriptors.popleft()).close()

    def _receive_some(self) -> bytes:
        if not hasattr(socket, "SCM_RIGHTS"):  # Windows
            return self._end.recv(_READ_BYTES)
        descriptors = array("i")
        room = socket.CMSG_LEN(_DESCRIPTORS_AT_ONCE * descriptors.itemsize)
        data, beside, told, _ = self._end.recvmsg(_READ_BYTES, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        for level, kind, content in beside:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) // descriptors.itemsize * descriptors.itemsize])
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # where the flag does not exist
        self._descriptors.extend(descriptors)
        if told & socket.MSG_CTRUNC:
            raise OSError(errno.EMFILE, "no room for the descriptors of shared memory; see `ulimit -n`")
        return data

    def _next(self) -> tuple[Any] | None:
        if len(self._bytes) < _HEADER.size:
            return None
        length, descriptors = _HEADER.unpack_from(self._bytes)
        end = _HEADER.size + length
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_HEADER.size : end])
        del self._bytes[:end]
        own = [Descriptor(self._descriptors.popleft()) for _ in range(descriptors)]
        return (_Unpacker(body, own).load(),)


class _Packer(pickle.Pickler):
    def __init__(self) -> None:
        self.stream = io.BytesIO()
        self.descriptors: list[int] = []
        super().__init__(self.stream, protocol=5)

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, Descriptor):
            return None
        self.descriptors.append(obj.fd)
        return len(self.descriptors) - 1


class _Unpacker(pickle.Unpickler):
    def __init__(self, body: bytes, descriptors: list[Descriptor]) -> None:
        super().__init__(io.BytesIO(body))
        self._descriptors = descriptors

    def persistent_load(self, index: int) -> Descriptor:
        return self._descriptors[index]
