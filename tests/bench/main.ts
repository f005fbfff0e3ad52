// `deno task bench [l7] [--rounds=3] [--seconds=3] [--only=bulk,rr,qps,cps,memory] [--bare] [--no-direct] [--json]`: see README.md.

import { cpuSeconds, type Pair, ready, residentMb, startBare, startDirect, startOurs, startZtunnel } from "./peers.ts";
import { Lab, spawn } from "./lab.ts";

if (Deno.args[0] === "l7") {
  await (await import("./l7/main.ts")).run(Deno.args.slice(1));
  Deno.exit(0);
}

const flags = new Map(
  Deno.args.filter((arg) => arg.startsWith("--")).map((arg) => arg.slice(2).split("=") as [string, string]),
);
const rounds = Number(flags.get("rounds") ?? 3);
const ms = Number(flags.get("seconds") ?? 3) * 1000;
const only = flags.get("only")?.split(",");

/** One run of the load generator and what is read off it. */
interface Run {
  group: string;
  args: string[];
  measures: { name: string; unit: string; value(result: any, cpu: number): number }[];
}

const bulk = (direction: string, connections: number): Run => ({
  group: "bulk",
  args: [direction, String(connections), String(ms)],
  measures: [
    { name: `bulk ${direction}, ${connections} connection(s)`, unit: "MB/s", value: (rate) => rate },
    {
      name: `CPU per GB, ${direction}, ${connections} connection(s)`,
      unit: "s",
      value: (rate, cpu) => cpu / (rate * (ms / 1000) / 1000),
    },
  ],
});
const requests = (connections: number): Run => ({
  group: "rr",
  args: ["rr", String(connections), String(ms)],
  measures: [
    { name: `requests/s, ${connections} connection(s)`, unit: "1/s", value: ({ rate }) => rate },
    { name: `p50, ${connections} connection(s)`, unit: "us", value: ({ p50 }) => p50 },
    { name: `p99, ${connections} connection(s)`, unit: "us", value: ({ p99 }) => p99 },
    {
      name: `CPU per 100k requests, ${connections} connection(s)`,
      unit: "s",
      value: ({ rate }, cpu) => cpu / (rate * (ms + 500) / 1000) * 1e5,
    },
  ],
});
const RUNS: Run[] = [
  bulk("up", 1),
  bulk("down", 1),
  bulk("up", 8),
  bulk("down", 8),
  requests(1),
  requests(16),
  requests(64),
  {
    group: "qps",
    args: ["qps", "1000", String(ms)],
    measures: [
      { name: "p50 at 1000 qps", unit: "us", value: ({ p50 }) => p50 },
      { name: "p99 at 1000 qps", unit: "us", value: ({ p99 }) => p99 },
      { name: "CPU per 100k requests at 1000 qps", unit: "s", value: (_, cpu) => cpu / (ms + 1000) * 1e5 },
    ],
  },
  {
    group: "cps",
    args: ["cps", String(ms)],
    measures: [
      { name: "new connections/s", unit: "1/s", value: (rate) => rate },
      { name: "CPU per 10k connections", unit: "s", value: (rate, cpu) => cpu / (rate * ms / 1000) * 1e4 },
    ],
  },
];

const WARM_UP = [["rr", "16", "1000"], ["up", "2", "700"], ["down", "2", "700"], ["cps", "700"], ["rr", "1", "700"]];

const DENO = Deno.execPath();
const LOAD = new URL("load.ts", import.meta.url).pathname;
const command = (...args: string[]) => [DENO, "run", "-A", "--no-check", LOAD, ...args];

/** name -> peer -> values of the rounds */
const results = new Map<string, { unit: string; values: Record<string, number[]> }>();

function record(name: string, unit: string, peer: string, value: number): void {
  let row = results.get(name);
  if (!row) results.set(name, row = { unit, values: {} });
  (row.values[peer] ??= []).push(value);
}

function median(values: number[] | undefined): number {
  if (!values || values.length === 0) return NaN;
  return [...values].sort((x, y) => x - y)[Math.floor(values.length / 2)];
}

async function runLoad(lab: Lab, args: string[]): Promise<any> {
  const child = spawn(lab.client, command(...args));
  await child.stdin.close();
  const text = await new Response(child.stdout).text();
  if (!(await child.status).success) throw new Error(`the load generator failed: ${args.join(" ")}`);
  return JSON.parse(text);
}

/** Memory is what stays after a burst, not what the burst itself touched: measured once it has been quiet for so long. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 11_000));

async function measure(lab: Lab, pair: Pair): Promise<void> {
  const wanted = (group: string) => !only || only.includes(group);
  if (wanted("memory") && pair.pids.length > 0) {
    const child = spawn(lab.client, command("hold", "1000"));
    const reader = await ready(child, "holding");
    await settled();
    record("memory, 1000 connections", "MB", pair.name, residentMb(pair.pids));
    await child.stdin.close();
    while (!(await reader.read()).done);
    await child.status;
  }
  for (const run of RUNS) {
    if (!wanted(run.group)) continue;
    const before = cpuSeconds(pair.pids);
    const result = await runLoad(lab, run.args);
    const cpu = cpuSeconds(pair.pids) - before;
    for (const { name, unit, value } of run.measures) {
      if (pair.pids.length === 0 && name.startsWith("CPU")) continue;
      record(name, unit, pair.name, value(result, cpu));
    }
  }
  if (pair.pids.length > 0 && wanted("memory")) record("memory, after load", "MB", pair.name, residentMb(pair.pids));
}

const ztunnel = Deno.env.get("ZTUNNEL");
const folder = await Deno.makeTempDir({ prefix: "ambientd-bench-" });
const lab = await Lab.create();
const server = spawn(lab.server, command("serve"));
try {
  const serving = await ready(server);
  for (let round = 0; round < rounds; round++) {
    const starts = [() => startOurs(lab, folder)];
    if (flags.has("bare")) starts.push(() => startBare(lab, folder));
    if (ztunnel) starts.push(() => startZtunnel(lab, folder, ztunnel));
    if (!flags.has("no-direct")) starts.push(() => startDirect(lab));
    for (const start of starts) {
      const pair = await start();
      try {
        if (pair.pids.length > 0 && (!only || only.includes("memory"))) {
          await settled();
          record("memory, idle", "MB", pair.name, residentMb(pair.pids));
        }
        // Proxies run for weeks: what a compiler does in their first second is not what this measures.
        if (pair.pids.length > 0) { for (const args of WARM_UP) await runLoad(lab, args); }
        await measure(lab, pair);
      } finally {
        await pair.stop();
      }
    }
  }
  await serving.cancel();
} finally {
  server.kill("SIGKILL");
  await server.status;
  lab.close();
  await Deno.remove(folder, { recursive: true });
}

const number = (value: number) => Number.isNaN(value) ? "-" : value >= 100 ? value.toFixed(0) : value.toFixed(2);
if (!flags.has("json")) {
  console.log(
    `${"".padEnd(48)} ${["ours", "bare", "ztunnel", "direct", "ours/ztunnel"].map((h) => h.padStart(12)).join(" ")}`,
  );
}
for (const [name, { unit, values }] of results) {
  const ours = median(values.ours),
    bare = median(values.bare),
    peer = median(values.ztunnel),
    direct = median(values.direct);
  if (flags.has("json")) {
    console.log(
      JSON.stringify({ name, unit, ours, peer: ztunnel ? peer : direct, ratio: ours / (ztunnel ? peer : direct) }),
    );
  } else {
    const cells = [number(ours), number(bare), number(peer), number(direct), number(ours / peer)].map((cell) =>
      cell.padStart(12)
    );
    console.log(`${`${name} [${unit}]`.padEnd(48)} ${cells.join(" ")}`);
  }
}
Deno.exit(0);
