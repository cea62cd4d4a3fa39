#!/usr/bin/env bash
# Lets a node leave every key that it is in, and another one take its place; the leaving one need not run. On the machine of one member:
#   replace-node.sh --remove NAME [--add CARD] [--threshold T] [--degraded] [--yes]
# The new node was made with new-node.sh on a machine of its own, under another name and address; CARD is the card that it printed. This
# writes the cluster file for it and waits until it joined with that and runs; then it proposes, key after key and generation after
# generation, a resharing without NAME and with the new one. The other members approve each. Public keys and envelopes stay as they are.
# What a run did that did not come to its end stays: run it again, and it goes on with the keys that NAME is still in.
# --degraded where fewer than a quorum of the old members are left: all operators then compare the new committee by hand.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
remove= add= threshold=() degraded=()
while [[ $# -gt 0 ]]; do
  case $1 in
  --remove) remove=${2:?}; shift 2 ;;
  --add) add=${2:?}; shift 2 ;;
  --threshold) threshold=(--threshold "${2:?}"); shift 2 ;;
  --degraded) degraded=(--degraded); shift ;;
  --yes) ASSUME_YES=1; shift ;;
  --help) usage 0 ;;
  *) usage ;;
  esac
done
[[ -n $remove ]] || usage
[[ $(own_name) != "$remove" ]] || fail "this machine runs $remove itself: do it on another member's"
held=$(held_keys)
[[ -n $held ]] || fail 'this node has no share of any key: do it on a member of the committee'
in_cluster() { value 'it.nodes.some(({ name }) => name === args[0])' "$1" <"$TKMS_DATA_DIR/cluster.json"; }
[[ $(in_cluster "$remove") == true ]] || fail "$TKMS_DATA_DIR/cluster.json names no node $remove"
confirm "$remove leaves: $(tr '\n' ',' <<<"$held") each reshared without it."

joining=()
if [[ -n $add ]]; then
  # One copy, so that what is checked is what is used, where the owner of the data directory reads it too.
  place=$(mktemp -d)
  trap 'rm -rf -- "$place"' EXIT
  card=$place/card.json
  head -c 65537 -- "$add" >"$card"
  added=$(value it.name <"$card") || fail "$add is no node card"
  require_name "$add" "$added"
  chown -R -- "$(stat -c %U -- "$TKMS_DATA_DIR")" "$place"
  joining=(--add "$card")
  if [[ $(in_cluster "$added") == false ]]; then
    file=$place/cluster-with-$added.json
    kms_node cluster add "$card" --cluster "$TKMS_DATA_DIR/cluster.json" --out "$file" >&2
    hash=$(value it.configHash < <(kms_node cluster show "$file" --json))
    say "give $file to $added; there: new-node.sh --join cluster-with-$added.json --config-hash $hash"
    end=$((SECONDS + TKMS_WAIT))
    until "$TKMS_PROGRAM/bin/node" "$PROCEDURES/ready.mjs" "$file" --only "$added" --path /health >/dev/null; do
      ((SECONDS < end)) || {
        trap - EXIT
        fail "$added does not run: nothing was proposed. Give it $file, start it, and run this again"
      }
      sleep 0.5
    done
  fi
fi
while read -r key generation; do
  UNLESS=unknown-node watch_ceremony "$key generation $generation" ceremony propose --reshare "$key" --generation "$generation" --remove "$remove" \
    "${joining[@]}" "${threshold[@]}" "${degraded[@]}"
done <<<"$held"
say "$remove holds no current share. Its operator erases its disk; where its identity may be in foreign hands, on every node: kms-node cluster remove $remove"
