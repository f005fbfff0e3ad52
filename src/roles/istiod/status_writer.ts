// Conditions into the status of policies, by server-side apply, one field manager a writer (istiod-behaviour.md §5).

import { describeError } from "../../core/errors.ts";
import type { StatusReport } from "../../index/mod.ts";
import { isApiStatus, type KubeClient, type KubeObject, type Resource, RESOURCES, type Store } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { WorkQueue } from "./work_queue.ts";

export interface StatusWriterOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly authorizationPolicies: Store;
  readonly now?: () => number;
}

/** The condition that each field manager writes. A policy has one: the other's goes when the policy changes sides. */
const WRITERS: Readonly<Record<string, string>> = {
  ZtunnelAccepted: "istio-ambient-ztunnel-policy",
  WaypointAccepted: "istio-ambient-waypoint-policy",
};

/** Writes what the index reports, where it differs from what the object says. Runs while this replica leads. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #queue = new WorkQueue();
  readonly #reports = new Map<string, StatusReport>();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** Takes new reports in; they are written when this replica leads. */
  report(reports: readonly StatusReport[]): void {
    for (const report of reports) {
      const key = `${report.namespace}/${report.name}`;
      this.#reports.set(key, report);
      this.#queue.add(key);
    }
  }

  async lead(signal: AbortSignal): Promise<void> {
    await this.#queue.run(signal, (key) => this.#write(key, signal), (key, error) => {
      this.#options.logger.warn("cannot write a status", { policy: key, error: describeError(error) });
    });
  }

  async #write(key: string, signal: AbortSignal): Promise<void> {
    const { client, authorizationPolicies, logger } = this.#options;
    const report = this.#reports.get(key), object = authorizationPolicies.get(key);
    this.#reports.delete(key);
    if (!report || !object) return;
    const condition = this.#condition(report, object);
    if (!condition) return;
    const { namespace, name, fieldManager } = report, type: Resource = RESOURCES.authorizationPolicies;
    const identity = { metadata: { namespace, name } };
    try {
      for (const { type: other } of object.status?.conditions ?? []) {
        if (other === condition.type || !Object.hasOwn(WRITERS, other)) continue;
        await client.apply(type, identity, { fieldManager: WRITERS[other], subresource: "status", signal });
      }
      await client.apply(type, {
        ...identity,
        status: { observedGeneration: String(report.generation), conditions: [condition] },
      }, { fieldManager, subresource: "status", signal });
      logger.debug("status written", { policy: key, condition: condition.type, reason: condition.reason });
    } catch (error) {
      if (isApiStatus(error, 404)) return;
      this.#reports.set(key, this.#reports.get(key) ?? report);
      throw error;
    }
  }

  /** The condition to write; undefined when the object says it already. */
  #condition({ condition, generation }: StatusReport, object: KubeObject): Record<string, unknown> | undefined {
    const old = object.status?.conditions?.find(({ type }: { type: string }) => type === condition.type);
    const same = old && old.status === condition.status && old.reason === condition.reason &&
      old.message === condition.message;
    if (same && Number(old.observedGeneration ?? generation) === generation) return undefined;
    const now = new Date(this.#options.now?.() ?? Date.now()).toISOString().replace(/\.\d+Z$/, "Z");
    return {
      ...condition,
      observedGeneration: String(generation),
      lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime ?? now : now,
    };
  }
}
