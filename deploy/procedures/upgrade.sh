#!/usr/bin/env bash
# Brings the node of this machine to another version of the program, without a failed request. On every machine in turn, in any order:
#   upgrade.sh --to DIRECTORY [--recipient AGE-RECIPIENT --backup FILE] [--away NAME]... [--yes]
# DIRECTORY holds the new version as new-node.sh installs one (bin/node, dist); TKMS_PROGRAM is a link, which is turned to it.
# 1. looks: the new version runs at all, this node is healthy, every other node serves, and the threshold is left without this one
# 2. backs the node up, where a recipient is given; 3. stops it: it ends what it is at, new requests go to the others; 4. starts the
# new version and waits until it serves and doctor finds nothing wrong. Where that does not come, the old version is put back, started and
# waited for, and the procedure fails: then go to no other machine. Before step 3 nothing is changed.
# A version that writes new kinds of records cannot be put back once it served: the backup of step 2 is the way back from there.
# --away names a node that is known to be gone; the threshold of every key must be left without it too.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

to= recipient= backup= away=()
while [[ $# -gt 0 ]]; do
  case $1 in
  --to) to=${2:?}; shift 2 ;;
  --recipient) recipient=${2:?}; shift 2 ;;
  --backup) backup=${2:?}; shift 2 ;;
  --away) away+=("${2:?}"); shift 2 ;;
  --yes) ASSUME_YES=1; shift ;;
  --help) usage 0 ;;
  *) usage ;;
  esac
done
[[ -n $to && ${recipient:+x} == "${backup:+x}" ]] || usage
[[ -L $TKMS_PROGRAM ]] || fail "$TKMS_PROGRAM is no link: move it to ${TKMS_PROGRAM}-old and link it to there"
to=$(readlink -f "$to")
from=$(readlink -f "$TKMS_PROGRAM")
name=$(own_name)

# turn DIRECTORY: at once, so that there is no moment without a program.
turn() {
  ln -sfn "$1" "$TKMS_PROGRAM.new"
  mv -T "$TKMS_PROGRAM.new" "$TKMS_PROGRAM"
}

# With nodes away doctor has something to say.
healthy() { [[ ${#away[@]} -gt 0 ]] || require_healthy; }
serves() { wait_ready && healthy; }
look() {
  others=$(ready "${except[@]}") || fail "other nodes do not serve, so this one goes on: nothing was changed. Mend them, or name them with --away.
$others"
}

# What only the new version can read, the old one refuses: nothing but this leads on from there.
down() {
  fail "$name IS DOWN: $from does not $1 again either; its log says why. Upgrade no other node.
Where the log names a record or a version that $from does not know, $to wrote it, and $from cannot come back on this data directory:
  1. back to the new version: ln -sfn $to $TKMS_PROGRAM, then start the node, and mend what its log says
  2. where that cannot be: stop the node, move $TKMS_DATA_DIR away, ln -sfn $from $TKMS_PROGRAM, then
     restore-node.sh with the backup from before this upgrade${backup:+: --from $backup}"
}

put_back() {
  say "$name does not serve with $to: putting $from back"
  service stop || true
  turn "$from"
  service start || down start
  wait_ready || down serve
  fail "$to was not taken; $name serves with $from as before. Its log says why. Upgrade no other node."
}

new_version=$("$to/bin/node" "$to/dist/bin/kms-node.js" --version) || fail "the program in $to does not run: nothing was changed"
say "$name: from $from to $to (version $new_version)"
except=(--except "$name")
for gone in "${away[@]}"; do except+=(--except "$gone"); done
look
threshold=$(kms_node keys --json | value 'Math.max(0, ...it.filter(({ index, destroyedAt }) => index !== undefined && destroyedAt === undefined).map(({ threshold }) => threshold))')
serving=$(grep -c ' ready$' <<<"$others" || true)
((serving >= threshold)) || fail "only $serving other nodes serve, and keys need $threshold: nothing was changed"
healthy || fail 'doctor found something wrong: nothing was changed'
if [[ -n $recipient ]]; then
  kms_node backup --to "$backup" --recipient "$recipient" >&2
else
  say "no backup is made. Once $to has served, its records may be such that $from does not read them: a backup is then the only way back. Give --recipient and --backup"
fi
confirm "$name stops for some seconds; $serving others serve, keys need $threshold."

# Somebody may have begun with another one meanwhile.
look
say "stopping $name"
service stop || fail "$name could not be stopped: nothing was changed"
turn "$to"
say "starting $name"
service start || put_back
serves || put_back
say "$name serves with version $new_version"
