#!/usr/bin/env python3
"""A replica on PCI NICs: QEMU emulates them, in a machine with an IOMMU, and DPDK's drivers run them through vfio as on a server.

usage: nics.py SYNOD WORK_DIRECTORY [NAME..]

    network namespace: replicas 2 and 3 and the client (kernel UDP) -- tap -- emulated NIC -- vfio -- DPDK -- replica 1, in the guest

For each NIC: replica 1 comes to lead (of several groups, one), appends go to the others through the NIC and are read back, ping is
answered; the NIC's link goes down, the two others go on; the link is back, and so is the replica. With several groups each has a
queue of the NIC: what came to another's queue would be dropped there, and its replica would be unreachable. Needs root, and the
packages that ./dev.sh nics installs.
Removes all that it made but the guest's image in WORK_DIRECTORY. Slow: the guest's processor is emulated, too.
"""
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

NAMESPACE = f"synod-nic-{os.getpid()}"
DRIVERS = ["bus_pci", "bus_vdev", "mempool_ring", "net_virtio", "net_e1000", "net_vmxnet3"]
MODULES = ["virt/lib/irqbypass", "drivers/vfio/vfio", "drivers/vfio/vfio_virqfd", "drivers/vfio/vfio_iommu_type1",
           "drivers/vfio/pci/vfio-pci-core", "drivers/vfio/pci/vfio-pci"]
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
DRIVER_DIRECTORY = LIBRARIES + "/dpdk/pmds-23.0"
VIRTIO = "virtio-net-pci,iommu_platform=on,disable-legacy=on"
RSS = VIRTIO + ",mq=on,rss=on,vectors=12"

# name: QEMU's device, groups, MTU, and what the replica says if the NIC cannot do it
NICS = {
    "e1000": ("e1000", 1, 1500, None),
    "e1000e": ("e1000e", 1, 9000, None),
    "vmxnet3": ("vmxnet3", 1, 9000, None),
    "virtio": (VIRTIO, 1, 9000, None),
    "virtio-2-queues": (RSS, 2, 1500, None),
    "virtio-2-queues-jumbo": (RSS, 2, 9000, None),
    "virtio-4-queues": (RSS, 4, 1500, None),
    "virtio-no-rss": (VIRTIO + ",mq=on,vectors=12", 2, 1500, "this device has no RSS that spreads UDP packets over 2 queues"),
}

INIT = """#!/bin/sh
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /tmp
mkdir -p /dev/shm /dev/hugepages
for module in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci; do insmod /modules/$module.ko; done
echo 200 > /proc/sys/vm/nr_hugepages
echo vfio-pci > /sys/bus/pci/devices/0000:00:03.0/driver_override
echo 0000:00:03.0 > /sys/bus/pci/drivers_probe
synod start --config /synod.toml
echo "the replica has ended: $?"
poweroff -f
"""


def run(*command, check=True, **kwargs):
    done = subprocess.run(command, capture_output=True, **kwargs)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.decode().strip()}")
    return done


def inside(*command, **kwargs):
    return run("ip", "netns", "exec", NAMESPACE, *command, **kwargs)


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.5)
    raise RuntimeError(f"{what}: not within {seconds} s")


def fetch_kernel(work):
    """Debian's kernel, not installed: QEMU and the guest take it from here."""
    if not list(work.glob("kernel/boot/vmlinuz-*")):
        text = run("apt-cache", "depends", "linux-image-amd64").stdout.decode()
        package = next(line.split()[-1] for line in text.splitlines() if "Depends:" in line)
        print(f"fetching {package}", flush=True)
        run("apt-get", "download", package, cwd=work)
        run("dpkg", "-x", next(work.glob("linux-image-*.deb")), work / "kernel")
    return next(work.glob("kernel/boot/vmlinuz-*")), next(work.glob("kernel/lib/modules/*/kernel"))


def make_root(synod, work, modules):
    """The guest's files but its configuration: busybox, the modules of vfio, the program with its libraries and drivers."""
    root = work / "root"
    shutil.rmtree(root, ignore_errors=True)
    for directory in ("bin", "proc", "sys", "dev", "tmp", "modules", "usr/lib64", DRIVER_DIRECTORY[1:]):
        (root / directory).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "lib64").symlink_to("usr/lib64")
    shutil.copy("/bin/busybox", root / "bin")
    for tool in ("sh", "mount", "insmod", "echo", "mkdir", "poweroff"):
        (root / "bin" / tool).symlink_to("busybox")
    for module in MODULES:
        shutil.copy(modules / f"{module}.ko", root / "modules")
    run("strip", "-o", root / "bin/synod", synod)
    programs = [synod]
    for driver in DRIVERS:  # as links: DPDK loads a driver once for each file that it is not a link of
        for directory in (DRIVER_DIRECTORY, LIBRARIES):
            for file in pathlib.Path(directory).glob(f"librte_{driver}.so*"):
                shutil.copy(file, f"{root}{directory}", follow_symlinks=False)
        programs.append(f"{DRIVER_DIRECTORY}/librte_{driver}.so")
    for line in run("ldd", *programs).stdout.decode().splitlines():
        file = pathlib.Path(line.split("=> ")[-1].split(" (")[0].strip())
        target = root / ("usr/lib64" if "ld-linux" in file.name else LIBRARIES[1:]) / file.name
        if file.is_absolute() and file.exists() and not target.exists():
            shutil.copy(file, target)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    return root


def configuration(replica, groups, mtu):
    lines = ['cluster = "nic"', f"replica = {replica}", 'data = "memory"', "memory_mb = 64", f"groups = {groups}",
             'idle = "yield"' if replica == 1 else 'idle = "sleep"', "[timeouts]",
             f"election_ms_min = {1500 if replica == 1 else 4000}", f"election_ms_max = {3000 if replica == 1 else 8000}"]
    for member in (1, 2, 3):
        lines += ["[[member]]", f"id = {member}"]
        if member != replica:
            lines += [f'address = "10.88.0.{member}:7400"', 'port = "eth"']
    kind = ['kind = "dpdk"', 'device = "0000:00:03.0"'] if replica == 1 else ['kind = "udp"']
    return "\n".join(lines + ["[[port]]", 'name = "eth"', *kind, f'address = "10.88.0.{replica}:7400"', f"mtu = {mtu}"]) + "\n"


def make_network(queues, mtu):
    run("ip", "netns", "add", NAMESPACE)
    inside("ip", "link", "set", "lo", "up")
    inside("ip", "tuntap", "add", "tap0", "mode", "tap", *(["multi_queue"] if queues > 1 else []))
    for replica in (2, 3):
        inside("ip", "address", "add", f"10.88.0.{replica}/24", "dev", "tap0")
    inside("ip", "link", "set", "tap0", "mtu", str(mtu), "up")


class Guest:
    """The machine with the NIC."""

    def __init__(self, work, kernel, root, device, groups, mtu):
        (root / "synod.toml").write_text(configuration(1, groups, mtu))
        image, self.log, self.monitor = work / "initrd", work / "guest.log", work / "monitor"
        self.monitor.unlink(missing_ok=True)
        with open(image, "wb") as file:
            files = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=files, stdout=file, check=True)
        tap = "tap,id=net,ifname=tap0,script=no,downscript=no" + (f",queues={groups},vhost=off" if groups > 1 else "")
        if device.startswith("virtio") and mtu > 1500:
            device += f",host_mtu={mtu}"
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", NAMESPACE, "qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1G",
             "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-monitor", f"unix:{self.monitor},server,nowait",
             "-kernel", kernel, "-initrd", image, "-append", "console=ttyS0 quiet intel_iommu=on",
             "-device", "intel-iommu,intremap=on", "-netdev", tap, "-device", device + ",netdev=net,addr=3,mac=52:54:00:00:00:01"],
            stdin=subprocess.DEVNULL, stdout=open(self.log, "wb"), stderr=subprocess.STDOUT)

    def text(self):
        return self.log.read_text(errors="replace")

    def is_up(self, groups):
        if self.has_ended():
            raise RuntimeError("the guest has ended")
        return self.text().count(" is up: ") == groups

    def has_ended(self):
        return self.process.poll() is not None

    def set_link(self, state):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.monitor))
            monitor.settimeout(10)
            seen = b""
            for command in (b"", f"set_link net {state}\n".encode()):  # an answer ends with the next prompt
                monitor.sendall(command)
                while not seen.endswith(b"(qemu) "):
                    seen += monitor.recv(4096)
                seen = b""

    def stop(self):
        self.process.kill()
        self.process.wait()


class Cluster:
    def __init__(self, synod, groups):
        self.synod, self.groups, self.sent = synod, range(groups), 0
        self.options = ["--cluster", ",".join(f"10.88.0.{i}:7400" for i in (1, 2, 3)), "--cluster-name", "nic"]

    def status(self):
        done = inside(self.synod, "status", *self.options, "--format", "json", check=False)
        return json.loads(done.stdout)["replicas"] if done.returncode == 0 else []

    def is_whole(self):
        """Everybody answers, in every group, follows one leader and has committed all."""
        replicas = self.status()
        if len(replicas) != 3 * len(self.groups) or not all(replica["reachable"] for replica in replicas):
            return False
        for group in self.groups:
            mine = [replica for replica in replicas if replica["group"] == group]
            if mine[0]["leader"] == 0 or len({(replica["leader"], replica["commit"]) for replica in mine}) != 1:
                return False
        return True

    def leaders(self):
        return {replica["leader"] for replica in self.status()}

    def append_and_read(self, entries):
        """The same to every group; each is read back whole."""
        text = "".join(f"entry {self.sent + i} {'x' * 100}\n" for i in range(entries)).encode()
        for group in self.groups:
            where = [*self.options, "--group", str(group), "--deadline", "30"]
            inside(self.synod, "append", *where, "--lines", input=text)
            read = inside(self.synod, "read", *where, "--from", str(self.sent), "--raw").stdout
            if hashlib.sha256(read).digest() != hashlib.sha256(text.replace(b"\n", b"")).digest():
                raise RuntimeError(f"group {group}: what was read is not what was appended")
        self.sent += entries


def try_nic(name, synod, work, kernel, root):
    device, groups, mtu, refusal = NICS[name]
    make_network(groups, mtu)
    guest = Guest(work, kernel, root, device, groups, mtu)
    replicas = []
    try:
        if refusal:
            wait_for("the refusal", 120, guest.has_ended)
            if refusal not in guest.text():
                raise RuntimeError("it was not refused: " + guest.text()[-500:])
            return "refused, as it should be: " + next(line for line in guest.text().splitlines() if refusal in line).strip()
        wait_for("the guest's replica", 120, lambda: guest.is_up(groups))
        for replica in (2, 3):
            path = work / f"{replica}.toml"
            path.write_text(configuration(replica, groups, mtu))
            replicas.append(subprocess.Popen(["ip", "netns", "exec", NAMESPACE, synod, "start", "--config", path],
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        cluster = Cluster(synod, groups)
        # It has the shortest patience. A leader's packets are those that go to two others, and large.
        wait_for("a leader in every group, and in one of them the guest", 60, lambda: cluster.is_whole() and 1 in cluster.leaders())
        inside("ping", "-c", "1", "-W", "10", "10.88.0.1")
        cluster.append_and_read(3000)
        guest.set_link("off")
        gone = lambda: [replica["reachable"] for replica in cluster.status() if replica["replica"] == 1] == [False] * groups
        wait_for("the loss of the link", 30, gone)
        cluster.append_and_read(1000)
        guest.set_link("on")
        wait_for("the return of the link", 60, cluster.is_whole)
        cluster.append_and_read(1000)
        wait_for("all to have committed it", 30, cluster.is_whole)
        return f"{groups} group{'s' if groups > 1 else ''}, MTU {mtu}: 5000 entries in each, the link lost and back"
    except Exception:
        print(guest.text()[-2000:])
        raise
    finally:
        for process in replicas:
            process.kill()
            process.wait()
        guest.stop()
        run("ip", "netns", "del", NAMESPACE, check=False)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    synod, work, names = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute(), sys.argv[3:] or list(NICS)
    unknown = [name for name in names if name not in NICS]
    if unknown:
        sys.exit(f"nics.py: no NIC '{unknown[0]}'; there are: {', '.join(NICS)}")
    if os.geteuid() != 0:
        sys.exit("nics.py: needs root, for a network namespace and a tap device")
    work.mkdir(parents=True, exist_ok=True)
    kernel, modules = fetch_kernel(work)
    root = make_root(synod, work, modules)
    failed = 0
    for name in names:
        start = time.monotonic()
        try:
            print(f"ok      {name:16} {try_nic(name, synod, work, kernel, root)} ({time.monotonic() - start:.0f} s)", flush=True)
        except (RuntimeError, OSError) as error:
            failed += 1
            print(f"FAILED  {name:16} {error}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
