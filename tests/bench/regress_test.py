#!/usr/bin/env python3
"""bench/regress: its statistics, and what it says of two programs whose figures are known."""

import importlib.machinery
import importlib.util
import os
import random
import stat
import subprocess
import sys
import tempfile
import unittest

REGRESS = os.path.abspath(sys.argv.pop(1))
loader = importlib.machinery.SourceFileLoader("regress", REGRESS)
sys.dont_write_bytecode = True
regress = importlib.util.module_from_spec(importlib.util.spec_from_loader("regress", loader))
loader.exec_module(regress)

# Prints a report whose ratio is `base` with noise of some per cent, another one each time.
FAKE = """#!/usr/bin/env python3
import json, os, random, sys
state = sys.argv[0] + ".count"
count = int(open(state).read()) if os.path.exists(state) else 0
open(state, "w").write(str(count + 1))
random.seed(f"{sys.argv[0]} {count}")
print(json.dumps({"ratio_to_floor": BASE * random.uniform(0.99, 1.01), "appends_per_second": 1000 / BASE}))
"""


class Statistics(unittest.TestCase):
    def test_median(self):
        self.assertEqual(regress.median([3, 1, 2]), 2)
        self.assertEqual(regress.median([4, 1, 2, 3]), 2.5)

    def test_the_interval_is_that_of_the_tables(self):
        # Of 10: the second smallest to the second largest, 97.9 %. Of 6: all of them, 96.9 %. Of 5 there is none.
        self.assertEqual(regress.interval(range(10)), (1, 8))
        self.assertEqual(regress.interval(range(6)), (0, 5))
        self.assertIsNone(regress.interval(range(5)))

    def test_the_interval_holds_the_median_as_often_as_it_says(self):
        random.seed(1)
        held = 0
        for _ in range(2000):
            low, high = regress.interval([random.gauss(0, 1) for _ in range(12)])
            held += low <= 0 <= high
        self.assertGreaterEqual(held / 2000, 0.945)


class Program(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def fake(self, name, base):
        path = os.path.join(self.directory.name, name)
        with open(path, "w") as file:
            file.write(FAKE.replace("BASE", str(base)))
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return path

    def compare(self, *arguments):
        return subprocess.run([sys.executable, REGRESS, *arguments], capture_output=True, text=True)

    def test_a_slowdown_of_five_per_cent_is_found(self):
        done = self.compare(self.fake("old", 1.2), self.fake("new", 1.26))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("SLOWER", done.stdout)

    def test_the_same_is_no_slowdown(self):
        done = self.compare(self.fake("old", 1.2), self.fake("new", 1.2))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_of_a_rate_more_is_better(self):
        done = self.compare(self.fake("old", 1.26), self.fake("new", 1.2), "--metric", "appends_per_second")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("faster", done.stdout)
        self.assertEqual(self.compare(self.fake("a", 1.2), self.fake("b", 1.26), "--metric", "appends_per_second").returncode, 1)

    def test_what_is_not_there_is_said_in_one_line(self):
        done = self.compare("/nowhere", self.fake("new", 1))
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1)
        done = self.compare(self.fake("old", 1), self.fake("new", 1), "--metric", "speed")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no speed", done.stderr)


if __name__ == "__main__":
    unittest.main()
