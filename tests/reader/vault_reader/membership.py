"""Section 7.3: a membership, and which one may follow which.

A `Members` is well-formed in itself; `check_first` and `check_step` compare it with the one before.
"""

import dataclasses

from .keys import device_id, user_id
from .notation import Fields, array, ascending, binary, check_signature, require, text, tuple_of, unsigned, up_to

OWNER, EDITOR, READER = 0, 1, 2
FULL, APPEND_ONLY = 0, 1
POST_QUANTUM = "age1pq1"


@dataclasses.dataclass
class Device:
    """A device under its user."""

    id: bytes
    public: bytes
    recipient: str
    kind: int
    certificate: bytes
    envelope: bytes


@dataclasses.dataclass
class User:
    """A user and their devices."""

    id: bytes
    public: bytes
    recipient: str
    role: int
    devices: dict
    envelope: bytes
    reads_from: int


def _device(value, _what):
    fields = Fields(value, "device")
    device = Device(
        id=fields.get(0, binary(16)), public=fields.get(1, binary(32)), recipient=fields.get(2, text),
        kind=fields.get(3, up_to(1)), certificate=fields.get(4, binary(64)), envelope=fields.get(5, binary(32)),
    )
    fields.done()
    require(device.id == device_id(device.public), "a device has not the id of its key")
    return device


def _check_certificate(vault, user, device):
    message = b"vault/1 sign device\0" + vault + user.id + device.public + bytes([device.kind]) + device.recipient.encode()
    check_signature(user.public, device.certificate, message, f"certificate of device {device.id.hex()}")


def _user(value, _what):
    fields = Fields(value, "user")
    devices = fields.get(4, array(_device))
    ascending([device.id for device in devices], "devices of a user")
    user = User(
        id=fields.get(0, binary(16)), public=fields.get(1, binary(32)), recipient=fields.get(2, text),
        role=fields.get(3, up_to(2)), devices={device.id: device for device in devices}, envelope=fields.get(5, binary(32)),
        reads_from=fields.maybe(6, unsigned(32), 1),
    )
    fields.done()
    require(user.id == user_id(user.public), "a user has not the id of their key")
    require(6 not in value or user.reads_from > 1, "the first epoch is said although it is 1")
    return user


@dataclasses.dataclass
class Members:
    """The whole membership after a statement."""

    epoch: int
    recipient: str
    users: dict
    dedup_commitment: bytes
    final_heads: list

    @classmethod
    def parse(cls, fields, vault, pq_required):
        """Parses the keys from 10 on and checks what can be checked without the membership before."""
        users = fields.get(12, array(_user, least=1))
        members = cls(
            epoch=fields.get(10, unsigned(32)), recipient=fields.get(11, text), users={user.id: user for user in users},
            dedup_commitment=fields.get(13, binary(32)),
            final_heads=fields.maybe(14, array(tuple_of(binary(16), unsigned(64)), least=1), []),
        )
        ascending([user.id for user in users], "users")
        for user in users:
            for device in user.devices.values():
                _check_certificate(vault, user, device)
        devices = [device for user in users for device in user.devices.values()]
        require(len({device.id for device in devices}) == len(devices), "a device stands under two users")
        require(any(user.role == OWNER for user in users), "there is no owner")
        require(members.epoch >= 1, "the epoch is 0")
        require(members.recipient.startswith(POST_QUANTUM), "the epoch's recipient is not post-quantum")
        for user in users:
            latest = 1 if user.role == OWNER else members.epoch
            require(user.reads_from <= latest, "a user's first epoch is not one that they can have")
        for each in [*users, *devices] if pq_required else []:
            require(each.recipient.startswith(POST_QUANTUM), "a recipient is not post-quantum")
        return members

    def signers(self):
        """Returns the public keys of all users and devices, by id."""
        keys = {user.id: user.public for user in self.users.values()}
        for user in self.users.values():
            keys.update({device.id: device.public for device in user.devices.values()})
        return keys

    def device(self, wanted):
        """Returns a device and its user."""
        for user in self.users.values():
            if wanted in user.devices:
                return user, user.devices[wanted]
        require(False, f"{wanted.hex()} is no device of a member")
        return None

    def pairs(self):
        """Returns all pairs of user id and device id."""
        return {(user.id, device) for user in self.users.values() for device in user.devices}


def check_first(after, author, founder):
    """Checks the membership of statement 1."""
    require(author == founder, "the first membership is not the founder's")
    require(founder in after.users and after.users[founder].role == OWNER, "the founder is no owner")
    require(after.epoch == 1, "the first epoch is not 1")
    require(not after.final_heads, "the first membership removes devices")


def check_step(before, after, author, seq):
    """Checks that one membership may follow another."""
    require(author in before.users, "the author is no member")
    removed_users = before.users.keys() - after.users.keys()
    removed_devices = sorted(device for _, device in before.pairs() - after.pairs())
    raised = bool(removed_users or removed_devices or before.recipient != after.recipient)
    require(after.epoch == before.epoch + raised, "the epoch is not the one that the change asks for")
    for user in after.users.values():
        was = before.users.get(user.id)
        require(was is None or user.reads_from <= was.reads_from, "a user loses history")
    require(after.dedup_commitment == before.dedup_commitment, "the deduplication root changes")
    require([device for device, _ in after.final_heads] == removed_devices, "final heads are not those of removed devices")
    require(all(head < seq for _, head in after.final_heads), "a final head is not a statement before this one")
    if before.users[author].role != OWNER:
        _check_own_devices_only(before, after, author)


def _check_own_devices_only(before, after, author):
    """An author who is no owner may change nothing but the list of their own devices."""
    require(before.users.keys() == after.users.keys(), "a user who is no owner adds or removes users")
    require(before.epoch == after.epoch, "a user who is no owner begins an epoch")
    for user in before.users:
        old, new = before.users[user], after.users[user]
        if user == author:
            new = dataclasses.replace(new, devices=old.devices)
        require(old == new, "a user who is no owner changes more than their own devices")
