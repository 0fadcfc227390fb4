#!/usr/bin/env python3
"""Three replicas, each with its data in a file system of its own on a loop device, and what disks do to them.

  disk_test.py SYNOD

    stalled   the leader's file system is frozen (FIFREEZE): no write completes, and none fails
    failed    the leader's device shrinks under it: writes end with EIO
    full      the file system has no room for the segments that the running replica prepares

Needs root (loop devices, mounts); says so and skips elsewhere. Removes all that it made, however it ends.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SYNOD = ""
SKIPPED = 77
REPLICAS = (1, 2, 3)
IMAGE_BYTES = 96 << 20
STALL_MS = 2000  # before a leader whose disk stalls steps down


def run(*command, check=True, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


def free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class FileSystem:
    """An ext4 on a loop device over a sparse file."""

    def __init__(self, directory, name, size=IMAGE_BYTES):
        self.image = f"{directory}/{name}.image"
        self.mount = f"{directory}/{name}"
        with open(self.image, "wb") as image:
            image.truncate(size)
        run("mkfs.ext4", "-q", self.image)
        os.mkdir(self.mount)
        self.device = run("losetup", "--find", "--show", self.image).stdout.strip()
        try:
            run("mount", self.device, self.mount)
        except RuntimeError:
            run("losetup", "--detach", self.device, check=False)
            raise

    def shrink_device(self, size):
        """What lies behind `size` can be neither read nor written any more."""
        os.truncate(self.image, size)
        run("losetup", "--set-capacity", self.device)

    def close(self):
        """A killed process is gone before its io_uring lets go of its files: until then the file system is busy."""
        deadline = time.monotonic() + 40
        while run("umount", self.mount, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.mount} stays mounted: {run('umount', self.mount, check=False).stderr.strip()}")
            time.sleep(0.05)
        run("losetup", "--detach", self.device, check=False)


class Frozen:
    """A file system that completes no writes, while this lasts.

    Whoever thaws it is another process, which does so when its input ends: when we leave this, or die of whatever.
    """

    def __init__(self, mount):
        self.mount = mount

    def __enter__(self):
        self.thawer = subprocess.Popen(["sh", "-c", 'cat; exec fsfreeze --unfreeze "$0"', self.mount], stdin=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        run("fsfreeze", "--freeze", self.mount)

    def __exit__(self, *_):
        self.thawer.stdin.close()
        self.thawer.wait()


class Disks(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="synod-disk-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.systems = {}
        self.processes = {}
        self.ports = dict(zip(REPLICAS, free_ports(len(REPLICAS))))
        self.addresses = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())

    def make_disks(self):
        for replica in REPLICAS:
            self.systems[replica] = FileSystem(self.directory, f"disk{replica}")
            self.addCleanup(self.systems[replica].close)

    def format(self, replica, *more):
        run(SYNOD, "format", "--data", f"{self.systems[replica].mount}/data", "--cluster", "synod", "--replica", str(replica),
            "--replicas", str(len(self.ports)), *more)

    def start(self, replica):
        text = f'cluster = "synod"\nreplica = {replica}\ndata = "{self.systems[replica].mount}/data"\nidle = "sleep"\n'
        for member, port in self.ports.items():
            text += f'[[member]]\nid = {member}\naddress = "127.0.0.1:{port}"\nport = "udp"\n'
        text += f'[[port]]\nname = "udp"\nkind = "udp"\naddress = "127.0.0.1:{self.ports[replica]}"\n'
        path = f"{self.directory}/{replica}.toml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        with open(f"{self.directory}/{replica}.log", "a", encoding="utf-8") as log:
            self.processes[replica] = subprocess.Popen([SYNOD, "start", "--config", path], stdout=log, stderr=log)
        self.addCleanup(self.processes[replica].wait)
        self.addCleanup(self.processes[replica].kill)

    def start_all(self):
        self.make_disks()
        for replica in REPLICAS:
            self.format(replica, "--capacity", "64MiB")
            self.start(replica)

    def log(self, replica):
        with open(f"{self.directory}/{replica}.log", encoding="utf-8") as log:
            return log.read()

    def logs(self):
        return "\n".join(f"replica {replica}: {self.log(replica)}" for replica in self.processes)

    def append(self, *lines):
        done = run(SYNOD, "append", "--cluster", self.addresses, "--deadline", "30", "--lines", input="\n".join(lines) + "\n",
                   check=False)
        self.assertEqual(done.returncode, 0, done.stderr + self.logs())

    def read(self):
        return [line.split("\t")[1] for line in run(SYNOD, "read", "--cluster", self.addresses, "--from", "0").stdout.splitlines()]

    def status(self, *args):
        done = run(SYNOD, "status", "--cluster", self.addresses, "--format", "json", check=False)
        rows = json.loads(done.stdout)["replicas"]
        return {row["replica"]: row for row in rows if row["reachable"]}

    def wait_for(self, what, is_so):
        """The statuses once they are so."""
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            status = self.status()
            if is_so(status):
                return status
            time.sleep(0.05)
        self.fail(f"{what}: it does not come about: {json.dumps(status, indent=1)}\n{self.logs()}")

    def wait_for_leader(self, other_than=None):
        def leader(status):
            return [replica for replica, row in status.items() if row["role"] == "leader" and replica != other_than]
        return leader(self.wait_for("a leader", leader))[0]

    def test_a_leader_whose_disk_stalls_steps_down_and_catches_up_afterwards(self):
        self.start_all()
        self.append("before")
        leader = self.wait_for_leader()
        with Frozen(self.systems[leader].mount):
            self.append(*[f"frozen {i}" for i in range(20)])
            stalled = self.wait_for("it steps down", lambda status: leader in status and status[leader]["disk_stalled"])
            self.assertNotEqual(stalled[leader]["role"], "leader")
            self.assertEqual(stalled[leader]["journal_failed_errno"], 0)
            self.assertIn(f"completed no write for {STALL_MS} ms", self.log(leader))
            self.assertIn("disk stalled", run(SYNOD, "status", "--cluster", self.addresses).stdout)
            other = self.wait_for_leader(leader)
            self.append(*[f"led by another {i}" for i in range(20)])
            # Its loop is not held up by the disk: it answers, hears the others, and knows who leads.
            still = self.status()[leader]
            self.assertTrue(still["disk_stalled"])
            self.assertLess(still["durable"], self.status()[other]["durable"])
            self.assertGreater(still["packets_received"], stalled[leader]["packets_received"])
        wanted = ["before"] + [f"frozen {i}" for i in range(20)] + [f"led by another {i}" for i in range(20)]
        self.assertEqual(self.read(), wanted)

        def has_caught_up(status):
            return len(status) == 3 and not status[leader]["disk_stalled"] and len({row["durable"] for row in status.values()}) == 1
        status = self.wait_for("it catches up", has_caught_up)
        self.assertTrue(status[leader]["votes"])
        self.assertIn("completes writes again", self.log(leader))
        self.append("after")

    def test_a_leader_whose_disk_fails_votes_no_more_and_the_others_go_on(self):
        self.start_all()
        self.append("before")
        leader = self.wait_for_leader()
        self.systems[leader].shrink_device(1 << 20)
        self.append(*[f"failed {i}" for i in range(20)])
        status = self.wait_for("it says so", lambda status: leader in status and status[leader]["journal_failed_errno"] != 0)
        self.assertFalse(status[leader]["votes"])
        self.assertNotEqual(status[leader]["role"], "leader")
        lines = [line for line in self.log(leader).splitlines() if "the journal failed" in line]
        self.assertEqual(len(lines), 1, self.log(leader))
        self.assertRegex(lines[0], "Input/output error.*votes no more.*replace its disk")
        self.assertIn("journal failed (Input/output error)", run(SYNOD, "status", "--cluster", self.addresses).stdout)
        self.append(*[f"led by another {i}" for i in range(20)])
        self.assertNotEqual(self.wait_for_leader(), leader)
        wanted = ["before"] + [f"failed {i}" for i in range(20)] + [f"led by another {i}" for i in range(20)]
        self.assertEqual(self.read(), wanted)


    def test_a_replica_that_cannot_prepare_segments_goes_on_with_those_it_has_until_space_returns(self):
        self.ports = {1: self.ports[1]}
        self.addresses = f"127.0.0.1:{self.ports[1]}"
        self.systems[1] = system = FileSystem(self.directory, "disk1", 800 << 20)
        self.addCleanup(system.close)
        self.format(1, "--capacity", "512MiB")
        # As in a copy without its holes, on a disk that somebody else has filled.
        for segment in (4, 5, 6, 7):
            os.truncate(f"{system.mount}/data/segment-00000{segment}.new", 0)
        filler = f"{system.mount}/filler"
        free = os.statvfs(system.mount)
        run("fallocate", "--length", str(free.f_bavail * free.f_bsize), filler)
        self.start(1)
        status = self.wait_for("it says so", lambda status: 1 in status and status[1]["preparing_failed"])
        self.assertEqual((status[1]["segments_ready"], status[1]["segments_total"]), (4, 8))
        self.assertRegex(self.log(1), "segment-000004.new: not enough space.*goes on with 4 of 8 segments; trying again")
        text = run(SYNOD, "status", "--cluster", self.addresses).stdout
        self.assertIn("cannot make more segments ready", text)
        self.assertIn("4 ready to be written", text)
        with open("/dev/urandom", "rb") as random:
            data = random.read(270 << 20)
        appended = subprocess.run([SYNOD, "append", "--cluster", self.addresses, "--deadline", "60", "--chunk", "1000000", "-"],
                                  input=data, capture_output=True, check=False, timeout=120)
        self.assertEqual(appended.returncode, 1, self.logs())
        self.assertRegex(appended.stderr.decode(), "no.space")
        status = self.wait_for("it refuses appends", lambda status: status[1]["space_low"])
        self.assertTrue(status[1]["votes"])
        self.assertEqual(status[1]["role"], "leader")
        kept = subprocess.run([SYNOD, "read", "--cluster", self.addresses, "--from", "0", "--raw"], capture_output=True,
                              check=True, timeout=60).stdout
        self.assertGreater(len(kept), 200 << 20)
        self.assertEqual(kept, data[: len(kept)])
        os.remove(filler)
        status = self.wait_for("it tries again", lambda status: status[1]["segments_ready"] == 8)
        self.assertFalse(status[1]["preparing_failed"] or status[1]["space_low"])
        self.assertIn("made ready again", self.log(1))
        self.append("after")


def why_not():
    """Why loop devices cannot be mounted here, or nothing."""
    if os.geteuid() != 0:
        return "loop devices and mounts need root"
    missing = [tool for tool in ("mkfs.ext4", "losetup", "mount", "umount", "fsfreeze", "fallocate") if shutil.which(tool) is None]
    if missing:
        return f"no {missing[0]} here"
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as directory:
        try:
            FileSystem(directory, "try").close()
        except RuntimeError as error:
            return f"no file system can be mounted here ({error})"
    return None


if __name__ == "__main__":
    SYNOD = os.path.abspath(sys.argv.pop(1))
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if reason := why_not():
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    unittest.main(verbosity=1)
