import { type Flags, goDuration } from "./flags.ts";

/** What a run of the load found. */
interface Results {
  /** Calls by HTTP status; -1 for those that got no answer. */
  codes: Map<number, number>;
  seconds: number[];
  bodyBytes: number;
  /** The text of the first failure without an answer. */
  error?: string;
}

const DEFAULT_TIMEOUT_MS = 3000, DEFAULT_SECONDS = 5, CALLS_MAX = 1_000_000;

/** `fortio load`: calls a URL from several connections at a time and tells what came back, in fortio's words. */
export async function load(flags: Flags, signal: AbortSignal): Promise<number> {
  const [url] = flags.rest;
  const number = (name: string, fallback: number) => Number(flags.values.get(name) ?? fallback);
  const threads = Math.max(1, number("c", 4)), qps = number("qps", 8);
  const time = goDuration(flags.values.get("t") ?? `${DEFAULT_SECONDS}s`) ?? DEFAULT_SECONDS * 1000;
  const calls = Math.min(CALLS_MAX, number("n", 0) || (qps > 0 ? Math.ceil(qps * time / 1000) : CALLS_MAX));
  const started = performance.now();
  console.log(
    `Fortio (ambientd) running at ${qps > 0 ? qps : "max"} queries per second, ${threads} thread(s), for ` +
      `${flags.values.has("n") ? `${calls} calls` : `${time / 1000}s`}: ${url}`,
  );
  const results: Results = { codes: new Map(), seconds: [], bodyBytes: 0 };
  const end = flags.values.has("n") ? Infinity : started + time;
  let next = 0;
  const sockets = await Promise.all(Array.from({ length: threads }, async () => {
    const call = caller(flags, url, results);
    try {
      while (next < calls && performance.now() < end && !signal.aborted) {
        const at = next++;
        if (qps > 0) await until(started + at * 1000 / qps, signal);
        await call.once();
      }
    } finally {
      call.close();
    }
    return 1;
  }));
  report(results, (performance.now() - started) / 1000, qps, sockets.length);
  return results.codes.size > 0 ? 0 : 1;
}

function until(at: number, signal: AbortSignal): Promise<void> {
  const wait = at - performance.now();
  if (wait <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, wait);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}

/** One simulated user with a connection of its own. */
function caller(flags: Flags, url: string, results: Results): { once(): Promise<void>; close(): void } {
  const keepAlive = flags.values.get("keepalive") !== "false";
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: keepAlive ? 1 : 0 });
  const timeoutMs = goDuration(flags.values.get("timeout") ?? "") ?? DEFAULT_TIMEOUT_MS;
  return {
    async once() {
      const since = performance.now();
      let code = -1;
      try {
        const response = await fetch(url, { ...requestOf(flags), client, signal: AbortSignal.timeout(timeoutMs) });
        results.bodyBytes += (await response.arrayBuffer()).byteLength;
        code = response.status;
      } catch (error) {
        results.error ??= error instanceof Error ? error.message : String(error);
      }
      results.seconds.push((performance.now() - since) / 1000);
      results.codes.set(code, (results.codes.get(code) ?? 0) + 1);
    },
    close: () => client.close(),
  };
}

/** Method, headers and body as the flags say. */
export function requestOf({ values, headers }: Flags): RequestInit {
  const payload = values.get("payload");
  const lines = headers.map((line) => [line.split(":")[0].trim(), line.slice(line.indexOf(":") + 1).trim()]);
  const type = payload === undefined
    ? []
    : [["content-type", values.get("content-type") ?? "application/octet-stream"]];
  return {
    method: values.get("X") ?? (payload === undefined ? "GET" : "POST"),
    headers: [["user-agent", "fortio.org/fortio-ambientd"], ...type, ...lines] as [string, string][],
    redirect: values.get("L") === "true" ? "follow" : "manual",
    ...payload === undefined ? {} : { body: payload },
  };
}

function report({ codes, seconds, bodyBytes, error }: Results, elapsed: number, qps: number, sockets: number): void {
  const count = seconds.length, sorted = seconds.toSorted((a, b) => a - b);
  const sum = seconds.reduce((total, one) => total + one, 0), average = count === 0 ? 0 : sum / count;
  const deviation = Math.sqrt(seconds.reduce((total, one) => total + (one - average) ** 2, 0) / Math.max(1, count));
  const rate = (count / elapsed).toPrecision(5);
  if (error !== undefined) console.log(`Aborted call: ${error}`);
  console.log(`Ended after ${(elapsed * 1000).toFixed(6)}ms : ${count} calls. qps=${rate}`);
  const figures = (list: number[]) => list.map((one) => Number(one.toPrecision(8)));
  const [avg, dev, min, max, total] = figures([average, deviation, sorted[0] ?? 0, sorted.at(-1) ?? 0, sum]);
  console.log(`Aggregated Function Time : count ${count} avg ${avg} +/- ${dev} min ${min} max ${max} sum ${total}`);
  for (const percent of [50, 75, 90, 99, 99.9]) {
    const at = sorted[Math.min(count - 1, Math.floor(count * percent / 100))] ?? 0;
    console.log(`# target ${percent}% ${Number(at.toPrecision(6))}`);
  }
  console.log(`Sockets used: ${sockets} (for perfect keepalive, would be ${sockets})`);
  for (const [code, times] of [...codes].sort(([a], [b]) => a - b)) {
    console.log(`Code ${String(code).padStart(3)} : ${times} (${(times * 100 / count).toFixed(1)} %)`);
  }
  console.log(
    `Response Body/Total Sizes : count ${count} avg ${Number((bodyBytes / Math.max(1, count)).toPrecision(6))}`,
  );
  console.log(
    `All done ${count} calls (plus 0 warmup) ${(average * 1000).toFixed(3)} ms avg, ${rate} qps` +
      (qps > 0 ? ` (wanted ${qps})` : ""),
  );
}
