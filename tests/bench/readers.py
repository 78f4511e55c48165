#!/usr/bin/env python3
"""Reads at random places of the files below a directory, from several threads: what a mounted vault is measured under.

The rule: which places are read is a function of the thread's number and of the tree, not of the machine.

    readers.py DIR SECONDS THREADS      prints how many files there were and how much was read
"""

import os
import random
import sys
import threading
import time

READ_BYTES = 128 << 10


def read(number, files, end, done):
    """Reads until `end`, and leaves in `done` how many bytes."""
    rng = random.Random(number)
    while time.monotonic() < end:
        with open(rng.choice(files), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(rng.randrange(max(1, size)))
            done[number] += len(file.read(READ_BYTES))


def main():
    root, seconds, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names)
    done, end = [0] * count, time.monotonic() + seconds
    threads = [threading.Thread(target=read, args=(number, files, end, done)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(files)} files, {sum(done) >> 20} MiB read")


if __name__ == "__main__":
    main()
