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

// Azurite keeps its messages sorted in four ways, sorts all of them anew when one is deleted, and looks through all of them
// for expired ones before each operation. With thousands of messages a request takes longer than a client waits. So here
// are no indices, and what has expired is looked for once a second.
const { default: Store } = require("azurite/dist/src/queue/persistence/LokiQueueMetadataStore");
const { init, clearExpiredMessages } = Store.prototype;
Store.prototype.init = async function () {
  await init.call(this);
  this.db.getCollection(this.MESSAGES_COLLECTION).binaryIndices = {};
};
const lookedAt = new Map();
Store.prototype.clearExpiredMessages = async function (account, queue, context) {
  const now = Date.now();
  if (now - (lookedAt.get(queue) ?? 0) >= 1_000) {
    lookedAt.set(queue, now);
    await clearExpiredMessages.call(this, account, queue, context);
  }
};

// And once a minute it takes away what deleted messages held, one by one, and answers nobody meanwhile.
require("azurite/dist/src/queue/utils/constants").DEFAULT_GC_INTERVAL_MS = 24 * 60 * 60 * 1000;

process.stdin.resume();
process.stdin.on("close", () => process.exit());
require("azurite/dist/src/azurite.js");
