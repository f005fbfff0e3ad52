// Conditions into the status of policies and of what asks for waypoints, by server-side apply, one field manager a writer
// (istiod-behaviour.md §5).

import { describeError } from "../../core/errors.ts";
import type { StatusReport } from "../../index/mod.ts";
import { isApiStatus, isRefusal, type KubeClient, type KubeObject, objectKey } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { StatusSource } from "./routing_status_writer.ts";
import { WorkQueue } from "./work_queue.ts";

export interface StatusWriterOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  /** Where the objects are that have statuses of this kind. */
  readonly sources: Readonly<Record<StatusReport["kind"], StatusSource>>;
  readonly now?: () => number;
}

/** The condition that each field manager writes. A policy has one: the other's goes when the policy changes sides. */
const WRITERS: Readonly<Record<string, string>> = {
  ZtunnelAccepted: "istio-ambient-ztunnel-policy",
  WaypointAccepted: "istio-ambient-waypoint-policy",
};

const WAYPOINT_BOUND = "istio.io/WaypointBound";
/** What the index says of each kind while there is something to say, and who writes it: it goes when there is nothing more to say. */
const OWNED: Readonly<Record<StatusReport["kind"], readonly [conditions: readonly string[], fieldManager: string]>> = {
  Service: [[WAYPOINT_BOUND], "istio-ambient-service"],
  ServiceEntry: [[WAYPOINT_BOUND, "Reconciled"], "istio-ambient-service"],
  WorkloadEntry: [[WAYPOINT_BOUND], "istio-ambient-workloadentry"],
  AuthorizationPolicy: [["ZtunnelAccepted"], WRITERS.ZtunnelAccepted],
};

/** Writes what the index reports, where it differs from what the object says. Runs while this replica leads. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #queue = new WorkQueue();
  /** What is to be written, by `kind/namespace/name`; undefined: nothing is to be said any more. */
  readonly #reports = new Map<string, StatusReport | undefined>();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** Takes new reports in, and the keys (`kind/namespace/name`) of those that hold no more; they are written when this replica leads. */
  report(reports: readonly StatusReport[], removed: readonly string[] = []): void {
    for (const key of removed) this.#put(key, undefined);
    for (const report of reports) this.#put(`${report.kind}/${report.namespace}/${report.name}`, report);
  }

  /** Takes all reports that hold: what an earlier leader wrote beside them goes. */
  reportAll(reports: readonly StatusReport[]): void {
    const known = new Set(reports.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
    const stale: string[] = [];
    for (const kind of Object.keys(OWNED) as StatusReport["kind"][]) {
      for (const object of this.#options.sources[kind].store.values()) {
        const key = `${kind}/${objectKey(object)}`;
        if (!known.has(key) && OWNED[kind][0].some((type) => conditionOf(object, type))) stale.push(key);
      }
    }
    this.report(reports, stale);
  }

  async lead(signal: AbortSignal): Promise<void> {
    await this.#queue.run(signal, (key) => this.#write(key, signal), (key, error) => {
      this.#options.logger.warn("cannot write a status", { object: key, error: describeError(error) });
    });
  }

  #put(key: string, report: StatusReport | undefined): void {
    this.#reports.set(key, report);
    this.#queue.add(key);
  }

  async #write(key: string, signal: AbortSignal): Promise<void> {
    const report = this.#reports.get(key), cut = key.indexOf("/"), kind = key.slice(0, cut) as StatusReport["kind"];
    this.#reports.delete(key);
    const { type, store } = this.#options.sources[kind], object = store.get(key.slice(cut + 1));
    if (!object || !type) return;
    try {
      if (report) await this.#apply(report, object, signal);
      else if (OWNED[kind][0].some((type) => conditionOf(object, type))) {
        // A field manager that applies nothing takes away what it applied.
        await this.#options.client.apply(type, identity(object), {
          fieldManager: OWNED[kind][1],
          subresource: "status",
          signal,
        });
      }
    } catch (error) {
      if (isApiStatus(error, 404)) return;
      if (isRefusal(error)) {
        // The others' conditions do not wait for one that cannot be written.
        return this.#options.logger.warn("a status was refused", { object: key, error: describeError(error) });
      }
      if (!this.#reports.has(key)) this.#reports.set(key, report);
      throw error;
    }
  }

  async #apply(report: StatusReport, object: KubeObject, signal: AbortSignal): Promise<void> {
    const { client, logger, sources } = this.#options, { kind, fieldManager, generation } = report;
    const condition = this.#condition(report, object), type = sources[kind].type!;
    if (!condition) return;
    if (kind === "AuthorizationPolicy") {
      for (const { type: other } of object.status?.conditions ?? []) {
        if (other === condition.type || !Object.hasOwn(WRITERS, other)) continue;
        await client.apply(type, identity(object), {
          fieldManager: WRITERS[other],
          subresource: "status",
          signal,
        });
      }
    }
    const status = kind === "Service"
      ? { conditions: [condition] }
      : { observedGeneration: String(generation), conditions: [condition] };
    await client.apply(type, { ...identity(object), status }, { fieldManager, subresource: "status", signal });
    logger.debug("status written", {
      object: `${kind}/${objectKey(object)}`,
      condition: condition.type,
      reason: condition.reason,
    });
  }

  /** The condition to write; undefined when the object says it already. */
  #condition({ kind, condition, generation }: StatusReport, object: KubeObject): Record<string, unknown> | undefined {
    const old = conditionOf(object, condition.type);
    const same = old && old.status === condition.status && old.reason === condition.reason &&
      old.message === condition.message;
    if (same && Number(old.observedGeneration ?? generation) === generation) return undefined;
    const now = new Date(this.#options.now?.() ?? Date.now()).toISOString().replace(/\.\d+Z$/, "Z");
    return {
      ...condition,
      // Kubernetes' own conditions have numbers, those of istio.io texts.
      // Services have no generation.
      observedGeneration: kind === "Service" ? generation || undefined : String(generation),
      lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime ?? now : now,
    };
  }
}

function identity({ metadata: { namespace, name } }: KubeObject): KubeObject {
  return { metadata: { namespace, name } };
}

function conditionOf(object: KubeObject, wanted: string): Record<string, any> | undefined {
  return object.status?.conditions?.find(({ type }: { type: string }) => type === wanted);
}
