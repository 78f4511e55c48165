"""The notation of sections 1 and 4: CBOR, hashes, HKDF, Ed25519, Padmé and sealed units.

Whatever can be wrong with a value is checked where it is taken apart: the other modules see well-formed values only.
"""

import hmac
import struct

import blake3 as blake3_module
import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIB = 1024 * 1024
MAX_NESTING = 32


class Broken(Exception):
    """A MUST of the format does not hold."""


def require(condition, message):
    """Raises `Broken` with the message when the condition is false."""
    if not condition:
        raise Broken(message)


# CBOR


class Cursor:
    """Takes fixed-size pieces from the front of some bytes."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, count):
        """Returns the next `count` bytes."""
        require(count <= len(self.data) - self.at, f"{self.what} ends too early")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return bytes(piece)

    def unsigned(self, size):
        """Returns the next little-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def finish(self):
        """Requires that everything was taken."""
        require(self.at == len(self.data), f"{self.what} has bytes after its end")


def decode_cbor(data, what):
    """Decodes one value in the one encoding that section 1 allows."""
    cursor = Cursor(data, what)
    value = _decode_item(cursor, 0)
    cursor.finish()
    return value


def _decode_item(cursor, depth):
    require(depth <= MAX_NESTING, f"{cursor.what} is nested too deeply")
    first = cursor.take(1)[0]
    major, info = first >> 5, first & 31
    if major == 7:
        require(info in (20, 21), f"{cursor.what} has a CBOR value that does not occur in the format")
        return info == 21
    require(major != 6, f"{cursor.what} has a CBOR tag")
    argument = _decode_argument(cursor, info)
    if major == 0:
        return argument
    if major == 1:
        return -1 - argument
    if major == 2:
        return cursor.take(argument)
    if major == 3:
        try:
            return cursor.take(argument).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Broken(f"{cursor.what} has text that is not UTF-8") from error
    # Every item takes a byte at least: a count above what is left cannot be true.
    require(argument <= len(cursor.data) - cursor.at, f"{cursor.what} ends too early")
    if major == 4:
        return [_decode_item(cursor, depth + 1) for _ in range(argument)]
    return _decode_map(cursor, argument, depth)


def _decode_argument(cursor, info):
    if info < 24:
        return info
    require(info <= 27, f"{cursor.what} has a CBOR length that is reserved or indefinite")
    size = 1 << (info - 24)
    value = int.from_bytes(cursor.take(size), "big")
    smallest = 24 if size == 1 else 1 << (4 * size)
    require(value >= smallest, f"{cursor.what} has a CBOR integer that is not the shortest")
    return value


def _decode_map(cursor, count, depth):
    result, last = {}, -1
    for _ in range(count):
        key = _decode_item(cursor, depth + 1)
        require(type(key) is int and key >= 0, f"{cursor.what} has a map key that is no unsigned integer")
        require(key > last, f"{cursor.what} has map keys out of order")
        result[key] = _decode_item(cursor, depth + 1)
        last = key
    return result


# Shapes: what a decoded value may be. Each returns the value or raises.


class Fields:
    """The keys of a map; `done` refuses those below 128 that nobody asked for."""

    def __init__(self, value, what):
        require(isinstance(value, dict), f"{what} is no map")
        self.value, self.what, self.asked = value, what, set()

    def has(self, key):
        """Tells whether the key is there."""
        return key in self.value

    def get(self, key, shape):
        """Returns the value of a key that must be there, in the given shape."""
        require(key in self.value, f"{self.what}: key {key} is missing")
        self.asked.add(key)
        return shape(self.value[key], f"{self.what}: key {key}")

    def maybe(self, key, shape, otherwise=None):
        """Returns the value of a key that may be absent."""
        return self.get(key, shape) if key in self.value else otherwise

    def done(self):
        """Requires that no key below 128 is left."""
        left = [key for key in self.value if key < 128 and key not in self.asked]
        require(not left, f"{self.what} has keys that do not belong there: {left}")


def unsigned(bits):
    """The shape of an unsigned integer of that many bits."""

    def shape(value, what):
        require(type(value) is int and 0 <= value < 1 << bits, f"{what} is no u{bits}")
        return value

    return shape


def up_to(most):
    """The shape of an unsigned integer of at most `most`."""

    def shape(value, what):
        require(type(value) is int and 0 <= value <= most, f"{what} is out of range")
        return value

    return shape


def binary(least, most=None):
    """The shape of a byte string with a length from `least` to `most`; without `most` exactly `least`."""

    def shape(value, what):
        limit = least if most is None else most
        require(isinstance(value, bytes) and least <= len(value) <= limit, f"{what} is not bytes of the right length")
        return value

    return shape


def any_bytes(value, what):
    """The shape of a byte string of any length."""
    require(isinstance(value, bytes), f"{what} is not bytes")
    return value


def text(value, what):
    """The shape of a text."""
    require(isinstance(value, str), f"{what} is not text")
    return value


def boolean(value, what):
    """The shape of a truth value."""
    require(isinstance(value, bool), f"{what} is not true or false")
    return value


def anything(value, _what):
    """The shape of a value that is looked at elsewhere."""
    return value


def array(item, least=0):
    """The shape of an array whose items have one shape."""

    def shape(value, what):
        require(isinstance(value, list) and len(value) >= least, f"{what} is no array, or is empty")
        return [item(element, f"{what}[{number}]") for number, element in enumerate(value)]

    return shape


def tuple_of(*shapes):
    """The shape of an array with one shape for each place."""

    def shape(value, what):
        require(isinstance(value, list) and len(value) == len(shapes), f"{what} is no array of {len(shapes)}")
        return tuple(each(element, what) for each, element in zip(shapes, value))

    return shape


def time(value, what):
    """The shape of a time; returns nanoseconds since 1970."""
    seconds, nanoseconds = tuple_of(anything, up_to(999_999_999))(value, what)
    require(type(seconds) is int and -(1 << 63) <= seconds < 1 << 63, f"{what} has seconds that are no i64")
    return seconds * 1_000_000_000 + nanoseconds


def ascending(values, what):
    """Requires that values ascend strictly."""
    for before, after in zip(values, values[1:]):
        require(before < after, f"{what} are not ascending")


# Hashes and keys


def blake3(*parts):
    """Returns the 32 bytes of BLAKE3 over the parts, one after another."""
    return blake3_module.blake3(b"".join(parts)).digest()


def blake3_keyed(key, data):
    """Returns the 32 bytes of keyed BLAKE3."""
    return blake3_module.blake3(data, key=key).digest()


def hkdf(vault, key, label, fields, size):
    """Returns `HKDF(key, label, fields, size)` of section 1."""
    return HKDF(SHA256(), size, salt=vault, info=label + b"\0" + fields).derive(key)


def u32(number):
    """Returns the four little-endian bytes of a number."""
    return struct.pack("<I", number)


def check_signature(public, signature, message, what):
    """Requires that an Ed25519 signature fits."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Broken(f"{what}: the signature does not fit") from error


def padme(size):
    """Returns the Padmé size of section 5.1."""
    exponent = size.bit_length() - 1
    if exponent < 1:
        return size
    unit = 1 << (exponent - exponent.bit_length())
    return -(-size // unit) * unit


# Sealed units

SEGMENT_OF_CONTENTS, SEGMENT_OF_NODES, TABLE, INDEX, COMMIT, ANNOTATION = 1, 2, 3, 4, 5, 6
LIMITS = {
    SEGMENT_OF_CONTENTS: 16 * MIB, SEGMENT_OF_NODES: 16 * MIB, TABLE: 16 * MIB, INDEX: 64 * MIB, COMMIT: MIB, ANNOTATION: MIB,
}
LABELS = {
    SEGMENT_OF_CONTENTS: b"vault/1 seal segment",
    SEGMENT_OF_NODES: b"vault/1 seal segment",
    TABLE: b"vault/1 seal table",
    INDEX: b"vault/1 seal index",
    COMMIT: b"vault/1 seal commit",
    ANNOTATION: b"vault/1 seal annotation",
}
SEALED_OVERHEAD = 16 + 12 + 16 + 5


def open_unit(unit, kind, vault, session, key, fields):
    """Opens a sealed unit and returns its raw data."""
    require(len(unit) >= SEALED_OVERHEAD, "a sealed unit is too short")
    commitment, nonce, sealed = unit[:16], unit[16:28], unit[28:]
    okm = hkdf(vault, key, LABELS[kind], fields, 48)
    require(hmac.compare_digest(commitment, okm[32:]), "a sealed unit is not for this key and place")
    aad = b"vault/1 sealed\0" + bytes([1, kind]) + vault + session
    try:
        body = AESGCM(okm[:32]).decrypt(nonce, sealed, aad)
    except InvalidTag as error:
        raise Broken("a sealed unit was changed") from error
    return _unpack(body, LIMITS[kind])


def _unpack(body, limit):
    compression, raw_length, data = body[0], int.from_bytes(body[1:5], "little"), body[5:]
    require(raw_length <= limit, "a sealed unit says it is longer than its limit")
    require(compression in (0, 1), "a sealed unit has an unknown compression")
    if compression == 1:
        data = _decompress(data, raw_length)
    require(len(data) == raw_length, "a sealed unit is not as long as it says")
    return data


def _decompress(data, raw_length):
    try:
        content_size = zstandard.get_frame_parameters(data).content_size
        known = content_size != zstandard.CONTENTSIZE_UNKNOWN
        require(not known or content_size == raw_length, "a zstd frame is not as long as its unit says")
        decompressor = zstandard.ZstdDecompressor()
        return decompressor.decompress(data, max_output_size=max(raw_length, 1), allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Broken(f"a sealed unit does not decompress: {error}") from error
