// Runs Azurite for as long as standard input is open, so that it does not outlive the test that started it, however
// that ends. Arguments: the ports of the blob and the queue service; 0 is one of the system's choice. Azurite prints
// the addresses when it listens.
const [blobPort, queuePort] = process.argv.splice(2);
process.argv.push(
  "--silent",
  "--inMemoryPersistence",
  // The crates speak a newer version of the protocol than Azurite has heard of.
  "--skipApiVersionCheck",
  "--disableTelemetry",
  "--blobHost", "127.0.0.1", "--blobPort", blobPort,
  "--queueHost", "127.0.0.1", "--queuePort", queuePort,
  "--tableHost", "127.0.0.1", "--tablePort", "0",
);
process.stdin.resume();
process.stdin.on("close", () => process.exit());
require("azurite/dist/src/azurite.js");
