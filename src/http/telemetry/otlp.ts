// Spans in OTLP's protobuf form (opentelemetry-proto, trace/v1): a dozen fields, written by hand.

/** A finished span. */
export interface Span {
  /** Hexadecimal. */
  readonly traceId: string;
  readonly spanId: string;
  /** "" for a root. */
  readonly parentId: string;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: readonly (readonly [name: string, value: string])[];
  readonly failed: boolean;
}

const encoder = new TextEncoder();
const SPAN_KIND_SERVER = 2;
const STATUS_ERROR = 2;

/** Grows as needed; lengths of inner messages are known because those are made first. */
class Writer {
  #bytes = new Uint8Array(512);
  #length = 0;

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  #varint(value: number): void {
    this.#room(10);
    while (value >= 0x80) {
      this.#bytes[this.#length++] = value % 128 | 0x80;
      value = Math.floor(value / 128);
    }
    this.#bytes[this.#length++] = value;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  text(field: number, value: string): this {
    return value === "" ? this : this.bytes(field, encoder.encode(value));
  }

  number(field: number, value: number): this {
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  fixed64(field: number, value: bigint): this {
    this.#varint(field * 8 + 1);
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** An ExportTraceServiceRequest. */
export function encodeSpans(resource: Readonly<Record<string, string>>, spans: readonly Span[]): Uint8Array {
  const described = new Writer();
  for (const [name, value] of Object.entries(resource)) described.bytes(1, attribute(name, value));
  const scope = new Writer().bytes(1, new Writer().text(1, "ambientd").done());
  for (const span of spans) scope.bytes(2, encodeSpan(span));
  const resourceSpans = new Writer().bytes(1, described.done()).bytes(2, scope.done()).done();
  return new Writer().bytes(1, resourceSpans).done();
}

function encodeSpan(span: Span): Uint8Array {
  const out = new Writer().bytes(1, unhex(span.traceId)).bytes(2, unhex(span.spanId));
  if (span.parentId !== "") out.bytes(4, unhex(span.parentId));
  out.text(5, span.name).number(6, SPAN_KIND_SERVER).fixed64(7, nanoseconds(span.startMs)).fixed64(
    8,
    nanoseconds(span.endMs),
  );
  for (const [name, value] of span.attributes) out.bytes(9, attribute(name, value));
  if (span.failed) out.bytes(15, new Writer().number(3, STATUS_ERROR).done());
  return out.done();
}

function attribute(name: string, value: string): Uint8Array {
  return new Writer().text(1, name).bytes(2, new Writer().bytes(1, encoder.encode(value)).done()).done();
}

const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1000)) * 1000n;

function unhex(text: string): Uint8Array {
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return out;
}
