#!/usr/bin/env bash
# Proves that the node of this machine serves, with its cluster:
#   check-node.sh [--key NAME]
# waits until the node is ready, lets doctor look at it and at all others, and encrypts and decrypts a few bytes through the cluster with a
# signer that is made for it and thrown away. Without --key with the first key that the node has a share of.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
key=
while [[ $# -gt 0 ]]; do
  case $1 in
  --key) key=${2:?}; shift 2 ;;
  --help) usage 0 ;;
  *) usage ;;
  esac
done
name=$(own_name)
wait_ready || fail "$name is not ready: $(ready --only "$name" || true)"
require_healthy || fail 'doctor found something wrong: see its remedies'
[[ -n $key ]] || key=$(held_keys | head -n 1 | cut -d' ' -f1)
[[ -n $key ]] || fail "$name has no share of any key: kms-node ceremony propose --name KEY"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
client=$(cd -P "$TKMS_PROGRAM/dist/.." && pwd)/node_modules/@tkms/kms-client/dist/bin/tkms.js
tkms() { "$TKMS_PROGRAM/bin/node" "$client" "$@"; }
cp "$TKMS_DATA_DIR/cluster.json" "$place/cluster.json"
head -c 32 /dev/urandom >"$place/plain"
owner=$(tkms keygen --out "$place/signer.pem")
tkms encrypt --cluster "$place/cluster.json" --key "$key" --owner "$owner" "$place/plain" --out "$place/sealed" >&2
tkms decrypt --cluster "$place/cluster.json" --signer "$place/signer.pem" "$place/sealed" --out "$place/opened" >&2 ||
  fail "the cluster did not open what was sealed for $key"
cmp -s "$place/plain" "$place/opened" || fail "the cluster opened something else for $key"
say "$name serves: $key opened what was sealed for it"
