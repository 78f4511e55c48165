#!/usr/bin/env python3
"""Measures Vault's peak memory where it could grow: many files, and one very large file.

The rule: every step stays below the limit, or this exits with 1. The large file repeats one random block of 1 GiB, so its
vault needs 1 GiB while all of its bytes are read, cut, hashed, looked up and, on restoring, written.
"""

import argparse
import os
import random
import shutil
import sys

import measure
import programs

LIMIT_MB = 256 * (1 << 20) / 1e6


def make_giant(folder, gigabytes):
    """One file of `gigabytes` GiB."""
    os.makedirs(folder)
    rng = random.Random("giant")
    with open(os.path.join(folder, "giant"), "w+b") as file:
        for _ in range(1024):
            file.write(rng.randbytes(1 << 20))
        file.flush()
        for _ in range(gigabytes - 1):
            at = 0
            while at < 1 << 30:
                end = file.seek(0, os.SEEK_END)
                at += os.copy_file_range(file.fileno(), file.fileno(), (1 << 30) - at, at, end)
    os.sync()


def steps(program, tree, target, log):
    """First backup, unchanged backup, restore and check of `tree`, as rows of the table."""
    program.prepare()
    commands = (("first", program.backup(tree)), ("unchanged", program.backup(tree)),
                ("restore", program.restore(target)), ("check", program.check()))
    for step, (arguments, cwd) in commands:
        yield step, measure.run(arguments, program.environment(), cwd, log)
        shutil.rmtree(target, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="Measures Vault's peak memory.")
    parser.add_argument("work", help="an empty directory")
    parser.add_argument("--vault", required=True, help="the vault binary")
    parser.add_argument("--scale", choices=("small", "full"), default="small")
    parser.add_argument("--giant-gb", type=int, help="GiB of the large file [1 or 20]")
    options = parser.parse_args()
    work = os.path.abspath(options.work)
    giant_gb = options.giant_gb or (20 if options.scale == "full" else 1)

    over = False
    print("| job | step | seconds | peak memory, MB |\n|---|---|---|---|")
    for job in ("tiny", "giant"):
        tree = os.path.join(work, job)
        if job == "giant":
            make_giant(tree, giant_gb)
        else:
            measure.Tree(job, options.scale, work).do("make")
        label = f"one file of {giant_gb} GiB" if job == "giant" else job
        program = programs.Vault(os.path.abspath(options.vault), os.path.join(work, "vault"))
        for step, result in steps(program, tree, os.path.join(work, "restored"), os.path.join(work, "errors.log")):
            row = (f"{result['seconds']:.1f}", f"{result['mb']:.0f}") if result else ("–", "–")
            print(f"| {label} | {step} | {row[0]} | {row[1]} |", flush=True)
            over |= bool(result) and result["mb"] > LIMIT_MB
        shutil.rmtree(tree)
        shutil.rmtree(program.base)
    if over:
        sys.exit(f"a step needed more than {LIMIT_MB:.0f} MB")


if __name__ == "__main__":
    main()
