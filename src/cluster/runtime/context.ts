import type { Logger } from "../../telemetry/logger.ts";
import type { ClusterApi, TokenIssuer } from "../contracts.ts";
import type { CodeCache } from "./code_cache.ts";
import type { EventRecorder } from "./events.ts";
import type { NodeNamespace } from "./node_namespace.ts";
import type { IdMap } from "./privileges.ts";
import type { RootFs } from "./root_fs.ts";

/** What the pods of one runtime share. */
export interface RuntimeContext {
  readonly api: ClusterApi;
  readonly tokens: TokenIssuer;
  readonly log: Logger;
  readonly events: EventRecorder;
  readonly root: RootFs;
  readonly ids: IdMap;
  /** Command line that runs ambientd. */
  readonly self: readonly string[];
  /** Environment of containers of the ambientd image. */
  readonly selfEnv: Readonly<Record<string, string>>;
  /** Compiled code for them, where there is any. */
  readonly cache?: CodeCache;
  readonly allocatable: { cpu: string; memory: string };
  /** Only so many pods are being set up at a time. */
  readonly setups: Semaphore;
  /** First wait before a container that keeps ending is started again; doubles up to five minutes. */
  readonly restartDelayMs: number;
}

/** What the pods of one node share. */
export interface NodeContext extends RuntimeContext {
  readonly node: NodeNamespace;
  /** Only so many pods wait for chained CNI plugins at a time. */
  readonly joins: Semaphore;
  /** Takes a free address of the node's range, the given one if it is free. */
  takeAddress(wanted?: string): string;
  releaseAddress(ip: string): void;
}

/** Lets a fixed number of tasks run at a time: the most important first, then in the order they came. */
export class Semaphore {
  #free: number;
  readonly #waiting: { priority: number; go: () => void }[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(task: () => Promise<T>, priority = 0): Promise<T> {
    if (this.#free > 0) this.#free--;
    else {
      await new Promise<void>((go) => {
        const behind = this.#waiting.findIndex((other) => other.priority < priority);
        this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, { priority, go });
      });
    }
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next.go();
      else this.#free++;
    }
  }
}

/** Addresses of one node's pods, handed out in turn so that a freed one rests before it is used again. */
export class AddressPool {
  readonly #at: (n: number) => string;
  readonly #used = new Set<string>();
  #next = 2;

  constructor(at: (n: number) => string) {
    this.#at = at;
  }

  /** @throws Error when all 253 are taken */
  take(wanted?: string): string {
    if (wanted && !this.#used.has(wanted) && this.#all().includes(wanted)) {
      this.#used.add(wanted);
      return wanted;
    }
    for (let tries = 0; tries < 253; tries++) {
      const ip = this.#at(this.#next);
      this.#next = this.#next === 254 ? 2 : this.#next + 1;
      if (!this.#used.has(ip)) {
        this.#used.add(ip);
        return ip;
      }
    }
    throw new Error("no addresses are left in the node's pod range");
  }

  #all(): string[] {
    return Array.from({ length: 253 }, (_, i) => this.#at(i + 2));
  }

  release(ip: string): void {
    this.#used.delete(ip);
  }
}
