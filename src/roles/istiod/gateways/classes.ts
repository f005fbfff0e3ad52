// The GatewayClasses that Istio brings: there as long as their type is, made again when somebody deletes them, never updated.

import { describeError } from "../../../core/errors.ts";
import { isApiStatus, type KubeClient, type ServedInformer } from "../../../kube/mod.ts";
import type { Logger } from "../../../telemetry/logger.ts";
import { CLASS_CONTROLLER } from "./controllers.ts";
import { WorkQueue } from "../work_queue.ts";

const DESCRIPTION: Readonly<Record<string, string>> = {
  istio: "The default Istio GatewayClass",
  "istio-waypoint": "The default Istio waypoint GatewayClass",
  "istio-remote": "Remote to this cluster. Does not deploy or affect configuration.",
};

/** Creates the classes that are missing, while it leads. */
export class GatewayClasses {
  readonly #client: KubeClient;
  readonly #classes: ServedInformer;
  readonly #logger: Logger;
  readonly #queue = new WorkQueue();

  constructor(options: { client: KubeClient; classes: ServedInformer; logger: Logger }) {
    this.#client = options.client;
    this.#classes = options.classes;
    this.#logger = options.logger;
    this.#classes.onServed((type) => type && this.#all());
    this.#classes.onChange((changes) => {
      for (const { type, object } of changes) {
        if (type === "deleted" && Object.hasOwn(CLASS_CONTROLLER, object.metadata.name)) {
          this.#queue.add(object.metadata.name);
        }
      }
    });
  }

  async lead(signal: AbortSignal): Promise<void> {
    this.#all();
    await this.#queue.run(signal, (name) => this.#create(name, signal), (name, error) => {
      this.#logger.warn("cannot create a GatewayClass", { class: name, error: describeError(error) });
    });
  }

  #all(): void {
    for (const name of Object.keys(CLASS_CONTROLLER)) this.#queue.add(name);
  }

  async #create(name: string, signal: AbortSignal): Promise<void> {
    const { type, store } = this.#classes;
    if (!type || store.has(name)) return;
    try {
      await this.#client.create(type, {
        metadata: { name },
        spec: { controllerName: CLASS_CONTROLLER[name], description: DESCRIPTION[name] },
      }, { signal });
      this.#logger.info("GatewayClass created", { class: name });
    } catch (error) {
      // It is there, or its type has gone: the watch tells.
      if (!isApiStatus(error, 409) && !isApiStatus(error, 404)) throw error;
    }
  }
}
