//! Prints, at the end of `cargo test`, which tests it has not run.

fn main() {
    println!(
        "\nThese tests need only Rust. The other tiers are scripts in scripts/test, which check their requirements:\n  \
         just test-azure       Azurite, a Cosmos DB account, AMQP, OTLP\n  \
         just test-deployment  Bicep, schemas, the pipeline, the package\n  \
         just test-alerts      queries, alerts and their exercises\n  \
         just test-page        the live page in Chromium\n  \
         just test-read-api    the read API, against its description\n  \
         just test-deep        planted faults, many seeds, kills, fuzzing, instruction counts\n  \
         just test-all         all of them\n"
    );
}
