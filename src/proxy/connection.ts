import { describeError } from "../core/errors.ts";
import type { Workload } from "../model/mod.ts";
import {
  type Endpoint,
  type PendingConnect,
  type Pump,
  pump,
  type PumpOptions,
  type PumpStats,
  type SocketAddress,
} from "../net/mod.ts";
import type { ConnectionFacts as PolicyFacts, Decision } from "../policy/mod.ts";
import type { GuardedConnection, Permission } from "./connection_manager.ts";
import type { ConnectionView } from "./connection_view.ts";
import type { Pod, PodConnection } from "./pod.ts";
import { ConnectionAccount, type ConnectionFacts, logEarlyFailure, type ResponseFlag } from "./telemetry.ts";

/**
 * One connection of a pod from its beginning to its end, whichever way it goes: tracked by the pod, accounted for once it is known
 * where it goes, pumped once the other side is reached, and ended once. Made for every connection: it is its own callbacks.
 */
export abstract class ProxiedConnection implements PodConnection, PumpOptions {
  abstract readonly direction: "inbound" | "outbound";
  protected readonly pod: Pod;
  protected readonly client: SocketAddress;
  /** An attempt to reach the other side. */
  protected pending: PendingConnect | null = null;
  protected account: ConnectionAccount | undefined;
  /** It has ended: whatever still comes is late. */
  protected over = false;
  readonly #start: number = performance.now();
  #pump: Pump | undefined;

  constructor(pod: Pod, client: SocketAddress) {
    this.pod = pod;
    this.client = client;
  }

  /** Where the connection was going, while nothing better is known. */
  protected abstract get destination(): SocketAddress;

  /** Decides what becomes of the connection, `local` being the pod's workload. */
  protected abstract route(local: Workload): void;

  /** Tells the client that it failed, and ends. */
  protected abstract refuse(flag: ResponseFlag, error: string, status?: number): void;

  abstract view(): ConnectionView | undefined;

  /** Routes now, or when the workload is known. */
  protected begin(): void {
    this.pod.track(this);
    const known = this.pod.local.current();
    if (known) return this.route(known);
    this.pod.local.wait().then(
      (workload) => {
        if (!this.over) this.route(workload);
      },
      (thrown) => this.refuse("CONNECT", describeError(thrown)),
    );
  }

  protected open(facts: ConnectionFacts): void {
    const { metrics, access } = this.pod.shared;
    this.account = new ConnectionAccount(facts, metrics, access, this.#start);
  }

  /** Both sides are there: from `a`, the client's, to `b`. */
  protected join(a: Endpoint, b: Endpoint): void {
    const running = pump(a, b, this);
    // A pump of two ends that had already failed is over before it began.
    if (this.over) return;
    this.#pump = running;
    this.account!.watch(running);
  }

  onDone(stats: PumpStats): void {
    if (this.over) return;
    this.account!.watch(stats);
    if (stats.error) this.finish("CONNECT", describeError(stats.error));
    else this.finish("-", undefined);
  }

  end(reason: string): void {
    this.stop("CONNECT", reason);
  }

  /** Ends it from our side, at whatever point it is. */
  protected stop(flag: ResponseFlag, error: string, status?: number): void {
    if (this.over) return;
    if (!this.#pump) return this.refuse(flag, error, status);
    this.finish(flag, error);
    this.#pump.abort();
  }

  /** Lets go and accounts for it; bytes and answers are the caller's. */
  protected finish(flag: ResponseFlag, error: string | undefined): void {
    this.over = true;
    this.pod.untrack(this);
    this.pending?.cancel();
    this.pending = null;
    if (this.account) return this.account.close(flag, error);
    const reporter = this.direction === "inbound" ? "destination" : "source";
    logEarlyFailure(this.pod.shared.access, reporter, this.client, this.destination, error ?? "closed");
  }
}

/** A connection towards the pod's application, which policies must allow for as long as it lives. */
export abstract class AdmittedConnection extends ProxiedConnection implements GuardedConnection {
  readonly direction = "inbound";
  facts!: PolicyFacts;
  workload!: Workload;
  #permission: Permission | undefined;

  /** Asks the policies; refuses, and says false, when they forbid it. */
  protected admit(workload: Workload, facts: PolicyFacts): boolean {
    this.workload = workload;
    this.facts = facts;
    this.#permission = this.pod.shared.connections.admit(this);
    const { allowed, reason } = this.#permission.decision;
    if (!allowed) this.refuse("DENY", `connection closed due to policy rejection: ${reason}`, 401);
    return allowed;
  }

  revoke(decision: Decision): void {
    this.stop("DENY", `connection closed due to policy change: ${decision.reason}`, 401);
  }

  protected override finish(flag: ResponseFlag, error: string | undefined): void {
    this.#permission?.release();
    super.finish(flag, error);
  }
}
