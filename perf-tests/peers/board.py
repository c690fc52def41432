# SPDX-License-Identifier: Apache-2.0
"""The board of board.h, from Python: a file in shared memory, words that can be slept on."""
import ctypes
import errno
import mmap
import os
import time

VERSION, RANKS_MAX = 1, 64
COLLS = {"quit": 0, "all_reduce": 1, "all_gather": 2, "reduce_scatter": 3, "broadcast": 4,
         "all_to_all": 5, "ping_pong": 6, "stream": 7, "exchange": 8, "streams": 9, "streams_2": 10,
         "streams_memory": 11}
COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all")
DTYPES = {"float32": 0, "bfloat16": 1}
DTYPE_NBYTES = {"float32": 4, "bfloat16": 2}
REFRESH, RELEASE = 1, 2

_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_FUTEX_CALLS = {"x86_64": 202, "aarch64": 98}
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class Command(ctypes.Structure):
    """struct board_command."""
    _fields_ = [("coll", ctypes.c_uint32), ("dtype", ctypes.c_uint32), ("nwarm", ctypes.c_uint32),
                ("niters", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("nbytes", ctypes.c_uint64)]


class Slot(ctypes.Structure):
    """struct board_slot."""
    _fields_ = [("done", ctypes.c_uint32), ("failed", ctypes.c_int32),
                ("start_ns", ctypes.c_uint64), ("end_ns", ctypes.c_uint64),
                ("refresh_start_ns", ctypes.c_uint64), ("refresh_end_ns", ctypes.c_uint64),
                ("nwrong", ctypes.c_uint64), ("pid", ctypes.c_uint64),
                ("reserved", ctypes.c_uint8 * 8), ("text", ctypes.c_char * 192)]


class Layout(ctypes.Structure):
    """struct board."""
    _fields_ = [("seq", ctypes.c_uint32), ("version", ctypes.c_uint32), ("nranks", ctypes.c_uint32),
                ("driver_pid", ctypes.c_uint32), ("pad0", ctypes.c_uint8 * 48),
                ("command", Command), ("pad1", ctypes.c_uint8 * 32),
                ("arrived", ctypes.c_uint32), ("generation", ctypes.c_uint32),
                ("pad2", ctypes.c_uint8 * 56), ("caps", ctypes.c_uint64),
                ("library", ctypes.c_char * 312), ("line", ctypes.c_uint8 * 256),
                ("blob_ready", ctypes.c_uint32), ("pad3", ctypes.c_uint8 * 60),
                ("blob", ctypes.c_uint8 * 512), ("pad4", ctypes.c_uint8 * (4096 - 1344)),
                ("slots", Slot * RANKS_MAX)]


assert ctypes.sizeof(Slot) == 256 and Layout.caps.offset == 192 and Layout.slots.offset == 4096


def cap(coll, dtype):
    """The bit of a collective and a type in caps."""
    return 1 << (COLLS[coll] * len(DTYPES) + DTYPES[dtype])


def futex_wait(address, value, timeout_s):
    """Sleeps until the word at address is not value, at most timeout_s."""
    timeout = _Timespec(int(timeout_s), int(timeout_s % 1 * 1e9))
    number = _FUTEX_CALLS[os.uname().machine]
    if _libc.syscall(number, ctypes.c_void_p(address), _FUTEX_WAIT, ctypes.c_uint32(value),
                     ctypes.byref(timeout), None, 0) != 0:
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT):
            raise OSError(code, os.strerror(code))


def futex_wake(address):
    """Wakes all who sleep on the word at address."""
    _libc.syscall(_FUTEX_CALLS[os.uname().machine], ctypes.c_void_p(address), _FUTEX_WAKE, 1 << 30,
                  None, None, 0)


class Board:
    """One program's board. The driver makes it (nranks given), a rank in Python opens it."""

    def __init__(self, path, nranks=None):
        self.path = str(path)
        if nranks is not None:
            with open(self.path, "wb") as new:
                new.truncate(ctypes.sizeof(Layout))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), ctypes.sizeof(Layout))
        self.data = Layout.from_buffer(self.memory)
        self.base = ctypes.addressof(self.data)
        if nranks is not None:
            self.data.nranks, self.data.seq, self.data.version = nranks, 1, VERSION
            self.data.driver_pid = os.getpid()
        if self.data.version != VERSION:
            raise ValueError(f"{self.path}: no board of version {VERSION}")

    def done_address(self, rank):
        """Of the word on which the driver waits for rank."""
        return self.base + Layout.slots.offset + rank * ctypes.sizeof(Slot) + Slot.done.offset

    def post(self, **fields):
        """Gives all ranks a command."""
        for name, value in fields.items():
            setattr(self.data.command, name, value)
        self.data.seq += 1
        futex_wake(self.base + Layout.seq.offset)

    def wait(self, timeout_s, alive):
        """Until all ranks have carried out the last command. Raises TimeoutError, or RuntimeError
        when a rank failed or alive() turned false."""
        deadline = time.monotonic() + timeout_s
        for rank in range(self.data.nranks):
            slot = self.data.slots[rank]
            while slot.done != self.data.seq:
                self._raise_failure()
                if not alive():
                    raise RuntimeError("ended by itself")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"rank {rank} took more than {timeout_s:.0f} s")
                futex_wait(self.done_address(rank), slot.done, 0.5)
        self._raise_failure()

    def _raise_failure(self):
        for rank in range(self.data.nranks):
            if self.data.slots[rank].failed:
                text = self.data.slots[rank].text.decode("utf-8", "replace")
                raise RuntimeError(f"rank {rank}: {text}")
