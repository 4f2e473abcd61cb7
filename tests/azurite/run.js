// Runs Azurite while standard input is open, so that it ends with the test that started it. Arguments: the ports of the
// blob and the queue service; 0 lets the system choose. Azurite prints the URLs when it listens.
const [blobPort, queuePort] = process.argv.splice(2);
process.argv.push(
  "--silent",
  "--inMemoryPersistence",
  // The crates use a newer version of the protocol than Azurite supports.
  "--skipApiVersionCheck",
  "--disableTelemetry",
  "--blobHost", "127.0.0.1", "--blobPort", blobPort,
  "--queueHost", "127.0.0.1", "--queuePort", queuePort,
  "--tableHost", "127.0.0.1", "--tablePort", "0",
);

// Azurite has four sorted indices of its messages, sorts them again after each deletion, and scans all messages for expired
// ones before each operation. With thousands of messages, requests would time out. So the indices are removed, and
// expired messages are searched once per second.
const { default: Store } = require("azurite/dist/src/queue/persistence/LokiQueueMetadataStore");
const { init, clearExpiredMessages } = Store.prototype;
Store.prototype.init = async function () {
  await init.call(this);
  this.db.getCollection(this.MESSAGES_COLLECTION).binaryIndices = {};
};
const lastScan = new Map();
Store.prototype.clearExpiredMessages = async function (account, queue, context) {
  const now = Date.now();
  if (now - (lastScan.get(queue) ?? 0) >= 1_000) {
    lastScan.set(queue, now);
    await clearExpiredMessages.call(this, account, queue, context);
  }
};

// Once a minute, Azurite removes the content of deleted messages one by one, and does not respond meanwhile. This disables it.
require("azurite/dist/src/queue/utils/constants").DEFAULT_GC_INTERVAL_MS = 24 * 60 * 60 * 1000;

process.stdin.resume();
process.stdin.on("close", () => process.exit());
require("azurite/dist/src/azurite.js");
