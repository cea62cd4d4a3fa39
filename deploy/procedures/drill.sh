#!/usr/bin/env bash
# A backup that is known to restore. On the machine of the node:
#   drill.sh backup DIRECTORY RECIPIENT [--yes]    writes NAME-TIME.backup for the age recipient, then asks whether older ones go
# where the age identity is, which is never the node's machine, and with the program only:
#   drill.sh check BACKUP IDENTITY                 opens it in memory and checks all of it; neither a node nor the network is asked
#   drill.sh restore BACKUP IDENTITY CLUSTER DIRECTORY
#                                                  restores it as if the machine were lost, into a directory that must not exist, and erases that again
# The last one needs whatever the node's sealer needs, and CLUSTER, the newest cluster file of any node. Nothing is started.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
words=()
while [[ $# -gt 0 ]]; do
  case $1 in
  --yes) ASSUME_YES=1; shift ;;
  --help) usage 0 ;;
  -*) usage ;;
  *) words+=("$1"); shift ;;
  esac
done
set -- "${words[@]}"
# On no node's data directory.
program() { env -u TKMS_DATA_DIR "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" "$@"; }

back_up() {
  local directory=$1 name file one old=()
  name=$(own_name)
  file=$directory/$name-$(date -u +%Y%m%dT%H%M%SZ).backup
  # Of this node alone: another one may be called NAME-2.
  for one in "$directory/$name"-*.backup; do
    [[ ! -f $one || ! ${one##*/} =~ ^"$name"-[0-9]{8}T[0-9]{6}Z\.backup$ ]] || old+=("$one")
  done
  kms_node backup --to "$file" --recipient "$2" >&2
  printf '%s\n' "$file"
  [[ ${#old[@]} -gt 0 ]] || return 0
  confirm "Older backups are erased; copies of them elsewhere are yours to erase: ${old[*]}"
  rm -- "${old[@]}"
}

# With its counter, of which a TPM has room for a few.
erase() {
  [[ -e $place/card.json ]] || return 0
  program erase --confirm "$(value it.name <"$place/card.json")" --data-dir "$place" >&2 || fail "$place could not be erased"
}

restore() {
  [[ ! -e $4 ]] || fail "$4 is there already"
  place=$4
  trap erase EXIT
  program restore --from "$1" --identity-file "$2" --cluster "$3" --data-dir "$4" >&2 || fail "$1 does not restore"
  trap - EXIT
  erase
  say "$1 restores; $4 was erased again"
}

case ${1:-}:$# in
backup:3) back_up "$2" "$3" ;;
check:3)
  program backup drill --from "$2" --identity-file "$3" || fail "$2 would not restore: make another one now"
  say "$2 would restore"
  ;;
restore:5) restore "$2" "$3" "$4" "$5" ;;
*) usage ;;
esac
