#!/usr/bin/env python3
"""tests/summary.py must never call a bad run good: what it counts and when it fails."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SUMMARY = pathlib.Path(__file__).parent / "summary.py"


def program(result: str, stdout: str = "") -> dict:
    return {"name": "example", "result": result, "stdout": stdout}


def summary_of(programs: list) -> tuple:
    with tempfile.TemporaryDirectory(prefix="synod-summary-") as build:
        logs = pathlib.Path(build) / "meson-logs"
        logs.mkdir()
        (logs / "testlog.json").write_text("".join(json.dumps(p) + "\n" for p in programs), encoding="utf-8")
        done = subprocess.run([sys.executable, SUMMARY, build], capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.returncode


class Summary(unittest.TestCase):
    def test_counts_each_case_of_googletest(self):
        stdout = "[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n[       OK ] P/A.C/0 (12 ms)\n[  SKIPPED ] A.D (0 ms)\n[  PASSED  ] 2 tests.\n"
        self.assertEqual(summary_of([program("OK", stdout)]), ("2 passed, 0 failed, 1 skipped", 0))

    def test_counts_a_failed_case_once(self):
        stdout = "noise[  FAILED  ] P/A.B/1, where GetParam() = 7 (3 ms)\n[       OK ] A.C (0 ms)\n[  FAILED  ] P/A.B/1\n 1 FAILED TEST\n"
        self.assertEqual(summary_of([program("FAIL", stdout)]), ("1 passed, 1 failed", 1))

    def test_counts_a_crash_behind_passed_cases(self):
        self.assertEqual(summary_of([program("FAIL", "[       OK ] A.C (0 ms)\n[ RUN      ] A.D\n")]), ("1 passed, 1 failed", 1))

    def test_counts_a_time_out(self):
        self.assertEqual(summary_of([program("TIMEOUT"), program("OK")]), ("1 passed, 1 failed", 1))

    def test_counts_a_program_that_must_fail_once(self):
        self.assertEqual(summary_of([program("EXPECTEDFAIL", "[       OK ] A.B (0 ms)\n[  FAILED  ] A.C (3 ms)\n")]), ("1 passed, 0 failed", 0))

    def test_counts_other_programs_once(self):
        self.assertEqual(summary_of([program("OK"), program("SKIP")]), ("1 passed, 0 failed, 1 skipped", 0))

    def test_fails_when_nothing_ran(self):
        self.assertEqual(summary_of([]), ("0 passed, 0 failed", 1))

    def test_fails_when_all_were_skipped(self):
        self.assertEqual(summary_of([program("SKIP")]), ("0 passed, 0 failed, 1 skipped", 1))


if __name__ == "__main__":
    unittest.main()
