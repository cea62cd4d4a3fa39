#!/usr/bin/env bash
# After a suspected compromise, on the machine of one member, in this order; the service goes on meanwhile. See docs/operations.md.
#   respond.sh refresh [--yes]                     new shares of every key: copies of old ones become worthless
#   respond.sh rotate KEY [--yes]                  a new key under the same name; envelopes made from now on are for it
#   respond.sh destroy KEY GENERATION [--yes]      orders the destruction of an older generation, for ever; on a quorum of the members
# Between the first two the node in doubt is left out with replace-node.sh --remove, and every operator makes a new backup and erases the
# older ones (drill.sh). Destroy only after everything was encrypted anew: what was not can never be opened again.
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

refresh() {
  local held key generation
  held=$(held_keys)
  [[ -n $held ]] || fail 'this node has no share of any key: do it on a member of the committee'
  confirm "New shares for $(tr '\n' ',' <<<"$held") the others approve each."
  while read -r key generation; do
    watch_ceremony "$key generation $generation" ceremony propose --refresh "$key" --generation "$generation"
  done <<<"$held"
  say 'now every operator makes a new backup and erases all older ones: drill.sh'
}

rotate() {
  confirm "$1 gets a new generation; the others approve it."
  watch_ceremony "$1" keys rotate "$1"
  say 'now bring the cluster file of every program that encrypts up to date (tkms follow), and encrypt what is there anew'
}

# phase_of KEY GENERATION: how far its destruction is; empty where nobody ordered it.
phase_of() { kms_node keys destroy "$1" --status --json | value 'it.find(({ generation }) => generation === Number(args[0]))?.phase' "$2"; }

destroy() {
  local id phase end
  phase=$(phase_of "$1" "$2")
  if [[ -z $phase || $phase == collecting ]]; then
    id=$(kms_node keys --json | value 'it.find(({ keyName, generation }) => keyName === args[0] && generation === Number(args[1]))?.keyId' "$1" "$2")
    [[ -n $id ]] || fail "this node knows no generation $2 of $1"
    confirm "$1 generation $2 ($id) is destroyed FOR EVER: nothing that was encrypted for it can be opened any more."
    kms_node keys destroy "$1" --generation "$2" --confirm "$id" >&2
    phase=$(phase_of "$1" "$2")
  fi
  end=$((SECONDS + TKMS_WAIT))
  while [[ $phase == erasing ]]; do
    ((SECONDS < end)) || fail "$1 generation $2 is still being erased here: kms-node keys destroy $1 --status"
    sleep 0.2
    phase=$(phase_of "$1" "$2")
  done
  case $phase in
  gone) say "$1 generation $2 is gone" ;;
  erased) say "$1 generation $2 is erased here; when all have said so, kms-node keys destroy $1 --status says gone" ;;
  collecting) say "the order of this node is signed; it counts once a quorum of the members signed theirs: respond.sh destroy $1 $2" ;;
  *) fail "$1 generation $2 is $phase: kms-node keys destroy $1 --status" ;;
  esac
}

case ${1:-}:$# in
refresh:1) refresh ;;
rotate:2) rotate "$2" ;;
destroy:3)
  [[ $3 =~ ^[0-9]+$ ]] || usage
  destroy "$2" "$3"
  ;;
*) usage ;;
esac
