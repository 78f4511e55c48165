#!/usr/bin/env python3
"""Measures backup programs against each other and prints Markdown tables.

The rule: programs are compared only within one round, in which they alternate on the same tree, the same file system and
a warm page cache; what is printed is the median of the rounds, and a step that failed is a dash, never a number.

A round of a job:
  1. each program: fresh repository; first backup, unchanged backup, restore, check of all data, list
  2. the tree becomes version 2 in place; each program: changed backup
  3. the tree becomes version 1 again
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

import programs
import trees

STEPS = ("first", "unchanged", "changed", "restore", "check", "list")


class Tree:
    """A job's tree on disk, made by trees.py."""

    def __init__(self, job, scale, folder):
        self.job, self.scale, self.path = job, scale, os.path.join(folder, job)

    def do(self, verb):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trees.py")
        subprocess.run([sys.executable, script, verb, self.job, self.path, self.scale], check=True)
        os.sync()


def family(root):
    """The process `root` and those it started, by asking the kernel for each thread's children."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children") as file:
                    todo += map(int, file.read().split())
        except OSError:
            pass
    return found


def watch(pid, peaks, done):
    """Keeps each family member's peak resident size in `peaks` (KiB), ten times a second."""
    while not done.wait(0.1):
        for member in family(pid):
            try:
                with open(f"/proc/{member}/status") as file:
                    line = next(line for line in file if line.startswith("VmHWM"))
                peaks[member] = int(line.split()[1])
            except (OSError, StopIteration):
                pass


def run(command, environment, cwd=None, log=None):
    """Runs `command`; gives seconds and peak memory in MB, or None where it failed.

    The peak is the larger of what the kernel says of the process (never below this script's own 15 MB) and the sum of
    the peaks of it and its children as sampled.
    """
    os.sync()
    peaks, done = {}, threading.Event()
    with open(log or os.devnull, "ab") as errors:
        start = time.monotonic()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
        child = subprocess.Popen(command, env=environment, cwd=cwd, **quiet)
        watcher = threading.Thread(target=watch, args=(child.pid, peaks, done))
        watcher.start()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        done.set()
        watcher.join()
    if child.returncode != 0:
        print(f"  failed ({child.returncode}): {' '.join(command)}", file=sys.stderr)
        return None
    peak = max(usage.ru_maxrss, sum(peaks.values()))
    return {"seconds": seconds, "mb": peak * 1024 / 1e6, "cpu": usage.ru_utime + usage.ru_stime}


def stored(path, only=""):
    """Bytes of the files below `path` (of those in the directory `only`)."""
    total = 0
    for folder, _, names in os.walk(os.path.join(path, only)):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return total


def same(tree, target, program):
    """Whether the restored files are those of the tree."""
    where = target + tree.path if program.restores_full_path else target
    return subprocess.run(["diff", "-rq", "--no-dereference", tree.path, where], stdout=subprocess.DEVNULL).returncode == 0


class Round:
    """One round of one job: results by program and step."""

    def __init__(self, tree, folder, verify):
        self.tree, self.folder, self.verify, self.results = tree, folder, verify, {}

    def step(self, program, step, command):
        arguments, cwd = command
        log = os.path.join(self.folder, "errors.log")
        result = run(arguments, program.environment(), cwd, log)
        self.results.setdefault(program.name, {})[step] = result
        return result is not None

    def first_version(self, program):
        program.prepare()
        results = self.results.setdefault(program.name, {})
        if not self.step(program, "first", program.backup(self.tree.path)):
            return
        results["stored"] = stored(program.repo)
        results["index"] = stored(program.repo, "index")
        self.step(program, "unchanged", program.backup(self.tree.path))
        self.restore(program)
        self.step(program, "check", program.check())
        self.step(program, "list", program.list())
        results["before"] = stored(program.repo)

    def restore(self, program):
        target = os.path.join(self.folder, "restored")
        os.makedirs(target)
        if self.step(program, "restore", program.restore(target)) and self.verify and not same(self.tree, target, program):
            print(f"  {program.name}: the restored tree differs", file=sys.stderr)
            self.results[program.name]["restore"] = None
        shutil.rmtree(target)

    def second_version(self, program):
        results = self.results[program.name]
        if results.get("first") and self.step(program, "changed", program.backup(self.tree.path)):
            results["added"] = stored(program.repo) - results["before"]


def measure(job, candidates, options):
    """All rounds of a job; a list of results."""
    tree = Tree(job, options.scale, options.work)
    tree.do("make")
    rounds = []
    for number in range(options.rounds):
        this = Round(tree, options.work, verify=number == 0)
        fresh = [kind(binary, os.path.join(options.work, kind.name.replace(" ", ""))) for kind, binary in candidates]
        # Each round begins with another program: none always runs on the freshest file system.
        turn = fresh[number % len(fresh):] + fresh[:number % len(fresh)]
        for program in turn:
            this.first_version(program)
        tree.do("change")
        for program in turn:
            this.second_version(program)
        if number + 1 < options.rounds:
            tree.do("revert")
        for program in fresh:
            shutil.rmtree(program.base)
        rounds.append(this.results)
        print(f"{job}: round {number + 1} of {options.rounds}", file=sys.stderr)
    shutil.rmtree(tree.path)
    return rounds


def median(rounds, program, step, field=None):
    values = [results.get(program, {}).get(step) for results in rounds]
    values = [value[field] if field else value for value in values if value]
    return statistics.median(values) if values else None


def cell(value, form="{:.2f}"):
    return "–" if value is None else form.format(value)


def ratio(value, base, form):
    """`value` divided by `base`; in brackets the value itself where there is nothing to divide by."""
    if value is None or base:
        return cell(value and value / base)
    return f"({form.format(value)})"


def table(title, rows, names):
    """A Markdown table: the first name's values, then each other's value divided by it."""
    print(f"\n{title}\n\n| | {names[0]} | " + " | ".join(f"{name} ÷ {names[0]}" for name in names[1:]) + " |")
    print("|---" * (len(names) + 1) + "|")
    for label, form, values in rows:
        ratios = [ratio(value, values[0], form) for value in values[1:]]
        print(f"| {label} | {cell(values[0], form)} | " + " | ".join(ratios) + " |")


def report(job, rounds, names):
    """The table of one job against the peers."""
    rows = [(f"{step}, s", "{:.2f}", [median(rounds, name, step, "seconds") for name in names]) for step in STEPS]
    for step in ("stored", "added"):
        values = [median(rounds, name, step) for name in names]
        rows.append((f"{step}, MB", "{:.2f}", [value and value / 1e6 for value in values]))
    for step in ("first", "unchanged", "restore", "check"):
        rows.append((f"peak memory, {step}, MB", "{:.0f}", [median(rounds, name, step, "mb") for name in names]))
    table(f"**{job}**, median of {len(rounds)}", rows, names)


def report_chunkers(job, rounds, names):
    """The table of one job over mean chunk sizes, in absolute numbers."""
    print(f"\n**{job}** by mean chunk size, median of {len(rounds)}\n")
    print("| mean | first, s | restore, s | stored, MB | added by version 2, MB | index, MB | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        bytes_of = [median(rounds, name, step) for step in ("stored", "added", "index")]
        cells = [cell(median(rounds, name, step, "seconds")) for step in ("first", "restore")]
        cells += [cell(value and value / 1e6) for value in bytes_of] + [cell(median(rounds, name, "first", "mb"), "{:.0f}")]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description="Measures Vault against its peers.")
    parser.add_argument("work", help="an empty directory on the file system to measure on")
    parser.add_argument("--vault", required=True, help="the vault binary")
    parser.add_argument("--peers", default=os.environ.get("PEERS_DIR", ""), help="where peers.sh put the others")
    parser.add_argument("--scale", choices=("small", "full"), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", default="one,src,tiny,big,vm")
    parser.add_argument("--chunkers", action="store_true", help="compare chunk sizes of vault instead of programs")
    parser.add_argument("--raw", help="also write every result to this file, as JSON")
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)

    binary = os.path.abspath(options.vault)
    if options.chunkers:
        candidates = [(kind, binary) for kind in programs.chunker_variants()]
    else:
        candidates = [(programs.Vault, binary)] + programs.find_peers(options.peers)
        print("Versions: " + ", ".join(f"{kind.name} {kind(path, '').version()}" for kind, path in candidates))
    names = [kind.name for kind, _ in candidates]
    load = os.getloadavg()[0]
    print(f"{options.scale} trees, {os.cpu_count()} cores, load average {load:.1f} before the start" +
          (" (**the machine was not idle: noise**)" if load > 0.5 else ""))

    everything = {}
    for job in options.jobs.split(","):
        if job not in trees.MAKE:
            parser.error(f"no such job: {job}")
        everything[job] = measure(job, candidates, options)
        (report_chunkers if options.chunkers else report)(job, everything[job], names)
        sys.stdout.flush()
        if options.raw:
            with open(options.raw, "w") as file:
                json.dump(everything, file, indent=1)


if __name__ == "__main__":
    main()
