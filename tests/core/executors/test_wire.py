from __future__ import annotations

import os
import threading

import pytest

from flambe.executors.segment import Descriptor, Segment, anonymous_file
from flambe.executors.wire import Wire


def wires() -> tuple[Wire, Wire]:
    one, end = Wire.pair()
    return one, Wire(end)


def test_messages_arrive_whole_and_in_order() -> None:
    one, other = wires()
    sent = [b"x" * (size * 10_007) for size in range(100)]
    sender = threading.Thread(target=lambda: [one.send(message) for message in sent])
    sender.start()
    assert [other.receive() for _ in sent] == sent
    sender.join()
    one.close()
    other.close()


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
def test_descriptors_arrive_beside_their_message(count: int) -> None:
    one, other = wires()
    sent = []
    for index in range(count):
        fd = anonymous_file()
        os.write(fd, str(index).encode())
        sent.append(Descriptor(fd))
    one.send("before")
    one.send({"all": sent})
    one.send("after")
    assert other.receive() == "before"
    arrived = other.receive()["all"]
    assert [os.pread(d.fd, 9, 0).decode() for d in arrived] == [str(index) for index in range(count)]
    assert not {d.fd for d in arrived} & {d.fd for d in sent}
    assert not any(os.get_inheritable(d.fd) for d in arrived)
    assert other.receive() == "after"
    for descriptor in (*sent, *arrived):
        descriptor.close()
    one.close()
    other.close()


def test_a_segment_can_be_sent() -> None:
    one, other = wires()
    segment, (first, second) = Segment.holding([b"some", b"thing"])
    one.send(segment)
    segment.close()
    arrived = other.receive()
    assert bytes(arrived.map()[second : second + 5]) == b"thing"
    assert bytes(arrived.map()[first : first + 4]) == b"some"
    arrived.close()
    one.close()
    other.close()


def test_the_end_of_the_other_side_is_found_after_its_last_message() -> None:
    one, other = wires()
    one.send("last")
    one.close()
    assert other.readable()
    assert other.receive() == "last"
    with pytest.raises(EOFError):
        other.receive()
    other.close()


def test_what_came_with_an_earlier_message_is_readable() -> None:
    one, other = wires()
    one.send(1)
    one.send(2)
    assert other.receive() == 1
    assert other.readable()
    assert other.receive() == 2
    assert not other.readable()
    one.close()
    other.close()


def test_waiting_does_not_block() -> None:
    one, other = wires()
    assert not other.waiting()
    one.send(1)
    one.send(2)
    assert list(other.waiting()) == [1, 2]
    one.close()
    other.close()


def test_nobody_listening_is_an_os_error() -> None:
    one, other = wires()
    other.close()
    with pytest.raises(OSError, match="Broken pipe"):
        one.send("hello?")
    one.close()
