#!/usr/bin/env bash
# Puts the program of this clone, built, into a directory of its own, with all that it needs: Node, packages, unit files, procedures.
#   install-program.sh DIRECTORY
# It needs Node 20 or later, npm and the package registry. For a new node /opt/tkms becomes a link to the directory (new-node.sh does it);
# for an upgrade, upgrade.sh --to DIRECTORY turns that link.
set -euo pipefail
say() { printf 'install-program: %s\n' "$*" >&2; }
fail() {
  say "FAILED: $*"
  exit 1
}
[[ $# -eq 1 && $1 != --help ]] || {
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}
clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$(dirname "$1")"
target=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
[[ ! -e $target ]] || fail "$target is there already: choose another directory"
command -v npm >/dev/null || fail 'there is no npm: install Node 20 or later with npm'
cd "$clone"
say 'setting up and building the clone'
npm run --silent setup || fail 'the packages could not be fetched: is the registry in reach?'
npm run --silent build >&2 || fail 'the program could not be built'
say "copying to $target"
draft=$target.part
rm -rf "$draft"
npx --yes --prefer-offline pnpm@12.21.0 --filter @tkms/kms-node deploy --prod --legacy --ignore-scripts --prefer-offline "$draft" >&2 ||
  fail 'the program could not be copied'
mkdir -p "$draft/bin"
# One that can be read and run by every user, wherever the clone lies: what Debian has is too old for the node.
install -m 0755 "$(node_modules/.bin/node -p process.execPath)" "$draft/bin/node"
cp -R deploy/procedures deploy/systemd deploy/tdx "$draft/"
chmod -R go+rX,go-w "$draft"
mv "$draft" "$target"
say "$target: version $("$target/bin/node" "$target/dist/bin/kms-node.js" --version)"
