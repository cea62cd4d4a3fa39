#!/usr/bin/env bash
# From an empty machine to a node that runs. On Debian with Node 20 or later and npm, as root, in a clone of this repository:
#   new-node.sh --name NAME --host ADDRESS [--p2p-port 7001] [--http-port 7443] [--sealer passphrase|tpm2|dstack] [--tdx] [--dry-run]
# It installs the program and its unit of systemd, makes the user, a passphrase that only root reads, and the node, in the production
# profile with a TLS certificate of its own. Then it prints the node card, which is public. Give it to the others; one operator makes
# the cluster file of all cards (kms-node cluster new), and everybody compares its config hash over another channel. With both:
#   new-node.sh --join cluster.json --config-hash HASH
# joins, starts the node and waits until it answers. When the committee has made a key: check-node.sh
# new-node.sh --machine does all but the node, for one that restore-node.sh brings back. What is there already is kept, so that it can be run again. --dry-run says what would be done, and does nothing.
# --tdx, in an Intel TDX guest whose kernel gives quotes: the node proves with them what runs here.
# From the environment, besides those of lib.sh: TKMS_USER (tkms), TKMS_ETC (/etc), TKMS_LIB (/usr/local/lib/tkms), TKMS_RELEASE
# (/opt/tkms-VERSION).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
TKMS_USER=${TKMS_USER:-tkms}
TKMS_ETC=${TKMS_ETC:-/etc}
TKMS_LIB=${TKMS_LIB:-/usr/local/lib/tkms}
passphrase=$TKMS_ETC/tkms/passphrase
deploy=$(dirname "$PROCEDURES")

name= host= machine= p2p_port=7001 http_port=7443 sealer=passphrase join= hash= tdx= dry=
while [[ $# -gt 0 ]]; do
  case $1 in
  --name) name=${2:?}; shift 2 ;;
  --host) host=${2:?}; shift 2 ;;
  --p2p-port) p2p_port=${2:?}; shift 2 ;;
  --http-port) http_port=${2:?}; shift 2 ;;
  --sealer) sealer=${2:?}; shift 2 ;;
  --join) join=${2:?}; shift 2 ;;
  --config-hash) hash=${2:?}; shift 2 ;;
  --tdx) tdx=1; shift ;;
  --machine) machine=1; shift ;;
  --dry-run) dry=1; shift ;;
  --help) usage 0 ;;
  *) usage ;;
  esac
done
if [[ -n $join ]]; then
  [[ -n $hash && -z $name$machine ]] || usage
elif [[ -n $machine ]]; then
  [[ -z $name$host$hash ]] || usage
else
  [[ -n $name && -n $host && -z $hash ]] || usage
fi
[[ $sealer =~ ^(passphrase|tpm2|dstack)$ ]] || usage

# act WHAT COMMAND...: one step, or the word of it.
act() {
  say "$1"
  [[ -z $dry ]] || return 0
  shift
  "$@"
}

install_program() {
  local version
  version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$deploy/../package.json")
  local release=${TKMS_RELEASE:-$TKMS_PROGRAM-$version}
  [[ -e $release ]] || "$PROCEDURES/install-program.sh" "$release"
  ln -sfn "$release" "$TKMS_PROGRAM"
}

make_user() { systemd-sysusers "$deploy/systemd/tkms.sysusers.conf"; }

make_passphrase() {
  install -d -m 0755 "$TKMS_ETC/tkms"
  (umask 0377 && head -c 32 /dev/urandom | base64 -w 0 >"$passphrase")
}

# as_node COMMAND...: as the node's user, with the passphrase where only that user reads it, as the unit's credential is.
as_node() {
  local place=() status=0
  if [[ $sealer == passphrase ]]; then
    credential=$(mktemp -d)
    trap 'rm -rf "$credential"' EXIT
    install -o "$TKMS_USER" -m 0400 "$passphrase" "$credential/passphrase"
    chown "$TKMS_USER" "$credential"
    place=("TKMS_PASSPHRASE_FILE=$credential/passphrase")
  fi
  runuser -u "$TKMS_USER" -- env "${place[@]}" "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" "$@" \
    --data-dir "$TKMS_DATA_DIR" || status=$?
  rm -rf "${credential:-}"
  return "$status"
}

make_node() {
  install -d -o "$TKMS_USER" -g "$(id -gn "$TKMS_USER")" -m 0700 "$TKMS_DATA_DIR"
  local address=$host kind=dns4
  [[ $host =~ ^[0-9.]+$ ]] && kind=ip4
  [[ $host != *:* ]] || { kind=ip6; address="[$host]"; }
  as_node init --name "$name" --sealer "$sealer" --listen "/ip4/0.0.0.0/tcp/$p2p_port" --announce "/$kind/$host/tcp/$p2p_port" \
    --http-host 0.0.0.0 --http-port "$http_port" --public-url "https://$address:$http_port" >/dev/null
  [[ -z $tdx ]] || printf 'attestation:\n  provider: tdx\n' >>"$TKMS_DATA_DIR/node.yaml"
}

# Everything that touches systemd, besides service() of lib.sh.
install_units() {
  local units=$TKMS_ETC/systemd/system
  install -d -m 0755 "$units/kms-node.service.d"
  install -m 0644 "$deploy/systemd/kms-node.service" "$units/"
  [[ $sealer != tpm2 ]] || install -m 0644 "$deploy/systemd/kms-node.service.d/tpm2.conf" "$units/kms-node.service.d/"
  if [[ -n $tdx ]]; then
    install -d -m 0755 "$TKMS_LIB"
    install -m 0755 "$deploy/tdx/prepare-report.sh" "$TKMS_LIB/"
    install -m 0644 "$deploy/systemd/tkms-report.service" "$units/"
    install -m 0644 "$deploy/systemd/kms-node.service.d/tdx.conf" "$units/kms-node.service.d/"
  fi
  [[ -z ${TKMS_SERVICE:-} ]] || return 0
  systemctl daemon-reload
  systemctl enable kms-node.service
  [[ -z $tdx ]] || systemctl enable tkms-report.service
}

if [[ -n $join ]]; then
  [[ -f $TKMS_DATA_DIR/card.json ]] || fail "there is no node in $TKMS_DATA_DIR: make it first, with --name"
  sealer=$(sed -n 's/^  provider: //p' "$TKMS_DATA_DIR/node.yaml" | head -n 1)
  if [[ ! -f $TKMS_DATA_DIR/cluster.json ]]; then
    # The file may be where only root reads.
    copy=$(mktemp)
    trap 'rm -f "$copy"' EXIT
    install -o "$TKMS_USER" -m 0400 "$join" "$copy"
    act "joining the cluster of $join" as_node cluster join "$copy" --config-hash "$hash" >&2
    rm -f "$copy"
  fi
  act 'starting the node' service start
  [[ -n $dry ]] || wait_answer || fail 'the node does not answer: journalctl -u kms-node says why'
  say "$([[ -n $dry ]] || own_name) runs. When the committee has made a key: $PROCEDURES/check-node.sh"
  exit 0
fi

[[ $(id -u) -eq 0 ]] || fail 'run it as root: it installs a program and makes a user'
[[ -x $TKMS_PROGRAM/bin/node ]] || act "installing the program as $TKMS_PROGRAM" install_program
id "$TKMS_USER" >/dev/null 2>&1 || act "making the user $TKMS_USER" make_user
[[ $sealer != passphrase || -f $passphrase ]] || act "making a passphrase in $passphrase" make_passphrase
[[ -n $machine || -f $TKMS_DATA_DIR/card.json ]] || act "making the node $name in $TKMS_DATA_DIR, sealed by $sealer" make_node
act "installing the unit kms-node.service in $TKMS_ETC/systemd/system" install_units
[[ -z $dry$machine ]] || exit 0
say 'the node card, for the other operators; it is public:'
cat "$TKMS_DATA_DIR/card.json"
