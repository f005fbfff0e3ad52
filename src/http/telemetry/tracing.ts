// Spans of requests: which are traced, and what they say.

import type { TracingSettings } from "../../model/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { fieldName } from "../fields.ts";
import type { RequestRecord, TraceContext } from "../exchange/record.ts";
import type { ProxySelf } from "../exchange/self.ts";
import type { RequestHead } from "../message.ts";
import { SpanExporter } from "./exporter.ts";
import type { Span } from "./otlp.ts";
import { beginSpan } from "./trace_context.ts";

const USER_AGENT = fieldName("user-agent");
/** Envoy's `max_path_tag_length`. */
const LONGEST_PATH = 256;

export class Tracer {
  readonly settings: TracingSettings;
  readonly #self: ProxySelf;
  readonly #exporter: SpanExporter;
  readonly #sample: () => boolean;

  constructor(settings: TracingSettings, self: ProxySelf, logger: Logger, random: () => number = Math.random) {
    this.settings = settings;
    this.#self = self;
    this.#sample = () => random() * 100 < settings.samplingPercent;
    this.#exporter = new SpanExporter({
      settings,
      logger,
      resource: {
        "service.name": `${self.canonicalName}.${self.namespace}`,
        "k8s.namespace.name": self.namespace,
        "k8s.cluster.name": self.clusterId,
      },
    });
  }

  get exporter(): SpanExporter {
    return this.#exporter;
  }

  begin(head: RequestHead): TraceContext {
    return beginSpan(head.fields, this.#sample);
  }

  end(record: RequestRecord): void {
    const { trace, head } = record;
    if (trace === null || !trace.sampled || head === null) return;
    this.#exporter.add(spanOf(record, trace, head, this.#self));
  }

  close(): Promise<void> {
    return this.#exporter.close();
  }
}

/** Envoy's standard tags, and Istio's. */
export function spanOf(record: RequestRecord, trace: TraceContext, head: RequestHead, self: ProxySelf): Span {
  const { cluster, flags, responseStatus, grpcStatus, startTime } = record;
  const path = record.originalPath || head.path;
  const failed = responseStatus === 0 || responseStatus >= 500 || grpcStatus > 0;
  const attributes: [string, string][] = [
    ["node_id", self.nodeId],
    ["component", "proxy"],
    ["guid:x-request-id", record.requestId],
    ["http.method", head.method],
    ["http.url", `${head.scheme}://${head.authority}${path.slice(0, LONGEST_PATH)}`],
    ["http.protocol", head.version],
    ["downstream_cluster", "-"],
    ["user_agent", head.fields.get(USER_AGENT) ?? "-"],
    ["peer.address", record.downstream.peerAddress],
    ["request_size", String(record.bytesReceived)],
    ["response_size", String(record.bytesSent)],
    ["http.status_code", String(responseStatus)],
    ["response_flags", flags === "" ? "-" : flags],
    ["istio.canonical_service", self.canonicalName],
    ["istio.canonical_revision", self.canonicalRevision],
    ["istio.mesh_id", self.meshId],
    ["istio.namespace", self.namespace],
    ["istio.cluster_id", self.clusterId],
  ];
  if (cluster !== null) attributes.push(["upstream_cluster", cluster.name], ["upstream_cluster.name", cluster.name]);
  if (record.upstreamHost !== null) attributes.push(["upstream_address", record.upstreamHost.name]);
  if (grpcStatus >= 0) attributes.push(["grpc.status_code", String(grpcStatus)]);
  if (failed) attributes.push(["error", "true"]);
  return {
    traceId: trace.traceId,
    spanId: trace.spanId,
    parentId: trace.parentId,
    name: spanName(record),
    startMs: startTime,
    endMs: startTime + record.durationMs,
    attributes,
    failed,
  };
}

/** `reviews.default.svc.cluster.local:9080/*`: Istio's decorator operation. */
function spanName(record: RequestRecord): string {
  const destination = record.cluster?.destination;
  if (destination) return `${destination.hostname}:${destination.port}/*`;
  const { binding } = record.runtime.config;
  return binding.kind === "service" ? `${binding.hostname}:${binding.port}/*` : record.runtime.config.name;
}
