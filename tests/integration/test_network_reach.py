# SPDX-License-Identifier: Apache-2.0
"""What an app's own sockets reach: nothing of the host, and no other dyno. In the VM vm/test_scan.py does more."""

import contextlib
import json
import socket
import subprocess

import pytest

from dynod_testing import WEB_SLUG, time_factor

pytestmark = pytest.mark.twice

# An asynchronous connect scan, and datagrams to the usual ports. Prints [[PROTO, ADDRESS, PORT], …].
SCAN = '''\
import json, select, socket, sys

plan = json.loads(sys.argv[1])
found = []

def scan(pairs):
    poll, waiting = select.epoll(), {}
    for address, port in pairs:
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.connect_ex((address, port))
        waiting[s.fileno()] = s, address, port
        poll.register(s, select.EPOLLOUT)
    while waiting:
        events = poll.poll(plan["patience"])
        if not events:
            break
        for fd, _ in events:
            s, address, port = waiting.pop(fd)
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, 111):
                found.append(["tcp", address, port])
            s.close()
    for s, _, _ in waiting.values():
        s.close()

pairs = [(address, port) for address, ports in plan["tcp"] for port in ports]
pairs += [(plan["all"], port) for port in range(1, 65536)]
for at in range(0, len(pairs), 4000):
    scan(pairs[at:at + 4000])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(plan["patience"])
for address, ports in plan["udp"]:
    for port in ports:
        try:
            s.sendto(b"hello", (address, port))
        except OSError:
            pass
try:
    while True:
        found.append(["udp", *s.recvfrom(64)[1]])
except OSError:
    pass
listener = socket.create_server(("127.0.0.1", 7003))
scan([("127.0.0.1", 7003)])
print(json.dumps(found))
'''

SEEN_OF_ITSELF = ["tcp", "127.0.0.1", 7003]


@pytest.fixture
def listeners():
    """TCP and UDP on wildcard addresses of the host. Yields the two ports."""
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True,
                                                       backlog=128))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("0.0.0.0", 0))
        yield tcp, udp


def host_addresses():
    shown = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True).stdout
    return sorted({address["local"] for link in json.loads(shown) for address in link["addr_info"]
                   if address["family"] == "inet" and not address["local"].startswith("127.")})


def test_an_app_reaches_nothing_of_the_host(daemon, app, slug, listeners):
    daemon.ok("deploy", slug({**WEB_SLUG, "scan.py": SCAN}), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    web = daemon.dyno(app, "web.1")
    tcp, udp = (listener.getsockname()[1] for listener in listeners)
    head, last = web["address"].rsplit(".", 1)
    gateway = f"{head}.{int(last) - 1}"
    others = [*host_addresses(), web["address"], "169.254.169.254"]
    ports = [tcp, udp, 22, 25, 53, 80, 111, 443, 2375, 3306, 5000, 5432, 6379, 8080, 9090]
    plan = {"patience": 0.5 * time_factor(),
            "all": gateway, "tcp": [[address, ports] for address in [*others, "::ffff:" + gateway]],
            "udp": [[address, [udp, 53, 67, 123, 161, 1900, 5353]] for address in [gateway, *others]]}
    # The control: whoever may, reaches them there.
    with socket.create_connection((gateway, tcp), 5), socket.create_connection((web["address"], 5000), 5):
        pass
    done = daemon.run(app, "python3", "scan.py", json.dumps(plan), timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == [SEEN_OF_ITSELF]
    # Nothing came in on this side either, but what the control has sent.
    listeners[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        listeners[1].recv(64)
    listeners[0].accept()[0].close()
    listeners[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        listeners[0].accept()
