"""Section 6: nodes and entries of a tree.

An `Entry` is consistent in itself; names come in order over all nodes of a directory.
"""

import dataclasses

from .notation import (
    MIB, Fields, any_bytes, anything, array, ascending, binary, decode_cbor, require, time, tuple_of, unsigned, up_to,
)

FILE, DIRECTORY, SYMLINK, FIFO, CHARACTER, BLOCK, SOCKET = range(7)
TYPE_LETTERS = "-dlpcbs"
MAX_NODE = 8 * MIB
MAX_NESTING = 4
MAX_DIRECT_CHUNKS = 4_096

positive = unsigned(64)


@dataclasses.dataclass
class Entry:
    """One file, directory, link or special file."""

    name: bytes
    type: int
    mode: int
    owner: int
    group: int
    owner_name: bytes
    group_name: bytes
    mtime: int
    size: int = 0
    chunks: list = dataclasses.field(default_factory=list)
    chunk_lists: list = None
    subtree: bytes = None
    target: bytes = None
    device: tuple = None
    link_group: int = None
    holes: list = dataclasses.field(default_factory=list)
    xattrs: list = dataclasses.field(default_factory=list)
    flags: int = 0


def _not_empty(value, what):
    require(type(value) is int and 0 < value < 1 << 64, f"{what} is no length above 0")
    return value


def parse_entry(value, what="entry", root=False):
    """Parses the map of an entry."""
    fields = Fields(value, what)
    entry = Entry(
        name=fields.get(0, any_bytes), type=fields.get(1, up_to(6)), mode=fields.get(2, up_to(0o7777)),
        owner=fields.get(3, unsigned(32)), group=fields.get(4, unsigned(32)), owner_name=fields.maybe(5, any_bytes),
        group_name=fields.maybe(6, any_bytes), mtime=fields.get(7, time),
        xattrs=fields.maybe(15, array(tuple_of(any_bytes, any_bytes), least=1), []), flags=fields.maybe(16, positive, 0),
    )
    ascending([name for name, _ in entry.xattrs], "names of xattrs")
    require(not fields.has(16) or entry.flags != 0, "flags are there although they are 0")
    require(entry.flags & ~1 == 0, "a flag is unknown")
    _check_name(entry.name, root)
    require(not root or entry.type == DIRECTORY, "the root is no directory")
    if entry.type == FILE:
        _parse_file(fields, entry)
    elif entry.type == DIRECTORY:
        entry.subtree = fields.get(10, binary(32))
    elif entry.type == SYMLINK:
        entry.target = fields.get(11, binary(1, 4_095))
    elif entry.type in (CHARACTER, BLOCK):
        entry.device = fields.get(12, tuple_of(unsigned(32), unsigned(32)))
    if entry.type != DIRECTORY:
        entry.link_group = fields.maybe(13, unsigned(64))
    fields.done()
    return entry


def _check_name(name, root):
    if root:
        require(name == b"", "the root has a name")
        return
    require(1 <= len(name) <= 255, "a name is empty or too long")
    require(b"/" not in name and b"\0" not in name and name not in (b".", b".."), f"{name!r} is no name")


def _parse_file(fields, entry):
    entry.size = fields.get(8, unsigned(64))
    require(fields.has(9) != fields.has(17), "a file has not either chunks or chunk lists")
    if fields.has(9):
        entry.chunks = fields.get(9, array(tuple_of(binary(32), _not_empty)))
        require(len(entry.chunks) <= MAX_DIRECT_CHUNKS, "a file has too many chunks for one entry")
    else:
        entry.chunk_lists = fields.get(17, array(tuple_of(binary(32), _not_empty), least=1))
    entry.holes = fields.maybe(14, array(tuple_of(unsigned(64), _not_empty), least=1), [])
    end = -1
    for offset, length in entry.holes:
        require(offset > end, "holes touch, or do not ascend")
        end = offset + length
    require(end <= entry.size, "a hole reaches beyond its file")
    covered = sum(length for _, length in entry.chunk_lists or entry.chunks)
    require(covered + sum(length for _, length in entry.holes) == entry.size, "chunks and holes do not add up to the size")


class Trees:
    """Reads trees through `chunk(h)`, which returns the verified chunk of a hash; counts nodes of kind 1."""

    def __init__(self, chunk):
        self.chunk, self.large_nodes = chunk, 0

    def _node(self, h):
        data = self.chunk(h)
        require(len(data) <= MAX_NODE, "a node is too long")
        return tuple_of(up_to(2), anything)(decode_cbor(data, "node"), "node")

    def entries(self, h):
        """Returns all entries of the directory whose node has this hash."""
        entries = list(self._entries(h, 0))
        ascending([entry.name for entry in entries], "names in a directory")
        return entries

    def _entries(self, h, depth):
        kind, value = self._node(h)
        if kind == 0:
            for number, each in enumerate(array(anything)(value, "entries")):
                yield parse_entry(each, f"entry {number}")
            return
        require(kind == 1, "a directory's node is a chunk list")
        require(depth < MAX_NESTING, "nodes of a directory nest too deeply")
        parts = array(tuple_of(binary(1, 255), binary(32)), least=1)(value, "large directory")
        self.large_nodes += 1
        ascending([name for name, _ in parts], "first names in a large directory")
        for name, part in parts:
            entries = list(self._entries(part, depth + 1))
            require(entries and entries[0].name == name, "a part of a directory does not begin with its first name")
            yield from entries

    def chunks(self, entry):
        """Yields `(h, length)` of a file's chunks, in order."""
        if entry.chunk_lists is None:
            yield from entry.chunks
            return
        for h, covered in entry.chunk_lists:
            kind, value = self._node(h)
            require(kind == 2, "a chunk list's node is something else")
            chunks = array(tuple_of(binary(32), _not_empty), least=1)(value, "chunk list")
            require(sum(length for _, length in chunks) == covered, "a chunk list covers another length than its file says")
            yield from chunks

    def walk(self, root):
        """Yields `(path, entry)` of all entries below an entry, directories before what is in them."""
        waiting = [(b"", root)]
        while waiting:
            path, directory = waiting.pop()
            below = []
            for entry in self.entries(directory.subtree):
                entry_path = path + b"/" + entry.name if path else entry.name
                yield entry_path, entry
                if entry.type == DIRECTORY:
                    below.append((entry_path, entry))
            waiting += reversed(below)


