# Development commands. `just` lists them.

default:
    @just --list

# Runs the complete system on this machine, with sample telemetry.
local *OPTIONS:
    cargo run -- local {{OPTIONS}}

# Runs the tests that need only Rust.
test *OPTIONS:
    cargo test {{OPTIONS}}

# Runs the tests with Azurite, a Cosmos DB account, AMQP, OTLP. Needs Node.js.
test-azure *OPTIONS:
    scripts/test/azure {{OPTIONS}}

# Runs the tests of Bicep, schemas, the pipeline, the package. Needs Node.js, python3 with pip.
test-deployment *OPTIONS:
    scripts/test/deployment {{OPTIONS}}

# Runs the tests of queries, alerts, exercises. Needs Node.js, curl, pkill.
test-alerts *OPTIONS:
    scripts/test/alerts {{OPTIONS}}

# Runs the tests of the live page in Chromium. Needs Node.js, curl, chromium.
test-page *OPTIONS:
    scripts/test/page {{OPTIONS}}

# Sends the read API requests made from its description (schemathesis). Needs python3 with pip.
test-read-api *OPTIONS:
    scripts/test/read-api {{OPTIONS}}

# Runs the long tests: planted faults, many seeds, kills, fuzzing, instruction counts, tools. Needs everything of .ci/setup.
test-deep *OPTIONS:
    scripts/test/deep {{OPTIONS}}

# Runs all tiers.
test-all: test test-azure test-deployment test-alerts test-page test-read-api test-deep

# Simulates the system with injected faults (docs/contribute/simulation.md).
simulate *OPTIONS:
    cargo run --release --package devicestate-simulate -- {{OPTIONS}}

# Delivers ordered events with several strategies, and checks their order (docs/reports/ordering.md).
ordering *OPTIONS:
    cargo run --release --package devicestate-ordering -- {{OPTIONS}}

# Drives a handler as the host does, as fast as it replies (tools/load/README.md).
load *OPTIONS:
    cargo run --release --package devicestate-load -- {{OPTIONS}}

# Builds the measured program, like the package but with `local`, and the load driver.
build-to-measure:
    cargo build --profile dist --package devicestate
    cargo build --profile dist --package devicestate-load --package devicestate-ordering

# Compares the handler with handlers in other languages (scripts/measure/README.md).
side-by-side *OPTIONS: build-to-measure
    node scripts/measure/side-by-side.js {{OPTIONS}}

# Measures the cost of events and bytes as the work grows.
growth *OPTIONS: build-to-measure
    node scripts/measure/growth.js {{OPTIONS}}

# Measures complete runs, start time, memory, size.
end-to-end *OPTIONS: build-to-measure
    cargo build --release --manifest-path tests/cosmos-listener/Cargo.toml --target-dir target/cosmos-listener
    node scripts/measure/end-to-end.js {{OPTIONS}}

# Compares the instruction counts of processing a batch with tools/bench/instructions.json (tools/bench/README.md).
instructions:
    cargo test --test instructions -- --nocapture

# Writes the current instruction counts as the new baseline.
instructions-baseline:
    UPDATE_BASELINE=1 cargo test --test instructions -- --nocapture

# Measures the times of the parts with criterion; needs an idle machine.
bench *OPTIONS:
    cargo bench --package devicestate-bench {{OPTIONS}}

# Sends events to an event hub (docs/reference/send.md).
send *OPTIONS:
    cargo run --release --package devicestate-send -- {{OPTIONS}}

# Fuzzes one target (envelope, telemetry, dead_letter) until it finds a failure or is stopped.
fuzz TARGET *OPTIONS:
    fuzz/run {{TARGET}} {{OPTIONS}}

# Creates and checks the package: target/package.
package *OPTIONS:
    bash scripts/package.sh {{OPTIONS}}

# Makes the pictures of the pages again: docs/pictures. Needs Node.js, Chromium.
pictures *OPTIONS:
    scripts/pictures.sh {{OPTIONS}}

# Updates the third-party notices after a change of Cargo.lock (needs cargo-about).
notices *OPTIONS:
    bash scripts/notices.sh {{OPTIONS}}

# Tests the tests with cargo-mutants (.cargo/mutants.toml). 90 minutes on two cores; --file narrows it.
mutants *OPTIONS:
    nice cargo mutants --package devicestate-engine {{OPTIONS}}

# Tests the tests of the dead letters' blobs, with Azurite: some minutes.
mutants-blobs *OPTIONS:
    nice cargo mutants --package devicestate-azure --config .cargo/mutants-blobs.toml --output target {{OPTIONS}}

# Runs the checks of CI: format, lints, dependency policy, all tests. `.ci/setup` installs the tools.
check:
    .ci/check

# Checks dependencies for known vulnerabilities; needs network access.
audit:
    cargo deny --workspace --all-features check advisories

# Runs the tests of storage and documents against the official emulators; needs a container engine.
emulators *OPTIONS:
    scripts/test-emulators.sh {{OPTIONS}}

# Sends one event to a function app on Azure, and waits for its document.
smoke-test *OPTIONS:
    scripts/smoke-test.js {{OPTIONS}}
