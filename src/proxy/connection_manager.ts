import type { Workload } from "../model/mod.ts";
import { type ConnectionFacts, type Decision, describePlace, evaluate } from "../policy/mod.ts";
import type { Logger } from "../telemetry/logger.ts";
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

/** Asks the policies about every inbound connection, and again about those that are open whenever a policy changes. */
export class ConnectionManager {
  readonly #view: MeshView;
  readonly #log: Logger;
  readonly #decisions: "info" | "debug";
  readonly #open = new Set<GuardedConnection>();

  /** @param infoDecisions log decisions at INFO (`AUTHZ_POLICY_INFO_LOGGING`) */
  constructor(view: MeshView, log: Logger, infoDecisions = false) {
    this.#view = view;
    this.#log = log;
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
      this.#log.warn("policies of this workload have not been received", { workload: workload.uid, missing });
    }
    const decision = evaluate(facts, policies);
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
