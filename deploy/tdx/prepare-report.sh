#!/usr/bin/env bash
# Lets one group of an Intel TDX guest have quotes: makes a report directory of the kernel's configfs-tsm (Linux 6.7 or later) and opens
# its two files for that group. Run it as root, once after every start of the guest; again is harmless.
#   prepare-report.sh GROUP [DIRECTORY]
# GROUP is a name or a number, DIRECTORY by default /sys/kernel/config/tsm/report/tkms, as attestation.reportDirectory of node.yaml.
# The kernel makes inblob for root alone (0200), in a directory that belongs to root: whoever may only make directories gets no quote.
# Modes and groups that are set here stay as long as the directory does, which is until the guest's next start.
set -euo pipefail

fail() {
  printf 'prepare-report: %s\n' "$*" >&2
  exit 1
}

[[ $# -ge 1 && $# -le 2 ]] || fail 'usage: prepare-report.sh GROUP [DIRECTORY]'
group=$1
directory=${2:-/sys/kernel/config/tsm/report/tkms}
reports=$(dirname "$directory")

[[ -d $reports ]] || fail "there is no $reports: mount configfs (mount -t configfs none /sys/kernel/config) and load the driver (modprobe tdx_guest)"
[[ -d $directory ]] || mkdir "$directory" || fail "the kernel makes no $directory: this is no TDX guest, or its driver is not loaded (modprobe tdx_guest)"
for attribute in provider generation inblob outblob; do
  [[ -e $directory/$attribute ]] || fail "$directory has no $attribute: it is no report directory of configfs-tsm"
done
provider=$(<"$directory/provider")
[[ $provider == tdx_guest ]] || fail "quotes here come from \"$provider\", not tdx_guest"

chgrp -- "$group" "$directory/inblob" "$directory/outblob"
# Written by the group, read back by nobody.
chmod 0220 "$directory/inblob"
chmod 0440 "$directory/outblob"
printf 'prepare-report: group %s may have quotes through %s\n' "$group" "$directory"
