#!/usr/bin/env python3
"""Three replicas in three network namespaces, each on a DPDK af_packet port over veth; a client over the kernel's stack.

usage: netns_test.py SYNOD

    client namespace (kernel UDP, 10.99.0.100) -- bridge -- veth -- replica i (10.99.0.i, DPDK af_packet, no kernel address)

Needs root (namespaces, raw sockets); says so and skips elsewhere. Removes all that it made, however it ends.
"""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
HUB = f"synod-hub-{os.getpid()}"
REPLICAS = [1, 2, 3]
CLUSTER = ",".join(f"10.99.0.{i}:7400" for i in REPLICAS)


def namespace(i):
    return f"synod-{i}-{os.getpid()}"


def run(*command, check=True, **kwargs):
    done = subprocess.run(command, capture_output=True, **kwargs)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode().strip()}")
    return done


def ip(*words):
    return run("ip", *words)


def make_network():
    ip("netns", "add", HUB)
    ip("-n", HUB, "link", "add", "br0", "type", "bridge")
    ip("-n", HUB, "addr", "add", "10.99.0.100/24", "dev", "br0")
    ip("-n", HUB, "link", "set", "br0", "up")
    for i in REPLICAS:
        ip("netns", "add", namespace(i))
        ip("-n", HUB, "link", "add", f"port{i}", "type", "veth", "peer", "name", "eth0", "netns", namespace(i))
        ip("-n", HUB, "link", "set", f"port{i}", "master", "br0", "up")
        ip("-n", namespace(i), "link", "set", "eth0", "up")


def remove_network():
    for name in [HUB] + [namespace(i) for i in REPLICAS]:
        run("ip", "netns", "del", name, check=False)


def configure(directory, synod, i):
    run(synod, "format", "--data", f"{directory}/{i}", "--cluster", "synod", "--replica", str(i), "--replicas", "3",
        "--capacity", "64MiB")
    lines = ['cluster = "synod"', f"replica = {i}", f'data = "{directory}/{i}"', 'idle = "sleep"']
    for other in REPLICAS:
        lines += ["[[member]]", f"id = {other}"]
        if other != i:
            lines += [f'address = "10.99.0.{other}:7400"', 'port = "eth"']
    lines += ["[[port]]", 'name = "eth"', 'kind = "dpdk"', f'device = "net_af_packet{i},iface=eth0"',
              f'address = "10.99.0.{i}:7400"']
    with open(f"{directory}/{i}.toml", "w") as file:
        file.write("\n".join(lines) + "\n")


def start(directory, synod, i):
    log = open(f"{directory}/{i}.log", "a")
    return subprocess.Popen(["ip", "netns", "exec", namespace(i), synod, "start", "--config", f"{directory}/{i}.toml"],
                            stdout=log, stderr=log)


def client(synod, *words, **kwargs):
    return run("ip", "netns", "exec", HUB, synod, words[0], "--cluster", CLUSTER, "--deadline", "30", *words[1:], **kwargs)


def work(directory, synod):
    random.seed(1)
    data = random.randbytes(1 << 20)
    make_network()
    for i in REPLICAS:
        configure(directory, synod, i)
    processes = {i: start(directory, synod, i) for i in REPLICAS}
    try:
        client(synod, "append", "--chunk", "128", "-", input=data[: len(data) // 2])
        # One replica is killed, the log goes on; it comes back and catches up.
        processes[2].kill()
        processes[2].wait()
        client(synod, "append", "--chunk", "1000000", "-", input=data[len(data) // 2:])
        processes[2] = start(directory, synod, 2)
        back = client(synod, "read", "--from", "0", "--raw").stdout
        if hashlib.sha256(back).digest() != hashlib.sha256(data).digest():
            raise RuntimeError(f"read {len(back)} bytes that differ from the {len(data)} appended")
        ping = run("ip", "netns", "exec", HUB, "ping", "-c", "1", "-W", "2", "10.99.0.1", check=False)
        if shutil.which("ping") and ping.returncode != 0:
            raise RuntimeError("the DPDK port does not answer ping")
        tail = client(synod, "tail-lsn").stdout.split()[0]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status = client(synod, "status").stdout.decode().splitlines()
            if any(line.startswith("2 ") and f" {tail.decode()} " in line for line in status):
                return
            time.sleep(0.1)
        raise RuntimeError("replica 2 did not catch up:\n" + "\n".join(status))
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


def main():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("skipped: network namespaces need root and iproute2")
        return SKIPPED
    if run("ip", "netns", "add", HUB, check=False).returncode != 0:
        print("skipped: this kernel gives no network namespaces")
        return SKIPPED
    remove_network()
    directory = tempfile.mkdtemp(prefix="synod-netns-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        work(directory, os.path.abspath(sys.argv[1]))
    except RuntimeError as error:
        print(f"failed: {error}")
        for i in REPLICAS:
            if os.path.exists(f"{directory}/{i}.log"):
                print(f"replica {i}:", open(f"{directory}/{i}.log").read().strip())
        return 1
    finally:
        remove_network()
        shutil.rmtree(directory)
    print("1 MiB went through three namespaces over af_packet, a replica was killed and caught up, ping was answered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
