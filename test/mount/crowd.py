"""Many processes at once in one directory.

    python3 crowd.py DIRECTORY PROCESSES

Each makes files of its own, takes part in races that one may win, and counts up under a lock. The parent checks it all.
"""

import errno
import fcntl
import hashlib
import os
import sys

ROUNDS = 3


def content(number):
    return (f"process {number} ".encode() * 4000)[: 1000 + number * 37]


def count_up(path, lock):
    with open(path, "r+b", buffering=0) as counter:
        lock(counter, fcntl.LOCK_EX)
        value = int(os.pread(counter.fileno(), 20, 0) or b"0")
        os.pwrite(counter.fileno(), b"%020d" % (value + 1), 0)
        lock(counter, fcntl.LOCK_UN)


def one(top, number):
    own = os.path.join(top, f"own-{number}")
    os.mkdir(own)
    for step in range(ROUNDS):
        path = os.path.join(own, f"part-{step}")
        with open(path, "wb") as out:
            out.write(content(number))
        os.rename(path, os.path.join(own, f"file-{step}"))
        try:
            os.close(os.open(os.path.join(top, "races", f"made-{step}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            open(os.path.join(own, f"won-{step}"), "w").close()
        except FileExistsError:
            pass
        try:
            os.mkdir(os.path.join(top, "races", f"directory-{step}"))
            open(os.path.join(own, f"won-directory-{step}"), "w").close()
        except FileExistsError:
            pass
        count_up(os.path.join(top, "flock"), fcntl.flock)
        count_up(os.path.join(top, "lockf"), fcntl.lockf)
        with open(os.path.join(top, "log"), "ab", buffering=0) as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            log.write(b"%06d %06d\n" % (number, step))
    os.remove(os.path.join(own, "file-0"))
    try:
        os.stat(os.path.join(own, "file-0"))
        raise SystemExit("a removed file is there")
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def check(top, processes):
    expected = processes * ROUNDS
    for name in ("flock", "lockf"):
        with open(os.path.join(top, name)) as counter:
            value = int(counter.read())
        if value != expected:
            sys.exit(f"{name}: {value} of {expected} increments")
    with open(os.path.join(top, "log"), "rb") as log:
        lines = log.read().splitlines()
    if len(lines) != expected or len(set(lines)) != expected:
        sys.exit(f"log: {len(lines)} lines, {len(set(lines))} different ones of {expected}")
    wins = {}
    for number in range(processes):
        own = os.path.join(top, f"own-{number}")
        names = os.listdir(own)
        files = sorted(name for name in names if name.startswith("file-"))
        if files != [f"file-{step}" for step in range(1, ROUNDS)]:
            sys.exit(f"{own}: {names}")
        for name in files:
            with open(os.path.join(own, name), "rb") as found:
                if hashlib.sha256(found.read()).digest() != hashlib.sha256(content(number)).digest():
                    sys.exit(f"{own}/{name}: other bytes")
        for name in names:
            if name.startswith("won-"):
                wins[name] = wins.get(name, 0) + 1
    if len(wins) != 2 * ROUNDS or set(wins.values()) != {1}:
        sys.exit(f"races were won {wins}")


def main(top, processes):
    os.mkdir(os.path.join(top, "races"))
    for name in ("flock", "lockf", "log"):
        open(os.path.join(top, name), "w").close()
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            try:
                one(top, number)
                os._exit(0)
            except BaseException as error:
                print(f"process {number}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit("a process failed")
    check(top, processes)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
