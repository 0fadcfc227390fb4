#!/usr/bin/env bash
# demo.sh BUILD_DIR: the main job of ./dev.sh run. Leaves no process and no file behind.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec "$1/tests/demo/demo" "$1/cli/synod" "$root"/tests/data/pgbench-wal-000000010000000000000003.zst
