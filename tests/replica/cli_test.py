"""The command line against bad input: the exit code, one line that says what happened and what to do, and nothing left behind.

  cli_test.py SYNOD
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

SYNOD = ""


def run(*args, stdin="", limit=60):
    return subprocess.run([SYNOD, *args], input=stdin, capture_output=True, text=True, timeout=limit)


def free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="synod-cli-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            process.kill()
            process.communicate()
        shutil.rmtree(self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def assert_line(self, done, code, *words):
        """One line on stderr, the code, and all the words in it."""
        self.assertEqual(done.returncode, code, done.stderr)
        lines = done.stderr.strip().split("\n")
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("synod: "), lines[0])
        for word in words:
            self.assertIn(word, lines[0])

    def format(self, name="1", cluster="synod", replica=1, replicas=3):
        return run("format", "--data", self.path(name), "--cluster", cluster, "--replica", str(replica), "--replicas",
                   str(replicas), "--capacity", "16MiB")

    def config(self, data, replica=1, members=(1, 2, 3), cluster="synod", ports=None):
        """A configuration whose peers are at kernel UDP addresses, where nobody need listen."""
        ports = ports or free_ports(len(members))
        text = f'cluster = "{cluster}"\nreplica = {replica}\ndata = "{data}"\n'
        for member, port in zip(members, ports):
            text += f'[[member]]\nid = {member}\naddress = "127.0.0.1:{port}"\nport = "udp"\n'
        text += f'[[port]]\nname = "udp"\nkind = "udp"\naddress = "127.0.0.1:{ports[list(members).index(replica)]}"\n'
        path = self.path(f"{cluster}-{replica}-{len(os.listdir(self.directory))}.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self, *args):
        """A process that goes on; returns it once it has printed its first line."""
        process = subprocess.Popen([SYNOD, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        first = process.stdout.readline()
        self.assertTrue(first, process.stderr.read() if not first else "")
        return process

    def start_replica(self, **config):
        return self.start("start", "--config", self.config(**config))

    # --- usage --------------------------------------------------------------------------------------------------------------

    def test_wrong_words_are_usage_errors(self):
        address = ["--cluster", "127.0.0.1:7401"]
        for args in (
            ["frobnicate"], ["--frobnicate"], [], ["start"], ["start", "--config"], ["dev", "--replicas", "0"],
            ["dev", "--replicas", "8"], ["dev", "--capacity", "much"], ["dev", "--idle", "nap"], ["format", "--data", "x"],
            ["append"], ["append", "--cluster", "nowhere"], ["append", *address, "--chunk", "0"],
            ["append", *address, "--deadline", "-1"], ["append", *address, "--lines", "--chunk", "5"], ["read", *address],
            ["read", *address, "--from", "-1"], ["read", *address, "--from", "5", "--to", "4"],
            ["trim", *address], ["trim", *address, "--to", "-1"], ["trim", *address, "--to", "much"],
            ["tail-lsn", *address, "--format", "xml"], ["status", "--cluster", "127.0.0.1:0"], ["status", *address, "--wide"],
            ["status", "--cluster", "127.0.0.1:7401,127.0.0.1:7401"],
        ):
            with self.subTest(args=args):
                self.assert_line(run(*args), 2)

    def test_help_and_version_are_no_errors(self):
        for args in (["--help"], ["--version"], ["start", "--help"]):
            done = run(*args)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout)

    # --- format -------------------------------------------------------------------------------------------------------------

    def test_a_directory_is_formatted_once(self):
        self.assertEqual(self.format().returncode, 0)
        self.assert_line(self.format(), 1, "already formatted", "choose another")

    def test_format_refuses_a_file_system_without_direct_writes(self):
        if not os.path.isdir("/dev/shm") or not os.access("/dev/shm", os.W_OK):
            self.skipTest("no tmpfs at /dev/shm")
        shared = tempfile.mkdtemp(prefix="synod-cli-", dir="/dev/shm")
        try:
            done = run("format", "--data", shared + "/d", "--cluster", "c", "--replica", "1", "--replicas", "1", "--capacity",
                       "16MiB")
            self.assert_line(done, 1, "O_DIRECT", "disk file system")
        finally:
            shutil.rmtree(shared)

    def test_format_refuses_a_journal_that_is_too_small(self):
        done = run("format", "--data", self.path("1"), "--cluster", "c", "--replica", "1", "--replicas", "1", "--capacity", "4096")
        self.assert_line(done, 1, "too small", "at least")
        self.assertFalse(os.path.exists(self.path("1/journal")))

    # --- start --------------------------------------------------------------------------------------------------------------

    def test_start_names_a_configuration_that_is_not_there(self):
        self.assert_line(run("start", "--config", self.path("none.toml")), 1, "none.toml")

    def test_start_names_a_mistake_in_the_configuration(self):
        path = self.path("bad.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("cluster = 5\n")
        self.assert_line(run("start", "--config", path), 1, path, "'cluster'")

    def test_start_says_how_to_make_a_missing_directory(self):
        self.assert_line(run("start", "--config", self.config(self.path("none"))), 1, "none", "synod format")

    def test_start_refuses_the_directory_of_another_cluster(self):
        self.format(cluster="other")
        self.assert_line(run("start", "--config", self.config(self.path("1"))), 1, "another cluster", "check")

    def test_start_refuses_the_directory_of_another_replica(self):
        self.format(replica=2)
        self.assert_line(run("start", "--config", self.config(self.path("1"))), 1, "belongs to replica 2", "check")

    def test_start_refuses_another_number_of_members_than_were_formatted(self):
        self.format(replicas=5)
        self.assert_line(run("start", "--config", self.config(self.path("1"))), 1, "5", "3", "members")

    def test_start_refuses_a_directory_in_use(self):
        self.format()
        self.start_replica(data=self.path("1"))
        self.assert_line(run("start", "--config", self.config(self.path("1"))), 1, "in use by another process")

    def test_start_refuses_an_address_in_use(self):
        self.format()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            ports = [taken.getsockname()[1], *free_ports(2)]
            done = run("start", "--config", self.config(self.path("1"), ports=ports))
        self.assert_line(done, 1, str(ports[0]), "in use")

    def test_start_refuses_a_journal_that_is_damaged_in_the_middle(self):
        self.format(replicas=1)
        ports = free_ports(1)
        config = self.config(self.path("1"), members=(1,), ports=ports)
        replica = self.start("start", "--config", config)
        lines = "".join(f"line {i}\n" for i in range(2000))
        done = run("append", "--cluster", f"127.0.0.1:{ports[0]}", "--lines", stdin=lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "0 1999\n")
        replica.send_signal(signal.SIGTERM)
        self.assertEqual(replica.wait(20), 0)
        with open(self.path("1/segment-000000"), "r+b") as journal:
            journal.seek(3 * 4096 + 200)
            journal.write(b"damage")
        self.assert_line(run("start", "--config", config), 1, "damaged", "must not vote")

    def test_start_refuses_a_journal_that_is_none(self):
        os.mkdir(self.path("1"))
        with open(self.path("1/journal"), "wb") as journal:
            journal.write(b"\x5A" * (1 << 20))
        self.assert_line(run("start", "--config", self.config(self.path("1"))), 1, "journal")

    # --- a cluster that is not there ----------------------------------------------------------------------------------------

    def test_requests_to_nobody_end_at_their_deadline(self):
        (port,) = free_ports(1)
        address = ["--cluster", f"127.0.0.1:{port}", "--deadline", "0.3"]
        for args in (["append", *address, "--lines"], ["tail-lsn", *address], ["read", *address, "--from", "0"],
                     ["trim", *address, "--to", "0"]):
            with self.subTest(args=args):
                self.assert_line(run(*args, stdin="one\n", limit=20), 1, "deadline", "check")

    def test_status_of_nobody_says_so(self):
        (port,) = free_ports(1)
        done = run("status", "--cluster", f"127.0.0.1:{port}", "--deadline", "0.3")
        self.assert_line(done, 1, "no replica answered", "check")

    def test_a_wrong_cluster_name_ends_at_the_deadline(self):
        ports = free_ports(1)
        self.format(replicas=1)
        self.start_replica(data=self.path("1"), members=(1,), ports=ports)
        done = run("tail-lsn", "--cluster", f"127.0.0.1:{ports[0]}", "--cluster-name", "other", "--deadline", "0.3")
        self.assert_line(done, 1, "the cluster's name")

    # --- clusters -----------------------------------------------------------------------------------------------------------

    def test_status_shows_who_is_down(self):
        ports = free_ports(3)
        for replica in (1, 2):
            self.format(str(replica), replica=replica)
            self.start_replica(data=self.path(str(replica)), replica=replica, ports=ports)
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
        done = run("status", "--cluster", addresses, "--deadline", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(re.findall("unreachable", done.stdout)), 1, done.stdout)
        self.assertRegex(done.stdout, r"(?m)^3 .*unreachable$")

    def test_groups_are_logs_of_their_own(self):
        """Two groups on three replicas: each has its log, its leader and its journals, and outlives a replica of both."""
        process = self.start("dev", "--groups", "2", "--port", "0", "--data", self.path("dev"), "--capacity", "64MiB")
        while not (line := process.stdout.readline()).strip().startswith("--cluster"):
            self.assertTrue(line, "dev ended")
        cluster = line.split()
        for group in ("0", "1"):
            lines = "".join(f"{i} of group {group}\n" for i in range(100))
            done = run("append", *cluster, "--group", group, "--lines", stdin=lines)
            self.assertEqual(done.returncode, 0, done.stderr)
            done = run("read", *cluster, "--group", group, "--from", "0")
            self.assertEqual([entry.split("\t")[1] for entry in done.stdout.splitlines()], lines.splitlines(), done.stderr)
        rows = json.loads(run("status", *cluster, "--format", "json").stdout)["replicas"]
        self.assertEqual([(row["group"], row["replica"], row["tail_lsn"] >= 0) for row in rows],
                         [(group, replica, True) for group in (0, 1) for replica in (1, 2, 3)])
        self.assertIn("group 1", run("status", *cluster).stdout)
        rows = json.loads(run("status", *cluster, "--group", "1", "--format", "json").stdout)["replicas"]
        self.assertEqual({row["group"] for row in rows}, {1})
        self.assert_line(run("tail-lsn", *cluster, "--group", "2", "--deadline", "0.3"), 1, "no answer before the deadline")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        for replica in ("1", "2", "3"):
            for group in (0, 1):
                data = f"{self.path('dev')}/{replica}/group-{group}"
                done = run("inspect", "superblock", "--data", data, "--format", "json")
                self.assertEqual(json.loads(done.stdout)["group"], group, done.stderr)
                self.assertEqual(run("verify", "--data", data).returncode, 0)

    def test_a_journal_of_another_group_is_refused(self):
        done = run("format", "--data", self.path("two"), "--cluster", "synod", "--replica", "1", "--replicas", "1", "--groups", "2",
                   "--capacity", "16MiB")
        self.assertEqual(len(done.stdout.split()), 2, done.stderr)
        os.rename(self.path("two/group-0"), self.path("old"))
        os.rename(self.path("two/group-1"), self.path("two/group-0"))
        os.rename(self.path("old"), self.path("two/group-1"))
        config = self.config(self.path("two"), members=(1,))
        with open(config, encoding="utf-8") as file:
            text = "groups = 2\n" + file.read()
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        self.assert_line(run("start", "--config", config), 1, "group 0: the journal is that of group 1", "check --data")

    def test_an_entry_appended_is_read_right_behind(self):
        ports = free_ports(1)
        self.format(replicas=1)
        self.start_replica(data=self.path("1"), members=(1,), ports=ports)
        address = ["--cluster", f"127.0.0.1:{ports[0]}"]
        for i in range(3):
            done = run("append", *address, "--lines", stdin=f"entry {i}\n")
            self.assertEqual((done.returncode, done.stdout), (0, f"{i} {i}\n"), done.stderr)
            done = run("read", *address, "--from", str(i))
            self.assertEqual((done.returncode, done.stdout), (0, f"{i}\tentry {i}\n"), done.stderr)
        self.assert_line(run("read", *address, "--from", "9"), 1, "ends at LSN 3")

    def test_a_trim_lets_entries_go_for_good(self):
        ports = free_ports(1)
        self.format(replicas=1)
        config = self.config(self.path("1"), members=(1,), ports=ports)
        replica = self.start("start", "--config", config)
        address = ["--cluster", f"127.0.0.1:{ports[0]}"]
        lines = "".join(f"entry {i}\n" for i in range(10))
        self.assertEqual(run("append", *address, "--lines", stdin=lines).stdout, "0 9\n")
        self.assert_line(run("trim", *address, "--to", "11"), 1, "--to 11", "ends at LSN 10", "nothing was trimmed")
        self.assertNotIn("trim ", run("status", *address).stdout)
        done = run("trim", *address, "--to", "6")
        self.assertEqual((done.returncode, done.stdout), (0, "6\n"), done.stderr)
        done = run("trim", *address, "--to", "2", "--format", "json")
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"trim_lsn": 6}), done.stderr)
        for again in range(2):
            for follow in ([], ["--follow"]):
                done = run("read", *address, "--from", "5", *follow)
                self.assertEqual(done.stdout, "")
                self.assert_line(done, 1, "from LSN 5 on are trimmed", "LSN 6")
            done = run("read", *address, "--from", "6", "--to", "7")
            self.assertEqual((done.returncode, done.stdout), (0, "6\tentry 6\n"), done.stderr)
            self.assertRegex(run("status", *address).stdout, "trim +entries below LSN 6 are gone")
            status = json.loads(run("status", *address, "--format", "json").stdout)["replicas"][0]
            self.assertEqual((status["trim_lsn"], status["doubt"], status["space_low"]), (6, "none", False))
            if again:
                break
            replica.send_signal(signal.SIGTERM)
            self.assertEqual(replica.wait(20), 0)
            self.start("start", "--config", config)

    def test_dev_with_an_address_in_use_says_so_and_leaves_nothing_running(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            done = run("dev", "--replicas", "1", "--data", self.path("dev"), "--port", str(port), "--capacity", "16MiB")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("in use", done.stderr.strip().split("\n")[-1])
        self.assertIn(str(port), done.stderr.strip().split("\n")[-1])
        self.assertFalse([name for name in os.listdir("/proc") if name.isdigit() and self.is_ours(name)])

    def is_ours(self, process):
        try:
            with open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as file:
                return self.directory in file.read()
        except OSError:
            return False


if __name__ == "__main__":
    SYNOD = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
