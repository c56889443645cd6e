# SPDX-License-Identifier: Apache-2.0
"""Plays dynod for one dyno-init: namespaces, a small root file system, descriptors 3 to 9.

The real launcher adds a user namespace, cgroup, seccomp and AppArmor; nothing here depends
on those. Every process that a test starts is in a pid namespace that ends with it.
"""

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import select
import signal
import socket
import stat
import struct
import time

UID = 61234
LOG_GID = 61235

SHELL, TTY, ATTACH, EXEC = 1, 2, 4, 8
STARTED, BOUND, EXITED = 4, 1, 2
ATTACH_OPEN, ATTACH_EXIT, ATTACH_FAILED = 1, 2, 3
ATTACH_MAGIC = 0x44594154
SIGNAL_ALL, SIGNAL_MAIN = 0, 1
ORDER_END = 0
TIMEOUT = 20.0  # of anything that must happen

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE = 1, 4096, 16384, 1 << 18
SYS_PIDFD_SEND_SIGNAL = 424

libc = ctypes.CDLL(None, use_errno=True)


def dyno_init_path():
    if os.environ.get("DYNOD_INSTALLED") == "1":
        return "/usr/libexec/dynod/dyno-init"
    return str(pathlib.Path(os.environ["DYNOD_BUILD"]) / "bin" / "dyno-init")


def check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def mount(source, target, fstype=None, flags=0, data=None):
    enc = [s.encode() if s is not None else None for s in (source, target, fstype, data)]
    check(libc.mount(enc[0], enc[1], enc[2], ctypes.c_ulong(flags), enc[3]))


def wait_until(probe):
    """For what has no event that this harness waits for."""
    end = time.monotonic() + TIMEOUT
    while not probe():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.005)


def spec_bytes(args, env=(), flags=0, web_port=0, rows=0, columns=0):
    strings = b"".join(s.encode("utf-8", "surrogateescape") + b"\0" for s in [*args, *env])
    return (
        struct.pack("<IIIIIHHII", 0x44595350, flags, len(args), len(env), web_port, rows, columns,
                    len(strings), 0)
        + strings
    )


def sealed_memfd(data):
    fd = os.memfd_create("dyno-spec", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS,
                fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


def make_root(root):
    """A root of the host's programs, an /app and a /dev of its own; this process goes there."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", 0, "mode=755")
    for name in ("usr", "bin", "lib", "lib64", "etc", "sbin"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{root}/{name}")
            mount(f"/{name}", f"{root}/{name}", None, MS_BIND)
    for name, mode in (("app", 0o755), ("tmp", 0o1777), ("proc", 0o555), ("dev", 0o755)):
        os.mkdir(f"{root}/{name}")
        os.chmod(f"{root}/{name}", mode)
    os.chown(f"{root}/app", UID, UID)
    mount("proc", f"{root}/proc", "proc")
    for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("urandom", 1, 9), ("tty", 5, 0)):
        os.mknod(f"{root}/dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(f"{root}/dev/{name}", 0o666)
    os.mkdir(f"{root}/dev/pts")
    mount("devpts", f"{root}/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")
    os.chroot(root)
    os.chdir("/")


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def become_init(init_fd, fds):
    """Moves @fds to 3 and up, becomes the dyno's user, executes dyno-init. Does not return."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
    init_fd = fcntl.fcntl(init_fd, fcntl.F_DUPFD_CLOEXEC, 100)
    null = os.open("/dev/null", os.O_RDWR)
    for i in range(3):
        os.dup2(null, i)
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
    libc.close_range(3 + len(fds), 99, 0)
    for fd in high:
        os.close(fd)
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    os.umask(0o077)
    os.execve(init_fd, ["dyno-init"], {})


class Process:
    """A dyno-init, seen from the host."""

    def __init__(self, enter):
        """@enter: runs in a process between us and dyno-init, which it makes by os.fork()."""
        mine, theirs = socket.socketpair()
        self.exit_read, exit_write = os.pipe()
        self.helper = os.fork()
        if self.helper == 0:
            try:
                mine.close()
                os.close(self.exit_read)
                pid = enter()
                theirs.send(struct.pack("i", pid))
                theirs.recv(1)  # not reaped before it has been opened
                status = os.waitpid(pid, 0)[1]
                os.write(exit_write, struct.pack("i", os.waitstatus_to_exitcode(status)))
            except BaseException as e:
                os.write(2, f"harness: {e!r}\n".encode())
            finally:
                os._exit(0)
        theirs.close()
        os.close(exit_write)
        data = mine.recv(4)
        if len(data) != 4:
            os.waitpid(self.helper, 0)
            raise RuntimeError("dyno-init did not start")
        self.pid = struct.unpack("i", data)[0]
        self.pidfd = os.pidfd_open(self.pid)
        mine.close()

    def has_ended(self, timeout=0.0):
        return bool(select.select([self.pidfd], [], [], timeout)[0])

    def wait(self, timeout=TIMEOUT):
        """The exit status, negative for a signal."""
        assert select.select([self.exit_read], [], [], timeout)[0], "dyno-init does not end"
        return struct.unpack("i", os.read(self.exit_read, 4))[0]

    def kill(self, signo):
        signal.pidfd_send_signal(self.pidfd, signo)

    def order(self, order):
        info = ctypes.create_string_buffer(
            struct.pack("iiiiiIq", signal.SIGRTMIN, 0, -1, 0, os.getpid(), 0, order), 128)
        check(libc.syscall(SYS_PIDFD_SEND_SIGNAL, self.pidfd, int(signal.SIGRTMIN), info, 0))

    def order_signal(self, target, signo):
        self.order(target << 8 | signo)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.kill(signal.SIGKILL)
        os.waitpid(self.helper, 0)
        os.close(self.pidfd)
        os.close(self.exit_read)


class Reader:
    """Reads one FIFO as the logger does: opened by its path, for reading only."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.data = b""

    def read(self, timeout=TIMEOUT, size=65536):
        if not select.select([self.fd], [], [], timeout)[0]:
            return b""
        got = os.read(self.fd, size)
        self.data += got
        return got

    def until(self, text, timeout=TIMEOUT):
        text = text.encode() if isinstance(text, str) else text
        end = time.monotonic() + timeout
        while text not in self.data:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.data[-2000:]!r}"
            self.read(left)
        return self.data

    def lines(self):
        return self.data.decode("utf-8", "replace").splitlines()

    def close(self):
        os.close(self.fd)


class Dyno(Process):
    def __init__(self, folder, args, env=("PATH=/usr/bin:/bin",), flags=0, web_port=0, go=True,
                 files=(), spec=None, rows=0, columns=0, prepare=None):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "root"
        self.root.mkdir()
        self.fifos = {}
        for name in ("app", "log"):
            os.mkfifo(self.folder / name)
            os.chown(self.folder / name, UID, LOG_GID)
            os.chmod(self.folder / name, 0o240)
            # Held open as root does, so that no death of a reader fails a write.
            self.fifos[name] = os.open(self.folder / name, os.O_RDWR | os.O_NONBLOCK)
        self.status_fd = os.open(self.folder / "status", os.O_RDWR | os.O_CREAT, 0o600)
        go_read, self.go_write = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        self.client = None
        attach = null
        if flags & ATTACH:
            self.client, attach_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            attach = attach_socket.fileno()
        data = spec if spec is not None else spec_bytes(args, env, flags, web_port, rows, columns)
        spec_fd = sealed_memfd(data)
        init_fd = os.open(dyno_init_path(), os.O_RDONLY | os.O_CLOEXEC)
        fds = [spec_fd, go_read, self.status_fd, self.fifos["app"], self.fifos["log"], attach, null]
        # Not in the child: it would keep the pipe and the socket open for itself.
        mine = [self.go_write] + ([self.client.fileno()] if self.client else [])

        def enter():
            for fd in mine:
                os.close(fd)
            check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNET))
            pid = os.fork()
            if pid == 0:
                try:
                    make_root(str(self.root))
                    loopback_up()
                    for name, text in dict(files).items():
                        path = pathlib.Path("/app") / name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(text if isinstance(text, bytes) else text.encode())
                        path.chmod(0o755)
                    if prepare:
                        prepare()
                    become_init(init_fd, fds)
                finally:
                    os._exit(99)
            for fd in (*fds, init_fd):
                with contextlib.suppress(OSError):
                    os.close(fd)
            return pid

        super().__init__(enter)
        for fd in {spec_fd, go_read, null, init_fd}:
            os.close(fd)
        if flags & ATTACH:
            attach_socket.close()
            self.client.settimeout(TIMEOUT)
        self.readers = []
        self.app = self.reader("app")
        self.log = self.reader("log")
        if go:
            self.go()

    def reader(self, name):
        reader = Reader(self.folder / name)
        self.readers.append(reader)
        return reader

    def go(self):
        os.write(self.go_write, b"g")

    def record(self):
        data = os.pread(self.status_fd, 64, 0)
        if not data:
            return None
        assert len(data) == 32
        magic, flags, status, reserved, bound, exited = struct.unpack("<IIIIQQ", data)
        assert magic == 0x44594E53 and reserved == 0
        return {"flags": flags, "status": status, "bound": bound, "exited": exited}

    def wait_record(self, flag):
        wait_until(lambda: (self.record() or {"flags": 0})["flags"] & flag)
        return self.record()

    def finish(self):
        """Reads both FIFOs until dyno-init has ended, and returns its status."""
        end = time.monotonic() + TIMEOUT
        while not self.has_ended():
            assert time.monotonic() < end, "dyno-init does not end"
            ready = select.select([self.app.fd, self.log.fd, self.pidfd], [], [], 1)[0]
            for reader in (self.app, self.log):
                if reader.fd in ready:
                    reader.read(0)
        for reader in (self.app, self.log):  # what came with the end
            while reader.read(0):
                pass
        return self.wait()

    def children(self):
        """Host pids of dyno-init's children."""
        text = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def close(self):
        super().close()
        for reader in self.readers:
            reader.close()
        for fd in (*self.fifos.values(), self.status_fd, self.go_write):
            with contextlib.suppress(OSError):
                os.close(fd)
        if self.client:
            self.client.close()


class Exec(Process):
    """dyno-init for `ps:exec`, in the namespaces of @dyno."""

    def __init__(self, dyno, args, env=("PATH=/usr/bin:/bin",), flags=EXEC | ATTACH, rows=0,
                 columns=0):
        self.client, attach = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open("/dev/null", os.O_RDWR)
        go_read, go_write = os.pipe()
        os.write(go_write, b"g")
        os.close(go_write)
        spec_fd = sealed_memfd(spec_bytes(args, env, flags, 0, rows, columns))
        init_fd = os.open(dyno_init_path(), os.O_RDONLY | os.O_CLOEXEC)
        fds = [spec_fd, go_read, null, null, null, attach.fileno(), null]
        mine = self.client.fileno()

        def enter():
            os.close(mine)
            names = [os.open(f"/proc/{dyno.pid}/ns/{n}", os.O_RDONLY) for n in ("pid", "net", "mnt")]
            root = os.open(f"/proc/{dyno.pid}/root", os.O_RDONLY)
            for fd in names:
                check(libc.setns(fd, 0))
            os.fchdir(root)
            os.chroot(".")
            pid = os.fork()
            if pid == 0:
                try:
                    become_init(init_fd, fds)
                finally:
                    os._exit(99)
            attach.close()
            return pid

        super().__init__(enter)
        for fd in {spec_fd, go_read, null, init_fd}:
            os.close(fd)
        attach.close()
        self.client.settimeout(TIMEOUT)

    def close(self):
        super().close()
        self.client.close()


def attach_receive(client):
    """One message of dyno-init: (type, status, descriptors); None at the end."""
    data, ancillary, _, _ = client.recvmsg(64, socket.CMSG_SPACE(16))
    if not data:
        return None
    fds = array.array("i")
    for level, kind, content in ancillary:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(content)
    magic, kind, status, reserved = struct.unpack("<IIII", data)
    assert magic == ATTACH_MAGIC and reserved == 0
    return kind, status, list(fds)


def read_all(fd):
    """Until the end, or EIO as a terminal's master has it."""
    data = b""
    while select.select([fd], [], [], TIMEOUT)[0]:
        try:
            got = os.read(fd, 65536)
        except OSError as e:
            assert e.errno == errno.EIO
            return data
        if not got:
            return data
        data += got
    raise AssertionError(f"no end of {data[-500:]!r}")


def read_until(fd, text, data=b""):
    while text not in data:
        assert select.select([fd], [], [], TIMEOUT)[0], data
        data += os.read(fd, 65536)
    return data
