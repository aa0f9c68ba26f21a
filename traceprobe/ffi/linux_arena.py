"""Prewired memory for ``sendmmsg(2)`` and ``recvmmsg(2)``: many datagrams in one system call.

The pointers of all messages are written once. Afterwards sending and receiving only store numbers and
copy bytes, which makes a batch about four times cheaper than building its structures anew.

Knows nothing of what the bytes mean. Calls never block and never raise for what the kernel says: they
return a negative error number, as the kernel itself does, because on this path errors are ordinary.
"""

from __future__ import annotations

from array import array
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from traceprobe.ffi._generated_linux import ffi
from traceprobe.ffi.linux import CONTROL_ALIGNMENT, CONTROL_HEADER, KNOWN_LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_libc: Any = ffi.dlopen(None)
_sendmmsg: Any = _libc.sendmmsg
_recvmmsg: Any = _libc.recvmmsg
_NO_TIMEOUT: Any = ffi.NULL
_new_uncleared: Any = ffi.new_allocator(should_clear_after_alloc=False)
"""For memory of which nobody reads more than has been written; touching all of it takes its time."""

MSG_DONTWAIT: Final = 0x40
LARGEST_BATCH: Final = 1024
"""``sendmmsg`` and ``recvmmsg`` take no more messages in one call (``UIO_MAXIOV``)."""

_MESSAGE: Final = Struct("=QI4xQQQQi4xI4x")
_VECTOR: Final = Struct("=QQ")
_LENGTHS: Final = Struct("=40xQ8xI4x")
"""Of a message: bytes of control messages, bytes of data."""
_INT: Final = 4
_LAST_NUMBER: Final = 0xFFFFFFFF
_WORDS_PER_MESSAGE: Final = _MESSAGE.size // _INT
_NAME_LENGTH_AT: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_namelen"] // _INT
_FLAGS_AT: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_flags"] // _INT
_LENGTH_AT: Final = KNOWN_LAYOUTS["mmsghdr"][1]["msg_len"] // _INT
_LONGS_PER_MESSAGE: Final = _MESSAGE.size // 8
_NAME_AT: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_name"] // 8
_VECTORS_AT: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_iov"] // 8
_CONTROL_AT: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_control"] // 8
_CONTROL_LENGTH_AT: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_controllen"] // 8
_LONGS_PER_VECTOR: Final = _VECTOR.size // 8
_VECTOR_LENGTH_AT: Final = KNOWN_LAYOUTS["iovec"][1]["iov_len"] // 8

assert _MESSAGE.size == _LENGTHS.size == KNOWN_LAYOUTS["mmsghdr"][0]
assert _VECTOR.size == KNOWN_LAYOUTS["iovec"][0]


_ZEROS: Final = memoryview(bytes(1 << 14))


class _Arena:
    """Messages with a buffer for data, name and control each."""

    def __init__(self, slots: int, data_size: int, name_size: int, control_size: int) -> None:
        if not 1 <= slots <= LARGEST_BATCH:
            raise ValueError(f"slots={slots}: must be from 1 to {LARGEST_BATCH}")
        self.slots = slots
        self.data_size = data_size
        self._name_size = name_size
        self._control_size = control_size
        self._messages = ffi.new("struct mmsghdr[]", slots)
        self._memory = [
            self._messages,
            vectors := ffi.new("struct iovec[]", slots),
            data := _new_uncleared("char[]", slots * data_size),
            names := ffi.new("char[]", slots * name_size),
            controls := ffi.new("uint64_t[]", slots * control_size // CONTROL_ALIGNMENT),
        ]
        self._message_bytes = _view(self._messages)
        self._vector_bytes = _view(vectors)
        self._data = _view(data)
        self._names = _view(names)
        self._controls = _view(controls)
        self._vector_bytes[:] = _VECTOR.pack(0, data_size) * slots
        self._message_bytes[:] = _MESSAGE.pack(0, name_size, 0, 1, 0, control_size, 0, 0) * slots
        # The pointers of all slots, column by column: each is a stride behind the one before.
        words = self._message_bytes.cast("Q")
        words[_NAME_AT::_LONGS_PER_MESSAGE] = _addresses(names, slots, name_size)
        words[_VECTORS_AT::_LONGS_PER_MESSAGE] = _addresses(vectors, slots, _VECTOR.size)
        words[_CONTROL_AT::_LONGS_PER_MESSAGE] = _addresses(controls, slots, control_size)
        self._vector_bytes.cast("Q")[::_LONGS_PER_VECTOR] = _addresses(data, slots, data_size)

    def _zero(self, slots: int, data_slots: int) -> None:
        """Overwrite the names of some slots, and the data of some, with zeros."""
        for room, size in ((self._names, slots * self._name_size), (self._data, data_slots * self.data_size)):
            for start in range(0, size, len(_ZEROS)):
                stop = min(size, start + len(_ZEROS))
                room[start:stop] = _ZEROS[: stop - start]


class TransmitArena(_Arena):
    """Datagrams to send, each with its destination and some control messages that hold one number each.

    Args:
        slots: Most datagrams in one call.
        data_size: Most bytes of a datagram.
        name_size: Bytes of a socket address.
        controls: Level and type of each control message.
    """

    def __init__(
        self, slots: int, data_size: int, name_size: int, controls: Sequence[tuple[int, int]]
    ) -> None:
        room = _aligned(CONTROL_HEADER.size + _INT)
        super().__init__(slots, data_size, name_size, room * len(controls))
        wired = b"".join(
            CONTROL_HEADER.pack(CONTROL_HEADER.size + _INT, level, kind) + bytes(room - CONTROL_HEADER.size)
            for level, kind in controls
        )
        self._controls[:] = wired * slots
        self._numbers = self._controls.cast("I")
        self._lengths = self._vector_bytes.cast("Q")
        self._step = room * len(controls) // _INT
        self._first_number = CONTROL_HEADER.size // _INT
        self._next_number = room // _INT
        self._named = [b""] * slots
        self._filled = 0

    def fill(
        self, data: Sequence[bytes], names: Sequence[bytes], numbers: Sequence[int], first: int = 0
    ) -> None:
        """Fill the slots from the first one on.

        Args:
            data: The datagrams.
            names: Socket address of each destination, packed.
            numbers: Value of the first control message of each datagram.
            first: Value of the second control message of the first datagram, if there is one; counted up
                in the following ones.
        """
        count, step, place = len(data), self._step, self._first_number
        if count > self._filled:
            self._filled = count
        lengths = list(map(len, data))
        _spread(self._data, self.data_size, data, lengths)
        # Each of these stores a column: what all slots have in the same place.
        self._lengths[_VECTOR_LENGTH_AT : count * _LONGS_PER_VECTOR : _LONGS_PER_VECTOR] = array("Q", lengths)
        if self._named[:count] != names:
            _spread(self._names, self._name_size, names, list(map(len, names)))
            self._named[:count] = names
        self._numbers[place : count * step : step] = array("I", numbers)
        place += self._next_number
        if place < step:
            first &= _LAST_NUMBER
            counted = list(range(first, first + count))
            if first + count > _LAST_NUMBER:
                counted = [number & _LAST_NUMBER for number in counted]
            self._numbers[place : count * step : step] = array("I", counted)

    def send(self, descriptor: int, first: int, count: int) -> int:
        """Send some of the slots (sendmmsg(2)).

        Returns:
            How many were sent, at least 1, or a negative error number about the first of them.
        """
        sent: int = _sendmmsg(descriptor, self._messages + first, count, MSG_DONTWAIT)
        return sent if sent > 0 else _negative_errno()

    def clear(self) -> None:
        """Forget what has been sent."""
        self._zero(self._filled, self._filled)
        self._named = [b""] * self.slots
        self._filled = 0


class ReceivedMessage(NamedTuple):
    """One received datagram; the views are valid until the arena receives again."""

    data: memoryview
    name: memoryview
    control: memoryview
    flags: int


class ReceiveArena(_Arena):
    """Room for datagrams to receive.

    Args:
        slots: Most datagrams in one call.
        data_size: Bytes kept of each; longer ones are cut.
        name_size: Bytes of a socket address.
        control_size: Bytes of control messages kept of each datagram.
    """

    def __init__(self, slots: int, data_size: int, name_size: int, control_size: int) -> None:
        super().__init__(slots, data_size, name_size, _aligned(control_size))
        self._wired = bytes(self._message_bytes)
        self._ints = self._message_bytes.cast("I")
        self._longs = self._message_bytes.cast("Q")
        self._used = 0
        self._reached = self._reached_with_data = 0

    def receive(self, descriptor: int, flags: int = 0, most: int | None = None) -> int:
        """Receive what there is (recvmmsg(2)).

        Args:
            descriptor: The socket.
            flags: Of the call.
            most: How many datagrams at most, if not as many as there are slots.

        Returns:
            How many datagrams came, at least 1, or a negative error number.
        """
        if self._used:
            # The kernel has stored lengths where it wants to read sizes.
            size = self._used * _MESSAGE.size
            self._message_bytes[:size] = self._wired[:size]
            self._used = 0
        slots = most or self.slots
        received: int = _recvmmsg(descriptor, self._messages, slots, flags | MSG_DONTWAIT, _NO_TIMEOUT)
        if received < 0:
            return _negative_errno()
        self._used = received
        if received > self._reached:
            self._reached = received
        if received > self._reached_with_data and any(
            self.data_lengths(received)
        ):  # time stamps have none, and there are many of them
            self._reached_with_data = received
        return received

    def clear(self) -> None:
        """Forget what has come."""
        self._zero(self._reached, self._reached_with_data)
        self._controls[: self._reached * self._control_size] = bytes(self._reached * self._control_size)
        self._reached = self._reached_with_data = 0

    def received(self) -> Iterator[ReceivedMessage]:
        """The datagrams of the last call; what did not fit was cut by the kernel."""
        return map(self.message, range(self._used))

    def message(self, slot: int) -> ReceivedMessage:
        """One datagram of the last call."""
        ints, word = self._ints, slot * _WORDS_PER_MESSAGE
        data, name, control = slot * self.data_size, slot * self._name_size, slot * self._control_size
        control_length = self._longs[slot * _LONGS_PER_MESSAGE + _CONTROL_LENGTH_AT]
        return ReceivedMessage(
            self._data[data : data + ints[word + _LENGTH_AT]],
            self._names[name : name + ints[word + _NAME_LENGTH_AT]],
            self._controls[control : control + control_length],
            ints[word + _FLAGS_AT],
        )

    def lengths(self, count: int) -> Iterator[tuple[int, int]]:
        """Bytes of control messages and of data of the first datagrams of the last call, as far as kept."""
        return _LENGTHS.iter_unpack(self._message_bytes[: count * _MESSAGE.size])

    def data_lengths(self, count: int) -> list[int]:
        """Bytes of data of the first datagrams of the last call, as far as kept."""
        return self._ints[_LENGTH_AT : count * _WORDS_PER_MESSAGE : _WORDS_PER_MESSAGE].tolist()

    def control_lengths(self, count: int) -> list[int]:
        """Bytes of control messages of the first datagrams of the last call, as far as kept."""
        return self._longs[_CONTROL_LENGTH_AT : count * _LONGS_PER_MESSAGE : _LONGS_PER_MESSAGE].tolist()

    @property
    def data(self) -> memoryview:
        """The data of all slots, ``data_size`` bytes each; old ones behind the new."""
        return self._data

    @property
    def names(self) -> memoryview:
        """The socket addresses of all slots, ``name_size`` bytes each; old ones behind the new."""
        return self._names

    @property
    def name_size(self) -> int:
        """Bytes from one slot's socket address to the next one's."""
        return self._name_size

    @property
    def controls(self) -> memoryview:
        """The control messages of all slots, ``control_size`` bytes each; old ones behind the new."""
        return self._controls

    @property
    def control_size(self) -> int:
        """Bytes from one slot's control messages to the next one's."""
        return self._control_size

    def control_length(self, slot: int) -> int:
        """Bytes of control messages that came with one datagram of the last call."""
        return self._longs[slot * _LONGS_PER_MESSAGE + _CONTROL_LENGTH_AT]


def _spread(room: memoryview, stride: int, pieces: Sequence[bytes], lengths: list[int]) -> None:
    """Store pieces a stride apart; if all have one length, which they nearly always have, by one copy."""
    size = lengths[0]
    if lengths.count(size) == len(lengths):
        joined = bytes(stride - size).join(pieces)
        room[: len(joined)] = joined
        return
    for slot, piece in enumerate(pieces):
        room[slot * stride : slot * stride + len(piece)] = piece


def _negative_errno() -> int:
    code: int = ffi.errno
    return -code


def _aligned(size: int) -> int:
    return -(-size // CONTROL_ALIGNMENT) * CONTROL_ALIGNMENT


def _view(memory: Any) -> memoryview:  # noqa: ANN401 - a cffi object, which has no type of its own
    return memoryview(ffi.buffer(memory)).cast("B")


def _addresses(memory: Any, count: int, stride: int) -> array[int]:  # noqa: ANN401 - as above
    """The address of some memory, and those that follow it in strides."""
    first = int(ffi.cast("uintptr_t", memory))
    # An array takes a list, whose length it knows, in half the time that it takes a range.
    return array("Q", list(range(first, first + count * stride, stride)) if stride else [first] * count)
