//! Says, when `cargo test` has run everything else, which tests it has left out.

fn main() {
    println!(
        "\nThese tests needed nothing but Rust. The other tiers, each a script in scripts/test that names what it needs:\n  \
         just test-azure       Azurite, a Cosmos DB account, AMQP, OTLP\n  \
         just test-deployment  Bicep, schemas, the pipeline, the package\n  \
         just test-alerts      queries, alerts and their rehearsals\n  \
         just test-deep        planted faults, many seeds, kills, fuzzing, instruction counts\n  \
         just test-all         all of them\n"
    );
}
