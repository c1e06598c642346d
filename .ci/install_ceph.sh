#!/usr/bin/env bash
# Installs a Ceph Object Gateway and the daemons behind it, for tests/integration/test_ceph.py: on Debian and Ubuntu, as root.
# Elsewhere it does nothing, and the test is skipped.
set -euo pipefail

daemons=(radosgw radosgw-admin ceph ceph-mon ceph-mgr ceph-osd ceph-authtool monmaptool)
missing=0
for each in "${daemons[@]}"; do command -v "$each" >/dev/null || missing=1; done
[ "$missing" = 1 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Ceph is not installed, and this is not a Debian machine with root: the test on it is skipped" >&2
  exit 0
fi
apt-get update -qq
# no service is started: the test runs its own daemons, on loopback and in a temporary folder
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends radosgw ceph-mon ceph-mgr ceph-osd ceph-common
