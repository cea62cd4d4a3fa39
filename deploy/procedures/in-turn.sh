#!/usr/bin/env bash
# Runs one command for every node of a cluster file, one node after the other, for whoever may reach all machines:
#   in-turn.sh CLUSTER COMMAND [ARGUMENT]...        {} in it stands for the name of the node
#   in-turn.sh cluster.json ssh {} sudo /opt/tkms/procedures/upgrade.sh --to /opt/tkms-2 --yes
# All nodes must serve before each; the first command that fails ends it, and no further node is touched.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != --help ]] || usage 0
[[ $# -ge 2 ]] || usage
cluster=$1
shift
names=$(value 'it.nodes.map(({ name }) => name)' <"$cluster")
while read -r name; do require_name "$cluster" "$name"; done <<<"$names"
for name in $names; do
  end=$((SECONDS + TKMS_WAIT))
  until found=$("$TKMS_PROGRAM/bin/node" "$PROCEDURES/ready.mjs" "$cluster"); do
    ((SECONDS < end)) || fail "before $name: not all nodes serve, so no further node is touched.
$found"
    sleep 0.5
  done
  say "$name"
  "${@//\{\}/$name}" || fail "$name: the command failed; no further node is touched"
done
say 'all nodes are done'
