#!/usr/bin/env bash
# Brings a node back whose disk was lost, from its backup, on a machine that new-node.sh --machine prepared, as root:
#   restore-node.sh --from BACKUP --identity FILE [--cluster FILE] [--audit AUDIT.DB] [--yes]
# The old node must never run again. --cluster is another operator's newest cluster file, for where no node can be asked. --audit is the
# newest audit log that was saved; without it the records since are given up. Shares of an epoch that the cluster left are not restored:
# once the node runs, they are repaired, which the operators of other members approve. The identity file does not stay here.
# It asks all it has to before it changes anything. Where it ends in the middle, run it again in the same way: how far it came is in a file
# beside the data directory, DIRECTORY.restoring.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
from= identity= cluster=() audit=
while [[ $# -gt 0 ]]; do
  case $1 in
  --from) from=${2:?}; shift 2 ;;
  --identity) identity=${2:?}; shift 2 ;;
  --cluster) cluster=(--cluster "${2:?}"); shift 2 ;;
  --audit) audit=${2:?}; shift 2 ;;
  --yes) ASSUME_YES=1; shift ;;
  --help) usage 0 ;;
  *) usage ;;
  esac
done
[[ -n $from && -n $identity ]] || usage
# As the unit has them; elsewhere whoever runs this is the user, and the environment says what unseals.
if [[ -z ${TKMS_SERVICE:-} ]]; then
  TKMS_USER=${TKMS_USER:-tkms}
  [[ ! -f /etc/tkms/passphrase ]] || export TKMS_PASSPHRASE_FILE=${TKMS_PASSPHRASE_FILE:-/etc/tkms/passphrase}
fi
progress=$TKMS_DATA_DIR.restoring
[[ ! -e $TKMS_DATA_DIR || -f $progress ]] || fail "$TKMS_DATA_DIR is there: move what is left of the old node away first"
[[ -z $audit || -r $audit ]] || fail "$audit cannot be read"
program() { "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" "$@" --data-dir "$TKMS_DATA_DIR"; }
confirm "The node of $from comes back here; the old one must never run again."
[[ -n $audit ]] || confirm 'Without --audit the audit log is given up, where the node had one; its exports and heads elsewhere still hold.'
if [[ ! -e $TKMS_DATA_DIR ]]; then
  : >"$progress"
  restored=$(program restore --from "$from" --identity-file "$identity" --without-outdated "${cluster[@]}" --json) || {
    rm -f -- "$progress"
    fail "it was not restored: $(value it.error.message <<<"$restored")"
  }
  tail -n 1 <<<"$restored" >"$progress"
else
  say "going on with $TKMS_DATA_DIR, which was restored before"
fi
restored=$(head -n 1 -- "$progress")
[[ -n $restored ]] || fail "the restoring of $TKMS_DATA_DIR was cut off, and nothing was started: erase it and $progress, and run this again"
came_to() { grep -qxF -- "$1" "$progress"; }
records=$(value it.auditRecords <<<"$restored")
outdated=$(value 'it.outdated.map(({ keyName }) => keyName)' <<<"$restored")
if came_to audit; then
  say 'the audit log is settled'
elif [[ -n $audit ]]; then
  # The newest records of a node that did not stop in an orderly way.
  [[ ! -e $audit-wal ]] || install -m 0600 "$audit-wal" "$TKMS_DATA_DIR/audit.db-wal"
  install -m 0600 "$audit" "$TKMS_DATA_DIR/audit.db"
elif ((records > 0)); then
  said=$(program audit accept-loss --confirm "$records" --json) || [[ $(value it.error.code <<<"$said") == audit-intact ]] ||
    fail "the audit log with its $records records was not given up: $(value it.error.message <<<"$said"). Run this again"
fi
came_to audit || printf 'audit\n' >>"$progress"
[[ -z ${TKMS_USER:-} ]] || chown -R "$TKMS_USER:$(id -gn "$TKMS_USER")" "$TKMS_DATA_DIR"
service is-active || service start
name=$(own_name)
wait_answer || fail "$name does not answer; its log says why. Run this again"
for key in $outdated; do
  if came_to "repaired $key"; then continue; fi
  say "$key: its share is of an epoch that is over; other operators approve the repair: kms-node repair status"
  kms_node repair "$key" --watch >&2 || fail "$key was not repaired: kms-node repair status says who is waited for. Run this again"
  printf 'repaired %s\n' "$key" >>"$progress"
done
wait_ready || fail "$name is not ready: $(ready --only "$name" || true)"
rm -f -- "$progress"
say "$name serves again"
