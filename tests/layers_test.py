#!/usr/bin/env python3
"""Enforces the layers of docs/ARCHITECTURE.md over all #include lines, and the purity of consensus/.

usage: layers_test.py [ROOT]      prints file:line: reason for each violation; exit code 1 if there is one

First it checks itself on small trees that it makes up: each rule must find its violation, or a silent pass would mean nothing.
"""

import pathlib
import re
import sys
import tempfile

# Whom a folder may include, besides itself.
MAY_INCLUDE = {
    "base": set(),
    "wire": {"base"},
    "consensus": {"base", "wire"},
    "storage": {"base", "wire"},
    "dataplane": {"base", "wire"},
    "client": {"base", "wire", "dataplane"},  # but nothing that reaches DPDK, see check_reach
    "replica": {"base", "wire", "consensus", "storage", "dataplane"},
    "bench": {"base", "wire", "consensus", "storage", "dataplane", "client", "replica"},
    "cli": {"base", "wire", "consensus", "storage", "dataplane", "client", "replica", "bench"},
}
MAY_INCLUDE["tests"] = set(MAY_INCLUDE)

# Headers of other packages that belong to few folders.
DPDK = re.compile(r"rte_|ethdev|bus_.*driver\.h$")
LIBURING = re.compile(r"liburing")
OWNED_HEADERS = [(DPDK, {"dataplane", "bench", "tests"}, "DPDK"), (LIBURING, {"storage", "bench", "tests"}, "liburing")]

# consensus/ is a function of its inputs: no clock, no randomness, no thread, no I/O, no formatting.
IMPURE_HEADER = re.compile(
    r"^(chrono|ctime|time\.h|random|thread|mutex|shared_mutex|atomic|stdatomic\.h|condition_variable|future|semaphore|latch|barrier"
    r"|stop_token|pthread\.h|sched\.h|signal\.h|csignal|iostream|istream|ostream|fstream|sstream|syncstream|print|filesystem"
    r"|cstdio|stdio\.h|cstdlib|stdlib\.h|locale|unistd\.h|fcntl\.h|poll\.h|dirent\.h|x86intrin\.h"
    r"|(sys|linux|net|netinet|arpa|fmt|nlohmann|toml\+\+|CLI)/.*)$"
)
IMPURE_WORD = re.compile(
    r"\b(std::chrono|clock_gettime|gettimeofday|__rdtsc|random_device|mt19937|std::rand|rand|getenv|std::thread|std::atomic"
    r"|std::mutex|thread_local|std::cout|std::cerr|f?printf|fopen)\b"
)
# How a CHECK stops the process; nothing else in base/ or wire/ that consensus/ can reach does I/O.
IMPURE_EXCEPTIONS = {("base/check.h", "cstdio"), ("base/check.h", "cstdlib")}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


class Source:
    """One file: its includes as (line number, name, is quoted), and its other lines without comments and strings."""

    def __init__(self, root: pathlib.Path, path: pathlib.Path):
        self.name = path.relative_to(root).as_posix()
        self.folder = self.name.split("/")[0]
        self.includes = []
        self.code = []
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            match = INCLUDE.match(line)
            if match:
                self.includes.append((number, match[1] or match[2], match[1] is not None))
            else:
                self.code.append((number, re.sub(r'"(\\.|[^"\\])*"|//.*', "", line)))

    @property
    def is_benchmark(self) -> bool:
        """A benchmark lives beside what it measures, and may look at a clock."""
        return self.name.endswith("_bench.cc")


def read_tree(root: pathlib.Path) -> dict:
    sources = {}
    for folder in MAY_INCLUDE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cc"):
                source = Source(root, path)
                sources[source.name] = source
    return sources


def check_layers(sources: dict) -> list:
    found = []
    for source in sources.values():
        for line, include, quoted in source.includes:
            place = f"{source.name}:{line}"
            target = include.split("/")[0]
            if not quoted and target in MAY_INCLUDE and include in sources:
                found.append(f"{place}: <{include}> is ours: write it in quotes")
            elif quoted and include not in sources:
                found.append(f'{place}: "{include}" is not a file from the root of the tree')
            elif quoted and target != source.folder and target not in MAY_INCLUDE[source.folder]:
                found.append(f"{place}: {source.folder}/ may not include {target}/")
            for pattern, owners, package in OWNED_HEADERS:
                if not quoted and pattern.match(include) and source.folder not in owners:
                    found.append(f"{place}: {package} (<{include}>) belongs to {', '.join(sorted(owners))} only")
    return found


def reach(sources: dict, folder: str) -> dict:
    """Every file that the files of a folder include, directly or not -> the one of the folder that does."""
    reached = {name: name for name, source in sources.items() if source.folder == folder and not source.is_benchmark}
    pending = list(reached)
    while pending:
        name = pending.pop()
        for _, include, quoted in sources[name].includes:
            if quoted and include in sources and include not in reached:
                reached[include] = reached[name]
                pending.append(include)
    return reached


def check_reach(sources: dict) -> list:
    found = []
    for name, origin in reach(sources, "client").items():
        for line, include, _ in sources[name].includes:
            if DPDK.match(include) and sources[name].folder != "client":
                found.append(f"{name}:{line}: client/ links without DPDK, and {origin} reaches <{include}>")
    for name, origin in reach(sources, "consensus").items():
        for line, include, _ in sources[name].includes:
            if IMPURE_HEADER.match(include) and (name, include) not in IMPURE_EXCEPTIONS:
                found.append(f"{name}:{line}: consensus/ is pure, and {origin} reaches <{include}>")
        for line, text in sources[name].code:
            word = IMPURE_WORD.search(text)
            if word and sources[name].folder == "consensus":
                found.append(f"{name}:{line}: consensus/ is pure: no {word[0]}")
    return found


def violations(root: pathlib.Path) -> list:
    sources = read_tree(root)
    return sorted(set(check_layers(sources) + check_reach(sources)))


# (what is tested, files, the violations expected: the start of each line)
SELF_TESTS = [
    ("a good tree", {"base/a.h": "#include <vector>", "wire/b.h": '#include "base/a.h"', "tests/t.cc": '#include "wire/b.h"'}, []),
    ("an upward include", {"base/a.h": "\n#include \"wire/b.h\"", "wire/b.h": ""}, ["base/a.h:2: base/ may not include wire/"]),
    ("a sideways include", {"storage/a.h": '#include "consensus/b.h"', "consensus/b.h": ""}, ["storage/a.h:1: storage/ may not"]),
    ("an include of cli", {"replica/a.cc": '#  include "cli/b.h"', "cli/b.h": ""}, ["replica/a.cc:1: replica/ may not include cli/"]),
    ("an include of tests", {"bench/a.cc": '#include "tests/b.h"', "tests/b.h": ""}, ["bench/a.cc:1: bench/ may not include tests/"]),
    ("angle brackets", {"wire/a.cc": "#include <base/b.h>", "base/b.h": ""}, ["wire/a.cc:1: <base/b.h> is ours"]),
    ("a relative include", {"base/a.cc": '#include "b.h"', "base/b.h": ""}, ['base/a.cc:1: "b.h" is not a file']),
    ("a clock", {"consensus/a.cc": "#include <chrono>"}, ["consensus/a.cc:1: consensus/ is pure"]),
    ("a clock behind a header", {"consensus/a.cc": '#include "wire/b.h"', "wire/b.h": "#include <ctime>"}, ["wire/b.h:1: consensus/"]),
    ("a system call", {"consensus/a.cc": "#include <sys/socket.h>"}, ["consensus/a.cc:1: consensus/ is pure"]),
    ("an atomic without its header", {"consensus/a.h": "std::atomic<int> x;"}, ["consensus/a.h:1: consensus/ is pure: no std::atomic"]),
    ("words in comments", {"consensus/a.h": "// not a std::thread, no rand()\nint operand;"}, []),
    ("the CHECK", {"consensus/a.h": '#include "base/check.h"', "base/check.h": "#include <cstdio>\n#include <cstdlib>"}, []),
    ("a benchmark of consensus", {"consensus/a_bench.cc": "#include <chrono>"}, []),
    ("DPDK in replica", {"replica/a.cc": "#include <rte_mbuf.h>"}, ["replica/a.cc:1: DPDK"]),
    ("DPDK in dataplane", {"dataplane/a.cc": "#include <rte_mbuf.h>"}, []),
    ("io_uring in dataplane", {"dataplane/a.cc": "#include <liburing.h>"}, ["dataplane/a.cc:1: liburing"]),
    ("a client on the message layer", {"client/a.cc": '#include "dataplane/b.h"', "dataplane/b.h": ""}, []),
    ("a client on storage", {"client/a.cc": '#include "storage/b.h"', "storage/b.h": ""}, ["client/a.cc:1: client/ may not"]),
    ("a client that reaches DPDK", {"client/a.cc": '#include "dataplane/b.h"', "dataplane/b.h": "#include <rte_mbuf.h>"},
     ["dataplane/b.h:1: client/ links without DPDK"]),
]  # fmt: skip


def self_test() -> list:
    problems = []
    for title, files, expected in SELF_TESTS:
        with tempfile.TemporaryDirectory(prefix="synod-layers-") as name:
            root = pathlib.Path(name)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text + "\n", encoding="utf-8")
            found = violations(root)
        if len(found) != len(expected) or not all(line.startswith(start) for line, start in zip(found, expected)):
            problems.append(f"self-test '{title}': expected {expected}, found {found}")
    return problems


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    problems = self_test() + violations(root)
    includes = sum(len(source.includes) for source in read_tree(root).values())
    if includes == 0:
        problems.append(f"{root}: no #include line found, is this the root of the tree?")
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{includes} includes, {len(SELF_TESTS)} self-tests: the layers hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
