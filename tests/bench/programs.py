"""The backup programs that are measured, each as the commands of one fresh repository.

The rule: every program runs with its own defaults and encryption, in a home directory of its own, and nothing it needs
beforehand (making the repository, a key) is timed.
"""

import os
import re
import shutil
import subprocess

PASSPHRASE = "correct horse battery staple"


class Program:
    """One program and its repository below `base`; each method gives a command and the directory to run it in."""

    name = ""
    restores_full_path = False

    def __init__(self, binary, base):
        self.binary, self.base = binary, base
        self.repo = os.path.join(base, "repo")

    def environment(self):
        home = os.path.join(self.base, "home")
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return keep | {"HOME": home} | self.variables()

    def variables(self):
        return {}

    def prepare(self):
        """Makes the home directory and the repository."""
        shutil.rmtree(self.base, ignore_errors=True)
        os.makedirs(os.path.join(self.base, "home"))
        for arguments in self.init():
            subprocess.run(arguments, env=self.environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def version(self):
        output = subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout
        found = re.search(r"\d+\.\d+[.\d]*", output)
        return found.group(0) if found else "?"


class OfSnapshots(Program):
    """What programs have in common that say `backup`, and `restore latest`."""

    def init(self):
        return [[self.binary, "init"]]

    def backup(self, tree):
        return [self.binary, "backup", "--quiet", tree], None

    def restore(self, target):
        return [self.binary, "restore", "--quiet", "latest", "--target", target], None

    def check(self):
        return [self.binary, "check", "--quiet", "--read-data"], None

    def list(self):
        return [self.binary, "snapshots"], None


class Vault(OfSnapshots):
    name = "vault"
    chunker = None

    def variables(self):
        return {"VAULT_PASSPHRASE": PASSPHRASE, "VAULT_LOCATION": self.repo}

    def init(self):
        return [[self.binary, "init", "--quiet"] + (["--chunker", self.chunker] if self.chunker else [])]


class Restic(OfSnapshots):
    name = "restic"
    restores_full_path = True

    def variables(self):
        return {"RESTIC_PASSWORD": PASSPHRASE, "RESTIC_REPOSITORY": self.repo}

    def version(self):
        output = subprocess.run([self.binary, "version"], capture_output=True, text=True).stdout
        return output.split()[1]


class Rustic(OfSnapshots):
    name = "rustic"
    restores_full_path = True

    def variables(self):
        return {"RUSTIC_PASSWORD": PASSPHRASE, "RUSTIC_REPOSITORY": self.repo, "RUSTIC_NO_PROGRESS": "true"}

    def backup(self, tree):
        return [self.binary, "backup", tree], None

    def restore(self, target):
        return [self.binary, "restore", "latest", target], None

    def check(self):
        return [self.binary, "check", "--read-data"], None


class Borg(Program):
    name = "borg"
    restores_full_path = True
    archives = 0

    def variables(self):
        return {"BORG_PASSPHRASE": PASSPHRASE, "BORG_REPO": self.repo}

    def init(self):
        return [[self.binary, "init", "--encryption", "repokey"]]

    def backup(self, tree):
        self.archives += 1
        return [self.binary, "create", f"::a{self.archives}", tree], None

    def restore(self, target):
        return [self.binary, "extract", f"::a{self.archives}"], target

    def check(self):
        return [self.binary, "check", "--verify-data"], None

    def list(self):
        return [self.binary, "list"], None


class Bupstash(Program):
    name = "bupstash"
    archives = 0

    def variables(self):
        return {"BUPSTASH_REPOSITORY": self.repo, "BUPSTASH_KEY": os.path.join(self.base, "home", "key")}

    def init(self):
        return [[self.binary, "init"], [self.binary, "new-key", "-o", os.path.join(self.base, "home", "key")]]

    def backup(self, tree):
        self.archives += 1
        return [self.binary, "put", "--quiet", f"name=a{self.archives}", tree], None

    def restore(self, target):
        return [self.binary, "restore", "--quiet", "--into", target, f"name=a{self.archives}"], None

    def check(self):
        # It has no check; fetching everything and throwing it away is the nearest.
        return [self.binary, "get", "--quiet", f"name=a{self.archives}"], None

    def list(self):
        return [self.binary, "list"], None


PEERS = (Restic, Rustic, Borg, Bupstash)


def find_peers(peers_dir):
    """The peers that are there: in `peers_dir`/bin, else on the system; as pairs of class and binary."""
    found = []
    for peer in PEERS:
        own = os.path.join(peers_dir, "bin", peer.name) if peers_dir else ""
        binary = own if os.access(own, os.X_OK) else shutil.which(peer.name)
        if binary:
            found.append((peer, binary))
    return found


def chunker_variants():
    """Vault with mean chunk sizes from 128 KiB to 1 MiB (mean = minimum + 2^bits), as classes."""
    sizes = {
        "128 KiB": "64K,16,640K", "256 KiB": "128K,17,1280K", "448 KiB": "192K,18,2560K", "1 MiB": "512K,19,5M",
    }
    return [type(name, (Vault,), {"name": name, "chunker": text}) for name, text in sizes.items()]
