"""Sections 3 and 5.1: the identity of a user, the envelope of a member and that of a session.

An envelope's keys come out only after everything that is said about it elsewhere was compared.
"""

import dataclasses
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import age
from .notation import Broken, Fields, array, binary, blake3, decode_cbor, hkdf, require, text, tuple_of, unsigned

ROOT_PREFIX = "# VAULT-ROOT-KEY-1"
NAME_PREFIX = "# vault identity "


def user_id(root_public):
    """Returns the id of a user."""
    return blake3(b"vault/1 hash user\0", root_public)[:16]


def device_id(signing_public):
    """Returns the id of a device."""
    return blake3(b"vault/1 hash device\0", signing_public)[:16]


@dataclasses.dataclass
class Identity:
    """What a user opens envelopes with."""

    user: bytes
    text: str


def parse_identity(plaintext):
    """Parses the text of section 3.1."""
    lines = plaintext.decode("utf-8").split("\n")
    require(len(lines) == 4 and lines[3] == "", "an identity does not consist of three lines")
    name, root, age_identity, _ = lines
    require(name.startswith(NAME_PREFIX), "an identity does not begin with its user")
    require(root.startswith(ROOT_PREFIX) and root == root.upper(), "an identity has no root key in its second line")
    seed = age.bech32_decode(root.removeprefix("# "), "vault-root-key-")
    require(len(seed) == 32, "a root key does not have 32 bytes")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    named = name.removeprefix(NAME_PREFIX)
    require(named == user_id(public).hex(), "an identity names another user than its root key")
    return Identity(user_id(public), age_identity)


def find_identity(sealed, identity_file=None, passphrase=None):
    """Returns the identity itself when the file is one, or else opens the sealed one that opens."""
    if identity_file is not None and ROOT_PREFIX.encode() in identity_file:
        return parse_identity(identity_file)
    known = identity_file.decode("utf-8") if identity_file is not None else None
    failures = []
    for user, age_file in sealed.items():
        try:
            plaintext = age.decrypt(age_file, identity=known, passphrase=passphrase)
        except Broken as error:
            failures.append(str(error))
            continue
        identity = parse_identity(plaintext)
        require(identity.user == user, "a sealed identity stands under another user's name")
        return identity
    raise Broken(f"no identity of the vault opens: {failures}")


class EpochKeys:
    """The keys of all epochs that a member has: `epochs[n]` is `(E_n, I_n)`."""

    def __init__(self, vault, epochs, dedup_root):
        self.vault, self.epochs, self.dedup_root = vault, epochs, dedup_root
        self.sessions = {}

    def of_epoch(self, epoch):
        """Returns the pair of an epoch."""
        require(epoch in self.epochs, f"no keys of epoch {epoch}")
        return self.epochs[epoch]

    def chunk_id_key(self, domain):
        """Returns `K_id`."""
        return hkdf(self.vault, self.dedup_root, b"vault/1 domain id", domain, 32)

    def index_key(self, epoch, domain):
        """Returns `K_index`."""
        return hkdf(self.vault, self.of_epoch(epoch)[1], b"vault/1 domain index", domain, 32)

    def session(self, age_file, epoch, session):
        """Opens a session envelope; returns the device and S."""
        if (age_file, epoch, session) not in self.sessions:
            self.sessions[age_file, epoch, session] = self._open_session(age_file, epoch, session)
        return self.sessions[age_file, epoch, session]

    def _open_session(self, age_file, epoch, session):
        identity = age.post_quantum_identity(self.of_epoch(epoch)[0])
        fields = Fields(decode_cbor(age.decrypt(age_file, identity=identity), "session envelope"), "session envelope")
        require(fields.get(0, text) == "session", "a session envelope has another purpose")
        require(fields.get(1, binary(32)) == self.vault, "a session envelope is of another vault")
        require(fields.get(2, unsigned(32)) == epoch, "a session envelope is of another epoch")
        require(fields.get(3, binary(16)) == session, "a session envelope is of another session")
        device, key = fields.get(4, binary(16)), fields.get(5, binary(32))
        fields.done()
        return device, key


def check_pin(age_file, pin, what):
    """Requires that an envelope is the one that the membership pins."""
    require(hashlib.sha256(age_file).digest() == pin, f"{what} is not the one that the membership pins: an attack")


def open_member(store, log, identity):
    """Opens the envelope of a member in the epoch in force and checks it against the log."""
    members = log.members
    require(identity.user in members.users, "the identity's user is no member")
    pin = members.users[identity.user].envelope
    age_file = store.envelope(members.epoch, identity.user, pin)
    check_pin(age_file, pin, "the member envelope")
    plaintext = age.decrypt(age_file, identity=identity.text)
    fields = Fields(decode_cbor(plaintext, "member envelope"), "member envelope")
    require(fields.get(0, text) == "member", "a member envelope has another purpose")
    require(fields.get(1, binary(32)) == store.vault, "a member envelope is of another vault")
    require(fields.get(2, unsigned(32)) == members.epoch, "a member envelope is of another epoch")
    require(fields.get(3, binary(16)) == identity.user, "a member envelope is of another user")
    epochs = {members.epoch: (fields.get(4, binary(32)), fields.get(5, binary(32)))}
    root = fields.get(6, binary(32))
    last = 0
    for epoch, seed, index in fields.maybe(8, array(tuple_of(unsigned(32), binary(32), binary(32)), least=1), []):
        require(last < epoch < members.epoch, "earlier epochs of a member envelope are out of order")
        epochs[epoch] = (seed, index)
        last = epoch
    fields.done()
    commitment = blake3(b"vault/1 hash dedup root\0", store.vault, root)
    require(commitment == members.dedup_commitment, "the deduplication root does not fit its commitment: an attack")
    for epoch, (seed, _) in epochs.items():
        require(epoch in log.epoch_recipients, "a member envelope has keys of an epoch that never was")
        age.check_pair(age.post_quantum_identity(seed), log.epoch_recipients[epoch])
    return EpochKeys(store.vault, epochs, root)
