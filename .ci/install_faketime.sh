#!/usr/bin/env bash
# Installs libfaketime, for the tests of locks under a wrong clock (tests/functional/test_locks.py): on Debian and Ubuntu, as root.
# Elsewhere it does nothing, and those tests are skipped.
set -euo pipefail

compgen -G "/usr/lib/*/faketime/libfaketime.so.1" >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "libfaketime is not installed, and this is not a Debian machine with root: tests with a wrong clock are skipped" >&2
  exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libfaketime
