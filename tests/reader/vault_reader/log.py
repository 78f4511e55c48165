"""Section 7: the log, verified statement by statement.

A `Log` exists only when every statement passed every check; what others ask it is therefore true.
"""

import dataclasses

from . import membership
from .keys import user_id
from .membership import Members
from .notation import (
    MIB, Broken, Fields, any_bytes, anything, array, ascending, binary, blake3, boolean, check_signature, decode_cbor, require, text, time,
    tuple_of, unsigned, up_to,
)

GENESIS, MEMBERS, COMMIT, FORGET, CONDEMN, ATTEST, ANNOTATE = 1, 2, 3, 4, 5, 8, 11


@dataclasses.dataclass
class Commit:
    """The open part of a commit, with what the membership said of its author."""

    id: bytes
    seq: int
    time: int
    device: bytes
    domain: bytes
    epoch: int
    session: bytes
    envelope: bytes
    number: int
    body: bytes
    indexes: list
    partial: bool
    annotation: "Annotation | None" = None


@dataclasses.dataclass
class Annotation:
    """The newest annotation of a snapshot, still sealed."""

    epoch: int
    session: bytes
    body: bytes


def ids(least=0):
    """The shape of an array of ascending ids."""

    def shape(value, what):
        found = array(binary(32), least=least)(value, what)
        ascending(found, what)
        return found

    return shape


class Log:
    """The verified log of a vault: `commits` are the live snapshots, `indexes` the index objects in force, with their domains."""

    def __init__(self, vault, statements):
        self.vault = vault
        self.members = None
        self.commits = []
        self.indexes = []
        self.condemned = set()
        self.attested = {}
        self.statements = len(statements)
        self.epoch_recipients = {}
        self.final_heads = {}
        require(statements, "the log is empty")
        previous = None
        for seq, data in enumerate(statements):
            try:
                self._append(seq, data, previous)
            except Broken as error:
                raise Broken(f"statement {seq}: {error}") from error
            previous = blake3(data)

    def _append(self, seq, data, previous):
        require(len(data) <= MIB, "it is longer than 1 MiB")
        payload, signatures = tuple_of(any_bytes, array(tuple_of(binary(16), binary(64)), least=1))(
            decode_cbor(data, "statement"), "statement"
        )
        require(len(signatures) <= 8, "it has more than 8 signatures")
        fields = Fields(decode_cbor(payload, "payload"), "payload")
        kind = fields.get(0, unsigned(64))
        require(fields.get(1, unsigned(64)) == 1, "its version is unknown")
        takes = {
            GENESIS: self._genesis, MEMBERS: self._members, COMMIT: self._commit, FORGET: self._forget, CONDEMN: self._condemn,
            ATTEST: self._attest, ANNOTATE: self._annotate,
        }
        require(kind in takes, f"its type {kind} is unknown")
        require((kind == GENESIS) == (seq == 0), "genesis is the first statement and no other")
        if seq == 0:
            require(not fields.has(2) and not fields.has(4), "genesis names a vault or a previous statement")
            require(blake3(b"vault/1 hash vault\0", payload) == self.vault, "the vault id is not the hash of genesis")
        else:
            require(fields.get(2, binary(32)) == self.vault, "it is of another vault")
            require(fields.get(4, binary(32)) == previous, "it does not follow the statement before it")
        require(fields.get(3, unsigned(64)) == seq, "it has another number")
        when, author = fields.get(5, time), fields.get(6, binary(16))
        # Who may speak and whose keys sign is asked of the membership before this statement: taken before it changes.
        signers = self._signers()
        takes[kind](fields, seq, author, when, blake3(data))
        fields.done()
        self._check_signatures(payload, signatures, author, signers or self._signers())

    def _signers(self):
        """Returns the public keys of users and devices: none before genesis, the founder's before `members`."""
        if self.members is not None:
            return self.members.signers()
        return {self.founder: self.founder_public} if hasattr(self, "founder") else {}

    def _check_signatures(self, payload, signatures, author, signers):
        require(author in [signer for signer, _ in signatures], "its author did not sign it")
        for signer, signature in signatures:
            require(signer in signers, f"a signer is not known: {signer.hex()}")
            check_signature(signers[signer], signature, b"vault/1 sign statement\0" + payload, signer.hex())

    def _genesis(self, fields, _seq, author, _when, _id):
        public = fields.get(10, binary(32))
        require(author == user_id(public), "the author is not the founding user")
        self.pq_required = fields.get(11, up_to(1)) == 0
        self.chunker = fields.get(12, tuple_of(unsigned(32), unsigned(8), unsigned(32)))
        fields.get(13, binary(32))
        self.founder, self.founder_public = author, public

    def _members(self, fields, seq, author, _when, _id):
        after = Members.parse(fields, self.vault, self.pq_required)
        if self.members is None:
            require(seq == 1, "the first members statement is not statement 1")
            membership.check_first(after, author, self.founder)
        else:
            membership.check_step(self.members, after, author, seq)
        if after.epoch not in self.epoch_recipients:
            require(after.recipient not in self.epoch_recipients.values(), "the epoch has the recipient of an earlier one")
            self.epoch_recipients[after.epoch] = after.recipient
        self.final_heads.update(dict(after.final_heads))
        self.members = after

    def _commit(self, fields, seq, author, when, statement_id):
        user, _ = self._device(author)
        require(user.role in (membership.OWNER, membership.EDITOR), "its author may not write")
        epoch = self._epoch(fields.get(10, unsigned(32)))
        domain = self._own_domain(author)
        replaces = fields.maybe(17, ids(least=1), [])
        self.commits = [old for old in self.commits if not (old.partial and old.device == author and old.id in replaces)]
        self.commits.append(Commit(
            id=statement_id, seq=seq, time=when, device=author, domain=domain, epoch=epoch,
            session=fields.get(11, binary(16)), envelope=fields.get(12, any_bytes),
            number=fields.get(13, unsigned(32)), body=fields.get(14, any_bytes),
            indexes=fields.get(15, array(binary(32))), partial=fields.get(16, boolean),
        ))
        self._bring(domain, self.commits[-1].indexes)

    def _forget(self, fields, _seq, author, _when, _id):
        forgotten = fields.get(10, ids(least=1))
        self._require_right_to_change(author, self._own_domain(author))
        for commit in self.commits:
            if commit.id in forgotten:
                self._require_right_to_change(author, commit.domain)
        self.commits = [commit for commit in self.commits if commit.id not in forgotten]

    def _condemn(self, fields, _seq, author, _when, _id):
        domain = fields.get(10, binary(16))
        packs, replaced, replacements = fields.get(11, ids()), fields.get(12, ids()), fields.get(13, ids())
        require(packs or replaced or replacements, "it condemns and replaces nothing")
        self._require_right_to_change(author, domain)
        require(all((domain, index) in self.indexes for index in replaced), "an index object to be replaced is not in force")
        in_force = {index for _, index in self.indexes}
        require(in_force.isdisjoint(replacements), "an index object that is in force is to come into force")
        require(self.condemned.isdisjoint(packs), "a pack is condemned twice")
        gone = {(domain, index) for index in replaced}
        self.indexes = [each for each in self.indexes if each not in gone]
        self._bring(domain, replacements)
        self.condemned.update(packs)
        self.attested = {pack: when for pack, when in self.attested.items() if pack not in packs}

    def _attest(self, fields, _seq, author, when, _id):
        self._device(author)
        self.attested.update({pack: when for pack in fields.get(10, ids(least=1)) if pack not in self.condemned})

    def _annotate(self, fields, _seq, author, _when, _id):
        self._device(author)
        snapshot = fields.get(10, binary(32))
        found = [commit for commit in self.commits if commit.id == snapshot]
        require(found, "it annotates what is no live snapshot")
        self._require_right_to_change(author, found[0].domain)
        found[0].annotation = Annotation(
            epoch=self._epoch(fields.get(11, unsigned(32))), session=fields.get(12, binary(16)), body=fields.get(13, any_bytes),
        )

    def _bring(self, domain, indexes):
        """Brings index objects into force that are not."""
        for index in indexes:
            if (domain, index) not in self.indexes:
                self.indexes.append((domain, index))

    def _epoch(self, epoch):
        require(epoch == self.members.epoch, "its epoch is not in force")
        return epoch

    def _device(self, author):
        require(self.members is not None, "it stands before the first membership")
        return self.members.device(author)

    def _own_domain(self, author):
        user, device = self._device(author)
        return user.id if device.kind == membership.FULL else device.id

    def _require_right_to_change(self, author, domain):
        user, device = self._device(author)
        require(device.kind == membership.FULL, "an append-only device takes something away")
        require(user.role in (membership.OWNER, membership.EDITOR), "a reader takes something away")
        require(user.role == membership.OWNER or domain == user.id, "its author may not change that domain")

    def find(self, name):
        """Returns the commit whose id begins with some hex digits, or the last one for `latest`."""
        if name == "latest":
            require(self.commits, "there is no snapshot")
            return self.commits[-1]
        found = [commit for commit in self.commits if commit.id.hex().startswith(name.lower())]
        require(len(found) == 1, f"{len(found)} snapshots have an id that begins with {name}")
        return found[0]


COUNTS = ("files", "directories", "others", "bytes", "added", "stored")


@dataclasses.dataclass
class CommitBody:
    """The sealed part of a commit."""

    root: dict
    paths: list
    directory: bytes
    host: str
    tags: list
    begin: int
    end: int
    counts: dict
    program: str

    @classmethod
    def parse(cls, data):
        """Parses the map of section 7.4."""
        fields = Fields(decode_cbor(data, "commit body"), "commit body")
        counts = Fields(fields.get(7, anything), "counts")
        body = cls(
            root=fields.get(0, anything), paths=fields.get(1, array(any_bytes)),
            directory=fields.get(2, any_bytes), host=fields.get(3, text), tags=fields.get(4, array(text)),
            begin=fields.get(5, time), end=fields.get(6, time),
            counts={name: counts.get(key, unsigned(64)) for key, name in enumerate(COUNTS)}, program=fields.get(8, text),
        )
        counts.done()
        fields.done()
        for path in [*body.paths, body.directory]:
            require(path.startswith(b"/"), "a path that was backed up is not absolute")
        return body


def parse_annotation(data):
    """Parses the map of section 7.8; returns the tags."""
    fields = Fields(decode_cbor(data, "annotation body"), "annotation body")
    tags = fields.get(0, array(text))
    fields.done()
    return tags
