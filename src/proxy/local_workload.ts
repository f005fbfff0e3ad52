import { MeshError } from "../core/errors.ts";
import type { Workload } from "../model/mod.ts";
import { WORKLOAD_WAIT_MS } from "./config.ts";
import type { MeshState, WorkloadInfo } from "./state/mod.ts";

/** The pod being proxied, among the workloads that xDS tells of. */
export class LocalWorkload {
  readonly #state: MeshState;
  readonly info: WorkloadInfo;
  #last: Workload | undefined;

  constructor(state: MeshState, info: WorkloadInfo) {
    this.#state = state;
    this.info = info;
  }

  /** The workload if it is known: the usual case, without a promise. */
  current(): Workload | undefined {
    const last = this.#last;
    if (last !== undefined && this.#state.workload(last.uid) === last) return last;
    return this.#last = this.#state.workloadByInfo(this.info);
  }

  /**
   * Waits for the workload: the agent often knows of a pod before istiod has told of it.
   *
   * @throws MeshError `unknown_workload` after 5 s
   */
  wait(timeoutMs: number = WORKLOAD_WAIT_MS): Promise<Workload> {
    const known = this.current();
    if (known) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      const { namespace, name, serviceAccount } = this.info;
      const timer = setTimeout(() => {
        off();
        const who = `"${namespace}/${name}" with service account "${serviceAccount}"`;
        reject(new MeshError("unknown_workload", `no workload ${who} in xDS`, { retryable: true }));
      }, timeoutMs);
      const off = this.#state.onChange(() => {
        const found = this.current();
        if (!found) return;
        clearTimeout(timer);
        off();
        resolve(found);
      });
    });
  }
}
