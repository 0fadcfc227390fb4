"""The reports of a real run of `synod bench`, and what it says before a run that could not be reported.

  reports_test.py SYNOD
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SYNOD = ""
RUN = ("bench", "latency", "--data", "memory", "--replicas", "1", "--seconds", "0.3")


def run(*args):
    return subprocess.run([SYNOD, *args], capture_output=True, text=True, timeout=120)


class Reports(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="synod-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))

    def tearDown(self):
        shutil.rmtree(self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def assert_refused(self, done, *words):
        """Exit code 2 and one line, from before the run: it would have shown its progress."""
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.strip().split("\n")), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_a_box_runs_over_other_ports_and_a_sweep_ends_with_a_table(self):
        workload = self.write("ports.toml", 'bench = "latency"\nport = ["pair", "udp"]\ndata = "memory"\nseconds = 60\nreplicas = 3\n')
        # What is said on the command line counts.
        done = run("bench", "latency", "--workload", workload, "--seconds", "0.2", "--replicas", "1", "--json", self.path("r.json"))
        self.assertEqual(done.returncode, 0, done.stderr)
        reports = json.loads(self.read("r.json"))["runs"]
        self.assertEqual([report["port"] for report in reports], ["net_virtio_user/net_vhost", "kernel UDP over loopback"])
        for report in reports:
            self.assertEqual((report["errors"], report["replicas"], report["verified"]), (0, 1, True))
            self.assertGreater(report["floor_us"]["wire"], 0)
        table = done.stdout.strip().split("\n")[-3:]
        self.assertIn("x floor", table[0])
        self.assertRegex(table[1], "^port pair  ")
        self.assertRegex(table[2], "^port udp   ")

    def test_a_journal_that_is_full_ends_a_load_and_not_the_run(self):
        """What was in flight then belongs to no later load: the one that measures stages is whole, and all is read back."""
        # Full after 3 to 8 s, whether an entry has a block of its own or not: behind the warm-up (2 s at most), before the end.
        load = ("--payload", "1024", "--rate", "60000", "--seconds", "8", "--capacity", "256MiB")
        for _ in range(2):  # what is in flight at that moment differs
            done = run("bench", "throughput", "--data", "memory", *load, "--format", "json")
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout[:2000])
            report = json.loads(done.stdout)
            self.assertTrue(any("the journal was full after" in note for note in report["notes"]), report["notes"])
            self.assertEqual((report["cut_short"], report["verified"]), (None, True))
            self.assertTrue(report["stages"])

    def test_a_port_that_is_not_possible_is_refused(self):
        self.assert_refused(run(*RUN, "--port", "carrier-pigeon"), "carrier-pigeon", "af_packet")
        workload = self.write("w.toml", 'where = "processes"\nport = "udp"\n')
        self.assert_refused(run("bench", "latency", "--workload", workload), "--port belongs to --box")

    def test_every_form_tells_of_the_same_run(self):
        files = [f"--{form}={self.path('r.' + form)}" for form in ("json", "csv", "hgrm", "html")]
        done = run(*RUN, *files, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(json.loads(self.read("r.json")), report)
        rows = list(csv.DictReader(self.read("r.csv").splitlines()))
        self.assertEqual(len(rows), 1)
        self.assertEqual(float(rows[0]["p99_us"]), report["latency_us"]["p99"])
        count = sum(bar[1] for bar in report["histogram"])
        self.assertIn(f"Total count    = {count:12}]", self.read("r.hgrm"))
        self.assertEqual(report["percentiles"][-1], [100.0, report["latency_us"]["max"]])
        page = self.read("r.html")
        self.assertEqual(json.loads(re.search(r"id='report'>(.*?)</script>", page, re.DOTALL)[1]), report)
        self.assertNotRegex(page, r"https?://")
        for key, value in report["environment"].items():
            self.assertTrue(value, key)
        self.assertEqual(sorted(os.listdir(self.directory)), ["r.csv", "r.hgrm", "r.html", "r.json"])

        again = run(*RUN, "--against", self.path("r.json"))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertRegex(again.stdout, r"ratio_to_floor +[0-9.]+ -> +[0-9.]+   x ")
        other = run(*RUN, "--payload", "256", "--against", self.path("r.json"), "--format", "json")
        self.assertEqual(json.loads(other.stdout)["against"]["differences"], ["payload_bytes was 128, is 256"])

    def test_what_cannot_be_written_or_read_is_said_before_the_run(self):
        old = self.write("old.html", "old")
        for form in ("json", "csv", "hgrm", "html"):
            self.assert_refused(run(*RUN, f"--{form}", self.path("no/place")), "cannot write", "No such file or directory")
        self.assert_refused(run(*RUN, "--html", old, "--json", self.directory), "it is a directory")
        self.assert_refused(run(*RUN, "--against", self.path("absent")), "cannot read", "No such file or directory")
        self.assert_refused(run(*RUN, "--html", old, "--against", self.write("wrong.json", "{}")), "is not the JSON of a run")
        self.assertEqual(self.read("old.html"), "old")
        self.assertEqual(sorted(os.listdir(self.directory)), ["old.html", "wrong.json"])

    def test_an_interrupted_run_keeps_what_it_has_and_says_so(self):
        command = [SYNOD, *RUN[:-2], "--seconds", "10", "--json", self.path("r.json"), "--html", self.path("r.html")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
            # Said a second into the load; warm-up may last longer, and then there is little to report.
            for line in bench.stderr:
                if line.startswith("appending"):
                    break
            bench.send_signal(signal.SIGINT)
            output, errors = bench.communicate(timeout=60)
        self.assertEqual(bench.returncode, 1, errors)
        self.assertTrue(output.startswith("PARTIAL: interrupted\n"), output)
        self.assertEqual(json.loads(self.read("r.json"))["cut_short"], "interrupted")
        self.assertIn("Partial.", self.read("r.html"))

    def test_a_cluster_that_dies_half_way_cuts_the_report_short(self):
        with subprocess.Popen([SYNOD, "dev", "--replicas", "1", "--data", "memory", "--port", "0", "--idle", "yield"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as cluster:
            address = next(match[1] for line in cluster.stdout if (match := re.search(r"(127\.0\.0\.1:\d+)", line)))
            command = [SYNOD, "bench", "latency", "--cluster", address, "--rate", "2000", "--seconds", "60", "--json", self.path("r.json")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
                for line in bench.stderr:  # said a second into the load
                    if line.startswith("appending"):
                        break
                time.sleep(5)  # then the warm-up is over
                # Its one replica dies of it; `dev`, which is left, says so and takes its directory away.
                subprocess.run(["pkill", "-KILL", "-P", str(cluster.pid)], check=True)
                output, errors = bench.communicate(timeout=60)
        self.assertNotEqual(cluster.returncode, 0)
        self.assertEqual(bench.returncode, 1, errors)
        self.assertTrue(output.startswith("PARTIAL: nothing was answered for "), output)
        report = json.loads(self.read("r.json"))
        self.assertIn("nothing was answered", report["cut_short"])
        self.assertGreater(report["appended"], 0)
        self.assertIsNone(report["verified"])


if __name__ == "__main__":
    SYNOD = os.path.abspath(sys.argv.pop(1))
    unittest.main()
