#!/usr/bin/env python3
"""Makes the trees that the benchmark backs up, and turns them into their second version and back.

The rule: every byte, name and size is a function of the job, the scale and a place in the tree, so two machines measure
the same work. Nothing comes from the machine it runs on. (Times of files are those of the writing.)

    trees.py make   JOB DIR [small|full]    writes version 1 into DIR, which must not exist
    trees.py change JOB DIR [small|full]    version 1 becomes version 2, in place, as a user's edits would
    trees.py revert JOB DIR [small|full]    version 2 becomes version 1 again
    trees.py describe DIR                   counts, bytes, and what `zstd -3` makes of a sample

| job | full | small | version 2 |
|---|---|---|---|
| one  | one file of 3 bytes | the same | another file |
| src  | 65,000 source-like files, about 1 GB | 6,000 | 1 % of files edited, 0.2 % removed, 0.2 % renamed, 0.3 % added |
| tiny | 200,000 files of 0-4 KiB | 20,000 | 1 % of files rewritten |
| big  | one file of 4 GiB, half random, half text | 256 MiB | 204 places of 256 KiB overwritten (51 MiB; small 12 places) |
| vm   | disk image of 4 GiB: holes' worth of zeros, text, random | 1 GiB | 5 % overwritten, 16 KiB at a time |
"""

import os
import random
import subprocess
import sys

KIB, MIB = 1 << 10, 1 << 20
SIZES = {
    "one": {"small": 1, "full": 1},
    "src": {"small": 6_000, "full": 65_000},
    "tiny": {"small": 20_000, "full": 200_000},
    "big": {"small": 256 * MIB, "full": 4096 * MIB},
    "vm": {"small": 1024 * MIB, "full": 4096 * MIB},
}

# Words that every project shares, the way a language's keywords and punctuation do.
COMMON = (
    "\n    ", "\n        ", "\n", "\n\n", " = ", "(", ")", ";", ", ", " {", "}", "&", ".", "::", " -> ", "return ", "if ",
    "for ", "let ", "self", "None", "else ", "while ", "static ", "const ", "int ", "void ", "struct ", "0", "1", " == ",
    " + ", "[", "]", "*", "\"", "// the ", " of ", " and ", " is ", " to ", "true", "false", "#define ", "NULL", "size_t ",
)
SYLLABLES = (
    "al an ar be bit buf byte ca ch ck co con cur da de dex di el en er ex fi fo get ha in is it ke key len li lo ma mem "
    "mo na ne no ob of on op or pa pe po pr qu ra re ri ro sa se set si sk so st sy ta te th ti to tr tu un up va ve wi"
).split()


class Text:
    """Source-like text of one project: shared keywords, the project's own names (Zipf), its idioms (whole lines)."""

    def __init__(self, project):
        rng = random.Random(f"project {project}")
        names = []
        for _ in range(3000):
            parts = rng.choices(SYLLABLES, k=rng.randint(2, 5))
            name = rng.choice(("_", "")).join(parts)
            names.append(name if rng.random() < 0.8 else name.title().replace("_", ""))
        weights = [1 / (rank + 8) for rank in range(len(names))]
        idioms = []
        for _ in range(2_500):
            words = [rng.choice(COMMON) if rng.random() < 0.5 else rng.choice(names) for _ in range(rng.randint(3, 16))]
            idioms.append("\n    " + "".join(words))
        table = rng.choices(COMMON, weights=[1 / (rank + 3) for rank in range(len(COMMON))], k=30_000)
        table += rng.choices(names, weights=weights, k=25_500)
        table += rng.choices(idioms, weights=[1 / (rank + 20) for rank in range(len(idioms))], k=4_600)
        # Numbers and constants, which nothing predicts.
        table += [f"{rng.getrandbits(rng.choice((8, 16, 32))):x}" for _ in range(65_536 - len(table))]
        self.table = [word.encode() for word in table]

    def bytes(self, rng, size):
        """`size` bytes."""
        out, have = [], 0
        while have < size:
            words = memoryview(rng.randbytes(2 * ((size - have) // 12 + 16))).cast("H")
            out.append(b"".join(map(self.table.__getitem__, words)))
            have += len(out[-1])
        return b"".join(out)[:size]


class Texts:
    """The texts of projects, a few kept at a time."""

    def __init__(self):
        self.kept = {}

    def of(self, project):
        if project not in self.kept:
            if len(self.kept) >= 4:
                self.kept.pop(next(iter(self.kept)))
            self.kept[project] = Text(project)
        return self.kept[project]


TEXTS = Texts()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


# --- src ---------------------------------------------------------------------------------------------------------------------

FILES_PER_PROJECT = 250


def src_path(root, number):
    """Where source file `number` is: projects of 250 files, directories of about eight, up to six levels deep."""
    project, place = divmod(number, FILES_PER_PROJECT)
    rng = random.Random(f"src directory {project} {place // 8}")
    levels = [f"{rng.choice(SYLLABLES)}{rng.choice(SYLLABLES)}" for _ in range(rng.randint(0, 4))]
    return os.path.join(root, f"project-{project:03}", *levels, f"d{place // 8:02}", f"file{number:06}.c")


def src_bytes(number):
    rng = random.Random(f"src {number}")
    size = min(int(rng.lognormvariate(8.52, 1.5)) + 40, 2 * MIB)
    return TEXTS.of(number // FILES_PER_PROJECT).bytes(rng, size)


def src_fate(number):
    """What version 2 does to file `number`."""
    draw = random.Random(f"src fate {number}").random()
    for fate, share in (("edit", 0.010), ("remove", 0.002), ("rename", 0.002), ("add", 0.003)):
        if draw < share:
            return fate
        draw -= share
    return "keep"


def src_edited(number):
    """A line replaced, a few inserted and one removed, at one place of the file."""
    data, rng = src_bytes(number), random.Random(f"src edit {number}")
    at = rng.randrange(len(data))
    new = TEXTS.of(number // FILES_PER_PROJECT).bytes(rng, rng.randint(20, 400))
    return data[:at] + new + data[at + rng.randint(0, 80):]


def src_make(root, count):
    for number in range(count):
        path = src_path(root, number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, src_bytes(number))


def src_change(root, count, back):
    for number in range(count):
        fate, path = src_fate(number), src_path(root, number)
        if fate == "edit":
            write(path, src_bytes(number) if back else src_edited(number))
        elif fate == "remove":
            write(path, src_bytes(number)) if back else os.remove(path)
        elif fate == "rename":
            pair = (path, path[:-2] + "-renamed.c")
            os.rename(*(reversed(pair) if back else pair))
        elif fate == "add":
            added = path[:-2] + "-added.c"
            os.remove(added) if back else write(added, src_bytes(number + 10_000_000))


# --- tiny --------------------------------------------------------------------------------------------------------------------


def tiny_path(root, number):
    return os.path.join(root, f"{number // 10_000:02}", f"{number // 100 % 100:02}", f"{number:06}")


def tiny_bytes(number, version):
    rng = random.Random(f"tiny {number} {version}")
    size = rng.randint(0, 4 * KIB)
    return rng.randbytes(size) if number % 3 == 0 else TEXTS.of(number // 10_000).bytes(rng, size)


def tiny_make(root, count):
    for number in range(count):
        path = tiny_path(root, number)
        if number % 100 == 0:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, tiny_bytes(number, 1))


def tiny_change(root, count, back):
    for number in random.Random("tiny change").sample(range(count), count // 100):
        write(tiny_path(root, number), tiny_bytes(number, 1 if back else 2))


# --- big and vm: one large file each -----------------------------------------------------------------------------------------


def big_block(number):
    """MiB `number` of `big`: 16 MiB of random bytes, 16 MiB of text, and so on."""
    rng = random.Random(f"big {number}")
    return TEXTS.of(number // 512).bytes(rng, MIB) if number // 16 % 2 else rng.randbytes(MIB)


def big_change(root, size, back):
    step, count = 256 * KIB, 204 if size > 1024 * MIB else 12
    places = random.Random("big change").sample(range(size // step), count)
    overwrite(os.path.join(root, "big.dat"), step, places, big_block, "big", back)


def vm_block(number):
    """MiB `number` of `vm`: extents of 64 KiB that are zeros (30 %), text (45 %) or random (25 %)."""
    rng, extents = random.Random(f"vm {number}"), []
    for _ in range(16):
        draw = rng.random()
        if draw < 0.30:
            extents.append(bytes(64 * KIB))
        elif draw < 0.75:
            extents.append(TEXTS.of(number // 256).bytes(rng, 64 * KIB))
        else:
            extents.append(rng.randbytes(64 * KIB))
    return b"".join(extents)


def vm_change(root, size, back):
    step = 16 * KIB
    places = random.Random("vm change").sample(range(size // step), size // step // 20)
    overwrite(os.path.join(root, "disk.img"), step, places, vm_block, "vm", back)


def overwrite(path, step, places, block, label, back):
    """Writes `step` bytes at each of `places` (in units of `step`): new ones, or those of version 1."""
    with open(path, "r+b") as file:
        for place in sorted(places):
            if back:
                mib, within = divmod(place * step, MIB)
                data = block(mib)[within:within + step]
            else:
                data = random.Random(f"{label} new {place}").randbytes(step)
            file.seek(place * step)
            file.write(data)


def large_make(path, size, block):
    with open(path, "wb") as file:
        for number in range(size // MIB):
            file.write(block(number))


# --- the commands ------------------------------------------------------------------------------------------------------------


def one_change(root, _, back):
    write(os.path.join(root, "note"), b"hi\n" if back else b"ho\n")


MAKE = {
    "one": lambda root, _: write(os.path.join(root, "note"), b"hi\n"),
    "src": src_make,
    "tiny": tiny_make,
    "big": lambda root, size: large_make(os.path.join(root, "big.dat"), size, big_block),
    "vm": lambda root, size: large_make(os.path.join(root, "disk.img"), size, vm_block),
}
CHANGE = {"one": one_change, "src": src_change, "tiny": tiny_change, "big": big_change, "vm": vm_change}


def describe(root):
    """Prints how many files and bytes `root` has, and the ratio of `zstd -3` over a tar of up to 256 MiB of them."""
    files = total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            files, total = files + 1, total + os.lstat(os.path.join(folder, name)).st_size
    command = f'tar -C "$0" -cf - . 2>/dev/null | head -c {256 * MIB} | zstd -q -3 -c | wc -c'
    packed = int(subprocess.run(["bash", "-c", command, root], stdout=subprocess.PIPE, check=True).stdout)
    sample = min(total, 256 * MIB)
    print(f"{os.path.basename(root)}: {files} files, {total / 1e6:.0f} MB, zstd -3 ratio {sample / max(packed, 1):.2f}")


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "describe":
        return describe(arguments[1].rstrip("/"))
    if len(arguments) not in (3, 4) or arguments[1] not in MAKE:
        sys.exit(__doc__)
    verb, job, root = arguments[:3]
    size = SIZES[job][arguments[3] if len(arguments) == 4 else "small"]
    if verb == "make":
        os.makedirs(root)
        MAKE[job](root, size)
    elif verb in ("change", "revert"):
        CHANGE[job](root, size, verb == "revert")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
