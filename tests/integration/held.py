# SPDX-License-Identifier: Apache-2.0
"""A process that ends soon, held for as long as a test looks at it."""

import contextlib
import ctypes
import os
import pathlib
import queue
import select
import struct
import threading

from dynod_testing import time_factor

# linux/fanotify.h
CLOEXEC, CLASS_CONTENT, NONBLOCK = 1, 4, 2
MARK_ADD, OPEN_PERM, ONDIR = 1, 0x10000, 0x40000000
ALLOW = 1
EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, length of this, mask, descriptor, pid
ANSWER = struct.Struct("=iI")

LIBC = ctypes.CDLL(None, use_errno=True)


def runs(pid, program):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False


class Gate:
    """Who opens a file asks here first. All but the first one that runs the program go on."""

    def __init__(self, path, program):
        self.program = program
        self.held = queue.Queue()
        self.waiting = None
        self.fd = LIBC.fanotify_init(CLASS_CONTENT | CLOEXEC | NONBLOCK, os.O_RDONLY | os.O_CLOEXEC)
        assert self.fd >= 0, os.strerror(ctypes.get_errno())
        mask = OPEN_PERM | (ONDIR if pathlib.Path(path).is_dir() else 0)
        assert LIBC.fanotify_mark(self.fd, MARK_ADD, ctypes.c_uint64(mask), -100, os.fsencode(path)) == 0, \
            os.strerror(ctypes.get_errno())
        self.over, self.end = os.pipe()
        self.thread = threading.Thread(target=self.answer)
        self.thread.start()

    def answer(self):
        while self.over not in select.select([self.fd, self.over], [], [])[0]:
            data = os.read(self.fd, 4096)
            while data:
                length, *_, fd, pid = EVENT.unpack_from(data)
                data = data[length:]
                if self.waiting is None and runs(pid, self.program):
                    self.waiting = fd
                    self.held.put(pid)
                else:
                    self.allow(fd)

    def allow(self, fd):
        os.write(self.fd, ANSWER.pack(fd, ALLOW))
        os.close(fd)

    def close(self):
        """Whoever still waits goes on."""
        os.close(self.end)
        self.thread.join()
        if self.waiting is not None:
            self.allow(self.waiting)
        os.close(self.over)
        os.close(self.fd)


@contextlib.contextmanager
def held_at(path, program, cause):
    """Pid of the @program that @cause() starts, while it waits within its open(2) of @path."""
    failed = []

    def run():
        try:
            cause()
        except BaseException as error:
            failed.append(error)
    gate = Gate(path, program)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield gate.held.get(timeout=60 * time_factor())
    finally:
        gate.close()
        thread.join()
    if failed:
        raise failed[0]
