// W3C Trace Context: the two headers (https://www.w3.org/TR/trace-context/).

import { fieldName, type Fields } from "../fields.ts";
import type { TraceContext } from "../exchange/record.ts";
import { randomHex } from "../filters/mod.ts";

const TRACEPARENT = fieldName("traceparent");
const TRACESTATE = fieldName("tracestate");

/** What a traceparent says; undefined when it is not valid, and must then be ignored. */
export function parseTraceparent(text: string): { traceId: string; spanId: string; sampled: boolean } | undefined {
  const parsed = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text.trim());
  if (!parsed) return undefined;
  const [, version, traceId, spanId, flags, rest] = parsed;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (parseInt(flags, 16) & 1) === 1 };
}

/**
 * Begins the span of a request: a child of the client's, whose decision on sampling holds, or a root. The headers then name the new span.
 *
 * @param sample decides for requests that begin a trace
 */
export function beginSpan(fields: Fields, sample: () => boolean): TraceContext {
  const header = fields.get(TRACEPARENT);
  const parent = header === undefined ? undefined : parseTraceparent(header);
  if (header !== undefined && parent === undefined) fields.remove(TRACESTATE);
  const context: TraceContext = {
    traceId: parent?.traceId ?? randomHex(16),
    spanId: randomHex(8),
    parentId: parent?.spanId ?? "",
    sampled: parent?.sampled ?? sample(),
  };
  fields.set(TRACEPARENT, `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`);
  return context;
}
