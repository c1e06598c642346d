#!/usr/bin/env bash
# Installs OpenSSH's server, for tests/functional/test_sftp*.py: on Debian and Ubuntu, as root.
# Elsewhere it does nothing, and the tests are skipped, except in CI, where they fail.
set -euo pipefail

PATH=$PATH:/usr/sbin
if command -v sshd >/dev/null; then exit 0; fi

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "sshd is not installed, and this is not a Debian machine with root: the tests on it are skipped" >&2
  exit 0
fi
apt-get update -qq
# no service is started: the tests run their own server, on loopback and in a temporary folder
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends openssh-server openssh-sftp-server
