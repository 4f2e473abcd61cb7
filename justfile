# The chores. `just` lists them.

default:
    @just --list

# The whole system on this machine, with the sample telemetry.
local *OPTIONS:
    cargo run -- local {{OPTIONS}}

# The tests that need nothing but Rust.
test *OPTIONS:
    cargo test {{OPTIONS}}

# Azurite, the Cosmos account of the tests, AMQP, OTLP. Needs Node.js.
test-azure *OPTIONS:
    scripts/test/azure {{OPTIONS}}

# Bicep, schemas, the pipeline, the package. Needs Node.js, python3 with pip.
test-deployment *OPTIONS:
    scripts/test/deployment {{OPTIONS}}

# Queries, alerts, rehearsals. Needs Node.js, curl, pkill.
test-alerts *OPTIONS:
    scripts/test/alerts {{OPTIONS}}

# Planted faults, many seeds, kills, fuzzing, instruction counts, tools. Needs all that .ci/setup installs.
test-deep *OPTIONS:
    scripts/test/deep {{OPTIONS}}

# All tiers.
test-all: test test-azure test-deployment test-alerts test-deep

# The system from so many seeds: order, repeats, crashes, failovers (docs/contribute/simulation.md).
simulate *OPTIONS:
    cargo run --release --package devicestate-simulate -- {{OPTIONS}}

# The same ordered events in several ways, and what becomes of their order (docs/reports/ordering.md).
ordering *OPTIONS:
    cargo run --release --package devicestate-ordering -- {{OPTIONS}}

# Drives a handler as the host does, as fast as it answers (docs/contribute/load-driver.md).
load *OPTIONS:
    cargo run --release --package devicestate-load -- {{OPTIONS}}

# What is measured, built as it is deployed but with `local`, and what drives it.
build-to-measure:
    cargo build --profile dist --package devicestate
    cargo build --profile dist --package devicestate-load --package devicestate-ordering

# The product and handlers of other languages under the same load (scripts/measure/README.md).
side-by-side *OPTIONS: build-to-measure
    node scripts/measure/side-by-side.js {{OPTIONS}}

# What events and bytes cost as work grows.
growth *OPTIONS: build-to-measure
    node scripts/measure/growth.js {{OPTIONS}}

# Whole runs, start time, memory, size.
end-to-end *OPTIONS: build-to-measure
    cargo build --release --manifest-path tests/cosmos-listener/Cargo.toml --target-dir target/cosmos-listener
    node scripts/measure/end-to-end.js {{OPTIONS}}

# Instructions of the parts of a batch's way, held against tools/bench/instructions.json (docs/contribute/instruction-counts.md).
instructions:
    cargo test --test instructions -- --nocapture

# The same, written as the new baseline.
instructions-baseline:
    UPDATE_BASELINE=1 cargo test --test instructions -- --nocapture

# How long the parts take: criterion, on a machine that does nothing else.
bench *OPTIONS:
    cargo bench --package devicestate-bench {{OPTIONS}}

# Events for an event hub (docs/reference/send.md).
send *OPTIONS:
    cargo run --release --package devicestate-send -- {{OPTIONS}}

# Fuzzes one target (envelope, telemetry, dead_letter) until it finds something or is ended.
fuzz TARGET *OPTIONS:
    fuzz/run {{TARGET}} {{OPTIONS}}

# The folder that is published, made and checked: target/package.
package *OPTIONS:
    bash scripts/package.sh {{OPTIONS}}

# The licences of what the package contains, written anew after a change of Cargo.lock (needs cargo-about).
notices *OPTIONS:
    bash scripts/notices.sh {{OPTIONS}}

# Tests of the tests: cargo-mutants, by .cargo/mutants.toml. An hour and a half on two cores; --file narrows it.
mutants *OPTIONS:
    nice cargo mutants --package devicestate-engine {{OPTIONS}}

# The same for the blobs of dead letters, with Azurite: minutes.
mutants-blobs *OPTIONS:
    nice cargo mutants --package devicestate-azure --config .cargo/mutants-blobs.toml --output target {{OPTIONS}}

# What CI checks: format, lints, dependency policy, all tests. `.ci/setup` installs what it needs.
check:
    .ci/check

# Known faults of dependencies: needs the advisory database, and so a network.
audit:
    cargo deny --workspace --all-features check advisories

# The tests of storage and documents against the official emulators: needs a container engine.
emulators *OPTIONS:
    scripts/test-emulators.sh {{OPTIONS}}

# One event through a function app on Azure, down to its document.
smoke-test *OPTIONS:
    scripts/smoke-test.js {{OPTIONS}}
