"""Section 5: packs, their tables, and index objects.

A `Table` is consistent in itself, and a `Pack` with its own header and trailer; `check_pack` compares both with each other.
"""

import dataclasses
import hashlib

from .notation import (
    INDEX, LIMITS, SEALED_OVERHEAD, SEGMENT_OF_CONTENTS, SEGMENT_OF_NODES, TABLE, Cursor, open_unit, padme, require, u32,
)

HEADER = 68
TRAILER = 16
MAX_PACK = 100_000_000
MAX_SEGMENTS = 65_536
MAX_CHUNKS = 400_000


@dataclasses.dataclass
class Segment:
    """Where a segment stands in its pack, and its chunks: `(id, offset in the raw data, length)`."""

    number: int
    offset: int
    stored: int
    raw: int
    kind: int
    chunks: list


def parse_table(body):
    """Parses the body of a table into its segments."""
    cursor = Cursor(body, "table")
    offset, segment_count, chunk_count = (cursor.unsigned(4) for _ in range(3))
    require(segment_count <= MAX_SEGMENTS and chunk_count <= MAX_CHUNKS, "a table is too large")
    rows = []
    for _ in range(segment_count):
        rows.append((cursor.unsigned(4), cursor.unsigned(4), cursor.unsigned(1), cursor.unsigned(4)))
    require(sum(row[3] for row in rows) == chunk_count, "the chunk counts of a table do not add up")
    segments = []
    for number, (stored, raw, kind, count) in enumerate(rows):
        require(kind in (SEGMENT_OF_CONTENTS, SEGMENT_OF_NODES), "a segment has an unknown kind")
        require(0 < raw <= LIMITS[kind], "a segment's raw length is not within its limits")
        least, most = SEALED_OVERHEAD, SEALED_OVERHEAD + LIMITS[kind]
        require(least <= stored <= most, "a segment's stored length is not within its limits")
        chunks, at = [], 0
        for _ in range(count):
            chunk_id, length = cursor.take(16), cursor.unsigned(4)
            require(length > 0, "a chunk is empty")
            chunks.append((chunk_id, at, length))
            at += length
        require(at == raw, "the chunks of a segment do not add up to its length")
        segments.append(Segment(number, offset, stored, raw, kind, chunks))
        offset += stored
    cursor.finish()
    return segments


class Pack:
    """A whole pack whose id, header, trailer and padding were checked; its envelope and units are still sealed."""

    def __init__(self, data, pack_id, vault):
        require(hashlib.sha256(data).digest() == pack_id, f"pack {pack_id.hex()} is not what its id says")
        require(HEADER + TRAILER <= len(data) <= MAX_PACK, "a pack is too short or too long")
        cursor = Cursor(data, "pack")
        require(cursor.take(8) == b"VAULTPK1", "a pack does not begin like one")
        require(cursor.take(32) == vault, "a pack is of another vault")
        self.session = cursor.take(16)
        self.number, self.epoch, envelope_length = (cursor.unsigned(4) for _ in range(3))
        require(envelope_length <= 16_384, "a session envelope is too long")
        self.envelope = cursor.take(envelope_length)
        self.segments_begin = cursor.at
        trailer = Cursor(data[-TRAILER:], "pack trailer")
        self.table_begin, table_length = trailer.unsigned(4), trailer.unsigned(4)
        require(trailer.take(8) == b"VAULTEND", "a pack does not end like one")
        table_end = self.table_begin + table_length
        require(self.segments_begin <= self.table_begin and table_end <= len(data) - TRAILER, "a table is not in its pack")
        require(padme(table_end + TRAILER) == len(data), "a pack has not its padded size")
        require(not any(data[table_end:-TRAILER]), "a pack's padding is not zero")
        self.id, self.vault, self.data = pack_id, vault, data
        self.sealed_table = data[self.table_begin : table_end]

    def open_table(self, index_key):
        """Opens the table; returns its body."""
        return open_unit(self.sealed_table, TABLE, self.vault, self.session, index_key, self.session + u32(self.number))

    def check_table(self, segments):
        """Requires that segments stand where this pack has room for them."""
        begin = segments[0].offset if segments else self.segments_begin
        require(begin == self.segments_begin, "the first segment does not follow the envelope")
        end = segments[-1].offset + segments[-1].stored if segments else begin
        require(end <= self.table_begin, "segments reach into the table")

    def open_segment(self, segment, session_key):
        """Opens a segment; returns its raw data."""
        unit = self.data[segment.offset : segment.offset + segment.stored]
        fields = u32(self.number) + u32(segment.number)
        raw = open_unit(unit, segment.kind, self.vault, self.session, session_key, fields)
        require(len(raw) == segment.raw, "a segment is not as long as its table says")
        return raw


@dataclasses.dataclass
class IndexedPack:
    """What an index object says of a pack."""

    id: bytes
    size: int
    session: bytes
    number: int
    epoch: int
    table: bytes
    segments: list

    def check_pack(self, pack):
        """Requires that a pack is the one that the index describes."""
        require(len(pack.data) == self.size, "a pack has another size than its index says")
        said = (self.session, self.number, self.epoch)
        require((pack.session, pack.number, pack.epoch) == said, "a pack's header is not what its index says")
        pack.check_table(self.segments)


def open_index(data, index_id, vault, key_of_epoch):
    """Opens an index object; `key_of_epoch(n)` is `K_index`. Returns the packs."""
    require(hashlib.sha256(data).digest() == index_id, f"index {index_id.hex()} is not what its id says")
    cursor = Cursor(data, "index object")
    require(cursor.take(8) == b"VAULTIX1", "an index object does not begin like one")
    require(cursor.take(32) == vault, "an index object is of another vault")
    session = cursor.take(16)
    number, epoch, length = (cursor.unsigned(4) for _ in range(3))
    unit = cursor.take(length)
    require(padme(cursor.at) == len(data), "an index object has not its padded size")
    require(not any(data[cursor.at :]), "the padding of an index object is not zero")
    body = open_unit(unit, INDEX, vault, session, key_of_epoch(epoch), session + u32(number))
    return _parse_index(body)


def _parse_index(body):
    cursor = Cursor(body, "index body")
    packs = []
    for _ in range(cursor.unsigned(4)):
        pack_id, size, session = cursor.take(32), cursor.unsigned(4), cursor.take(16)
        number, epoch, table_length = (cursor.unsigned(4) for _ in range(3))
        require(size <= MAX_PACK, "an index names a pack that is too long")
        require(table_length <= LIMITS[TABLE], "an index has a table that is too long")
        table = cursor.take(table_length)
        packs.append(IndexedPack(pack_id, size, session, number, epoch, table, parse_table(table)))
    cursor.finish()
    return packs
