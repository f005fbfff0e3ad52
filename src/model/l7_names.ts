// Names that L7 proxies understand. The proxy goes by them, and the index tells authors of what is not among them.

/** Headers that concern one connection, or frame the message: changing them would break it, so no route does. */
export const UNCHANGEABLE_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Retry conditions that are statuses of gRPC. */
export const GRPC_RETRY_CONDITIONS: Readonly<Record<string, number>> = {
  "cancelled": 1,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  "internal": 13,
  "unavailable": 14,
};

/** The other conditions. `retriable-status-codes` stands for the policy's list, which holds without it. */
export const RETRY_CONDITIONS: ReadonlySet<string> = new Set([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "refused-stream",
  "retriable-4xx",
  "retriable-status-codes",
  "envoy-ratelimited",
]);

/** Labels of a source that workload discovery tells waypoints of: which field of the Workload each one is. */
export const SOURCE_LABELS: Readonly<Record<string, "canonicalName" | "canonicalRevision">> = {
  "app": "canonicalName",
  "app.kubernetes.io/name": "canonicalName",
  "service.istio.io/canonical-name": "canonicalName",
  "version": "canonicalRevision",
  "app.kubernetes.io/version": "canonicalRevision",
  "service.istio.io/canonical-revision": "canonicalRevision",
};
