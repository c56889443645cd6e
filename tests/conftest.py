# SPDX-License-Identifier: Apache-2.0
"""What the integration and VM tests share: a running daemon, a stack, slugs, and waiting.

Natively (DYNOD_BUILD names a build folder) the tests install that build into a folder of
their own and run it as an instance of its own, "itest". In the VM (DYNOD_INSTALLED=1) they
use the installed service. DYNOD_STACK names the archive of a stack with bash, Python and node.

A test marked vm needs AppArmor, cgroup controllers or systemd; natively it is not
collected, and the VM runs it. With CI=true a skipped test fails the run.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "integration"))

from dynod_testing import Daemon, make_slug, native_daemon  # noqa: E402

INSTALLED = os.environ.get("DYNOD_INSTALLED") == "1"


def pytest_addoption(parser):
    parser.addoption("--show-layer-table", action="store_true",
                     help="print docs/escape-layers.md as the guest would have it")


def pytest_configure(config):
    config.firewall_results = {}
    config.guard_results = {}
    config.addinivalue_line("markers", "vm: needs AppArmor, cgroup controllers or systemd")
    config.addinivalue_line("markers", "native: about an instance of its own; not for the VM")
    config.addinivalue_line("markers", "twice: the guest adds nothing to it; there only ./run-tests soak runs it")
    config.addinivalue_line("markers", "alone: measures; nothing else may run on the machine meanwhile")
    config.addinivalue_line("markers", "soak: long; only ./run-tests soak runs it")


def pytest_collection_modifyitems(config, items):
    unwanted = "native" if INSTALLED else "vm"
    dropped = [item for item in items if item.get_closest_marker(unwanted)]
    if dropped:
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=dropped)
    # What others came to is in the tables of the one; after the other there is nothing to test.
    last = ["test_layers.py", "test_purge.py"]
    items.sort(key=lambda item: last.index(item.path.name) + 1 if item.path.name in last else 0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Keeps what each attempt at the network came to with either half of the firewall off."""
    report = (yield).get_result()
    layers = getattr(item, "callspec", None) and item.callspec.params.get("layers")
    if layers and item.path.parent.name == "network" and (call.when == "call" or not report.passed):
        found = item.config.firewall_results.setdefault(item.originalname, {})
        found[layers] = found.get(layers, True) and report.passed


@pytest.fixture
def note_guard(request):
    """note_guard(guard, attack, on, through) keeps what an attack came to with a BPF guard on, and with it off."""
    def note(guard, attack, on, through):
        found = request.config.guard_results.setdefault((guard, attack), {})
        found[on] = found.get(on, False) or through
    return note


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get("CI") == "true" and exitstatus == 0:
        reporter.write_line(f"{skipped} skipped: with CI=true that is a failure")
        session.exitstatus = 1


@pytest.fixture(scope="session")
def daemon(no_stray_children):
    """The running dynod. Ends, natively, with the proof that it left nothing behind."""
    if INSTALLED:
        daemon = Daemon.installed()
        yield daemon
        assert daemon.logs_of_nobody() == []
        return
    build = os.environ.get("DYNOD_BUILD")
    if not build:
        pytest.exit("DYNOD_BUILD names no build folder: use ./run-tests integration", 4)
    # Uids and networks of the instance are fixed: two runs at once take turns.
    with open("/run/dynod-itest.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Not below pytest's own folder, which no other user may pass through.
        folder = pathlib.Path(tempfile.mkdtemp(prefix="dynod-itest.", dir="/var/tmp"))
        daemon = native_daemon(pathlib.Path(build), folder, "itest")
        try:
            daemon.start()
            yield daemon
            assert daemon.logs_of_nobody() == []
        finally:
            print(daemon.log_tail())
            left = daemon.remove()
            if left == "":
                shutil.rmtree(folder)
    assert left == "", f"dynod left behind:\n{left}"


@pytest.fixture(scope="session")
def stack(daemon):
    """Name of an imported real stack, Debian with bash, Python and node."""
    path = os.environ.get("DYNOD_STACK")
    if not path:
        pytest.exit("DYNOD_STACK names no archive: use ./run-tests integration", 4)
    daemon.ok("stacks:import", "debian-12", path, timeout=600)
    return "debian-12"


@pytest.fixture
def ctl(daemon):
    """ctl(*arguments) runs herokuctl against the daemon and returns its CompletedProcess."""
    return daemon.ctl


@pytest.fixture
def slug(tmp_path):
    """slug({name: text or bytes}) makes the archive of a slug and returns its path."""
    def make(files, name="slug.tgz", **options):
        return make_slug(tmp_path / name, files, **options)
    return make


@contextlib.contextmanager
def fresh_app(daemon, stack):
    name = "t-" + os.urandom(4).hex()
    daemon.ok("apps:create", name, "--stack", stack)
    yield name
    gone = daemon.ctl("apps:destroy", name, "--confirm", name, timeout=90)
    assert gone.returncode == 0 or "NoSuchApp" in gone.stderr or "no app" in gone.stderr, gone.stderr


@pytest.fixture
def app(daemon, stack):
    """Name of a fresh app on the stack, destroyed at the end of the test."""
    with fresh_app(daemon, stack) as name:
        yield name


@pytest.fixture(scope="module")
def app_of_module(daemon, stack, tmp_path_factory, request):
    """Name of an app with the module's SLUG, for tests that start dynos of their own in it."""
    with fresh_app(daemon, stack) as name:
        path = make_slug(tmp_path_factory.mktemp("slug") / "slug.tgz", request.module.SLUG)
        daemon.ok("deploy", path, "-a", name, timeout=300)
        yield name


@pytest.fixture(autouse=True, scope="session")
def no_stray_children():
    """A test that leaves processes of its own running would disturb the next ones."""
    yield
    children = subprocess.run(["ps", "--no-headers", "-o", "pid,args", "--ppid", str(os.getpid())],
                              capture_output=True, text=True, check=False).stdout
    stray = [line for line in children.splitlines() if " ps " not in line and "<defunct>" not in line]
    assert not stray, "\n".join(stray)
