import type { ClusterApi, KubeObject } from "../contracts.ts";

/** Distinct events remembered for counting; the oldest are forgotten first. */
const REMEMBERED = 2000;

/** Writes Events about pods and nodes; a repeated one counts up, as `kubectl describe` shows with `x5 over 2m`. */
export class EventRecorder {
  readonly #api: ClusterApi;
  readonly #known = new Map<string, { namespace: string; name: string; count: number }>();

  constructor(api: ClusterApi) {
    this.#api = api;
  }

  /** @param container named in the event's fieldPath */
  record(
    about: KubeObject,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    options: { host?: string; container?: string; init?: boolean } = {},
  ): void {
    const namespace = about.metadata.namespace ?? "default";
    const key = `${about.metadata.uid}/${options.container ?? ""}/${reason}/${message}`;
    const known = this.#known.get(key), now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const events = { group: "", resource: "events" };
    try {
      if (known) {
        known.count++;
        this.#api.patch(events, known.namespace, known.name, "merge", { count: known.count, lastTimestamp: now });
        return;
      }
      const name = `${about.metadata.name}.${crypto.getRandomValues(new BigUint64Array(1))[0].toString(16)}`;
      const field = options.init ? "initContainers" : "containers";
      this.#api.create(events, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace },
        involvedObject: {
          kind: about.kind,
          apiVersion: about.apiVersion,
          name: about.metadata.name,
          ...(about.metadata.namespace ? { namespace } : {}),
          uid: about.metadata.uid,
          resourceVersion: about.metadata.resourceVersion,
          ...(options.container ? { fieldPath: `spec.${field}{${options.container}}` } : {}),
        },
        reason,
        message: message.slice(0, 1024),
        type,
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        source: { component: "kubelet", ...(options.host ? { host: options.host } : {}) },
        reportingComponent: "kubelet",
        reportingInstance: options.host ?? "",
      });
      this.#known.set(key, { namespace, name, count: 1 });
      if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
    } catch {
      // Its namespace is going away, or the event expired: an event is never worth a pod.
      this.#known.delete(key);
    }
  }
}
