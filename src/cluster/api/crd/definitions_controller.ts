import type { Logger } from "../../../telemetry/logger.ts";
import type { KubeObject } from "../../contracts.ts";
import { systemContext } from "../context.ts";
import type { ApiCore } from "../core.ts";
import { timestamp } from "../metadata.ts";
import type { StoreEvent } from "../../store/history.ts";
import { loadCel } from "./cel.ts";
import { typeFromDefinition } from "./definition.ts";

const KEY = "apiextensions.k8s.io/customresourcedefinitions";
export const CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

/**
 * Serves the types of CustomResourceDefinitions: a type is there as soon as the write that creates its definition returns;
 * conditions follow on a microtask. Deleting a definition deletes its objects first.
 */
export class DefinitionsController {
  readonly #core: ApiCore;
  readonly #log: Logger;
  readonly #stops: (() => void)[] = [];
  /** Types whose definition is being deleted, with the function that stops watching their objects. */
  readonly #dying = new Map<string, () => void>();

  constructor(core: ApiCore, log: Logger) {
    this.#core = core;
    this.#log = log;
  }

  start(): void {
    for (const crd of this.#core.store.values(KEY)) this.#serve(crd);
    this.#stops.push(this.#core.store.listen(KEY, (event) => this.#onEvent(event)));
    for (const crd of this.#core.store.values(KEY)) this.#later(() => this.#reconcile(crd.metadata.name));
  }

  stop(): void {
    for (const stop of [...this.#stops, ...this.#dying.values()]) stop();
  }

  #onEvent({ type, object }: StoreEvent): void {
    const { name } = object.metadata;
    if (type === "DELETED") {
      this.#core.registry.remove(`${object.spec.group}/${object.spec.names.plural}`);
      this.#dying.get(name)?.();
      this.#dying.delete(name);
      return;
    }
    this.#serve(object);
    this.#later(() => this.#reconcile(name));
  }

  #serve(crd: KubeObject): void {
    const key = `${crd.spec.group}/${crd.spec.names.plural}`;
    const known = this.#core.registry.byKey(key);
    // The definition's status and metadata do not change what is served.
    if (known?.crd?.spec === crd.spec) return;
    if ((known && !known.crd) || this.#nameConflict(crd)) return;
    // Writes of the cluster's own parts cannot wait for the evaluator as those over HTTP do.
    void loadCel();
    this.#core.registry.set(typeFromDefinition(crd));
  }

  #later(task: () => void): void {
    queueMicrotask(() => {
      try {
        task();
      } catch (error) {
        this.#log.warn("cannot bring a CustomResourceDefinition up to date", {
          error: error instanceof Error ? error.message : String(error),
        });
      }
    });
  }

  #reconcile(name: string): void {
    const crd = this.#core.store.get(KEY, "", name);
    if (!crd) return;
    if (crd.metadata.deletionTimestamp) return this.#cleanUp(crd);
    const status = this.#statusOf(crd);
    const finalizers = [...new Set([...crd.metadata.finalizers ?? [], CLEANUP_FINALIZER])];
    const type = this.#core.registry.byKey(KEY)!;
    const version = type.versions[0];
    if (!crd.metadata.finalizers?.includes(CLEANUP_FINALIZER)) {
      const next = structuredClone(crd) as KubeObject;
      next.metadata.finalizers = finalizers;
      this.#core.replace(type, version, crd, next, systemContext(), undefined);
      return;
    }
    const next = structuredClone(crd) as KubeObject;
    next.status = status;
    this.#core.replace(type, version, crd, next, systemContext(), "status");
  }

  #statusOf(crd: KubeObject): Record<string, unknown> {
    const rival = this.#nameConflict(crd);
    const old: any[] = crd.status?.conditions ?? [];
    const condition = (type: string, status: string, reason: string, message: string) => {
      const before = old.find((item) => item.type === type);
      const same = before?.status === status;
      return {
        type,
        status,
        lastTransitionTime: same ? before.lastTransitionTime : timestamp(this.#core.now()),
        reason,
        message,
      };
    };
    const storage = crd.spec.versions.find((version: any) => version.storage).name;
    return {
      conditions: rival
        ? [
          condition("NamesAccepted", "False", "NamesConflict", rival),
          condition("Established", "False", "NotAccepted", "not all names are accepted"),
        ]
        : [
          condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
          condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
      acceptedNames: crd.spec.names,
      storedVersions: [...new Set([...crd.status?.storedVersions ?? [], storage])],
    };
  }

  /** Says which other type of the group has one of the names already. */
  #nameConflict({ spec, metadata }: KubeObject): string | undefined {
    for (const type of this.#core.registry.all()) {
      if (type.group !== spec.group || type.crd?.metadata.name === metadata.name) continue;
      if (type.kind === spec.names.kind) return `"${spec.names.kind}" is already in use`;
      const taken = new Set([type.plural, type.singular]);
      if (taken.has(spec.names.plural) || taken.has(spec.names.singular)) {
        return `"${spec.names.plural}" is already in use`;
      }
    }
    return undefined;
  }

  #cleanUp(crd: KubeObject): void {
    const { name } = crd.metadata;
    const type = this.#core.registry.byKey(`${crd.spec.group}/${crd.spec.names.plural}`);
    if (type?.crd) {
      for (const object of [...this.#core.store.values(type.key)]) {
        if (!object.metadata.deletionTimestamp) {
          this.#core.delete(type, object.metadata.namespace, object.metadata.name);
        }
      }
      if (this.#core.store.count(type.key) > 0) {
        // Objects with finalizers go when their owners let them; the last one ends the definition.
        if (!this.#dying.has(name)) {
          this.#dying.set(name, this.#core.store.listen(type.key, () => this.#later(() => this.#reconcile(name))));
        }
        return;
      }
    }
    this.#dying.get(name)?.();
    this.#dying.delete(name);
    if (!crd.metadata.finalizers?.includes(CLEANUP_FINALIZER)) return;
    const next = structuredClone(crd) as KubeObject;
    next.metadata.finalizers = next.metadata.finalizers!.filter((finalizer) => finalizer !== CLEANUP_FINALIZER);
    const definitions = this.#core.registry.byKey(KEY)!;
    this.#core.replace(definitions, definitions.versions[0], crd, next, systemContext(), undefined);
  }
}
