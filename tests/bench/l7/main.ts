// `deno task bench l7 [--rounds=3] [--seconds=2] [--only=http1,http2,tls,hbone,qps,memory,policies,slope] [--json]`: see ../README.md.

import { cpuSeconds, ready, residentMb } from "../peers.ts";
import { denoRun, type Lab, type Peer, runLoad, spawnLoad, startEnvoy, startLab, startOurs } from "./peers.ts";
import type { ProxyPorts, Scenario } from "./scenario.ts";

interface Result {
  readonly count: number;
  readonly rps: number;
  readonly p50?: number;
  readonly p99?: number;
}

/** One kind of load. */
interface Load {
  readonly group: string;
  readonly name: string;
  run(ports: ProxyPorts, lab: Lab, ms: number): Promise<Result>;
  /** Latencies are worth telling where the rate is even. */
  readonly latencies?: boolean;
}

/** Measured beside ours: Envoy, or our own proxy in another checkout. */
const ENVOY = Deno.env.get("ENVOY"), BASE_CHECKOUT = Deno.env.get("BENCH_BASE");

const seconds = (ms: number) => String(Math.max(1, Math.round(ms / 1000)));
const url = (ports: ProxyPorts, path: string, tls: boolean) =>
  tls ? `https://127.0.0.1:${ports.https}${path}` : `http://127.0.0.1:${ports.http}${path}`;

/** HTTP/1.1 with keep-alive. */
function wrk(
  group: string,
  name: string,
  connections: number,
  path: string,
  options: { tls?: boolean; post?: boolean } = {},
) {
  return {
    group,
    name,
    async run(ports, lab, ms): Promise<Result> {
      const command = ["wrk", "-t", "1", "-c", String(connections), "-d", `${seconds(ms)}s`];
      if (options.post) command.push("-s", `${lab.folder}/post.lua`);
      const text = await runLoad([...command, url(ports, path, options.tls ?? false)]);
      if (/Non-2xx|Socket errors/.test(text)) throw new Error(`${name}: ${text}`);
      const count = Number(/(\d+) requests in/.exec(text)![1]);
      return { count, rps: Number(/Requests\/sec: +([\d.]+)/.exec(text)![1]) };
    },
  } satisfies Load;
}

/** HTTP/2. */
function h2load(group: string, name: string, connections: number, streams: number, path: string, tls = false) {
  return {
    group,
    name,
    async run(ports, _lab, ms): Promise<Result> {
      const command = ["h2load", "-t", "1", "-c", String(connections), "-m", String(streams), "-D", seconds(ms)];
      const text = await runLoad([...command, url(ports, path, tls)]);
      const found = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(text);
      const bad = /status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(text);
      if (!found || Number(found[3]) > 0 || !bad || bad.slice(1).some((n) => n !== "0")) {
        throw new Error(`${name}: ${text}`);
      }
      const count = Number(found[1]);
      return { count, rps: Number(/([\d.]+) req\/s/.exec(text)![1]) };
    },
  } satisfies Load;
}

/** An even thousand a second. @param to the port, and a certificate for tunnels */
function qps(name: string, to: (ports: ProxyPorts, lab: Lab) => [port: string, certificate?: string]): Load {
  return {
    group: "qps",
    name,
    latencies: true,
    run: async (ports, lab, ms) => {
      const [port, ...certificate] = to(ports, lab) as string[];
      const args = ["qps", port, "1000", String(ms), "/b/1024", ...certificate];
      const result = JSON.parse(await runLoad(denoRun("load.ts", ...args)));
      return { ...result, count: result.rps * (ms + 1000) / 1000 };
    },
  };
}

const BASE: Scenario = { policies: 1, routes: 4 };

const LOADS: readonly Load[] = [
  wrk("http1", "HTTP/1.1, 1 KiB, 1 connection", 1, "/b/1024"),
  wrk("http1", "HTTP/1.1, 1 KiB, 16 connections", 16, "/b/1024"),
  wrk("http1", "HTTP/1.1, 1 KiB, 64 connections", 64, "/b/1024"),
  wrk("http1", "HTTP/1.1, no body, 64 connections", 64, "/b/0"),
  wrk("http1", "HTTP/1.1, 16 KiB, 64 connections", 64, "/b/16384"),
  wrk("http1", "HTTP/1.1, POST 1 KiB, 16 connections", 16, "/b/0", { post: true }),
  wrk("http1", "HTTP/1.1 to HTTP/2, 1 KiB, 64 connections", 64, "/h2/1024"),
  h2load("http2", "HTTP/2 to HTTP/1.1, 1 KiB, 4 x 16 streams", 4, 16, "/b/1024"),
  h2load("http2", "HTTP/2 to HTTP/2, 1 KiB, 4 x 16 streams", 4, 16, "/h2/1024"),
  h2load("http2", "HTTP/2 to HTTP/2, 16 KiB, 4 x 16 streams", 4, 16, "/h2/16384"),
  wrk("tls", "HTTP/1.1 in TLS 1.3, 1 KiB, 16 connections", 16, "/b/1024", { tls: true }),
  h2load("tls", "HTTP/2 in TLS 1.3, 1 KiB, 4 x 16 streams", 4, 16, "/b/1024", true),
  {
    group: "hbone",
    name: "HTTP/1.1 in HBONE, 1 KiB, 16 tunnels",
    run: async (ports, lab, ms) => {
      const args = ["hbone", lab.workloadFile, String(ports.hbone), "16", String(ms), "/b/1024"];
      const result = JSON.parse(await runLoad(denoRun("load.ts", ...args)));
      // It warms up for half a second first, at the same rate.
      return { ...result, count: result.rps * (ms + 500) / 1000 };
    },
  },
  qps("HTTP/1.1, 1 KiB, 1000 qps", (ports) => [String(ports.http)]),
  qps("HTTP/1.1 in HBONE, 1 KiB, 1000 qps", (ports, lab) => [String(ports.hbone), lab.workloadFile]),
];

/** What is run against other configurations. */
const LOADED = wrk("", "HTTP/1.1, 1 KiB, 64 connections", 64, "/b/1024");

// --- results

const results = new Map<string, { unit: string; values: Record<Peer["name"], number[]> }>();

function record(name: string, unit: string, peer: Peer["name"], value: number): void {
  let row = results.get(name);
  if (!row) results.set(name, row = { unit, values: { ours: [], peer: [] } });
  row.values[peer].push(value);
}

function median(values: number[]): number {
  return values.length === 0 ? NaN : [...values].sort((x, y) => x - y)[Math.floor(values.length / 2)];
}

async function measure(load: Load, title: string, peer: Peer, lab: Lab, ms: number): Promise<number> {
  const before = cpuSeconds([peer.pid]);
  const result = await load.run(peer.ports, lab, ms);
  const cpu = (cpuSeconds([peer.pid]) - before) / result.count * 1e5;
  record(`${title}: rps`, "1/s", peer.name, result.rps);
  record(`${title}: cpu`, "s per 100k", peer.name, cpu);
  if (load.latencies) {
    record(`${title}: p50`, "us", peer.name, result.p50!);
    record(`${title}: p99`, "us", peer.name, result.p99!);
  }
  return cpu;
}

/** Two proxies side by side; measured in turns, so that both have the same neighbours. */
async function withPeers(lab: Lab, scenario: Scenario, use: (peers: Peer[]) => Promise<void>) {
  const peers = [await startOurs(lab, scenario)];
  try {
    if (BASE_CHECKOUT) peers.push(await startOurs(lab, scenario, BASE_CHECKOUT));
    else if (ENVOY) peers.push(await startEnvoy(lab, scenario, ENVOY));
    await use(peers);
  } finally {
    for (const peer of peers) await peer.stop();
  }
}

/** Memory is what stays after a burst, not what the burst itself touched: measured once it has been quiet for so long. */
const SETTLE_MS = 11_000;

const settled = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

async function memory(peers: Peer[]): Promise<void> {
  await settled();
  for (const peer of peers) {
    record("idle: rss", "MB", peer.name, residentMb([peer.pid]));
    for (const connections of [1000, 3000]) {
      const args = ["hold", String(peer.ports.http), String(connections), "/b/1024"];
      const child = spawnLoad(denoRun("load.ts", ...args));
      const reader = await ready(child, "holding");
      await settled();
      record(`${connections} connections: rss`, "MB", peer.name, residentMb([peer.pid]));
      await child.stdin.close();
      while (!(await reader.read()).done);
      await child.status;
    }
  }
}

export async function run(args: readonly string[]): Promise<void> {
  const flags = new Map(
    args.filter((arg) => arg.startsWith("--")).map((arg) => arg.slice(2).split("=") as [string, string]),
  );
  const rounds = Number(flags.get("rounds") ?? 3), ms = Number(flags.get("seconds") ?? 2) * 1000;
  const only = flags.get("only")?.split(","), match = flags.get("match");
  const wanted = (group: string) => !only || only.includes(group);
  const folder = await Deno.makeTempDir({ prefix: "ambientd-bench-l7-" });
  await Deno.writeTextFile(
    `${folder}/post.lua`,
    'wrk.method = "POST"\nwrk.body = string.rep("x", 1024)\nwrk.headers["Content-Type"] = "text/plain"\n',
  );
  const lab = await startLab(folder);
  try {
    const loads = LOADS.filter(({ group, name }) => wanted(group) && (!match || name.includes(match)));
    await withPeers(lab, BASE, async (peers) => {
      if (wanted("memory")) await memory(peers);
      // Proxies run for weeks: what a compiler does in their first seconds is not what this measures.
      for (const load of loads) for (const peer of peers) await load.run(peer.ports, lab, 1000);
      for (let round = 0; round < rounds; round++) {
        for (const load of loads) for (const peer of peers) await measure(load, load.name, peer, lab, ms);
      }
      if (wanted("memory")) {
        for (const peer of peers) record("after load: rss", "MB", peer.name, residentMb([peer.pid]));
      }
    });
    const others: [group: string, title: string, Scenario][] = [
      ["policies", "50 policies", { policies: 50, routes: 4 }],
      ["slope", "5000 routes and 1000 policies", { policies: 1000, routes: 5000 }],
    ];
    for (const [group, title, scenario] of others) {
      if (!wanted(group)) continue;
      await withPeers(lab, scenario, async (peers) => {
        for (const peer of peers) await LOADED.run(peer.ports, lab, 2000);
        for (let round = 0; round < rounds; round++) {
          for (const peer of peers) await measure(LOADED, `${LOADED.name}, ${title}`, peer, lab, ms);
        }
      });
    }
    print(flags.has("json"));
  } finally {
    await lab.stop();
    if (!flags.has("keep")) await Deno.remove(folder, { recursive: true });
    else console.error(folder);
  }
}

const number = (value: number) => Number.isNaN(value) ? "-" : value >= 100 ? value.toFixed(0) : value.toFixed(2);

function print(json: boolean): void {
  const name = BASE_CHECKOUT ? "base" : "envoy";
  if (!json) console.log(`${"".padEnd(72)} ${["ours", name, `ours/${name}`].map((h) => h.padStart(11)).join(" ")}`);
  for (const [name, { unit, values }] of results) {
    const ours = median(values.ours), peer = median(values.peer), hasPeer = values.peer.length > 0;
    // Each round by itself: what else the machine does in it, it does to both.
    const ratio = median(values.ours.slice(0, values.peer.length).map((value, i) => value / values.peer[i]));
    if (json) {
      console.log(JSON.stringify({ name, unit, ours, peer: hasPeer ? peer : null, ratio: hasPeer ? ratio : null }));
    } else {
      const cells = [ours, peer, ratio].map((cell) => number(cell).padStart(11));
      console.log(`${`${name} [${unit}]`.padEnd(72)} ${cells.join(" ")}`);
    }
  }
}
