// Posting, the same way for both: kept connections, one per request in flight.
import http from "node:http";

export const [database, url, batch, concurrency] = [
  process.argv[3], process.argv[4], Number(process.argv[5]), Number(process.argv[6]),
];

const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });

// Posts events; the answer must acknowledge all of them.
export function post(events) {
  const body = JSON.stringify({ data: events });
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method: "POST",
      agent,
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        authorization: "Bearer token",
      },
    }, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part));
      answer.on("end", () => {
        const taken = answer.statusCode === 200 ? JSON.parse(text).events_received : 0;
        if (taken === events.length) resolve();
        else reject(new Error(`${taken} of ${events.length} events were acknowledged`));
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}
