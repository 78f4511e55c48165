"""Writes a snapshot into a fresh directory: contents first, then what is said of files, directories last.

Nothing is ever written through a link: the directory did not exist before, names hold no slash, and each is made anew.
"""

import os

from .notation import require
from .tree import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SOCKET, SYMLINK


def extract(trees, root, target):
    """Restores the tree below a root entry as `target`, which must not exist; returns the number of entries."""
    target = os.fsencode(target)
    os.mkdir(target, 0o700)
    linked, directories, count = {}, [(target, root)], 0
    for path, entry in trees.walk(root):
        count += 1
        place = os.path.join(target, path)
        if entry.type == DIRECTORY:
            os.mkdir(place, 0o700)
            directories.append((place, entry))
        elif entry.link_group in linked:
            os.link(linked[entry.link_group], place, follow_symlinks=False)
        elif _make(trees, place, entry):
            _describe(place, entry)
            if entry.link_group is not None:
                linked[entry.link_group] = place
    for place, entry in reversed(directories):
        _describe(place, entry)
    return count


def _make(trees, place, entry):
    """Makes anything but a directory; sockets are left out, since only their program can make them."""
    if entry.type == FILE:
        _write(trees, place, entry)
    elif entry.type == SYMLINK:
        os.symlink(entry.target, place)
    elif entry.type == FIFO:
        os.mkfifo(place, 0o600)
    elif entry.type in (CHARACTER, BLOCK):
        kind = 0o020000 if entry.type == CHARACTER else 0o060000
        os.mknod(place, kind | 0o600, os.makedev(*entry.device))
    return entry.type != SOCKET


def _write(trees, place, entry):
    """Lays the chunks into the places that no hole covers."""
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        holes, at = list(entry.holes), 0
        for h, length in trees.chunks(entry):
            data = trees.chunk(h)
            require(len(data) == length, "a chunk has another length than its file says")
            while data:
                if holes and holes[0][0] == at:
                    at += holes.pop(0)[1]
                    continue
                room = holes[0][0] - at if holes else len(data)
                file.seek(at)
                file.write(data[:room])
                at += len(data[:room])
                data = data[room:]
        file.truncate(entry.size)


def _describe(place, entry):
    """Sets owner, mode, xattrs and mtime, in the order in which none undoes another."""
    if os.geteuid() == 0:
        os.chown(place, entry.owner, entry.group, follow_symlinks=False)
    if entry.type != SYMLINK:
        os.chmod(place, entry.mode)
    for name, value in entry.xattrs if hasattr(os, "setxattr") else []:
        os.setxattr(place, name, value, follow_symlinks=False)
    os.utime(place, ns=(entry.mtime, entry.mtime), follow_symlinks=False)
