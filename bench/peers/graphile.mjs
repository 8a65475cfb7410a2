// graphile-worker: one job per event. Set up as its page on performance says: a local queue, so that
// jobs are fetched by the thousand, and completions in batches. A task hands its event to the next
// request and ends with it.
//
//     node graphile.mjs setup DATABASE
//     node graphile.mjs run DATABASE URL BATCH CONCURRENCY
import { run, runMigrations, WorkerPreset } from "graphile-worker";
import { batch, concurrency, database, post } from "./post.mjs";

const worker = {
  connectionString: database,
  schema: "graphile_worker",
  maxPoolSize: 10,
  // As many jobs at once as there are events in flight, and a request being filled meanwhile.
  concurrentJobs: batch * (concurrency + 1),
  pollInterval: 100,
  localQueue: { size: batch * (concurrency + 1) + 1 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const preset = { extends: [WorkerPreset], worker };

let waiting = [];
let timer = null;

function flush() {
  clearTimeout(timer);
  timer = null;
  const going = waiting;
  waiting = [];
  post(going.map((w) => w.event)).then(
    () => going.forEach((w) => w.resolve()),
    (error) => going.forEach((w) => w.reject(error)),
  );
}

function conversion(event) {
  return new Promise((resolve, reject) => {
    waiting.push({ event, resolve, reject });
    if (waiting.length >= batch) flush();
    else timer ??= setTimeout(flush, 20);
  });
}

if (process.argv[2] === "setup") {
  await runMigrations({ preset });
} else {
  const quiet = { scope: () => quiet, error: console.error, warn: () => {}, info: () => {}, debug: () => {} };
  const runner = await run({ preset, taskList: { conversion }, noHandleSignals: true, logger: quiet });
  process.on("SIGTERM", async () => {
    await runner.stop();
    process.exit(0);
  });
  await runner.promise;
}
