// Whether and when a failed attempt is made again: Envoy's conditions by name.

import { GRPC_RETRY_CONDITIONS, RETRY_CONDITIONS, type RetryPolicy } from "../../model/mod.ts";
import { fieldName } from "../fields.ts";
import { GRPC_STATUS } from "../filters/mod.ts";
import type { ResponseHead } from "../message.ts";
import type { UpstreamErrorCode } from "../upstream/types.ts";

const STATUS = /^[1-5]\d\d$/;
const RATE_LIMITED = fieldName("x-envoy-ratelimited");

/** Envoy's limits on the wait between attempts: at most ten times the base. */
const BACKOFF_FACTOR = 10;

/** A {@linkcode RetryPolicy} ready to be asked. */
export class CompiledRetry {
  readonly retries: number;
  readonly perTryTimeoutMs: number;
  readonly backoffMs: number;
  readonly avoidPriorities: boolean;
  /** Conditions that are not known; they hold never. */
  readonly problems: readonly string[];
  readonly #serverErrors: boolean;
  readonly #gatewayErrors: boolean;
  readonly #retriable4xx: boolean;
  readonly #reset: boolean;
  readonly #resetBeforeRequest: boolean;
  readonly #connectFailure: boolean;
  readonly #refusedStream: boolean;
  readonly #rateLimited: boolean;
  readonly #statusCodes: ReadonlySet<number>;
  readonly #grpc: ReadonlySet<string>;

  constructor(policy: RetryPolicy) {
    this.retries = policy.retries;
    this.perTryTimeoutMs = policy.perTryTimeoutMs;
    this.backoffMs = policy.backoffMs > 0 ? policy.backoffMs : 25;
    this.avoidPriorities = policy.retryRemoteLocalities;
    const on = new Set(policy.on.map((name) => name.trim().toLowerCase()));
    const codes = new Set(policy.statusCodes);
    for (const name of on) if (STATUS.test(name)) codes.add(Number(name));
    this.#serverErrors = on.has("5xx");
    this.#gatewayErrors = on.has("gateway-error");
    this.#retriable4xx = on.has("retriable-4xx");
    // `5xx` and `gateway-error` cover upstreams that do not answer at all.
    this.#reset = on.has("reset") || on.has("5xx") || on.has("gateway-error");
    this.#resetBeforeRequest = on.has("reset-before-request");
    this.#connectFailure = this.#reset || on.has("connect-failure");
    this.#refusedStream = on.has("refused-stream") || on.has("5xx");
    this.#rateLimited = on.has("envoy-ratelimited");
    this.problems = [...on].filter((name) =>
      !RETRY_CONDITIONS.has(name) && !(Object.hasOwn(GRPC_RETRY_CONDITIONS, name)) && !STATUS.test(name)
    )
      .map((name) => `the retry condition "${name}" is not supported`);
    this.#statusCodes = codes;
    this.#grpc = new Set(
      [...on].filter((name) => Object.hasOwn(GRPC_RETRY_CONDITIONS, name)).map((name) =>
        String(GRPC_RETRY_CONDITIONS[name])
      ),
    );
  }

  /** Whether a response is to be thrown away for another attempt. */
  afterResponse(head: ResponseHead): boolean {
    const { status } = head;
    if (head.fields.has(RATE_LIMITED)) return this.#rateLimited;
    if (status >= 500) {
      if (this.#serverErrors || (this.#gatewayErrors && status >= 502 && status <= 504)) return true;
    } else if (status === 409 && this.#retriable4xx) return true;
    if (this.#statusCodes.size > 0 && this.#statusCodes.has(status)) return true;
    if (this.#grpc.size === 0) return false;
    const grpc = head.fields.get(GRPC_STATUS);
    return grpc !== undefined && this.#grpc.has(grpc);
  }

  /** @param sent something of the request has reached a connection */
  afterFailure(code: UpstreamErrorCode, sent: boolean): boolean {
    switch (code) {
      case "connection_failure":
      case "connection_timeout":
        return this.#connectFailure;
      case "refused":
        return this.#refusedStream;
      case "reset":
      case "connection_termination":
      case "protocol_error":
        return this.#reset || (this.#resetBeforeRequest && !sent);
      // More load does not help a full breaker, another look-up finds nobody either, and what we gave up ourselves stays given up.
      case "overflow":
      case "no_healthy_upstream":
      case "aborted":
        return false;
    }
  }

  /** An attempt that took too long counts as a gateway error. */
  get afterTimeout(): boolean {
    return this.#serverErrors || this.#gatewayErrors || this.#reset || this.#statusCodes.has(504);
  }

  /**
   * Milliseconds to wait before attempt `attempt` + 1: fully jittered exponential back-off.
   *
   * @param attempt attempts made so far, from 1
   */
  wait(attempt: number, random: () => number): number {
    const ceiling = Math.min(this.backoffMs * (2 ** attempt - 1), this.backoffMs * BACKOFF_FACTOR);
    return Math.floor(random() * ceiling);
  }
}
