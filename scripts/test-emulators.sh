#!/usr/bin/env bash
# Runs the tests of storage and documents against the official emulators, and sends an event through them with the real
# host. Tests that need faults or counters use the stand-ins, because the emulators do not have them.
#
# Usage: scripts/test-emulators.sh [--keep]
#
#   --keep   keep the emulators running; docker compose --file emulators/compose.yaml down stops them
#
# Examples:
#   scripts/test-emulators.sh
#   scripts/test-emulators.sh --keep
#
# Requires a container engine, Rust and Node.js; the event is sent only if Core Tools (func) are installed. The emulators
# start empty each time.
#
# Exit codes: 0 all tests passed, 1 a test failed, 2 could not start.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

is_kept=false
while (($#)); do
  case $1 in
    --keep) is_kept=true; shift ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
need docker node cargo

compose() { docker compose --file emulators/compose.yaml "$@"; }
host=''
end() {
  [[ -z $host ]] || kill "$host" || true
  $is_kept || compose down || true
}
compose down ||
  cannot_start "docker compose does not work: check that the engine is running and the compose plugin is installed"
trap end EXIT
compose up --detach --wait || failed "the emulators do not start"
node emulators/create-container.js

# The ports of the compose file and the connection of local.settings.json.
DEVICESTATE_TEST_COSMOS=$(node -p 'require("./local.settings.json").Values.CosmosConnection')
export DEVICESTATE_TEST_COSMOS DEVICESTATE_TEST_AZURITE=10000,10001
cargo test --locked --test storage || failed "the tests of queues and blobs failed"
cargo test --locked --test cosmos || failed "the tests of documents failed"

command -v func >/dev/null || { echo "No event was sent, because Core Tools (func) are not installed."; exit; }
cargo build --locked --release
cp target/release/devicestate .
func start &
host=$!
StateStore=cosmos CosmosConnection=$DEVICESTATE_TEST_COSMOS scripts/smoke-test.js --url http://127.0.0.1:7071 \
  --package target/release --deadline 300
