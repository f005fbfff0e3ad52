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

/** Operators of Envoy's format strings, `%REQ(X-USER)%`, in access logs and in header values. */
export const FORMAT_OPERATORS: ReadonlySet<string> = new Set([
  "BYTES_RECEIVED",
  "BYTES_SENT",
  "CLUSTER_METADATA",
  "CONNECTION_TERMINATION_DETAILS",
  "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
  "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
  "DOWNSTREAM_LOCAL_ADDRESS",
  "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
  "DOWNSTREAM_LOCAL_PORT",
  "DOWNSTREAM_PEER_SUBJECT",
  "DOWNSTREAM_PEER_URI_SAN",
  "DOWNSTREAM_REMOTE_ADDRESS",
  "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
  "DURATION",
  "DYNAMIC_METADATA",
  "FILTER_STATE",
  "GRPC_STATUS",
  "GRPC_STATUS_NUMBER",
  "HOSTNAME",
  "PROTOCOL",
  "REQ",
  "REQUESTED_SERVER_NAME",
  "RESP",
  "RESPONSE_CODE",
  "RESPONSE_CODE_DETAILS",
  "RESPONSE_DURATION",
  "RESPONSE_FLAGS",
  "RESPONSE_FLAGS_LONG",
  "ROUTE_NAME",
  "START_TIME",
  "TRACE_ID",
  "TRAILER",
  "UPSTREAM_CLUSTER",
  "UPSTREAM_CLUSTER_RAW",
  "UPSTREAM_HOST",
  "UPSTREAM_LOCAL_ADDRESS",
  "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
  "UPSTREAM_METADATA",
  "UPSTREAM_REQUEST_ATTEMPT_COUNT",
  "UPSTREAM_TRANSPORT_FAILURE_REASON",
]);

/** Of those, what this mesh has no values for: Envoy's own filters and metadata. */
export const EMPTY_OPERATORS: ReadonlySet<string> = new Set([
  "CLUSTER_METADATA",
  "DYNAMIC_METADATA",
  "FILTER_STATE",
  "TRAILER",
  "UPSTREAM_METADATA",
]);

/** One piece of a format string: an operator, `%%`, or a percent sign that begins neither. */
export const FORMAT_PIECE = /%%|%([A-Z_0-9]+)(?:\(([^)]*)\))?(?::(\d{1,6}))?%|%/g;

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
