# SPDX-License-Identifier: Apache-2.0
"""A dynod to test, and small things around it. See conftest.py."""

import contextlib
import ctypes
import fcntl
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import subprocess
import tarfile
import time

# A web app that a dyno of the test stack runs; it answers with what it sees of its dyno.
WEB_APP = '''\
import http.server, json, os, socket, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/exit":
            os._exit(3)
        body = json.dumps({"dyno": os.environ.get("DYNO"), "port": os.environ.get("PORT"),
                           "host": socket.gethostname(), "uid": os.getuid(), "cwd": os.getcwd(),
                           "greeting": os.environ.get("GREETING"), "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print("request", self.path, flush=True)

print("listening soon", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
'''

WEB_SLUG = {
    "Procfile": "web: python3 web.py\nworker: sh -c 'echo at work; exec sleep 1000000'\n",
    "web.py": WEB_APP,
}


def wait_until(probe, what, seconds=30.0):
    """Polls until @probe returns something true, and returns that. For what has no event. Half of the time
    at most: in an emulated guest it is the same processor that what is waited for needs."""
    deadline = time.monotonic() + seconds * time_factor()
    while True:
        begun = time.monotonic()
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"still not after {seconds * time_factor():.0f} s: {what}")
        time.sleep(min(max(0.05, time.monotonic() - begun), 0.3))


def time_factor():
    """Emulated guests are about ten times slower: the VM's runner sets this."""
    return float(os.environ.get("DYNOD_TIME_FACTOR", "1"))


def make_slug(path, files, prefix="./app/", compression="gz", mode=0o644):
    """Writes a tar archive with @files (name to text or bytes) below @prefix."""
    with tarfile.open(path, f"w:{compression}") as tar:
        if prefix:
            top = tarfile.TarInfo(prefix)
            top.type, top.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(top)
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(prefix + name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return path


def set_quota(folder, blocks=0, files=0):
    """Root's own change of what the project of that folder may have; 0 is no limit."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        attributes = fcntl.ioctl(fd, 0x801c581f, bytes(28))  # FS_IOC_FSGETXATTR
        project = struct.unpack("5I8x", attributes)[3]
        assert project != 0
        libc = ctypes.CDLL(None, use_errno=True)
        # quotactl_fd(fd, QCMD(Q_SETQUOTA, PRJQUOTA), project, struct if_dqblk with QIF_LIMITS)
        limits = struct.pack("8QI4x", blocks, 0, 0, files, 0, 0, 0, 0, 5)
        assert libc.syscall(443, fd, 0x800008 << 8 | 2, project, limits) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(fd)


def http_get(dyno, path="/", timeout=10):
    """GET @path from a dyno as `ps --json` describes it. Returns status and decoded body."""
    connection = http.client.HTTPConnection(dyno["address"], dyno["port"], timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body.startswith(b"{") else body
    finally:
        connection.close()


class Daemon:
    """One instance of dynod, ours or the installed one."""

    def __init__(self, instance, prefix, folder):
        self.instance = instance
        self.prefix = prefix
        self.folder = folder  # None: installed, run by systemd
        self.herokuctl = prefix / "bin/herokuctl"
        self.run_dir = pathlib.Path("/run/dynod") if folder is None else folder / "run"
        self.state_dir = pathlib.Path("/var/lib/dynod") if folder is None else folder / "state"
        self.socket = self.run_dir / "control.sock"
        self.cgroup_root = None
        self.process = None

    @classmethod
    def installed(cls):
        return cls("dynod", pathlib.Path("/usr"), None)

    # ---- life ----

    @property
    def is_installed(self):
        return self.folder is None

    def command(self, *arguments):
        return [str(self.prefix / "sbin/dynod"), "--instance", self.instance,
                "--config", str(self.folder / "dynod.conf"), *arguments]

    def start(self):
        if self.is_installed:
            subprocess.run(["systemctl", "start", "dynod"], check=True, timeout=120)
        else:
            log = open(self.folder / "dynod.log", "ab")
            # With a group, as root's shell may have some, that must get nowhere.
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, extra_groups=[4])
            log.close()
        self.wait_ready()

    def wait_ready(self):
        def answers():
            if self.process and self.process.poll() is not None:
                raise AssertionError(f"dynod ended with {self.process.returncode}:\n{self.log_tail()}")
            return self.ctl("version", timeout=20).returncode == 0 and \
                self.ctl("host:info", timeout=20).returncode == 0
        wait_until(answers, "herokuctl host:info answers", 20)

    def stop(self):
        """Ends dynod and not its dynos."""
        if self.is_installed:
            subprocess.run(["systemctl", "stop", "dynod"], check=True, timeout=120)
        elif self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def configured(self, key):
        """A value of the configuration in force, as text."""
        command = [str(self.prefix / "sbin/dynod"), "--check"] if self.is_installed else self.command("--check")
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return next(line.split("=", 1)[1].split("#")[0].strip() for line in shown.splitlines()
                    if line.split("=")[0].strip() == key)

    def uid_base(self):
        return int(self.configured("uid_base"))

    def main_pid(self):
        if self.process:
            return self.process.pid
        shown = subprocess.run(["systemctl", "show", "-P", "MainPID", "dynod"], check=True,
                               capture_output=True, text=True).stdout
        return int(shown)

    def pids_of(self, name):
        """Processes of that name that belong to this instance."""
        found = []
        for status in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes().split(b"\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == name.encode() and self.instance.encode() in words[1:]:
                found.append(int(status.parent.name))
        return found

    def kill_process(self, name):
        """SIGKILL to a process of dynod; returns when another one has taken its place."""
        if name == "dynod":
            pid = self.main_pid()
            os.kill(pid, signal.SIGKILL)
            if self.process:
                self.process.wait(10)
                self.start()
            else:
                wait_until(lambda: self.main_pid() not in (0, pid), "systemd starts dynod again")
                self.wait_ready()
            return
        before = self.pids_of(name)
        assert before, f"no {name} runs"
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: set(self.pids_of(name)) - set(before), f"a new {name}", 10)
        self.wait_ready()

    def logs_of_nobody(self):
        """Numbers of apps that are gone and have lines: none within a moment; none either if dynod is."""
        store, folder = self.state_dir / "supervisor/dynod.db", self.state_dir / "logs"

        def left():
            with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
                apps = {str(number) for number, in database.execute("SELECT id FROM apps")}
            return sorted(set(os.listdir(folder)) - apps)
        if not store.exists():
            return []
        try:
            wait_until(lambda: not left(), "no lines of apps that are gone are left", 10)
        except AssertionError:
            return left()
        return []

    def remove(self):
        """Stops everything and removes it; returns what is left all the same, as text."""
        self.stop()
        subprocess.run(self.command("--purge"), check=False, timeout=60)
        shutil.rmtree(self.state_dir, ignore_errors=True)
        if self.cgroup_root and self.cgroup_root.exists():
            remove_cgroups(self.cgroup_root)
        return self.leftovers()

    def leftovers(self):
        command = [str(self.prefix / "share/dynod/dynod-leftovers"), "--instance", self.instance]
        if not self.is_installed:
            command += ["--folder", str(self.run_dir), "--folder", str(self.state_dir)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr or "dynod-leftovers failed"

    def log_tail(self, lines=60):
        if self.is_installed:
            return subprocess.run(["journalctl", "-u", "dynod", "-n", str(lines), "--no-pager"],
                                  capture_output=True, text=True, check=False).stdout
        path = self.folder / "dynod.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # ---- talking to it ----

    def ctl(self, *arguments, timeout=60, stdin=None, user=None, env=None):
        """herokuctl with @arguments; never raises for its status. @stdin: text or None."""
        environment = {"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(self.socket), **(env or {})}
        return subprocess.run([str(self.herokuctl), *map(str, arguments)], input=stdin or "",
                              capture_output=True, text=True, errors="replace", env=environment,
                              timeout=timeout * time_factor(), user=user, check=False)

    def ok(self, *arguments, **options):
        """herokuctl that must end with 0; returns its stdout."""
        done = self.ctl(*arguments, **options)
        assert done.returncode == 0, \
            f"herokuctl {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, "--json", **options))

    def check(self, name):
        """What doctor found, in the first row of that name."""
        checks = json.loads(self.ctl("doctor", "--json").stdout)["checks"]  # with or without failures
        return next(check for check in checks if check["check"] == name)

    def python(self, app, text, timeout=240):
        """What a program said that ran to its end in a new dyno."""
        done = self.run(app, "python3", "-c", text, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *arguments, status=1, **options):
        """herokuctl that must end with @status; returns its error text."""
        done = self.ctl(*arguments, **options)
        assert done.returncode == status, \
            f"herokuctl {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.stderr.strip(), "no message"
        return done.stderr

    def dynos(self, app):
        return self.json("ps", "-a", app)

    def dyno(self, app, name):
        """The entry of `ps --json` with that name."""
        found = [dyno for dyno in self.dynos(app) if dyno["name"] == name and dyno["state"] != "stopping"]
        assert found, f"no {name} in {self.dynos(app)}"
        return found[0]

    def logs(self, app, *arguments):
        return self.ok("logs", "-a", app, "-n", "1500", *arguments)

    def wait_log(self, app, text, seconds=20):
        """Waits until a line of the app's log holds @text; returns that line."""
        def probe():
            return next((line for line in self.logs(app).splitlines() if text in line), None)
        return wait_until(probe, f"\"{text}\" in the log of {app}", seconds)

    def run(self, app, *command, **options):
        """A one-off dyno; its output comes back with its status."""
        return self.ctl("run", "-a", app, "--no-tty", "--", *command, **options)

    def exec(self, app, dyno, *command, **options):
        return self.ctl("ps:exec", dyno, "-a", app, "--no-tty", "--", *command, **options)


@contextlib.contextmanager
def reconfigured(daemon, text):
    """dynod with some more lines of configuration."""
    folder = pathlib.Path("/etc/dynod/dynod.conf.d") if daemon.is_installed else daemon.folder / "dynod.conf.d"
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    drop_in = folder / "91-test.conf"
    drop_in.write_text(text)
    try:
        daemon.restart()
        yield
    finally:
        drop_in.unlink()
        if made:
            folder.rmdir()
        daemon.restart()


def remove_cgroups(root):
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
    root.rmdir()


def cgroup2_mount():
    """Where the unified hierarchy is mounted, or None."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind = line.split()[:3]
        if kind == "cgroup2":
            return pathlib.Path(where)
    return None


def missing_layers():
    """Names for allow_missing: what this kernel lacks."""
    missing = []
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or enabled.read_text().strip() != "Y":
        missing.append("apparmor")
    root = cgroup2_mount()
    controllers = (root / "cgroup.controllers").read_text().split() if root else []
    missing += [f"cgroup-{name}" for name in ("memory", "cpu", "pids", "io") if name not in controllers]
    return missing


def native_daemon(build, folder, instance, extra=""):
    """A Daemon on its own folders, from a build that is installed below @folder."""
    prefix = folder / "prefix"
    folder.chmod(0o755)  # its processes pass through it as other users
    subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], check=True,
                   stdout=subprocess.DEVNULL)
    daemon = Daemon(instance, prefix, folder)
    root = cgroup2_mount()
    assert root, "no cgroup2 is mounted"
    daemon.cgroup_root = root / f"{instance}-dynos"
    daemon.cgroup_root.mkdir(exist_ok=True)
    (folder / "dynod.conf").write_text(f"""\
state_dir = {daemon.state_dir}
run_dir = {daemon.run_dir}
libexec_dir = {prefix}/libexec/dynod
data_dir = {prefix}/share/dynod
cgroup_root = {daemon.cgroup_root}
supervisor_user = 1878982655
logger_user = 1878982654
control_group = 1878982653
uid_base = 1878982656
allow_missing = {' '.join(missing_layers())}
network = 172.31.64.0/18
resolvers = 192.0.2.53
service_address = 172.31.64.1
scratch = tmpfs
scratch_size = 64M
stop_grace = 5s
{extra}""")
    return daemon
