#!/usr/bin/env python3
"""Every deliberate bug of base/mutant.h against the simulator: how many seeds and seconds until it is caught, and by which check.
Then against the explorer: how many states, and how many steps the shortest way to it has.

usage: mutants.py SIM EXPLORE [--seeds N] [--jobs N] [NAME...]     both programs were built with -Dmutant=any
"""

import argparse
import os
import re
import subprocess
import sys
import time


def hunt(sim, name, seeds, jobs):
    """The line that `sim` prints about the first failure, or None; seeds that were run; seconds."""
    start = time.monotonic()
    command = [sim, "--seeds", str(seeds), "--jobs", str(jobs), "--no-minimise", "--quiet"]
    done = subprocess.run(command, env={**os.environ, "SYNOD_MUTANT": name}, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode not in (0, 1):
        sys.exit(f"mutants: {name}: {done.stderr.strip()}")
    found = re.search(r"^FAILED: seed (\d+), commit \S+: (CHECK.*?\)|[^:]+): (.*)$", done.stdout, re.MULTILINE)
    ran = re.search(r"^(\d+) seeds in ", done.stdout, re.MULTILINE)
    return found, int(ran.group(1)), seconds


# What the explorer tries, one after the other. It knows engines only: bugs of the journal, of sessions and of packets are beyond it.
BOUNDS = [
    ["--campaigns", "1", "--receipts"],
    ["--campaigns", "2"],
    ["--campaigns", "1", "--crashes", "1"],
    ["--campaigns", "1", "--crashes", "1", "--slow-disks", "0", "--lost-middles"],
]


def explore(program, name):
    """What the explorer finds: states and steps, or nothing."""
    for bounds in BOUNDS:
        done = subprocess.run([program, *bounds], env={**os.environ, "SYNOD_MUTANT": name}, capture_output=True, text=True)
        found = re.search(r"^WRONG.* after (\d+) states", done.stdout, re.MULTILINE)
        if found:
            return f"{int(found.group(1)):,} states, {len(re.findall(r'^ *[0-9]+[.]', done.stdout[found.end():], re.MULTILINE))} steps"
    return "-"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sim")
    parser.add_argument("explore")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_intermixed_args()
    known = subprocess.run([arguments.sim, "--mutants"], capture_output=True, text=True, check=True).stdout.split()
    if not known:
        sys.exit("mutants: this simulator was built without them: configure with -Dmutant=any")
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        sys.exit(f"mutants: there is no mutant called {unknown[0]}; there are: {', '.join(known)}")

    print(f"{'mutant':<30} {'seeds':>6} {'seconds':>8}  {'caught by':<60} explorer")
    survivors = []
    for name in arguments.names or known:
        found, ran, seconds = hunt(arguments.sim, name, arguments.seeds, arguments.jobs)
        explored = explore(arguments.explore, name)
        if found is None and explored == "-":
            survivors.append(name)
        verdict = f"{found.group(2)} (seed {found.group(1)})" if found else "not caught"
        print(f"{name:<30} {ran:>6} {seconds:>8.1f}  {verdict:<60} {explored}", flush=True)
    print(f"{len(arguments.names or known) - len(survivors)} caught, {len(survivors)} not caught")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
