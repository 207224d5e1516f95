"""Reads as an analysis reads an HDF5 file: an index at the end, then chunks of many sizes in any order, and a memory map.

    python3 chunks.py FILE MEGABYTES READS [make|read]

Every eight bytes of the data tell where they are, so that any byte in a wrong place is seen.
"""

import mmap
import os
import random
import struct
import sys

MAGIC = b"CHUNKED\0"


def words(start, length):
    return struct.pack(f"<{length // 8}Q", *range(start // 8, (start + length) // 8))


def make(file, size):
    chunks = []
    with open(file, "wb") as out:
        out.write(MAGIC)
        at = 8
        rng = random.Random(1)
        while at < size:
            length = rng.choice([512, 4096, 20480, 65536, 262144])
            out.write(words(at, length))
            chunks.append((at, length))
            at += length
        for chunk in chunks:
            out.write(struct.pack("<QQ", *chunk))
        out.write(struct.pack("<QQ", at, len(chunks)))
        out.flush()
        os.fsync(out.fileno())


def index_of(source):
    source.seek(-16, os.SEEK_END)
    at, count = struct.unpack("<QQ", source.read(16))
    source.seek(at)
    return [struct.unpack("<QQ", source.read(16)) for _ in range(count)]


def check(found, start, what):
    if found != words(start, len(found)):
        sys.exit(f"{what} at {start}: wrong bytes")


def read(file, reads):
    rng = random.Random(2)
    with open(file, "rb", buffering=0) as plain, open(file, "rb") as buffered:
        if plain.read(8) != MAGIC:
            sys.exit("no such file of ours")
        chunks = index_of(buffered)
        size = os.fstat(plain.fileno()).st_size
        for count in range(reads):
            at, length = rng.choice(chunks)
            part = rng.randrange(0, length, 8)
            buffered.seek(at + part)
            check(buffered.read(min(length - part, 1024)), at + part, "a buffered read")
            check(os.pread(plain.fileno(), length, at), at, "a chunk")
        with mmap.mmap(plain.fileno(), 0, prot=mmap.PROT_READ) as memory:
            if len(memory) != size:
                sys.exit("the map has another size")
            for count in range(reads):
                at, length = rng.choice(chunks)
                check(memory[at : at + length], at, "a mapped chunk")
        if os.pread(plain.fileno(), 10, size) != b"" or len(os.pread(plain.fileno(), 99, size - 16)) != 16:
            sys.exit("the end is in another place")


if __name__ == "__main__":
    name, megabytes, reads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if "read" not in sys.argv[4:]:
        make(name, megabytes << 20)
    if "make" not in sys.argv[4:]:
        read(name, reads)
