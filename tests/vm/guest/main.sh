#!/bin/bash
# Runs inside the virtual machine, as root, started by proof.service at each boot.
# The host reads its lines at the second serial port, and ends the machine when it
# sees the last one.
# shellcheck source-path=SCRIPTDIR
set -uo pipefail  # no -e: a check that fails is counted, and the next one runs
export LC_ALL=C
cd /proof/guest || exit
# Ours, and nothing for `holdfast admin` to look in.
unset RUNTIME_DIRECTORY
stty -F /dev/ttyS1 -onlcr
. ./lib.sh
. ./service.sh
. ./first.sh
. ./second.sh

stage=$(sed -n 's/.*proof=\([a-z]*\).*/\1/p' /proc/cmdline)
"${stage}_boot"
printf 'end %s\n' "$stage"
