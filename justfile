# The chores. `just` lists them.

default:
    @just --list

# The whole system on this machine, with the sample telemetry.
local *OPTIONS:
    cargo run --release -- local {{OPTIONS}}

# All tests.
test *OPTIONS:
    cargo test {{OPTIONS}}

# The system from so many seeds: order, repeats, crashes, failovers (docs/proof.md).
simulate *OPTIONS:
    cargo run --release --example simulate -- {{OPTIONS}}

# The same ordered events in several ways, and what becomes of their order (docs/ordering.md).
ordering *OPTIONS:
    cargo run --release --example ordering -- {{OPTIONS}}

# Drives a handler as the host does, as fast as it answers (docs/load.md).
load *OPTIONS:
    cargo run --release --example load -- {{OPTIONS}}
# The product and handlers of other languages under the same load (scripts/measure/README.md).
side-by-side *OPTIONS:
    cargo build --release --bin devicestate --example load
    node scripts/measure/side-by-side.js {{OPTIONS}}

# What events and bytes cost as work grows.
growth *OPTIONS:
    cargo build --release --bin devicestate --example load
    node scripts/measure/growth.js {{OPTIONS}}

# Whole runs, start time, memory, size.
end-to-end *OPTIONS:
    cargo build --release --bin devicestate --example load --example ordering
    cargo build --release --manifest-path tests/cosmos-listener/Cargo.toml --target-dir target/cosmos-listener
    node scripts/measure/end-to-end.js {{OPTIONS}}

# Instructions of the parts of a batch's way, held against benches/way/instructions.json (docs/benchmarks.md).
instructions:
    cargo test --test instructions -- --nocapture

# The same, written as the new baseline.
instructions-baseline:
    UPDATE_BASELINE=1 cargo test --test instructions -- --nocapture

# How long the parts take: criterion, on a machine that does nothing else.
bench *OPTIONS:
    cargo bench --package devicestate-bench {{OPTIONS}}

# Events for an event hub (docs/send.md).
send *OPTIONS:
    cargo run --release --package devicestate-send -- {{OPTIONS}}

# Fuzzes one target (envelope, telemetry, dead_letter) until it finds something or is ended.
fuzz TARGET *OPTIONS:
    fuzz/run {{TARGET}} {{OPTIONS}}

# The folder that is published, made and checked: target/package.
package *OPTIONS:
    bash scripts/package.sh {{OPTIONS}}

# Tests of the tests: cargo-mutants, by .cargo/mutants.toml. An hour and a half on two cores; --file narrows it.
mutants *OPTIONS:
    nice cargo mutants {{OPTIONS}}

# The same for the blobs of dead letters, with Azurite: minutes.
mutants-blobs *OPTIONS:
    nice cargo mutants --config .cargo/mutants-blobs.toml --output target {{OPTIONS}}

# Format, lints, dependency policy.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --lib --bins --example devicestate-otlp --features otlp -- -D warnings
    cargo deny --workspace --all-features check bans licenses sources

# Known faults of dependencies: needs the advisory database, and so a network.
audit:
    cargo deny --workspace --all-features check advisories

# What CI runs.
ci:
    bash .ci/run

# The tests of storage and documents against the official emulators: needs a container engine.
emulators *OPTIONS:
    scripts/test-emulators.sh {{OPTIONS}}

# One event through a function app on Azure, down to its document.
smoke-test *OPTIONS:
    scripts/smoke-test.js {{OPTIONS}}
