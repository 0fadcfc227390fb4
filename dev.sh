#!/usr/bin/env bash
# The one script of Synod. `./dev.sh help` says what it can do. Works from any directory, as any user.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build_dir=${BUILD_DIR:-$root/build}
jobs=${JOBS:-$(nproc)}
folders=(base wire consensus storage dataplane client replica bench cli tests)

# What building and testing needs. libdpdk-dev brings the DPDK drivers (librte-net-*) that are loaded at run time.
packages=(g++ meson ninja-build pkg-config libdpdk-dev liburing-dev libgtest-dev libbenchmark-dev libcli11-dev
  libtomlplusplus-dev nlohmann-json3-dev libfmt-dev libnghttp2-dev libzstd-dev zstd python3)
# What `synod bench neighbours` and its test compare with; they do without what is not there. Where systemd runs, Debian starts them
# as services of this machine, on ports that the bench does not use.
packages_neighbours=(etcd-server nats-server)
# What only the tests in network namespaces need; they need root, and skip themselves without it.
packages_root=(iproute2 iputils-ping)

help() {
  cat <<'TEXT'
usage: ./dev.sh COMMAND

  run               install, build, then the main job: a cluster of three processes on disk replicates a real WAL,
                    loses its leader, recovers, and is measured
  test              install, build, run every test
  bench             measure the parts (Google Benchmark), then latency and throughput of a whole cluster
  deps              install the Debian packages that are missing (does nothing when none is)
  build             build into ./build
  format [--check]  format every source file, or say which are not
  lint              format --check, clang-tidy, the layer rules, the shell scripts
  sanitize [thread] every test under AddressSanitizer and UBSan (or ThreadSanitizer)
  fuzz [SECONDS] [NAME]
                    libFuzzer on each fuzzer of tests/fuzz (or one), 60 s each by default; needs clang 19, and installs it
  fuzz random [SECONDS]
                    the random tests under sanitizers with new seeds, 60 s by default
  sim [OPTIONS]     the whole cluster in virtual time, under the faults of a seed: --seeds N, or --seed N --trace (--help)
  nics [NAME..]     a replica on the PCI NICs that QEMU emulates, with DPDK's drivers for them; installs QEMU; needs root
  mutants [NAME..]  deliberate bugs: how many seeds until the simulator catches each, and by which check
  explore [OPTION..] every state of small clusters of engines, to the fixpoint; options are bounds, see explore --help
  scenario [NAME]   plays a scenario of docs/PROTOCOL.md and prints its trace; without a name, lists them.
                    --diagram text|mermaid draws its messages, --rewrite updates the file; `docs` is the page itself
  help              this text

environment: BUILD_DIR (default ./build), JOBS (default: all cores), CXX (g++; clang++-19 works too)
TEXT
}

say() { printf '==> %s\n' "$*"; }
die() {
  printf 'dev.sh: %s\n' "$*" >&2
  exit 1
}

# Prints those of the given packages that are not installed.
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  local package
  for package in "$@"; do
    grep -qxF "installed $package" <<<"$installed" || printf '%s\n' "$package"
  done
}

# Installs what is missing of the given packages. Needs no privilege and no network when nothing is.
install() {
  command -v dpkg-query >/dev/null || {
    say "not a Debian system: make sure that you have the equivalents of: $*"
    return
  }
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get)
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "packages are missing; as root, run: apt-get install ${missing[*]}"
    apt=(sudo "${apt[@]}")
  fi
  say "installing ${missing[*]}"
  "${apt[@]}" update -q >/dev/null || say "apt-get update failed; trying with the package lists that are here"
  "${apt[@]}" install -q -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "could not install; try by hand: apt-get install ${missing[*]}"
}

deps() {
  install "${packages[@]}" "${packages_neighbours[@]}"
  ((EUID != 0)) || install "${packages_root[@]}"
}

# configure DIR [MESON OPTION...]
configure() {
  local dir=$1
  shift
  mkdir -p "$dir" 2>/dev/null || true
  [[ -d $dir && -w $dir ]] || die "cannot write to $dir: set BUILD_DIR to a directory of yours, e.g. BUILD_DIR=/tmp/synod-build"
  [[ ! -f $dir/build.ninja ]] || return 0
  say "configuring $dir"
  meson setup "$dir" "$root" "$@" >"$dir/setup.log" 2>&1 || {
    tail -n 20 "$dir/setup.log" >&2
    die "meson could not configure $dir (all of it: $dir/setup.log)"
  }
}

# configure_and_build DIR [MESON OPTION...]
configure_and_build() {
  configure "$@"
  say "building $1"
  ninja -C "$1" -j "$jobs"
}

build() {
  deps
  configure_and_build "$build_dir"
}

# Runs every test of a build directory and prints how many passed. Fails when one failed or none ran.
run_tests() {
  local dir=$1
  rm -f "$dir"/meson-logs/testlog*.json
  meson test -C "$dir" --no-rebuild --num-processes "$jobs" --print-errorlogs || true
  python3 "$root/tests/summary.py" "$dir"
}

# Shared memory, sockets and data of the tests go under TMPDIR and are removed by the tests.
test_all() {
  build
  say "testing"
  run_tests "$build_dir"
}

run() {
  build
  exec "$root/tests/demo.sh" "$build_dir"
}

bench() {
  build
  local program
  while read -r program; do
    say "${program#"$build_dir"/}"
    "$program" --benchmark_min_time=0.2
  done < <(find "$build_dir" -type f -name '*_bench' -perm -u+x | sort)
  local measure
  for measure in latency throughput; do
    say "synod bench $measure"
    "$build_dir/cli/synod" bench "$measure" --seconds 5
  done
}

# Prints the paths of our own files with one of the given endings.
sources() {
  local ending
  for ending in "$@"; do
    (cd "$root" && find "${folders[@]}" -type f -name "*.$ending" | sort)
  done
}

format() {
  install clang-format-19
  local mode=(-i)
  case ${1:-} in
    '') ;;
    --check) mode=(--dry-run --Werror) ;;
    *) die "format: unknown option $1 (there is only --check)" ;;
  esac
  sources h cc | (cd "$root" && xargs clang-format-19 "${mode[@]}") || die "not formatted: run ./dev.sh format"
}

# clang-tidy reads the commands of a build directory; what it does not build is not looked at.
tidy() {
  install clang-tidy-19
  configure_and_build "$build_dir"
  # The commands are gcc's.
  local for_gcc_alone=(--extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument)
  python3 - "$build_dir/compile_commands.json" "$root" <<'PYTHON' |
import json, os, sys
commands, root = sys.argv[1], sys.argv[2]
files = {os.path.realpath(os.path.join(c["directory"], c["file"])) for c in json.load(open(commands))}
print("\n".join(sorted(f for f in files if f.startswith(os.path.realpath(root) + "/"))))
PYTHON
    xargs -P "$jobs" -n 1 clang-tidy-19 -p "$build_dir" --quiet "${for_gcc_alone[@]}" 2>/dev/null || die "clang-tidy found something"
}

lint() {
  deps
  say "format"
  format --check
  say "layers"
  python3 "$root/tests/layers_test.py" "$root"
  say "shell scripts"
  local scripts
  mapfile -t scripts < <(cd "$root" && printf '%s\n' dev.sh .ci/run && sources sh)
  (cd "$root" && for script in "${scripts[@]}"; do bash -n "$script"; done)
  ! command -v shellcheck >/dev/null || (cd "$root" && shellcheck "${scripts[@]}")
  say "clang-tidy"
  tidy
  say "clean"
}

# The build with sanitizers and the checks of the standard library: slower, with other warnings, so warnings do not stop it.
build_sanitized() {
  configure_and_build "$1" -Db_sanitize="$2" -Db_lundef=false -Dbuildtype=debugoptimized -Dwerror=false \
    -Dcpp_args=-D_GLIBCXX_ASSERTIONS
}

sanitize() {
  deps
  case ${1:-address} in
    address)
      build_sanitized "$build_dir-asan" address,undefined
      UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run_tests "$build_dir-asan"
      ;;
    thread)
      build_sanitized "$build_dir-tsan" thread
      run_tests "$build_dir-tsan"
      ;;
    *) die "sanitize: unknown sanitizer $1 (address or thread)" ;;
  esac
}

# Every test whose name contains Random takes its seed from SYNOD_TEST_SEED and prints it. The fuzzers' are left to libFuzzer.
fuzz_random() {
  local seconds=$1
  build_sanitized "$build_dir-asan" address,undefined
  local log program seed rounds=0
  log=$(mktemp)
  # shellcheck disable=SC2064  # the name of this very file
  trap "rm -f '$log'" EXIT
  say "fuzzing for $seconds s"
  SECONDS=0
  while ((SECONDS < seconds)); do
    seed=$((RANDOM * 1000000000 + RANDOM * 1000000))
    while read -r program; do
      SYNOD_TEST_SEED=$seed UBSAN_OPTIONS=halt_on_error=1 "$program" --gtest_filter='*Random*' >"$log" 2>&1 || {
        cat "$log"
        die "seed $seed failed; replay: SYNOD_TEST_SEED=$seed $program --gtest_filter='*Random*'"
      }
    done < <(find "$build_dir-asan/tests" -type f -name '*_test' -not -path '*/fuzz/*' -perm -u+x | sort)
    rounds=$((rounds + 1))
  done
  say "$rounds rounds, nothing found"
}

# The number behind `$1` in libFuzzer's log `$2`: its last occurrence, or 0.
last_number() {
  local numbers
  mapfile -t numbers < <(grep -oE "$1 *[0-9]+" "$2" | grep -oE '[0-9]+$')
  printf '%s' "${numbers[-1]:-0}"
}

# One fuzzer for some seconds, from its examples, everything that was ever found, and the corpus that earlier runs left. Prints one
# line; fails when something was found.
run_fuzzer() {
  local name=$1 seconds=$2 dir=$build_dir-fuzz
  local program=$dir/tests/fuzz/fuzz_$name log=$dir/fuzz_$name.log
  local corpus=$dir/corpus/$name findings=$dir/findings/$name options=()
  mkdir -p "$corpus" "$findings"
  "${program}_examples" "$corpus"
  [[ ! -d $root/tests/fuzz/found/$name ]] || cp "$root/tests/fuzz/found/$name"/* "$corpus"
  [[ ! -f $root/tests/fuzz/$name.dict ]] || options=("-dict=$root/tests/fuzz/$name.dict")
  local status=0
  "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=4096 \
    -print_final_stats=1 -artifact_prefix="$findings/" "${options[@]}" "$corpus" >"$log" 2>&1 || status=$?
  local found='nothing found'
  ((status == 0)) || found="FOUND something, see $log"
  printf '%-11s %10d executions, %6d/s, coverage %5d edges, %6d features, %s\n' "$name" \
    "$(last_number stat::number_of_executed_units: "$log")" "$(last_number stat::average_exec_per_sec: "$log")" \
    "$(last_number 'cov:' "$log")" "$(last_number 'ft:' "$log")" "$found"
  ((status == 0)) && return
  local input
  while read -r input; do
    printf '  replay: %s %s\n' "$program" "$input"
  done < <(grep -oE "$findings/[a-z]+-[0-9a-f]+" "$log" | sort -u)
  return 1
}

# libFuzzer, with sanitizers, in a build directory of its own.
fuzz_all() {
  local seconds=$1 wanted=$2 dir=$build_dir-fuzz
  install clang-19 libclang-rt-19-dev
  CXX=clang++-19 configure "$dir" -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false \
    -Dcpp_args=-D_GLIBCXX_ASSERTIONS
  say "building $dir"
  ninja -C "$dir" -j "$jobs" fuzzers
  local names name failed=0
  mapfile -t names < <(find "$dir/tests/fuzz" -maxdepth 1 -name 'fuzz_*_examples' -printf '%f\n' |
    sed 's/^fuzz_//; s/_examples$//' | sort)
  [[ -z $wanted || " ${names[*]} " == *" $wanted "* ]] || die "fuzz: no fuzzer '$wanted'; there are: ${names[*]}"
  say "fuzzing for $seconds s each; corpus and findings stay in $dir"
  for name in "${names[@]}"; do
    [[ -n $wanted && $name != "$wanted" ]] || run_fuzzer "$name" "$seconds" || failed=1
  done
  ((failed == 0)) || die "fuzz: fix it, and keep the input as tests/fuzz/found/NAME/what-it-shows: the ordinary tests run it"
}

fuzz() {
  local kind=all
  if [[ ${1:-} == random ]]; then
    kind=random
    shift
  fi
  local seconds=${1:-60}
  [[ $seconds =~ ^[0-9]+$ ]] || die "fuzz: '$seconds' is not a number of seconds"
  deps
  "fuzz_$kind" "$seconds" "${2:-}"
}

# Prints the name and the first sentence of every scenario, in the order in which docs/PROTOCOL.md tells them.
list_scenarios() {
  local name file
  while read -r name; do
    file=$root/tests/scenario/$name.txt
    printf '%-20s %s\n' "$name" "$(sed -n '/^#/!q; s/^# //p' "$file" | tr '\n' ' ' | sed 's/[.] .*/./')"
  done < <(sed -n 's/^    [.]\/dev[.]sh scenario //p' "$root/docs/PROTOCOL.md")
}

# scenario [NAME [OPTION...]]: only the trace or the diagram goes to the standard output.
scenario() {
  (($#)) || {
    list_scenarios
    return
  }
  local name=$1
  shift
  build_target "$build_dir" tests/scenario/scenario
  local program=$build_dir/tests/scenario/scenario
  [[ $name != docs ]] || exec "$program" --docs "$root/docs/PROTOCOL.md" --scenarios "$root/tests/scenario" "$@"
  [[ -f $root/tests/scenario/$name.txt ]] || die "there is no scenario '$name'; ./dev.sh scenario lists them"
  exec "$program" "$root/tests/scenario/$name.txt" "$@"
}

# Builds one target of a build directory, quietly.
build_target() {
  local dir=$1 target=$2
  shift 2
  deps >&2
  configure "$dir" "$@" >&2
  ninja -C "$dir" -j "$jobs" --quiet "$target" >&2
}

sim() {
  build_target "$build_dir" tests/sim/sim
  exec "$build_dir/tests/sim/sim" "$@"
}

nics() {
  install qemu-system-x86 busybox-static cpio iproute2 iputils-ping binutils
  build_target "$build_dir" cli/synod
  exec python3 "$root/tests/nic/nics.py" "$build_dir/cli/synod" "$build_dir/nic" "$@"
}

mutants() {
  build_target "$build_dir-mutants" tests/sim/sim -Dmutant=any
  build_target "$build_dir-mutants" tests/explore/explore
  exec python3 "$root/tests/sim/mutants.py" "$build_dir-mutants/tests/sim/sim" "$build_dir-mutants/tests/explore/explore" "$@"
}

# Every delivery, loss, repetition, torn disk and restart within bounds. Without options: four large ones, some minutes.
explore() {
  build_target "$build_dir" tests/explore/explore
  local program=$build_dir/tests/explore/explore
  (($# == 0)) || exec "$program" "$@"
  say "one crash of any replica, any part of what it had staged lost"
  "$program" --campaigns 1 --crashes 1
  say "proposers that outbid each other: four ballots"
  "$program" --campaigns 2 --rounds 2
  say "two slots"
  "$program" --campaigns 1 --slots 2
  say "five members, all that two proposers can do to them"
  "$program" --members 5 --campaigns 1 --rounds 2 --slow-disks 0
}

main() {
  local command=${1:-help}
  (($# == 0)) || shift
  case $command in
    deps | build | run | bench | format | lint | sanitize | fuzz | scenario | sim | nics | mutants | explore) "$command" "$@" ;;
    test) test_all ;;
    help | -h | --help) help ;;
    *) die "unknown command '$command'; ./dev.sh help lists them" ;;
  esac
}

main "$@"
