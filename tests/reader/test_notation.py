"""What the reader refuses, in its smallest parts. `python -m unittest` in this folder runs it."""

import unittest

import zstandard
from vault_reader import age, notation
from vault_reader.notation import Broken, Fields, decode_cbor, padme
from vault_reader.tree import parse_entry


class Cbor(unittest.TestCase):
    def test_the_one_encoding_is_read(self):
        encoded = bytes.fromhex("a3 00 82 20 18 18 01 62 6869 18 80 f5")
        self.assertEqual(decode_cbor(encoded, "x"), {0: [-1, 24], 1: "hi", 128: True})

    def test_other_encodings_are_refused(self):
        cases = {
            "long integer": "1817", "long length": "5800", "longer integer": "1900ff", "indefinite array": "9fff",
            "indefinite bytes": "5f4100ff", "keys out of order": "a201000000", "key twice": "a200000000",
            "text key": "a1616100", "negative key": "a12000", "tag": "c000", "float": "f90000", "null": "f6",
            "undefined": "f7", "simple value": "f820", "text that is not UTF-8": "61ff", "cut off": "4201",
            "array longer than its bytes": "9bffffffffffffffff", "bytes after the end": "0000", "nothing": "",
            "deep nesting": "81" * 40 + "00",
        }
        for name, encoded in cases.items():
            with self.subTest(name), self.assertRaises(Broken):
                decode_cbor(bytes.fromhex(encoded), "x")

    def test_unknown_keys_are_refused_below_128_only(self):
        Fields({128: 0}, "x").done()
        with self.assertRaises(Broken):
            Fields({127: 0}, "x").done()


class Units(unittest.TestCase):
    VAULT, SESSION, KEY, FIELDS = bytes(32), bytes(16), bytes(range(32)), bytes(8)

    def seal(self, body):
        okm = notation.hkdf(self.VAULT, self.KEY, notation.LABELS[1], self.FIELDS, 48)
        aad = b"vault/1 sealed\0\1\1" + self.VAULT + self.SESSION
        return okm[32:] + bytes(12) + notation.AESGCM(okm[:32]).encrypt(bytes(12), body, aad)

    def open(self, unit, kind=1):
        return notation.open_unit(unit, kind, self.VAULT, self.SESSION, self.KEY, self.FIELDS)

    def test_a_unit_opens_as_what_it_is_only(self):
        unit = self.seal(b"\0\3\0\0\0abc")
        self.assertEqual(self.open(unit), b"abc")
        for other in (unit[:-1], bytes([unit[0] ^ 1]) + unit[1:], unit[:-1] + bytes([unit[-1] ^ 1])):
            with self.assertRaises(Broken):
                self.open(other)
        with self.assertRaises(Broken):
            self.open(unit, kind=2)

    def test_lengths_of_compressed_data_are_checked(self):
        data = bytes(1_000_000)
        with_size = zstandard.ZstdCompressor().compress(data)
        without_size = zstandard.ZstdCompressor(write_content_size=False).compress(data)
        for frame in (with_size, without_size):
            self.assertEqual(self.open(self.seal(b"\1" + notation.u32(len(data)) + frame)), data)
            for length, wrong in (
                (len(data) - 1, frame), (len(data) + 1, frame), (0, frame), (17 << 20, frame), (len(data), frame + b"\0"),
                (len(data), frame[:-1]), (2 * len(data), frame + frame),
            ):
                with self.subTest(length=length), self.assertRaises(Broken):
                    self.open(self.seal(b"\1" + notation.u32(length) + wrong))

    def test_an_unknown_compression_is_refused(self):
        with self.assertRaises(Broken):
            self.open(self.seal(b"\2\3\0\0\0abc"))


class Others(unittest.TestCase):
    def test_padme_grows_by_an_eighth_at_most(self):
        self.assertEqual([padme(n) for n in (1, 9, 10, 17, 1_000_000)], [1, 10, 10, 18, 1_015_808])

    def test_bech32_goes_both_ways(self):
        text = age.bech32_encode("vault-root-key-", bytes(range(32)))
        self.assertEqual(age.bech32_decode(text.upper(), "vault-root-key-"), bytes(range(32)))
        for wrong in (text[:-1] + ("q" if text[-1] != "q" else "p"), text[:-1] + "P", "x" + text):
            with self.assertRaises(Broken):
                age.bech32_decode(wrong, "vault-root-key-")


class Entries(unittest.TestCase):
    FILE = {0: b"name", 1: 0, 2: 0o644, 3: 0, 4: 0, 7: [0, 0], 8: 30, 9: [[bytes(32), 10]], 14: [[0, 10], [20, 10]]}

    def test_an_entry_is_read(self):
        self.assertEqual(parse_entry(self.FILE).size, 30)

    def test_wrong_entries_are_refused(self):
        cases = {
            "size": {8: 31}, "touching holes": {14: [[0, 10], [10, 10]]}, "hole beyond": {14: [[0, 10], [21, 10]]},
            "empty hole": {14: [[0, 20], [25, 0]]}, "no holes": {14: []}, "empty chunk": {9: [[bytes(32), 0]]},
            "target": {11: b"x"}, "subtree": {10: bytes(32)}, "both lists": {17: [[bytes(32), 10]]}, "slash": {0: b"a/b"},
            "parent": {0: b".."}, "no name": {0: b""}, "long name": {0: b"x" * 256}, "mode": {2: 0o10000}, "type": {1: 7},
            "flags 0": {16: 0}, "unknown flag": {16: 2}, "xattrs": {15: [[b"b", b""], [b"a", b""]]},
            "nanoseconds": {7: [0, 10**9]},
        }
        for name, change in cases.items():
            with self.subTest(name), self.assertRaises(Broken):
                parse_entry(self.FILE | change)


if __name__ == "__main__":
    unittest.main()
