"""The scripts of bench/ run from end to end, shortly: what they print is what was measured."""

import os
import re
import subprocess
import sys
import unittest

SYNOD = os.path.abspath(sys.argv.pop())
BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench")


def run(script, *arguments):
    return subprocess.run([sys.executable, os.path.join(BENCH, script), *arguments], capture_output=True, text=True, timeout=120, check=False)


class Scripts(unittest.TestCase):
    def test_idle_prints_cpu_and_latency_of_a_policy(self):
        done = run("idle", SYNOD, "--seconds", "1", "--appends", "5", "--policies", "sleep")
        self.assertEqual(done.returncode, 0, done.stderr)
        cpu, p50, p99 = re.search(r"(?m)^sleep +([\d.]+) % +(\d+) +(\d+)$", done.stdout).groups()
        self.assertLess(float(cpu), 100.0 * os.cpu_count())
        self.assertGreater(int(p50), 0)
        self.assertGreaterEqual(int(p99), int(p50))

    def test_failover_prints_the_time_without_a_leader(self):
        done = run("failover", SYNOD, "--kills", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^SIGKILL of the leader to the next answer, 2 kills: p50 \d+ ms, p90 \d+ ms, least \d+ ms, most \d+ ms$")

    def test_what_is_not_there_is_one_line(self):
        for script in ("idle", "failover"):
            done = run(script, "/nowhere")
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, f"{script}: there is no /nowhere: build it first\n")


if __name__ == "__main__":
    unittest.main()
