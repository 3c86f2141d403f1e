#!/usr/bin/env bash
# run-with-node.sh VERSION COMMAND...: runs the command with that version of Node first in PATH. The version comes from
# npm into a temporary folder, which is removed again.
set -euo pipefail
version=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --no-save --no-audit --no-fund --prefix "$folder" "node@$version"
export PATH="$folder/node_modules/node/bin:$PATH"
[ "$(node --version)" = "v$version" ] || { echo "asked for Node $version, got $(node --version)"; exit 1; }
"$@"
