// Where spans go: batches by OTLP over HTTP or gRPC. Losing spans is better than growing, or than holding a request up.

import type { IncomingHttpHeaders } from "node:http2";
import { describeError } from "../../core/errors.ts";
import type { TracingSettings } from "../../model/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { encodeSpans, type Span } from "./otlp.ts";

const BATCH = 512;
/** Spans kept while the collector does not take them; newer ones are dropped. */
const KEPT = 4096;
const EVERY_MS = 2000;
const TIMEOUT_MS = 10_000;

export interface SpanExporterOptions {
  readonly settings: TracingSettings;
  /** `service.name` and the like. */
  readonly resource: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** For tests; 2 s. */
  readonly everyMs?: number;
}

export class SpanExporter {
  readonly #options: SpanExporterOptions;
  #spans: Span[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | null = null;
  #closed = false;
  #failing = false;
  readonly #abort = new AbortController();
  /** Spans that were not delivered. */
  dropped = 0;
  exported = 0;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
  }

  add(span: Span): void {
    if (this.#closed || this.#spans.length >= KEPT) {
      this.dropped++;
      return;
    }
    this.#spans.push(span);
    if (this.#spans.length >= BATCH) this.#send();
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.#send(), this.#options.everyMs ?? EVERY_MS);
      Deno.unrefTimer(this.#timer as unknown as number);
    }
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sending !== null || this.#spans.length === 0) return;
    const batch = this.#spans.splice(0, BATCH);
    this.#sending = this.#deliver(batch).finally(() => {
      this.#sending = null;
      if (this.#spans.length > 0 && !this.#closed) {
        this.#timer ??= setTimeout(() => this.#send(), this.#failing ? EVERY_MS : 0);
      }
    });
  }

  async #deliver(batch: readonly Span[]): Promise<void> {
    const { settings, resource, logger } = this.#options;
    const body = encodeSpans(resource, batch);
    try {
      if (settings.protocol === "OTLP_GRPC") await exportGrpc(settings.address, body, this.#abort.signal);
      else await exportHttp(settings, body, this.#abort.signal);
      this.exported += batch.length;
      this.#failing = false;
    } catch (thrown) {
      this.dropped += batch.length;
      if (!this.#failing && !this.#closed) {
        logger.warn("spans cannot be delivered", { collector: settings.address, error: describeError(thrown) });
      }
      this.#failing = true;
    }
  }

  /** Delivers what there is, for at most `graceMs`, and ends. */
  async close(graceMs = 1000): Promise<void> {
    this.#send();
    this.#closed = true;
    clearTimeout(this.#timer);
    const sending = this.#sending;
    if (sending === null) return;
    const timer = setTimeout(() => this.#abort.abort(), graceMs);
    await sending;
    clearTimeout(timer);
  }
}

async function exportHttp(settings: TracingSettings, body: Uint8Array, signal: AbortSignal): Promise<void> {
  const path = settings.path === "" ? "/v1/traces" : settings.path;
  const response = await fetch(`http://${settings.address}${path}`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body: body as Uint8Array<ArrayBuffer>,
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the collector answered ${response.status}`);
}

/** One unary call of `TraceService/Export` by HTTP/2 without TLS. */
async function exportGrpc(address: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
  // Loaded by those who need it alone: it brings much of Node's library with it.
  const { default: http2 } = await import("node:http2");
  const message = new Uint8Array(5 + body.length);
  new DataView(message.buffer).setUint32(1, body.length);
  message.set(body, 5);
  await new Promise<void>((resolve, reject) => {
    const session = http2.connect(`http://${address}`);
    const timer = setTimeout(() => end(new Error("the collector takes too long")), TIMEOUT_MS);
    const onAbort = () => end(new Error("given up"));
    const end = (error?: Error) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      session.destroy();
      if (error) reject(error);
      else resolve();
    };
    signal.addEventListener("abort", onAbort);
    session.on("error", end);
    const call = session.request({
      ":method": "POST",
      ":path": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
      "content-type": "application/grpc",
      "te": "trailers",
    });
    let status: string | undefined;
    const note = (headers: IncomingHttpHeaders) => status = (headers["grpc-status"] as string | undefined) ?? status;
    call.on("response", note);
    call.on("trailers", note);
    call.on("error", end);
    call.on("data", () => {});
    call.on("end", () => end(status === "0" ? undefined : new Error(`the collector answered gRPC status ${status}`)));
    call.end(message);
  });
}
