import { describeError, MeshError } from "../core/errors.ts";

/**
 * - `kube_api`: the API answered with a failure; see the details
 * - `kube_unreachable`: no answer, or none in time
 * - `invalid_kubeconfig`: it cannot be told where the API is or who calls it
 */
export type KubeErrorCode = "kube_api" | "kube_unreachable" | "invalid_kubeconfig";

/** The HTTP status of an answer and Kubernetes' reason (`NotFound`, `Conflict`, `Expired`, …), "" when it gave none. */
export interface KubeApiDetails {
  readonly status: number;
  readonly reason: string;
}

/** The Kubernetes API answered with a `Status` of failure. */
export class KubeApiError extends MeshError<"kube_api", KubeApiDetails> {
  constructor(message: string, details: KubeApiDetails) {
    const retryable = details.status === 429 || details.status >= 500;
    super("kube_api", message, { source: "upstream", retryable, details });
    this.name = "KubeApiError";
  }

  get status(): number {
    return this.details!.status;
  }

  get reason(): string {
    return this.details!.reason;
  }
}

/** Whether `error` is an answer of the API with this HTTP status. */
export function isApiStatus(error: unknown, status: number): error is KubeApiError {
  return error instanceof KubeApiError && error.status === status;
}

/** Whether the API has understood and will not, so that asking again with the same does not help: 400, 403, 405, 413, 422. */
export function isRefusal(error: unknown): error is KubeApiError {
  return error instanceof KubeApiError && [400, 403, 405, 413, 422].includes(error.status);
}

/** The error of an answer: its `Status` message where there is one. */
export function apiError(method: string, path: string, status: number, body: unknown): KubeApiError {
  const answer = typeof body === "object" && body !== null
    ? body as { message?: unknown; reason?: unknown }
    : undefined;
  const text = answer ? String(answer.message ?? "") : String(body ?? "").trim().slice(0, 1000);
  return new KubeApiError(
    text || `the Kubernetes API answered ${method} "${path}" with status ${status}`,
    { status, reason: typeof answer?.reason === "string" ? answer.reason : "" },
  );
}

export function unreachable(server: string, cause: unknown): MeshError<"kube_unreachable"> {
  return new MeshError(
    "kube_unreachable",
    `cannot reach the Kubernetes API at "${server}": ${describeError(cause)}`,
    { source: "upstream", retryable: true },
  );
}

export function invalidKubeconfig(message: string, cause?: unknown): MeshError<"invalid_kubeconfig"> {
  return new MeshError(
    "invalid_kubeconfig",
    cause === undefined ? message : `${message}: ${describeError(cause)}`,
    { source: "downstream" },
  );
}
