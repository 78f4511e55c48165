"""age files, opened by the TypeScript implementation of age (`tests/interop/age.mjs`), and Bech32.

Secrets go to that program in files of mode 0600 which are gone when the call returns.
"""

import os
import pathlib
import subprocess
import tempfile

from .notation import Broken, require

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "interop" / "age.mjs"
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def decrypt(age_file, *, identity=None, passphrase=None):
    """Returns the plaintext of an age file, by identity text or by passphrase."""
    option = "--identity-file" if passphrase is None else "--passphrase-file"
    secret = identity.encode() if passphrase is None else passphrase
    with tempfile.NamedTemporaryFile() as file:
        file.write(secret)
        file.flush()
        return _run(["decrypt", option, file.name], age_file)


def check_pair(identity, recipient):
    """Requires that an identity opens what is sealed to a recipient."""
    sealed = _run(["encrypt", "--recipient", recipient], b"one pair")
    require(decrypt(sealed, identity=identity) == b"one pair", "an identity and a recipient are no pair")


def _run(arguments, data):
    script = os.environ.get("VAULT_READER_AGE", str(SCRIPT))
    done = subprocess.run(["node", script, *arguments], input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise Broken(f"age: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def post_quantum_identity(seed):
    """Returns the text `AGE-SECRET-KEY-PQ-1…` of a 32-byte seed."""
    return bech32_encode("age-secret-key-pq-", seed).upper()


def bech32_encode(prefix, data):
    """Encodes bytes as Bech32 (BIP 173, without its length limit)."""
    values = _regroup(data, 8, 5, pad=True)
    checksum = _polymod(_expand(prefix) + values + [0] * 6) ^ 1
    values += [(checksum >> 5 * (5 - place)) & 31 for place in range(6)]
    return prefix + "1" + "".join(ALPHABET[value] for value in values)


def bech32_decode(text, prefix):
    """Decodes Bech32 with the given lower-case prefix."""
    require(text in (text.lower(), text.upper()), "a Bech32 text mixes cases")
    text = text.lower()
    at = text.rfind("1")
    require(text[:at] == prefix and len(text) - at > 6, f"a Bech32 text does not begin with {prefix}")
    values = [ALPHABET.find(character) for character in text[at + 1 :]]
    require(-1 not in values, "a Bech32 text has a character that does not occur in it")
    require(_polymod(_expand(prefix) + values) == 1, "a Bech32 checksum is wrong")
    return bytes(_regroup(values[:-6], 5, 8, pad=False))


def _expand(prefix):
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values):
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if (top >> bit) & 1 else 0
    return checksum


def _regroup(data, size, wanted, pad):
    buffer, bits, result = 0, 0, []
    for value in data:
        buffer, bits = (buffer << size) | value, bits + size
        while bits >= wanted:
            bits -= wanted
            result.append((buffer >> bits) & ((1 << wanted) - 1))
    rest = buffer & ((1 << bits) - 1)
    if pad and bits:
        result.append((rest << (wanted - bits)) & ((1 << wanted) - 1))
    require(pad or (bits < size and rest == 0), "a Bech32 text has bits after its end")
    return result
