# What the procedures have in common; they read it with `source`. Settings, all from the environment:
#   TKMS_PROGRAM   directory of the program (default /opt/tkms)
#   TKMS_DATA_DIR  data directory of the node (default /var/lib/tkms)
#   TKMS_SERVICE   a command that takes start, stop or is-active, where the node is no unit of systemd
#   TKMS_WAIT      seconds that anything is waited for (default 120)
set -euo pipefail
TKMS_PROGRAM=${TKMS_PROGRAM:-/opt/tkms}
TKMS_DATA_DIR=${TKMS_DATA_DIR:-/var/lib/tkms}
TKMS_WAIT=${TKMS_WAIT:-120}
PROCEDURE=$(basename "$0" .sh)
PROCEDURES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ASSUME_YES=

# For people, on stderr; results go to stdout.
say() { printf '%s: %s\n' "$PROCEDURE" "$*" >&2; }
fail() {
  say "FAILED: $*"
  exit 1
}

# The comment at the head of the procedure is its help.
usage() {
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit "${1:-2}"
}

# confirm QUESTION: goes on with yes, or with --yes.
confirm() {
  [[ -z $ASSUME_YES ]] || return 0
  [[ -t 0 ]] || fail "$1 Nobody is here to answer: give --yes."
  local answer
  read -r -p "$PROCEDURE: $1 Type yes: " answer
  [[ $answer == yes ]] || fail 'nothing was done'
}

# The commands of a node run as the owner of its data directory, which is what they are given where root runs the procedure.
kms_node() {
  local owner as=()
  owner=$(stat -c %U "$TKMS_DATA_DIR")
  [[ $owner == "$(id -un)" ]] || as=(runuser -u "$owner" --)
  "${as[@]}" "$TKMS_PROGRAM/bin/node" "$TKMS_PROGRAM/dist/bin/kms-node.js" "$@" --data-dir "$TKMS_DATA_DIR"
}

# value EXPRESSION [ARGUMENT]...: of the JSON on stdin, or of its last line, as `it`; a list is one line each. The expression is a program,
# so it is written out in the procedure, always; whatever comes from elsewhere is an argument, `args[0]` and on.
value() {
  "$TKMS_PROGRAM/bin/node" -e '
    const text = require("node:fs").readFileSync(0, "utf8").trim()
    const parse = () => {
      try {
        return JSON.parse(text)
      } catch {
        return JSON.parse(text.split("\n").at(-1))
      }
    }
    const found = new Function("it", "args", `return ${process.argv[1]}`)(parse(), process.argv.slice(2))
    for (const one of Array.isArray(found) ? found : [found]) console.log(String(one ?? ""))' -- "$@"
}

# Everything that only systemd does. service start | stop | is-active
service() {
  if [[ -n ${TKMS_SERVICE:-} ]]; then
    "$TKMS_SERVICE" "$1"
  elif [[ $1 == is-active ]]; then
    systemctl --quiet is-active kms-node.service
  else
    systemctl "$1" kms-node.service
  fi
}

# require_name WHERE NAME: as node.yaml takes it, before it becomes part of a path or of a command.
require_name() {
  local LC_ALL=C
  [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] || fail "$1 holds what is no name of a node: $(printf '%q' "$2")"
}

own_name() { value it.name <"$TKMS_DATA_DIR/card.json"; }

# ready ARGUMENTS: see ready.mjs
ready() { "$TKMS_PROGRAM/bin/node" "$PROCEDURES/ready.mjs" "$TKMS_DATA_DIR/cluster.json" "$@"; }

# wait_answer: until the node of this machine, which was started, answers its operator.
wait_answer() {
  local end=$((SECONDS + TKMS_WAIT))
  until kms_node status --json >/dev/null 2>&1; do
    service is-active && ((SECONDS < end)) || return 1
    sleep 0.5
  done
}

# wait_ready: until the node of this machine, which was started, serves.
wait_ready() {
  local end=$((SECONDS + TKMS_WAIT)) name
  name=$(own_name)
  until ready --only "$name" >/dev/null; do
    service is-active && ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

# The node of this machine, and all others, as doctor finds them; its table where something failed.
require_healthy() {
  local found
  found=$(kms_node doctor 2>&1) || {
    printf '%s\n' "$found" >&2
    return 1
  }
  say "doctor: $(tail -n 1 <<<"$found")"
}

# watch_ceremony WHAT ARGUMENTS: proposes, tells the others, waits for its end. UNLESS is the error code of a proposal that has nothing to do.
watch_ceremony() {
  local what=$1 said ceremony
  shift
  said=$(kms_node "$@" --json) || {
    [[ -n ${UNLESS:-} && $(value it.error.code <<<"$said") == "$UNLESS" ]] || fail "$what: $(value it.error.message <<<"$said")"
    say "$what: nothing to do: $(value it.error.message <<<"$said")"
    return 0
  }
  ceremony=$(value it.ceremony <<<"$said")
  say "$what: proposed as $ceremony; its other members approve it, after a look with --show:"
  say "  kms-node ceremony approve $ceremony --watch"
  kms_node ceremony watch "$ceremony" >&2 || fail "$what: $ceremony did not end well: kms-node ceremony status $ceremony says who is missing"
  say "$what: complete"
}

# All keys that this node has a share of, one "NAME GENERATION" a line.
held_keys() {
  kms_node keys --json | value 'it.filter(({ role }) => role === "active" || role === "decrypt-only").map(({ keyName, generation }) => `${keyName} ${generation}`)'
}
