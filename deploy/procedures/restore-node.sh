#!/usr/bin/env bash
# Brings a node back whose disk was lost, from its backup, on a machine that new-node.sh --machine prepared, as root:
#   restore-node.sh --from BACKUP --identity FILE [--cluster FILE] [--audit AUDIT.DB] [--yes]
# The old node must never run again. --cluster is another operator's newest cluster file, for where no node can be asked. --audit is the
# newest audit log that was saved; without it the records since are given up. Shares of an epoch that the cluster left are not restored:
# once the node runs, they are repaired, which the operators of other members approve. The identity file does not stay here.
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
[[ ! -e $TKMS_DATA_DIR ]] || fail "$TKMS_DATA_DIR is there: move what is left of the old node away first"
program() { "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" "$@" --data-dir "$TKMS_DATA_DIR"; }
confirm "The node of $from comes back here; the old one must never run again."
restored=$(program restore --from "$from" --identity-file "$identity" --without-outdated "${cluster[@]}" --json) ||
  fail "it was not restored: $(value it.error.message <<<"$restored")"
records=$(value it.auditRecords <<<"$restored")
outdated=$(value 'it.outdated.map(({ keyName }) => keyName)' <<<"$restored")
if [[ -n $audit ]]; then
  # The newest records of a node that did not stop in an orderly way.
  [[ ! -e $audit-wal ]] || install -m 0600 "$audit-wal" "$TKMS_DATA_DIR/audit.db-wal"
  install -m 0600 "$audit" "$TKMS_DATA_DIR/audit.db"
elif ((records > 0)); then
  confirm "The audit log with its $records records is given up; its exports and heads elsewhere still hold."
  program audit accept-loss --confirm "$records" >&2
fi
[[ -z ${TKMS_USER:-} ]] || chown -R "$TKMS_USER:$(id -gn "$TKMS_USER")" "$TKMS_DATA_DIR"
service start
name=$(own_name)
wait_answer || fail "$name does not answer; its log says why"
for key in $outdated; do
  say "$key: its share is of an epoch that is over; other operators approve the repair: kms-node repair status"
  kms_node repair "$key" --watch >&2 || fail "$key was not repaired: kms-node repair status says who is waited for"
done
wait_ready || fail "$name is not ready: $(ready --only "$name" || true)"
say "$name serves again"
