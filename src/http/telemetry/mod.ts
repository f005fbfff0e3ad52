/** The account of requests: Istio's metrics, access logs in Envoy's formats, and spans by OTLP. */
export { AccessLog, type LogWriter, stdoutWriter } from "./access_log.ts";
export { compileFormat, DEFAULT_JSON_FORMAT, DEFAULT_TEXT_FORMAT, formatText } from "./log_format.ts";
export { RequestMetrics, type TcpOpen, type TcpTraffic } from "./request_metrics.ts";
export { RequestTelemetry, type RequestTelemetryOptions, type TcpReport } from "./request_telemetry.ts";
export { SpanExporter } from "./exporter.ts";
export { encodeSpans, type Span } from "./otlp.ts";
export { beginSpan, parseTraceparent } from "./trace_context.ts";
export { Tracer } from "./tracing.ts";
