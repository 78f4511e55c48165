"""A vault that a member opened: snapshots, chunks, and the proof that everything in it is whole.

A chunk comes out only after it was compared with its h.
"""

import collections

from .keys import find_identity, open_member
from .log import CommitBody, Log, parse_annotation
from .notation import ANNOTATION, COMMIT, blake3, blake3_keyed, open_unit, require, u32
from .pack import Pack, open_index, parse_table
from .store import Store
from .tree import FILE, Trees, parse_entry

SEGMENTS_KEPT = 64
PACKS_KEPT = 4


class Cache:
    """Keeps the last few results of a function."""

    def __init__(self, most, make):
        self.most, self.make, self.kept = most, make, collections.OrderedDict()

    def get(self, key, *arguments):
        """Returns what was made for this key, or makes it from key and arguments."""
        if key not in self.kept:
            self.kept[key] = self.make(key, *arguments)
        self.kept.move_to_end(key)
        if len(self.kept) > self.most:
            self.kept.popitem(last=False)
        return self.kept[key]


class Vault:
    """A vault with a verified log, and the keys of one member."""

    def __init__(self, directory, identity_file=None, passphrase=None):
        self.store = Store(directory)
        self.log = Log(self.store.vault, self.store.statements())
        identity = find_identity(self.store.identities(), identity_file, passphrase)
        self.keys = open_member(self.store, self.log, identity)
        self.packs = Cache(PACKS_KEPT, lambda pack_id: Pack(self.store.pack(pack_id), pack_id, self.store.vault))
        self.segments = Cache(SEGMENTS_KEPT, self._open_segment)
        self.indexes = {}

    # Snapshots

    def body(self, commit):
        """Opens the body of a commit."""
        device, key = self.keys.session(commit.envelope, commit.epoch, commit.session)
        require(device == commit.device, "a commit's session is of another device")
        data = open_unit(commit.body, COMMIT, self.store.vault, commit.session, key, u32(commit.number))
        return CommitBody.parse(data)

    def tags(self, commit):
        """Returns the tags of a snapshot that are in force."""
        annotation = commit.annotation
        if annotation is None:
            return self.body(commit).tags
        key = self.keys.index_key(annotation.epoch, commit.domain)
        fields = annotation.session + commit.id
        return parse_annotation(open_unit(annotation.body, ANNOTATION, self.store.vault, annotation.session, key, fields))

    def root(self, commit):
        """Returns the entry of a snapshot's root."""
        return parse_entry(self.body(commit).root, "root", root=True)

    def snapshot(self, commit):
        """Returns the trees of a snapshot, read through the indexes of its domain."""
        places = self._places(commit.domain)
        id_key = self.keys.chunk_id_key(commit.domain)
        return Trees(lambda h: self._chunk(places, id_key, h))

    # Indexes and chunks

    def indexed_packs(self, domain):
        """Returns the packs that the index objects in force in a domain name, without the condemned ones."""
        packs = []
        for index_id in [index for of, index in self.log.indexes if of == domain]:
            if (domain, index_id) not in self.indexes:
                self.indexes[domain, index_id] = open_index(
                    self.store.index(index_id), index_id, self.store.vault, lambda epoch: self.keys.index_key(epoch, domain)
                )
            packs += [pack for pack in self.indexes[domain, index_id] if pack.id not in self.log.condemned]
        return packs

    def _places(self, domain):
        """Returns where each chunk of a domain stands, by chunk id."""
        places = {}
        for pack in self.indexed_packs(domain):
            for segment in pack.segments:
                for chunk_id, offset, length in segment.chunks:
                    places[chunk_id] = (pack, segment, offset, length)
        return places

    def _chunk(self, places, id_key, h):
        chunk_id = blake3_keyed(id_key, h)[:16]
        require(chunk_id in places, f"chunk {h.hex()} is in no index")
        pack, segment, offset, length = places[chunk_id]
        raw = self.segments.get((pack.id, segment.number), pack, segment)
        data = raw[offset : offset + length]
        require(blake3(data) == h, f"chunk {h.hex()} is not what its hash says")
        return data

    def _open_segment(self, _key, indexed, segment):
        pack = self.packs.get(indexed.id)
        indexed.check_pack(pack)
        return pack.open_segment(segment, self._session_key(pack))

    def _session_key(self, pack):
        return self.keys.session(pack.envelope, pack.epoch, pack.session)[1]

    # Everything

    def verify(self):
        """Checks every object of the vault; returns how many of each kind there are."""
        found = collections.Counter(statements=self.log.statements, snapshots=len(self.log.commits))
        indexed = {}
        for domain in {of for of, _ in self.log.indexes}:
            for pack in self.indexed_packs(domain):
                indexed.setdefault(pack.id, (pack, domain))
        for pack, domain in indexed.values():
            self._verify_pack(pack, domain, found)
        for commit in self.log.commits:
            self.tags(commit)
            self._verify_snapshot(commit, found)
        for pack_id in self.store.pack_ids():
            if pack_id in self.log.condemned:
                found["condemned packs"] += 1
            elif pack_id not in indexed:
                self._session_key(Pack(self.store.pack(pack_id), pack_id, self.store.vault))
                found["packs without index"] += 1
        found["indexes"] = len(self.indexes)
        return found

    def _verify_pack(self, indexed, domain, found):
        pack = self.packs.get(indexed.id)
        indexed.check_pack(pack)
        table = pack.open_table(self.keys.index_key(pack.epoch, domain))
        require(table == indexed.table, f"the table of pack {pack.id.hex()} is not the one in its index")
        parse_table(table)
        id_key = self.keys.chunk_id_key(domain)
        session_key = self._session_key(pack)
        for segment in indexed.segments:
            raw = pack.open_segment(segment, session_key)
            for chunk_id, offset, length in segment.chunks:
                h = blake3(raw[offset : offset + length])
                require(blake3_keyed(id_key, h)[:16] == chunk_id, f"chunk {chunk_id.hex()} is not what its id says")
                found["chunks"] += 1
        found["packs"] += 1
        found["segments"] += len(indexed.segments)

    def _verify_snapshot(self, commit, found):
        places = self._places(commit.domain)
        id_key = self.keys.chunk_id_key(commit.domain)
        trees = self.snapshot(commit)
        for path, entry in trees.walk(self.root(commit)):
            found["entries"] += 1
            if entry.type != FILE:
                continue
            found["chunk lists"] += len(entry.chunk_lists or [])
            for h, length in trees.chunks(entry):
                # Contents were compared with chunk ids pack by pack; here it is enough that the chunk is there.
                chunk_id = blake3_keyed(id_key, h)[:16]
                require(chunk_id in places, f"{path!r}: chunk {h.hex()} is in no index")
                require(places[chunk_id][3] == length, f"{path!r}: a chunk has another length than its file says")
        found["nodes of large directories"] += trees.large_nodes


