# SPDX-License-Identifier: Apache-2.0
"""A store under test: image_driver plays the launcher, this file the supervisor."""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

UID_BASE = 3_000_000
TREES = UID_BASE + 1
FIRST_IMPORT_UID = UID_BASE + 16

LIMITS = (4 << 30, 1_000_000, 1000)


class Store:
    def __init__(self, build, state, prefix=()):
        self.prefix = prefix
        self.build = pathlib.Path(build)
        self.state = pathlib.Path(state)
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.seq = 0
        self.queue = []
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [*self.prefix, self.build / "tests/image_driver", self.state, self.build / "bin/dynod-unpacker",
             str(UID_BASE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.wait(lambda m: m.get("answer") == "open")["result"] == 0

    def close(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.queue.clear()

    def read(self):
        line = self.process.stdout.readline()
        assert line, "the driver ended"
        message = json.loads(line)
        if "report" in message:
            message["text"] = bytes.fromhex(message["text"]).decode()
        return message

    def wait(self, wanted):
        """The first message that fits; the others stay in the queue."""
        for i, message in enumerate(self.queue):
            if wanted(message):
                return self.queue.pop(i)
        while True:
            message = self.read()
            if wanted(message):
                return message
            self.queue.append(message)

    def ask(self, command, *args):
        self.process.stdin.write(" ".join([command, *map(str, args)]) + "\n")
        return self.wait(lambda m: m.get("answer") == command)["result"]

    def next(self):
        self.seq += 1
        return self.seq

    def event(self, name, seq):
        return self.wait(lambda m: m.get("event") == name and m["seq"] == seq)

    def reports(self, number, kind):
        found = [m for m in self.queue if m.get("report") == kind and m["import"] == number]
        for message in found:
            self.queue.remove(message)
        return found

    def settle(self):
        """Waits until no child runs."""
        while not self.ask("idle"):
            pass

    def fetch(self, path, number, max_bytes=LIMITS[0]):
        seq = self.next()
        result = self.ask("fetch", seq, number, max_bytes, path)
        assert result == 0, result
        return self.event("fetched", seq)

    def extract(self, number, kind, digest, limits=LIMITS):
        """Return: (result of the request, event or None)."""
        seq = self.next()
        result = self.ask("extract", seq, number, kind, digest, *limits)
        return result, self.event("extracted", seq) if result == 0 else None

    def commit(self, number):
        seq = self.next()
        result = self.ask("commit", seq, number)
        return result if result else self.event("committed", seq)["result"]

    def take(self, kind, path, limits=LIMITS):
        """The whole import, or an assertion with the refusal."""
        number = self.next()
        fetched = self.fetch(path, number)
        assert fetched["result"] == 0, fetched
        result, event = self.extract(number, kind, fetched["digest"], limits)
        assert result == 0, result
        refused = self.reports(number, "refused")
        assert event["result"] == 0, refused or event
        assert self.commit(number) == 0
        done = self.reports(number, "done")[-1]
        done["processes"] = {m["process"]: m["text"] for m in self.reports(number, "process")}
        done["digest"] = fetched["digest"]
        self.settle()
        return done

    def refuse(self, kind, path, limits=LIMITS):
        """An import that must be refused; proves that nothing of it is left. Return: the report."""
        before = self.listing()
        number = self.next()
        fetched = self.fetch(path, number)
        assert fetched["result"] == 0, fetched
        result, event = self.extract(number, kind, fetched["digest"], limits)
        assert result == 0, result
        assert event["result"] < 0, "accepted"
        refused = self.reports(number, "refused")
        assert len(refused) == 1, event
        assert self.commit(number) == -16  # EBUSY
        self.ask("abandon", 0, number)
        self.settle()
        assert self.listing() == before
        return refused[0]

    def listing(self):
        return sorted(str(p.relative_to(self.state)) for p in self.state.rglob("*"))

    def tree(self, kind, digest):
        return self.state / f"{kind}s" / digest / "tree"


def digest_of(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Archive:
    """A tar made entry by entry, good or bad."""

    def __init__(self, path, mode="w:gz", **kwargs):
        self.path = pathlib.Path(path)
        self.tar = tarfile.open(self.path, mode, format=kwargs.pop("format", tarfile.PAX_FORMAT),
                                **kwargs)

    def add(self, name, data=None, kind=tarfile.REGTYPE, link="", mode=0o644, mtime=1_600_000_000,
            **attributes):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode, info.mtime = kind, link, mode, mtime
        data = data.encode() if isinstance(data, str) else data or b""
        info.size = len(data)
        for key, value in attributes.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def folder(self, name, mode=0o755, **kwargs):
        return self.add(name, kind=tarfile.DIRTYPE, mode=mode, **kwargs)

    def symlink(self, name, target, **kwargs):
        return self.add(name, kind=tarfile.SYMTYPE, link=target, mode=0o777, **kwargs)

    def hardlink(self, name, target, **kwargs):
        return self.add(name, kind=tarfile.LNKTYPE, link=target, **kwargs)

    def close(self):
        self.tar.close()
        return self.path


def describe(root):
    """What of a tree must be the same: names, kinds, modes, times, contents, links."""
    found = {}
    links = {}
    for path in [root, *sorted(root.rglob("*"))]:
        st = path.lstat()
        kind = st.st_mode & 0o170000
        what = [kind, st.st_mtime_ns]
        if kind == 0o120000:
            what.append(os.readlink(path))
        else:
            what.append(st.st_mode & 0o777)
        if kind == 0o100000:
            what.append(hashlib.sha256(path.read_bytes()).hexdigest())
            what.append(links.setdefault(st.st_ino, str(path.relative_to(root))))
        found[str(path.relative_to(root))] = what
    return found
