// pg-boss: one job per event, workers that fetch batches and go on without a pause as long as
// batches are full, which is what its documentation offers for throughput.
//
//     node pgboss.mjs setup DATABASE
//     node pgboss.mjs fill DATABASE FILE        one job per line, by its bulk insert
//     node pgboss.mjs run DATABASE URL BATCH CONCURRENCY
import fs from "node:fs";
import readline from "node:readline";
import { PgBoss } from "pg-boss";
import { batch, concurrency, database, post } from "./post.mjs";

const verb = process.argv[2];
const boss = new PgBoss({
  connectionString: database,
  application_name: "pg-boss",
  max: 10,
  migrate: verb === "setup",
  createSchema: verb === "setup",
  supervise: verb === "run",
  schedule: false,
});
boss.on("error", console.error);
await boss.start();
if (verb === "setup") {
  // A partition of its own, as its documentation recommends for a busy queue.
  await boss.createQueue("conversion", { partition: true });
  await boss.stop();
} else if (verb === "fill") {
  let jobs = [];
  for await (const line of readline.createInterface({ input: fs.createReadStream(process.argv[4]) })) {
    jobs.push({ data: JSON.parse(line) });
    if (jobs.length === 5000) {
      await boss.insert("conversion", jobs);
      jobs = [];
    }
  }
  if (jobs.length) await boss.insert("conversion", jobs);
  await boss.stop();
} else {
  const options = {
    batchSize: batch, localConcurrency: concurrency, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true,
  };
  await boss.work("conversion", options, (jobs) => post(jobs.map((job) => job.data)));
  process.on("SIGTERM", async () => {
    await boss.stop({ graceful: true });
    process.exit(0);
  });
}
