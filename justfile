# The chores. `just` lists them.

default:
    @just --list

# The whole system on this machine, with the sample telemetry.
local *OPTIONS:
    cargo run --release -- local {{OPTIONS}}

# All tests.
test *OPTIONS:
    cargo test {{OPTIONS}}

# The folder that is published, made and checked: target/package.
package *OPTIONS:
    bash scripts/package.sh {{OPTIONS}}

# Tests of the tests: cargo-mutants, by .cargo/mutants.toml. An hour and a half on two cores; --file narrows it.
mutants *OPTIONS:
    nice cargo mutants {{OPTIONS}}
    nice cargo mutants --config .cargo/mutants-blobs.toml --output target {{OPTIONS}}

# Format, lints, dependency policy.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo deny check bans licenses sources

# Known faults of dependencies: needs the advisory database, and so a network.
audit:
    cargo deny check advisories

# What CI runs.
ci:
    bash .ci/run

# The tests of storage and documents against the official emulators: needs a container engine.
emulators *OPTIONS:
    scripts/test-emulators.sh {{OPTIONS}}

# One event through a function app on Azure, down to its document.
smoke-test *OPTIONS:
    scripts/smoke-test.js {{OPTIONS}}
