"""The commands: `list`, `ls`, `extract` and `verify`.

Exit code 0: done; 1: something in the vault is broken, or does not open; 2: wrong usage.
"""

import argparse
import datetime
import pathlib
import sys

from .extract import extract
from .log import Log
from .notation import Broken
from .store import Store
from .tree import TYPE_LETTERS
from .vault import Vault


def _time(nanoseconds):
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    epoch = datetime.datetime(1970, 1, 1)
    return f"{epoch + datetime.timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{rest:09}"


def _shown(name):
    return name.decode("utf-8", "backslashreplace")


def _open(arguments):
    passphrase = arguments.passphrase_file and arguments.passphrase_file.read_bytes()
    return Vault(arguments.vault, arguments.identity and arguments.identity.read_bytes(), passphrase)


def _list(arguments):
    vault = _open(arguments)
    for commit in vault.log.commits:
        body = vault.body(commit)
        paths = " ".join(_shown(path) for path in body.paths)
        tags = ",".join(vault.tags(commit)) or "-"
        print(commit.id.hex(), _time(commit.time), body.host, "partial" if commit.partial else "whole", tags, paths)


def _ls(arguments):
    vault = _open(arguments)
    commit = vault.log.find(arguments.snapshot)
    for path, entry in vault.snapshot(commit).walk(vault.root(commit)):
        target = f" -> {_shown(entry.target)}" if entry.target is not None else ""
        print(f"{TYPE_LETTERS[entry.type]}{entry.mode:04o} {entry.size:>12} {_time(entry.mtime)} {_shown(path)}{target}")


def _extract(arguments):
    vault = _open(arguments)
    commit = vault.log.find(arguments.snapshot)
    count = extract(vault.snapshot(commit), vault.root(commit), arguments.target)
    print(f"{count} entries")


def _verify(arguments):
    if not arguments.identity and not arguments.passphrase_file:
        store = Store(arguments.vault)
        log = Log(store.vault, store.statements())
        print(f"{len(log.commits)} snapshots; the log is whole. Without an identity nothing else can be opened.")
        return
    for what, number in _open(arguments).verify().items():
        print(f"{number:>10} {what}")


def _parser():
    parser = argparse.ArgumentParser(prog="vault_reader", description="Reads a vault by what docs/format.md says.")
    commands = parser.add_subparsers(required=True)
    described = [
        (_list, "list", "shows the snapshots", []),
        (_ls, "ls", "shows the entries of a snapshot", ["snapshot"]),
        (_extract, "extract", "restores a snapshot into a new directory", ["snapshot", "target"]),
        (_verify, "verify", "checks everything; without an identity only the log", []),
    ]
    for function, name, text, others in described:
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        command.add_argument("vault", type=pathlib.Path)
        for other in others:
            command.add_argument(other)
        secret = command.add_mutually_exclusive_group(required=name != "verify")
        secret.add_argument("--identity", type=pathlib.Path, metavar="FILE")
        secret.add_argument("--passphrase-file", type=pathlib.Path, metavar="FILE")
    return parser


def main():
    """Runs one command."""
    arguments = _parser().parse_args()
    try:
        arguments.function(arguments)
    except (Broken, OSError, ValueError) as error:
        print(f"vault_reader: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
