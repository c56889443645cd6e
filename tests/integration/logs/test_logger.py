# SPDX-License-Identifier: Apache-2.0
"""dynod-logger against FIFOs as the launcher makes them, killed at any moment."""

import os
import pathlib
import random
import re
import signal
import socket
import struct
import threading
import time

import pytest

from logger_harness import Harness

pytestmark = pytest.mark.native
EXPECTED = re.compile("cannot be removed: Is a directory|stream was refused|cannot go on: Bad message|No space left|stored again|not stored while")
SOURCE = pathlib.Path(__file__).resolve().parents[3] / "src"


@pytest.fixture
def logger(request):
    build = os.environ.get("DYNOD_BUILD")
    if not build or os.geteuid() != 0:
        pytest.skip("needs root and DYNOD_BUILD")
    harness = Harness(build, getattr(request, "param", None))
    try:
        harness.start()
        yield harness
        errors = harness.errors()
    finally:
        harness.close()
    assert not [line for line in errors.splitlines() if not EXPECTED.search(line)]


def texts(lines):
    return [line[2] for line in lines]


def until(condition, timeout=20):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_have_source_procid_and_order(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.say("Starting process with command `true`")
    dyno.write("one\ntwo\n\nthree\n")
    until(lambda: dyno.waiting() == 0)
    dyno.say("Process exited with status 0")
    lines = logger.wait_for("shop", b"Process exited with status 0")
    assert [tuple(line) for line in lines] == [
        ("heroku", "web.1", b"Starting process with command `true`"),
        ("app", "web.1", b"one"), ("app", "web.1", b"two"), ("app", "web.1", b""),
        ("app", "web.1", b"three"),
        ("heroku", "web.1", b"Process exited with status 0")]
    assert all(line.app == "shop" for line in lines)
    assert lines == sorted(lines, key=lambda line: line.usec)
    assert abs(lines[-1].usec / 1e6 - time.time()) < 20
    dyno.end()


def test_dyno_that_was_there_before_the_logger_is_found(logger):
    logger.kill()
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("early\n")
    dyno.say("Starting process")
    logger.start()
    assert texts(logger.wait_for("shop", b"early")) == [b"Starting process", b"early"]
    dyno.end()


def test_bytes_are_kept_as_they_are(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    raw = bytes(range(256)).replace(b"\n", b"")
    dyno.write(raw + b"\n\xff\xfe\x00\nend\n")
    assert texts(logger.wait_for("shop", b"end")) == [raw, b"\xff\xfe\x00", b"end"]
    dyno.end()


def test_line_of_10001_bytes_is_split(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write(b"a" * 10000 + b"\n" + b"b" * 10001 + b"\n" + b"c" * 25000 + b"\nend\n")
    lines = texts(logger.wait_for("shop", b"end"))
    assert [len(text) for text in lines] == [10000, 10000, 1, 10000, 10000, 5000, 3]
    dyno.end()


def test_part_of_a_line_becomes_a_line_at_exit(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.say("Starting process")
    dyno.write("whole\npart")
    logger.wait_for("shop", b"whole")
    dyno.write(" of a line")
    until(lambda: dyno.waiting() == 0)
    dyno.say("Process exited with status 1")
    assert texts(logger.wait_for("shop", b"Process exited with status 1")) == [
        b"Starting process", b"whole", b"part of a line", b"Process exited with status 1"]
    dyno.end()


def test_part_of_a_line_becomes_a_line_when_the_dyno_is_killed(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("whole\npart")
    logger.wait_for("shop", b"whole")
    dyno.end(remove=False)
    assert texts(logger.wait_for("shop", b"part")) == [b"whole", b"part"]
    until(lambda: not list(logger.folder("shop").glob("web.1*")))


def test_spools_go_with_the_dynos_folder(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("line\n")
    logger.wait_for("shop", b"line")
    assert len(list(logger.folder("shop").glob("web.1-7f3a9c.*"))) == 2
    keeper = os.dup(dyno.fds["app"])  # a writer is left: only the folder says that it is over
    dyno.end()
    until(lambda: not list(logger.folder("shop").glob("web.1*")))
    os.close(keeper)


def test_lines_of_the_supervisor_come_behind_what_they_speak_of(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("before\n")
    until(lambda: dyno.waiting() == 0)
    logger.line("shop", "web.1", "State changed from up to crashed")
    logger.line("shop", "api", "Release v2 created")
    lines = logger.wait_for("shop", b"Release v2 created")
    assert [tuple(line) for line in lines] == [
        ("app", "web.1", b"before"),
        ("heroku", "web.1", b"State changed from up to crashed"),
        ("heroku", "api", b"Release v2 created")]
    dyno.end()


def test_start_of_a_new_dyno_comes_behind_what_led_to_it(logger):
    assert logger.history() == []
    logger.process.send_signal(signal.SIGSTOP)  # a host too busy to run it meanwhile
    logger.line("shop", "api", "Release v1 created by user root")
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.say("Starting process with command `true`")
    logger.process.send_signal(signal.SIGCONT)
    lines = logger.wait_for("shop", b"Starting process with command `true`")
    assert texts(lines) == [b"Release v1 created by user root",
                            b"Starting process with command `true`"]
    dyno.end()


def test_lines_that_waited_keep_their_time_but_not_before_older_ones(logger):
    logger.line("shop", "api", "first", seconds_ago=60)
    logger.line("shop", "api", "second", seconds_ago=120)
    logger.line("shop", "api", "third", seconds_ago=-120)
    first, second, third = logger.wait_for("shop", b"third")
    assert 55 < time.time() - first.usec / 1e6 < 80
    assert second.usec == first.usec
    assert abs(time.time() - third.usec / 1e6) < 20


def test_history_is_1500_lines_and_survives(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    for i in range(4000):
        dyno.write(f"line {i}\n")
    logger.wait_for("shop", b"line 3999")
    want = [f"line {i}".encode() for i in range(2500, 4000)]
    assert texts(logger.history("shop")) == want
    logger.kill()
    logger.start()
    assert texts(logger.history("shop")) == want
    dyno.end()


def test_history_stays_below_4_mb(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    line = b"x" * 9000 + b"\n"
    for _ in range(40):
        dyno.write(line * 20)
    dyno.write("end\n")
    logger.wait_for("shop", b"end")
    size = sum(path.stat().st_size for path in logger.folder("shop").glob("history.*"))
    assert 3_500_000 < size <= 4 * 1024 * 1024
    assert len(logger.history("shop")) > 380
    dyno.end()


def number_lines(dyno, first, last):
    """Writes numbered lines in pieces that do not end at lines."""
    data = b"".join(b"%07d %s\n" % (i, b"." * (i % 90)) for i in range(first, last))
    step = random.Random(first)
    while data:
        n = step.randrange(1, 9000)
        dyno.write(data[:n])
        data = data[n:]
        time.sleep(0.002)  # so that kills fall between and into the writes


@pytest.mark.parametrize("rounds,lines", [(70, 1400)])
def test_kill_9_at_any_moment_loses_and_doubles_nothing(logger, rounds, lines):
    """About 100,000 lines; what the history holds after each round is compared exactly."""
    dyno = logger.dyno("web.1-7f3a9c")
    chance = random.Random(4)
    for i in range(rounds):
        first, last = i * lines, (i + 1) * lines
        writer = threading.Thread(target=number_lines, args=(dyno, first, last))
        writer.start()
        for _ in range(4):
            time.sleep(chance.random() * 0.012)
            logger.kill()
            if chance.random() < 0.3:
                time.sleep(0.002)
            logger.start()
        writer.join(60)
        assert not writer.is_alive()
        seen = logger.wait_for("shop", b"%07d %s" % (last - 1, b"." * ((last - 1) % 90)))
        numbers = [int(line[2][:7]) for line in seen if int(line[2][:7]) >= first]
        assert numbers == list(range(first, last))
    dyno.end()


def test_kill_9_under_several_dynos_and_rotation(logger):
    """Four dynos of one app: each one's last lines are there in order, none twice."""
    dynos = [logger.dyno(f"worker.{i}-00000{i}") for i in range(1, 5)]
    chance = random.Random(5)
    for _ in range(15):
        writers = [threading.Thread(target=number_lines, args=(dyno, 0, 350)) for dyno in dynos]
        for writer in writers:
            writer.start()
        for _ in range(3):
            time.sleep(chance.random() * 0.01)
            logger.kill()
            logger.start()
        for writer in writers:
            writer.join(60)
        for dyno in dynos:
            until(lambda dyno=dyno: dyno.waiting() == 0)
        logger.line("shop", "api", "round")
        lines = logger.wait_for("shop", b"round")
        for dyno in dynos:
            name = dyno.id.rsplit("-", 1)[0]
            numbers = [int(line[2][:7]) for line in lines if line[1] == name]
            assert numbers == list(range(350))
        logger.forget("shop")  # a fresh history for the next round
        for dyno in dynos:
            dyno.end()
        until(lambda: not list(logger.logs.iterdir()))
        dynos = [logger.dyno(f"worker.{i}-{random.randrange(1 << 24):06x}") for i in range(1, 5)]
    for dyno in dynos:
        dyno.end()


def test_live_tail_begins_where_history_ends(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            dyno.write("".join(f"line {n}\n" for n in range(i, i + 10)))
            i += 10
            time.sleep(0.001)  # a reader in Python keeps up with that

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(10):
        stream = logger.stream("shop")
        history = stream.history()
        live = [stream.read(lambda line: True)[-1] for _ in range(50)]
        numbers = [int(line[2].split()[1]) for line in history + live]
        if numbers:
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        stream.close()
    stop.set()
    writer.join(30)
    dyno.end()


def test_pipe_is_a_stream_too(logger):
    logger.line("shop", "api", "hello")
    stream = logger.stream("shop", follow=False, pipe=True)
    assert texts(stream.history()) == [b"hello"]
    assert stream.read(lambda line: False) == [] and stream.eof


def test_slow_reader_loses_lines_and_is_told(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    stream = logger.stream("shop")
    stream.history()
    for i in range(300):
        dyno.write(b"".join(b"%07d %s\n" % (n, b"x" * 92) for n in range(i * 100, i * 100 + 100)))
    until(lambda: dyno.waiting() == 0)
    lines = stream.read(lambda line: line[1] == "logplex")
    notice = lines[-1]
    assert notice[0] == "heroku"
    match = re.fullmatch(rb"Error L11 \(Tail buffer overflow\) -> This tail session dropped (\d+) "
                         rb"messages since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\.", notice[2])
    assert match, notice
    numbers = [int(line[2][:7]) for line in lines[:-1]]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) + int(match.group(1)) == 30000
    dyno.write("after\n")
    assert texts(stream.read(lambda line: True)) == [b"after"]
    dyno.end()


def test_stuck_reader_holds_nobody_up(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    stuck = [logger.stream("shop") for _ in range(20)]
    dyno.write(b"y" * 99 + b"\n")
    for _ in range(50):
        dyno.write((b"x" * 99 + b"\n") * 1000)
    dyno.write("end\n")
    assert texts(logger.wait_for("shop", b"end"))[-1] == b"end"
    for stream in stuck:
        stream.close()
    logger.line("shop", "api", "alive")
    logger.wait_for("shop", b"alive")
    dyno.end()


@pytest.mark.parametrize("pipe", [False, True])
def test_reader_that_makes_its_end_wait_holds_nobody_up(logger, pipe):
    """Who has a copy shares the setting, and changes it when the logger has looked."""
    dyno = logger.dyno("web.1-7f3a9c")
    stuck = logger.stream("shop", pipe=pipe, keep=True)
    stuck.history()
    os.set_blocking(stuck.theirs, True)
    writer = threading.Thread(target=dyno.write, args=((b"x" * 99 + b"\n") * 20000 + b"end\n",), daemon=True)
    writer.start()
    writer.join(20)
    assert not writer.is_alive(), "nobody reads what the dyno writes"
    assert texts(logger.wait_for("shop", b"end"))[-1] == b"end"
    os.close(stuck.theirs)
    stuck.close()
    dyno.end()


def test_streams_are_bounded(logger):
    streams = [logger.stream("shop") for _ in range(64)]
    for stream in streams:
        stream.history()
    refused = logger.stream("shop")
    assert refused.read(lambda line: False) == [] and refused.eof
    streams.pop().close()
    until(lambda: try_stream(logger))


def try_stream(logger):
    stream = logger.stream("shop", follow=False)
    lines = stream.read(lambda line: line[1] == "-live-")
    stream.close()
    return bool(lines)


def test_stream_of_all_apps_is_merged_by_time(logger):
    dynos = {app: logger.dyno(f"web.1-00000{i}", app) for i, app in enumerate(("aaa", "bbb", "ccc"))}
    for i in range(60):
        app = ("ccc", "aaa", "bbb")[i % 3]
        dynos[app].write(f"{i}\n")
        until(lambda app=app: dynos[app].waiting() == 0)
    for app in dynos:
        logger.wait_for(app, {"ccc": b"57", "aaa": b"58", "bbb": b"59"}[app])
    lines = logger.history()
    assert texts(lines) == [b"%d" % i for i in range(60)]
    stream = logger.stream()
    assert texts(stream.history()) == texts(lines)
    dynos["bbb"].write("live\n")
    line = stream.read(lambda line: True)[0]
    assert (line.app, line[2]) == ("bbb", b"live")
    for dyno in dynos.values():
        dyno.end()


def test_flood_does_not_starve_others(logger):
    noisy, quiet = logger.dyno("web.1-000001", "noisy"), logger.dyno("web.1-000002", "quiet")
    stop = threading.Event()

    def flood():
        block = (b"z" * 99 + b"\n") * 600
        while not stop.is_set():
            noisy.write(block)

    writer = threading.Thread(target=flood)
    writer.start()
    stream = logger.stream("quiet")
    stream.history()
    waits = []
    for i in range(100):
        begin = time.monotonic()
        quiet.write(f"{i}\n")
        stream.read(lambda line, i=i: line[2] == b"%d" % i)
        waits.append(time.monotonic() - begin)
    stop.set()
    writer.join(30)
    waits.sort()
    assert waits[50] < 0.05 and waits[-1] < 1, waits[-5:]
    noisy.end()
    quiet.end()


def test_rename_takes_history_and_living_dynos_along(logger):
    dyno = logger.dyno("web.1-7f3a9c", "old-name")
    dyno.write("before\npart")
    logger.wait_for("old-name", b"before")
    stream = logger.stream("old-name")
    stream.history()
    logger.rename("old-name", "new-name")
    logger.history("new-name")  # behind the new name
    dyno.write(" done\n")
    line = stream.read(lambda line: True)[0]
    assert (line.app, line[2]) == ("new-name", b"part done")
    logger.kill()
    logger.start(say_apps=False)  # the state file still has the old name
    logger.apps("new-name")
    dyno.write("after\n")
    lines = logger.wait_for("new-name", b"after")
    assert texts(lines) == [b"before", b"part done", b"after"]
    assert {line.app for line in lines} == {"new-name"}
    assert logger.history("old-name") == []  # of a new app
    dyno.end()


def test_forget_removes_history_and_lets_dynos_write_on(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("line\n")
    stream = logger.stream("shop")
    stream.read(lambda line: line[2] == b"line")
    logger.forget("shop")
    stream.read(lambda line: False)
    assert stream.eof
    assert logger.history("shop") == []
    dyno.write(b"x" * 500_000)  # more than the FIFO holds
    until(lambda: dyno.waiting() == 0)
    assert not list(logger.logs.iterdir())
    dyno.end()
    logger.line("shop", "api", "a new app of that name")
    assert texts(logger.wait_for("shop", b"a new app of that name")) == [b"a new app of that name"]


def test_app_that_went_while_there_was_no_logger_leaves_nothing(logger):
    logger.line("shop", "api", "secret")
    logger.line("other", "api", "kept")
    logger.wait_for("other", b"kept")
    logger.kill()
    old = logger.folder("shop")
    logger.gone("shop")  # nobody tells it
    logger.number("shop")
    dyno = logger.dyno("web.1-7f3a9c")  # of the next app of that name, and before the list
    dyno.write("new\n")
    logger.start(say_apps=False)
    until(lambda: dyno.waiting() == 0)
    logger.apps("shop", "other")
    until(lambda: not old.exists())
    dyno.write("more\n")
    assert texts(logger.wait_for("shop", b"more")) == [b"new", b"more"]
    stream = logger.stream("shop")
    stream.history()

    logger.apps("other")  # of the next supervisor
    stream.read(lambda line: False)
    assert stream.eof
    assert texts(logger.history()) == [b"kept"]
    assert list(logger.logs.iterdir()) == [logger.folder("other")]
    dyno.end()


def test_names_that_changed_while_there_was_no_logger(logger):
    dynos = {name: logger.dyno(f"web.{number}-00000{number}", name)
             for number, name in enumerate(("red", "green", "blue"), 1)}
    for name, dyno in dynos.items():
        dyno.write(f"{name} wrote\n")
        logger.wait_for(name, f"{name} wrote".encode())
    logger.kill()
    for name, new in (("blue", "white"), ("green", "blue"), ("red", "green")):
        logger.renamed(name, new)
    late = {name: logger.dyno(f"web.{number}-00000{number}", name)
            for number, name in enumerate(("red", "green", "white"), 4)}
    logger.start(say_apps=False)
    stream = logger.stream()  # it waits until it is clear who is called what
    for name, dyno in late.items():
        dyno.write(f"late {name}\n")
    logger.apps("red", "green", "blue", "white")
    assert {(line.app, line[2]) for line in stream.history()} >= {
        ("green", b"red wrote"), ("blue", b"green wrote"), ("white", b"blue wrote")}
    for name, was in (("green", "red"), ("blue", "green"), ("white", "blue")):
        dynos[was].write("more\n")
        lines = logger.wait_for(name, b"more")
        assert {line.app for line in lines} == {name}
        assert [text for text in texts(lines) if not text.startswith(b"late")] == [f"{was} wrote".encode(), b"more"]
        assert {text for text in texts(lines) if text.startswith(b"late")} <= {f"late {name}".encode()}
    for name in late:
        logger.wait_for(name, f"late {name}".encode())
    for dyno in (*dynos.values(), *late.values()):
        dyno.end()


def test_app_that_the_list_does_not_know_yet_stays(logger):
    """Its dyno is there before the logger has read that the app is."""
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("first\n")
    logger.wait_for("shop", b"first")
    logger.apps(last=logger.number("shop") - 1)
    dyno.write("second\n")
    assert texts(logger.wait_for("shop", b"second")) == [b"first", b"second"]
    dyno.end()


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM])
def test_logger_that_ends_within_the_list_takes_no_app_for_gone(logger, signo):
    """The next one reads the rest of it: the channel stays."""
    names = [f"app{number}" for number in range(200)]
    for name in names:
        logger.line(name, "api", "kept")
    logger.wait_for(names[-1], b"kept")
    logger.process.send_signal(signal.SIGSTOP)
    until(lambda: pathlib.Path(f"/proc/{logger.process.pid}/stat").read_text().split()[2] == "T")
    logger.apps(*names)
    os.kill(logger.process.pid, signo)  # with SIGTERM it reads 64 messages before it ends
    os.kill(logger.process.pid, signal.SIGCONT)
    logger.process.wait(20)
    for _ in range(100 if signo == signal.SIGKILL else 0):
        logger.theirs.recv(4096)  # as one that was killed later
    logger.start(say_apps=False)
    logger.apps(*names)
    assert len(logger.history()) == len(names)
    assert len(list(logger.logs.iterdir())) == len(names)


def test_dyno_that_outlives_its_app_brings_nothing_back(logger):
    logger.line("shop", "api", "started")
    logger.wait_for("shop", b"started")
    logger.process.send_signal(signal.SIGSTOP)
    until(lambda: pathlib.Path(f"/proc/{logger.process.pid}/stat").read_text().split()[2] == "T")
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("secret\n")
    logger.forget("shop")
    logger.process.send_signal(signal.SIGCONT)
    until(lambda: dyno.waiting() == 0)  # drained all the same, else its folder stays for long
    assert logger.history() == []
    assert list(logger.logs.iterdir()) == []
    dyno.end()


def test_folder_that_cannot_be_removed_holds_no_other_up(logger):
    for name in ("shop", "other"):
        logger.line(name, "api", "line")
        logger.wait_for(name, b"line")
    strange = logger.folder("shop") / "strange"
    strange.mkdir()
    logger.forget("shop")
    logger.forget("other")
    until(lambda: [path.name for path in logger.logs.iterdir()] == [".1"])
    assert [path.name for path in (logger.logs / ".1").iterdir()] == ["strange"]
    (logger.logs / ".1/strange").rmdir()
    logger.apps()
    until(lambda: list(logger.logs.iterdir()) == [])


@pytest.mark.parametrize("logger", ["1m"], indirect=True)
def test_forgotten_app_does_not_come_back_when_a_full_disk_has_room(logger):
    logger.line("other", "api", "before")
    logger.line("shop", "api", "before")
    logger.wait_for("shop", b"before")
    filler = fill_disk(logger)
    for _ in range(100):  # the last page of its file has some room
        logger.line("shop", "api", "x" * 900)
    until(lambda: "No space left" in logger.errors())
    logger.line("late", "api", "held")  # there is no room for its folder
    logger.rename("late", "renamed")
    logger.line("renamed", "api", "held, too")
    shop = logger.folder("shop")
    logger.forget("shop")
    until(lambda: not shop.exists())
    filler.unlink()
    lines = logger.wait_for("renamed", b"held, too")
    assert texts(lines) == [b"held", b"held, too"] and {line.app for line in lines} == {"renamed"}
    assert sorted(logger.logs.iterdir()) == sorted([logger.folder("other"), logger.folder("renamed")])


def fill_disk(logger):
    """Returns the file to remove, for room."""
    filler = logger.logs / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.parametrize("logger", ["1m"], indirect=True)
def test_lines_of_dynod_are_held_up_to_a_limit_while_the_disk_is_full(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("before\n")
    logger.wait_for("shop", b"before")
    filler = fill_disk(logger)
    dyno.write("0 0\n" * 2000)
    until(lambda: "No space left" in logger.errors())
    for i in range(1000):
        logger.line("shop", "api", f"{i:04d} " + "x" * 900)
    filler.unlink()
    dyno.write("end\n")
    until(lambda: "lines of dynod were not stored while the disk was full" in logger.errors())
    dropped = int(re.search(r"(\d+) lines of dynod were not stored", logger.errors()).group(1))
    numbers = [int(line[2][:4]) for line in logger.history("shop") if line[1] == "api"]
    assert numbers == list(range(len(numbers))) and len(numbers) + dropped == 1000
    assert 200 < len(numbers) < 290  # 256 kB
    dyno.end()


@pytest.mark.parametrize("logger", ["1m"], indirect=True)
def test_full_disk_makes_writers_wait_and_loses_nothing(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("before\n")
    logger.wait_for("shop", b"before")
    filler = fill_disk(logger)

    writer = threading.Thread(target=number_lines, args=(dyno, 0, 1200))
    writer.start()
    until(lambda: "No space left" in logger.errors())
    logger.line("shop", "api", "said while the disk was full")
    assert texts(logger.history("shop"))[0] == b"before"  # what is there can still be read
    logger.line("shop", "api", "and once more")
    late = logger.dyno("web.2-000002")  # there is no room for its spool
    late.write("from a late dyno\n")
    filler.unlink()
    writer.join(30)
    assert not writer.is_alive()
    until(lambda: dyno.waiting() == 0)
    lines = logger.wait_for("shop", b"and once more")
    assert b"said while the disk was full" in texts(lines)
    dyno.write("end\n")
    lines = logger.wait_for("shop", b"end")
    numbers = [int(line[2][:7]) for line in lines
               if line[:2] == ("app", "web.1") and line[2] not in (b"before", b"end")]
    assert numbers == list(range(1200))
    assert texts(lines)[0] == b"before"
    logger.wait_for("shop", b"from a late dyno")
    dyno.end()
    late.end()


def test_sigterm_ends_it_and_nothing_is_lost(logger):
    dyno = logger.dyno("web.1-7f3a9c")
    dyno.write("one\n")
    logger.wait_for("shop", b"one")
    dyno.write("two\nthr")
    assert logger.kill(signal.SIGTERM) == 0
    dyno.write("ee\n")
    logger.start()
    assert texts(logger.wait_for("shop", b"three")) == [b"one", b"two", b"three"]
    dyno.end()


def test_it_ends_when_the_supervisor_is_gone(logger):
    logger.line("shop", "api", "up")
    logger.wait_for("shop", b"up")
    logger.channel.close()
    assert logger.process.wait(20) == 0


def test_broken_message_ends_it(logger):
    logger.channel.send(b"nonsense that is no message")
    assert logger.process.wait(20) == 1


def two_ends(kind, folder):
    """(what a client gives the logger, where what is written to it comes out)"""
    if kind == "file":
        path = folder / "file"
        return os.open(path, os.O_RDWR | os.O_CREAT), os.open(path, os.O_RDONLY)
    if kind == "terminal":
        return os.openpty()[::-1]
    if kind == "read end":
        return os.pipe()
    ends = socket.socketpair(type=socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_SEQPACKET)
    return ends[0].detach(), ends[1].detach()


@pytest.mark.parametrize("kind", ["file", "terminal", "read end", "datagrams", "packets"])
def test_files_and_sockets_of_other_kinds_are_no_streams(logger, tmp_path, kind):
    logger.line("shop", "api", "before")
    logger.wait_for("shop", b"before")
    given, other = two_ends(kind, tmp_path)
    socket.send_fds(logger.channel, [struct.pack("=III32s", 2, 1, 1, b"shop")], [given])
    logger.line("shop", "api", "still there")
    logger.wait_for("shop", b"still there")
    os.set_blocking(other, False)
    try:
        assert kind == "read end" or os.read(other, 1000) == b""
    except BlockingIOError:
        pass
    assert "A client's log stream was refused" in logger.errors()
    os.close(given)
    os.close(other)


def test_reader_of_a_pipe_that_is_gone_ends_its_stream_alone(logger):
    ours, theirs = os.pipe()
    os.close(ours)
    # Of no app yet: there is nothing to load first, and it is written to at once.
    socket.send_fds(logger.channel, [struct.pack("=III32s", 2, 1, 1, b"shop")], [theirs])
    os.close(theirs)
    assert logger.stream("shop").history() == []
    logger.line("shop", "api", "still there")
    logger.wait_for("shop", b"still there")
    assert logger.process.poll() is None


def test_it_holds_no_privilege(logger):
    logger.line("shop", "api", "up")
    logger.wait_for("shop", b"up")
    status = pathlib.Path(f"/proc/{logger.process.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(uid) for uid in fields["Uid"].split()} == {61001}
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
