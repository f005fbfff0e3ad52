// Whether a gateway's service account may read Secrets of its namespace: only then are they sent to its pods, as in Istio.

import { describeError } from "../../core/errors.ts";
import type { KubeClient } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";

/** How long an answer holds. Taking the right away does not take back what a proxy has already. */
const KEEP_MS = 60_000;
/** Distinct accounts that are remembered. */
const MAX_KEPT = 10_000;

/** Asks the API (SubjectAccessReview) and remembers its answers. */
export class SecretAccess {
  readonly #client: KubeClient;
  readonly #logger: Logger;
  readonly #onChange: () => void;
  readonly #now: () => number;
  readonly #answers = new Map<string, { allowed: boolean; until: number }>();
  readonly #asking = new Set<string>();

  constructor(options: { client: KubeClient; logger: Logger; onChange: () => void; now?: () => number }) {
    this.#client = options.client;
    this.#logger = options.logger;
    this.#onChange = options.onChange;
    this.#now = options.now ?? Date.now;
  }

  /** What is known now; false while it is being asked, and `onChange` tells when that changes. */
  allowed(namespace: string, serviceAccount: string): boolean {
    const key = `${namespace}/${serviceAccount}`, known = this.#answers.get(key);
    if (!known || this.#now() >= known.until) void this.#ask(key, namespace, serviceAccount);
    return known?.allowed ?? false;
  }

  async #ask(key: string, namespace: string, serviceAccount: string): Promise<void> {
    if (this.#asking.has(key)) return;
    this.#asking.add(key);
    const before = this.#answers.get(key)?.allowed ?? false;
    let allowed = before;
    try {
      allowed = await this.#client.mayUser(
        `system:serviceaccount:${namespace}:${serviceAccount}`,
        ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
        { verb: "list", resource: "secrets", namespace },
      );
    } catch (error) {
      this.#logger.warn("cannot ask whether an account may read Secrets", {
        account: key,
        error: describeError(error),
      });
    }
    this.#asking.delete(key);
    if (this.#answers.size >= MAX_KEPT) this.#answers.clear();
    this.#answers.set(key, { allowed, until: this.#now() + KEEP_MS });
    if (allowed !== before) this.#onChange();
  }
}
