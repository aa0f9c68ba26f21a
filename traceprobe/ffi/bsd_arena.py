"""Prewired memory for ``sendmsg(2)`` and its kin in the layout of the BSDs and macOS.

The pointers of all messages are written once; afterwards sending and receiving only store numbers and copy
bytes. Which system it is and who carries the calls out are arguments, so that another system's memory can
be read and written anywhere. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from traceprobe.ffi._generated_bsd import ffi
from traceprobe.ffi.bsd import CONTROL_HEADER, IOVEC, KNOWN_LAYOUTS, MESSAGE, aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceprobe.ffi.bsd import BsdAbi

_INT: Final = Struct("=i")
_LONG: Final = Struct("=Q")
_LENGTH_AT: Final = KNOWN_LAYOUTS["iovec"][1]["iov_len"]
_NAME_LENGTH: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_namelen"] // 4
_CONTROL_LENGTH: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_controllen"] // 4
_FLAGS: Final = KNOWN_LAYOUTS["msghdr"][1]["msg_flags"] // 4
_RECEIVED: Final = KNOWN_LAYOUTS["mmsghdr"][1]["msg_len"] // 4
_WORDS: Final = MESSAGE.size // 4


class MessageCalls(Protocol):
    """The system calls that move messages; each returns what the kernel does, or a negative error number."""

    @property
    def batches(self) -> bool:
        """Whether one system call can move several messages."""
        ...

    def sendmsg(self, descriptor: int, message: int, flags: int) -> int:
        """Send the message at an address; bytes sent."""
        ...

    def recvmsg(self, descriptor: int, message: int, flags: int) -> int:
        """Receive into the message at an address; bytes received."""
        ...

    def sendmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        """Send an array of messages; how many were sent."""
        ...

    def recvmmsg(self, descriptor: int, messages: int, count: int, flags: int) -> int:
        """Receive into an array of messages; how many came."""
        ...


class _Arena:
    """Messages with a buffer for data, name and control each."""

    def __init__(self, slots: int, data_size: int, name_size: int, control_size: int) -> None:
        self.slots = slots
        self.data_size = data_size
        self._name_size = name_size
        self._control_size = control_size
        sizes = (MESSAGE.size, IOVEC.size, data_size, name_size, control_size)
        self._memory = [ffi.new("uint64_t[]", aligned(slots * size, 16) // 8 + 1) for size in sizes]
        self._messages, vectors, data, names, controls = map(_view, self._memory)
        self._data, self._names, self._controls, self._vectors = data, names, controls, vectors
        self._base, vectors_at, data_at, names_at, controls_at = map(_address, self._memory)
        for slot in range(slots):
            IOVEC.pack_into(vectors, slot * IOVEC.size, data_at + slot * data_size, data_size)
            MESSAGE.pack_into(
                self._messages,
                slot * MESSAGE.size,
                names_at + slot * name_size,
                name_size,
                vectors_at + slot * IOVEC.size,
                1,
                controls_at + slot * control_size if control_size else 0,
                control_size,
                0,
            )


class TransmitArena(_Arena):
    """Datagrams to send, each with its destination and at most one control message that holds a number.

    Args:
        abi: The system.
        slots: Most datagrams in one call.
        data_size: Most bytes of a datagram.
        name_size: Bytes of a socket address.
        control: Level and type of the control message; None for none.
    """

    def __init__(
        self, abi: BsdAbi, slots: int, data_size: int, name_size: int, control: tuple[int, int] | None
    ) -> None:
        header = aligned(CONTROL_HEADER.size, abi.control_alignment)
        room = header + aligned(_INT.size, abi.control_alignment)
        super().__init__(slots, data_size, name_size, 0 if control is None else room)
        self._flags = abi.msg_dontwait
        self._number_at = header
        self._controlled = control is not None
        if control is not None:
            for slot in range(slots):
                CONTROL_HEADER.pack_into(self._controls, slot * room, header + _INT.size, *control)

    def fill(self, data: Sequence[bytes], names: Sequence[bytes], numbers: Sequence[int]) -> None:
        """Fill the slots from the first one on.

        Args:
            data: The datagrams.
            names: Socket address of each destination, packed.
            numbers: Value of the control message of each datagram, where there is one.
        """
        for slot, packet in enumerate(data):
            start = slot * self.data_size
            self._data[start : start + len(packet)] = packet
            _LONG.pack_into(self._vectors, slot * IOVEC.size + _LENGTH_AT, len(packet))
            start = slot * self._name_size
            self._names[start : start + self._name_size] = names[slot]
            if self._controlled:
                _INT.pack_into(self._controls, slot * self._control_size + self._number_at, numbers[slot])

    def send(self, calls: MessageCalls, descriptor: int, first: int, count: int) -> int:
        """Send some of the slots.

        Returns:
            How many were sent, at least 1, or a negative error number about the first of them.
        """
        message = self._base + first * MESSAGE.size
        if count > 1 and calls.batches:
            return calls.sendmmsg(descriptor, message, count, self._flags)
        sent = calls.sendmsg(descriptor, message, self._flags)
        return 1 if sent >= 0 else sent


class ReceivedMessage(NamedTuple):
    """One received datagram; the views are valid until the arena receives again."""

    data: memoryview
    name: memoryview
    control: memoryview
    flags: int


class ReceiveArena(_Arena):
    """Room for datagrams to receive.

    Args:
        abi: The system.
        slots: Most datagrams in one go.
        data_size: Bytes kept of each; longer ones are cut.
        name_size: Bytes of a socket address.
        control_size: Bytes of control messages kept of each datagram.
    """

    def __init__(self, abi: BsdAbi, slots: int, data_size: int, name_size: int, control_size: int) -> None:
        super().__init__(slots, data_size, name_size, aligned(control_size, 16))
        self._flags = abi.msg_dontwait
        self._wired = bytes(self._messages)
        self._words = self._messages.cast("I")
        self._empty = -abi.eagain
        self._lengths: list[int] = []
        self.drained: bool = False
        """Whether the last call left nothing behind."""

    def receive(self, calls: MessageCalls, descriptor: int) -> int:
        """Receive what there is: in one call where the system can, else one by one until there is no more.

        Returns:
            How many datagrams came, at least 1, or a negative error number.
        """
        if self._lengths:
            # The kernel has stored lengths where it wants to read sizes.
            size = len(self._lengths) * MESSAGE.size
            self._messages[:size] = self._wired[:size]
            self._lengths = []
        if calls.batches:
            count = calls.recvmmsg(descriptor, self._base, self.slots, self._flags)
            words = self._words
            self._lengths = [words[slot * _WORDS + _RECEIVED] for slot in range(max(count, 0))]
            self.drained = count == self._empty or 0 < count < self.slots
            return count
        length = 0
        while length >= 0 and len(self._lengths) < self.slots:
            message = self._base + len(self._lengths) * MESSAGE.size
            length = calls.recvmsg(descriptor, message, self._flags)
            if length >= 0:
                self._lengths.append(length)
        self.drained = length == self._empty
        return len(self._lengths) or length

    def received(self) -> Iterator[ReceivedMessage]:
        """The datagrams of the last call; what did not fit was cut by the kernel."""
        words = self._words
        for slot, length in enumerate(self._lengths):
            word = slot * _WORDS
            data, name, control = slot * self.data_size, slot * self._name_size, slot * self._control_size
            yield ReceivedMessage(
                self._data[data : data + min(length, self.data_size)],
                self._names[name : name + min(words[word + _NAME_LENGTH], self._name_size)],
                self._controls[control : control + min(words[word + _CONTROL_LENGTH], self._control_size)],
                words[word + _FLAGS],
            )


def _view(memory: Any) -> memoryview:  # noqa: ANN401 - a cffi object, which has no type of its own
    return memoryview(ffi.buffer(memory)).cast("B")


def _address(memory: Any) -> int:  # noqa: ANN401 - as above
    return int(ffi.cast("uintptr_t", memory))
