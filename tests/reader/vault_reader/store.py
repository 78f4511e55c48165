"""The directory of section 2: which file holds which object.

Names are checked before they are used; `.tmp-*` is passed over everywhere.
"""

import hashlib
import pathlib
import re

from .notation import require


class Store:
    """A vault in a directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.vault = self._vault_id()

    def _vault_id(self):
        lines = (self.directory / "VAULT").read_text(encoding="utf-8").split("\n")
        formats = [line.removeprefix("format: ") for line in lines if line.startswith("format: ")]
        ids = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
        require(formats == ["1"], f"the format is not 1: {formats}")
        require(len(ids) == 1 and re.fullmatch("[0-9a-f]{64}", ids[0]), "VAULT does not hold one id")
        return bytes.fromhex(ids[0])

    def _names(self, folder, pattern):
        directory = self.directory / folder
        names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
        names = sorted(name for name in names if not name.startswith(".tmp-"))
        for name in names:
            require(re.fullmatch(pattern, name), f"{folder}/{name} does not belong there")
        return names

    def _read(self, path):
        require((self.directory / path).is_file(), f"{path} is missing")
        return (self.directory / path).read_bytes()

    def statements(self):
        """Returns the bytes of all statements, in order."""
        names = self._names("log", "[0-9]{10}")
        for number, name in enumerate(names):
            require(name == f"{number:010}", f"statement {number} is missing")
        return [self._read(f"log/{name}") for name in names]

    def pack(self, pack_id):
        """Returns the bytes of a pack."""
        name = pack_id.hex()
        return self._read(f"packs/{name[:2]}/{name}")

    def pack_ids(self):
        """Returns the ids of all packs."""
        ids = []
        for folder in self._names("packs", "[0-9a-f]{2}"):
            ids += self._names(f"packs/{folder}", folder + "[0-9a-f]{62}")
        return [bytes.fromhex(name) for name in ids]

    def index(self, index_id):
        """Returns the bytes of an index object."""
        return self._read(f"index/{index_id.hex()}")

    def envelope(self, epoch, owner, pin):
        """Returns the envelope of a user or device in an epoch, by its hash; what has the plain name, if there is none with that."""
        plain = self._read(f"epochs/{epoch}/{owner.hex()}.age")
        second = f"epochs/{epoch}/{owner.hex()}-{pin[:8].hex()}.age"
        other = hashlib.sha256(plain).digest() != pin and (self.directory / second).is_file()
        return self._read(second) if other else plain

    def identities(self):
        """Returns the sealed identities, by user id."""
        names = self._names("identities", r"[0-9a-f]{32}\.age")
        return {bytes.fromhex(name[:32]): self._read(f"identities/{name}") for name in names}
