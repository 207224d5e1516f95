"""Fills a directory of 8 MiB in several ways, and looks at what each of them is told. python3 full.py DIRECTORY"""

import errno
import mmap
import os
import subprocess
import sys
import time

directory = sys.argv[1]
MIB = 1024 * 1024


def told(work):
    """The error that came of it, or none."""
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def opened(name):
    path = os.path.join(directory, name)
    return path, os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def expect(what, seen):
    if "ENOSPC" not in seen or set(seen) - {"ENOSPC", None}:
        sys.exit(f"{what}: {seen}")


space = os.statvfs(directory)
if space.f_blocks * space.f_frsize != 8 * MIB or space.f_bavail > space.f_blocks:
    sys.exit(f"df shows {space}")

path, fd = opened("written")
seen = [told(lambda: os.write(fd, b"x" * (MIB // 2))) for _ in range(40)]
seen += [told(lambda: os.fsync(fd)), told(lambda: os.close(fd))]
expect("write, fsync and close", seen)
os.unlink(path)

path, fd = opened("closed")
os.write(fd, b"x" * 7 * MIB)
os.fsync(fd)
expect("one write and close", [told(lambda: os.write(fd, b"y" * 3 * MIB)), told(lambda: os.close(fd))])
# The answer is good for five seconds.
time.sleep(6)
if os.statvfs(directory).f_bavail * space.f_frsize > 2 * MIB:
    sys.exit("df does not show what was written")
os.unlink(path)

path, fd = opened("mapped")
os.ftruncate(fd, 20 * MIB)
with mmap.mmap(fd, 20 * MIB) as area:
    area[:] = b"z" * len(area)
    seen = [told(area.flush), told(lambda: os.fsync(fd))]
seen.append(told(lambda: os.close(fd)))
expect("msync, fsync and close", seen)
os.unlink(path)

path, fd = opened("allocated")
expect("fallocate", [told(lambda: os.posix_fallocate(fd, 0, 20 * MIB))])
os.close(fd)
os.unlink(path)

source = os.path.join(os.environ["HOME"], "twenty")
with open(source, "wb") as file:
    file.truncate(20 * MIB)
for words in (["cp", "--sparse=never", source, f"{directory}/copy"], ["dd", f"if={source}", f"of={directory}/copy", "bs=1M"]):
    ran = subprocess.run(words, capture_output=True, text=True)
    if ran.returncode == 0 or "No space left" not in ran.stderr:
        sys.exit(f"{words[0]}: {ran}")
    os.unlink(f"{directory}/copy")

print("as it should be")
