import type { Fault } from "../../../model/l7.ts";
import type { Fields } from "../notes.ts";
import { readPercentage } from "./percentage.ts";

const GRPC_STATUS = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** `fault` of a VirtualService's rule. Without a percentage nothing is delayed or aborted. */
export function readFault(owner: Fields): Fault | undefined {
  if (!owner.has("fault")) return undefined;
  const fields = owner.object("fault", ["delay", "abort"]);
  const result: { delay?: Fault["delay"]; abort?: Fault["abort"] } = {};
  if (fields.has("delay")) {
    const delay = fields.object("delay", ["percentage", "percent", "fixedDelay"]);
    const delayMs = delay.duration("fixedDelay");
    if (delayMs === undefined) delay.wrong("fixedDelay", delay.raw("fixedDelay"));
    result.delay = { millionths: share(delay), delayMs: delayMs ?? 0 };
    fields.take(delay);
  }
  if (fields.has("abort")) {
    const abort = fields.object("abort", ["percentage", "percent", "httpStatus", "grpcStatus"]);
    const status = abort.count("httpStatus", 200, 599), grpc = grpcStatus(abort);
    if (status === undefined && grpc === undefined) abort.wrong("httpStatus", abort.raw("httpStatus"));
    result.abort = {
      millionths: share(abort),
      ...(status === undefined ? {} : { status }),
      ...(grpc === undefined ? {} : { grpcStatus: grpc }),
    };
    fields.take(abort);
  }
  owner.take(fields);
  return result.delay || result.abort ? result : undefined;
}

function share(fields: Fields): number {
  return readPercentage(fields, "percentage") ?? (fields.count("percent", 0, 100) ?? 0) * 10_000;
}

function grpcStatus(fields: Fields): number | undefined {
  if (!fields.has("grpcStatus")) return undefined;
  const text = fields.text("grpcStatus").toUpperCase(),
    number = /^\d{1,2}$/.test(text) ? Number(text) : GRPC_STATUS.indexOf(text);
  if (number >= 0 && number < GRPC_STATUS.length) return number;
  fields.wrong("grpcStatus", text);
  return undefined;
}
