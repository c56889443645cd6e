# SPDX-License-Identifier: Apache-2.0
"""A FUSE file system with one file, "archive", whose daemon lets some processes wait for ever.

Spoken by hand (linux/fuse.h): no library is needed, and no request is answered that a test
does not want answered.

  fuse_server.py MOUNTPOINT CONTENT-FILE NAME...

Close (FLUSH) of a process called NAME is never answered. Says "PID NAME" for each.
"""

import ctypes
import os
import pathlib
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, \
    INTERRUPT, BATCH_FORGET, ACCESS = 1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 28, 29, 36, 42, 34
NO_ANSWER = {FORGET, BATCH_FORGET, INTERRUPT}
ROOT, FILE = 1, 2
ENOENT, ENOSYS = 2, 38


def attributes(node, size):
    mode, links = (stat.S_IFDIR | 0o755, 2) if node == ROOT else (stat.S_IFREG | 0o644, 1)
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 1, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


class Server:
    def __init__(self, content, held):
        self.content, self.held = content, held

    def answer(self, opcode, node, pid, body):
        """Bytes, a positive errno, or None for no answer."""
        if opcode == INIT:
            major, minor, readahead, _ = struct.unpack_from("<IIII", body)
            return struct.pack("<IIIIHHIIHHI28x", 7, min(minor, 31), readahead, 0, 12, 9, 1 << 17, 1, 32, 0, 0)
        if opcode == LOOKUP:
            if body.rstrip(b"\0") != b"archive":
                return ENOENT
            return struct.pack("<QQQQII", FILE, 0, 3600, 3600, 0, 0) + attributes(FILE, len(self.content))
        if opcode == GETATTR:
            return struct.pack("<QII", 3600, 0, 0) + attributes(node, len(self.content) if node == FILE else 0)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 1, 0, 0)
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self.content[offset:offset + size]
        if opcode == FLUSH:
            name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip() if pid else "?"
            print(pid, name, flush=True)
            return None if name in self.held else b""
        if opcode in (RELEASE, RELEASEDIR):
            return b""
        return ENOSYS

    def serve(self, fd):
        while True:
            request = os.read(fd, 1 << 18)
            _, opcode, unique, node, _, _, pid, _ = struct.unpack_from("<IIQQIIII", request)
            if opcode in NO_ANSWER:
                continue
            answer = self.answer(opcode, node, pid, request[40:])
            if answer is None:
                continue
            error, data = (-answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(fd, struct.pack("<IiQ", 16 + len(data), error, unique) + data)


def main():
    where, content, *held = sys.argv[1:]
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hostile", where.encode(), b"fuse", 0, options) < 0:
        raise OSError(ctypes.get_errno(), "mount fuse")
    print("mounted", flush=True)
    Server(pathlib.Path(content).read_bytes(), held).serve(fd)


if __name__ == "__main__":
    main()
