#!/usr/bin/env python3
"""Counts the test cases of the last `meson test` and prints one line: N passed, N failed[, N skipped].

usage: summary.py BUILD_DIR

A program that speaks GoogleTest counts once for each case; any other counts once. A program that ended badly without a failed
case (a crash, a time-out, a leak) counts as one failure. One that had to fail, and did, counts once, as passed. Exit code 1 when
anything failed or nothing passed.
"""

import json
import pathlib
import re
import sys

CASE = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] [^\s,]+(?:, where .*)? \(\d+ ms(?: total)?\)$", re.MULTILINE)
OUTCOME_OF_CASE = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
OUTCOME_OF_PROGRAM = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}


def count(program: dict) -> dict:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    cases = CASE.findall(program.get("stdout", "")) if program["result"] != "EXPECTEDFAIL" else []
    for outcome in cases:
        counts[OUTCOME_OF_CASE[outcome]] += 1
    outcome = OUTCOME_OF_PROGRAM.get(program["result"], "failed")
    if sum(counts.values()) == 0 or (outcome == "failed" and counts["failed"] == 0):
        counts[outcome] += 1
    return counts


def main() -> int:
    log = pathlib.Path(sys.argv[1]) / "meson-logs" / "testlog.json"
    if not log.exists():
        print(f"no test ran: {log} is missing", file=sys.stderr)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for line in lines:
        for outcome, number in count(json.loads(line)).items():
            totals[outcome] += number
    skipped = f", {totals['skipped']} skipped" if totals["skipped"] else ""
    print(f"{totals['passed']} passed, {totals['failed']} failed{skipped}", flush=True)
    return 0 if totals["failed"] == 0 and totals["passed"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
