import { spiffeId, type Workload } from "../model/mod.ts";
import { type ConnectionFacts, type Decision, describePlace, evaluate } from "../policy/mod.ts";
import { LimitedLog } from "../telemetry/limited_log.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Cell, Metric, Registry } from "../telemetry/metrics.ts";
import type { MeshView } from "./state/mod.ts";

/** One inbound connection whose permission must go on holding. */
export interface GuardedConnection {
  readonly facts: ConnectionFacts;
  /** As it was when the connection came: its list of policies is not read again (as in ztunnel). */
  readonly workload: Workload;
  /** The permission is gone: close at once. */
  revoke(decision: Decision): void;
}

/** What a connection holds while it is allowed. */
export interface Permission {
  readonly decision: Decision;
  /** The connection has ended. */
  release(): void;
}

/**
 * Refusals by policy: Istio's own series say that a connection was denied, not by what. Callers without an identity count
 * as `unknown`.
 */
export function denialMetric(registry: Registry): Metric<Cell> {
  return registry.counter(
    "ambientd_authorization_denied_total",
    "Connections refused by authorization policies, once for each policy that refused",
    ["policy", "source_principal", "destination_workload", "destination_workload_namespace"],
  );
}

/** Asks the policies about every inbound connection, and again about those that are open whenever a policy changes. */
export class ConnectionManager {
  readonly #view: MeshView;
  readonly #log: Logger;
  readonly #missing: LimitedLog;
  readonly #decisions: "info" | "debug";
  readonly #denials: Metric<Cell> | undefined;
  readonly #open = new Set<GuardedConnection>();

  /** @param infoDecisions log decisions at INFO (`AUTHZ_POLICY_INFO_LOGGING`) */
  constructor(view: MeshView, log: Logger, infoDecisions = false, denials?: Metric<Cell>) {
    this.#denials = denials;
    this.#view = view;
    this.#log = log;
    this.#missing = new LimitedLog(log);
    this.#decisions = infoDecisions ? "info" : "debug";
  }

  get size(): number {
    return this.#open.size;
  }

  /** Decides; when allowed, the connection is watched until it is released. */
  admit(connection: GuardedConnection): Permission {
    const decision = this.#decide(connection);
    if (!decision.allowed) return { decision, release: () => {} };
    this.#open.add(connection);
    return { decision, release: () => this.#open.delete(connection) };
  }

  /** Policies have changed: what is no longer allowed is closed at once. */
  reevaluate(): void {
    for (const connection of [...this.#open]) {
      const decision = this.#decide(connection);
      if (decision.allowed) continue;
      this.#open.delete(connection);
      connection.revoke(decision);
    }
  }

  #decide({ facts, workload }: GuardedConnection): Decision {
    const { policies, missing } = this.#view.policies.applicable(workload);
    if (missing.length > 0) {
      this.#missing.log("warn", "policies of this workload have not been received", {
        workload: workload.uid,
        missing,
      });
    }
    const decision = evaluate(facts, policies);
    const source = facts.identity ? spiffeId(facts.identity) : "unknown";
    for (const policy of decision.refusedBy) {
      this.#denials?.with(policy, source, workload.workloadName, workload.namespace).inc();
    }
    if (this.#log.enabled(this.#decisions)) {
      this.#log.log(this.#decisions, decision.allowed ? "allowed" : "denied", {
        workload: workload.uid,
        principal: facts.principal,
        port: facts.destinationPort,
        reason: decision.reason,
        by: decision.by && describePlace(decision.by),
        dryRun: decision.dryRun.length > 0 ? decision.dryRun.map(describePlace) : undefined,
      });
    }
    return decision;
  }
}
