import type { PodUsage } from "../contracts.ts";
import type { PodRunner } from "./pod_runner.ts";
import { descendants } from "./terminal.ts";

/** As often as a kubelet's summary is scraped elsewhere. */
const EVERY_MS = 15_000, FRESH_MS = 1000;
/** Clock ticks a second in /proc, the same on every Linux that Deno runs on. */
const TICKS = 100;

interface Reading {
  atMs: number;
  /** CPU time by process and start time, so that a reused process id is not taken for the same process. */
  cpuMs: Map<string, number>;
}

/** Measures what pods use, from /proc: there are no cgroups to ask. */
export class UsageMeter {
  readonly #runners: () => Iterable<PodRunner>;
  readonly #timer: ReturnType<typeof setInterval>;
  #before: Reading = { atMs: Date.now(), cpuMs: new Map() };
  #last: readonly PodUsage[] = [];
  /** CPU time of containers so far, by pod and container; kept while they are measured. */
  #totalMs = new Map<string, number>();

  constructor(runners: () => Iterable<PodRunner>) {
    this.#runners = runners;
    this.#timer = setInterval(() => this.#measure(), EVERY_MS);
  }

  /** A measurement that is a second old is done again; that of a pod's first second is over its whole life. */
  read(): readonly PodUsage[] {
    const known = new Set(this.#last.map(({ namespace, pod }) => `${namespace}/${pod}`));
    const running = [...this.#runners()].filter((one) => one.sandbox);
    const isNew = ({ pod: { metadata } }: PodRunner) => !known.has(`${metadata.namespace}/${metadata.name}`);
    if (Date.now() - this.#before.atMs >= FRESH_MS || running.some(isNew)) this.#measure();
    return this.#last;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #measure(): void {
    const now: Reading = { atMs: Date.now(), cpuMs: new Map() };
    const uptimeMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
    const windowMs = Math.max(1, now.atMs - this.#before.atMs);
    const usage: PodUsage[] = [], totals = new Map<string, number>();
    for (const runner of this.#runners()) {
      const { metadata, spec } = runner.pod;
      const containers = runner.containers.flatMap((container) => {
        const helper = container.helper;
        if (helper === undefined) return [];
        const totalKey = `${metadata.uid} ${container.name}`;
        let cpuNanocores = 0, memoryBytes = 0, totalMs = this.#totalMs.get(totalKey) ?? 0;
        for (const pid of [helper, ...descendants(helper)]) {
          const process = readProcess(pid);
          if (!process) continue;
          const key = `${pid} ${process.startMs}`, before = this.#before.cpuMs.get(key);
          now.cpuMs.set(key, process.cpuMs);
          const lifeMs = Math.max(1, uptimeMs - process.startMs);
          const share = before === undefined ? process.cpuMs / lifeMs : (process.cpuMs - before) / windowMs;
          cpuNanocores += Math.round(share * 1e9);
          totalMs += process.cpuMs - (before ?? 0);
          memoryBytes += process.memoryBytes;
        }
        totals.set(totalKey, totalMs);
        return [{ name: container.name, cpuNanocores, cpuSeconds: totalMs / 1000, memoryBytes }];
      });
      if (containers.length === 0) continue;
      const { namespace, name } = metadata;
      usage.push({ namespace: namespace!, pod: name, node: spec.nodeName, atMs: now.atMs, windowMs, containers });
    }
    this.#before = now;
    this.#last = usage;
    this.#totalMs = totals;
  }
}

/** One process's CPU time, start (since boot), and memory of its own: files and libraries that others share do not count. */
function readProcess(pid: number): { cpuMs: number; startMs: number; memoryBytes: number } | undefined {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
    return {
      cpuMs: (Number(fields[11]) + Number(fields[12])) * 1000 / TICKS,
      startMs: Number(fields[19]) * 1000 / TICKS,
      memoryBytes: (kib("RssAnon") + kib("RssShmem")) * 1024,
    };
  } catch {
    return undefined;
  }
}
