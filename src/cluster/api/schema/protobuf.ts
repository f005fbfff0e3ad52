import { ApiError } from "../../api_error.ts";
import { builtinSchema } from "./builtin.ts";
import { type ProtoFields, protoFields } from "./notation.ts";
import type { Schema } from "./schema.ts";

// Go clients send built-in objects as Protobuf: an envelope that names the type, around messages whose field numbers are in
// the tables. Answers are always JSON, which the same clients accept.

export const PROTOBUF_MEDIA = "application/vnd.kubernetes.protobuf";
const MAGIC = [0x6b, 0x38, 0x73, 0x00];
const DEPTH_LIMIT = 100;

/** Group of an apiVersion to the alias of its types in the tables. */
function aliasOf(apiVersion: string): string {
  if (apiVersion === "autoscaling/v1") return "autoscalingv1";
  const slash = apiVersion.indexOf("/");
  if (slash < 0) return "core";
  return apiVersion.slice(0, slash).split(".")[0];
}

function schemaOf(apiVersion: string, kind: string): Schema {
  for (const name of [`${aliasOf(apiVersion)}.${kind}`, `meta.${kind}`]) {
    try {
      return builtinSchema(name);
    } catch {
      // Try the next.
    }
  }
  throw ApiError.badRequest(`no kind "${kind}" is registered for version "${apiVersion}" in Protobuf`);
}

/** One field as it stands on the wire. */
interface WireField {
  number: number;
  /** Varints and fixed numbers. */
  scalar?: bigint;
  bytes?: Uint8Array;
  double?: number;
}

class Malformed extends Error {}

function* fieldsIn(bytes: Uint8Array): Generator<WireField> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= bytes.length) throw new Malformed("a number is cut short");
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw new Malformed("a number is too long");
  };
  const take = (length: number): number => {
    if (length < 0 || at + length > bytes.length) throw new Malformed("a field is cut short");
    at += length;
    return at - length;
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        yield { number, scalar: varint() };
        break;
      case 1: {
        const start = take(8);
        yield { number, double: view.getFloat64(start, true), scalar: view.getBigInt64(start, true) };
        break;
      }
      case 2: {
        const length = Number(varint());
        const start = take(length);
        yield { number, bytes: bytes.subarray(start, start + length) };
        break;
      }
      case 5:
        yield { number, scalar: BigInt(view.getInt32(take(4), true)) };
        break;
      default:
        throw new Malformed(`wire type ${tag & 7} is not used`);
    }
  }
}

/** Whole numbers and flags that Go holds behind a pointer: zero and false say something there, elsewhere they are absent. */
const POINTERS = new Set(
  ("replicas terminationGracePeriodSeconds automountServiceAccountToken enableServiceLinks gracePeriodSeconds backoffLimit " +
    "parallelism completions suspend revisionHistoryLimit ttlSecondsAfterFinished activeDeadlineSeconds optional " +
    "readOnlyRootFilesystem runAsUser runAsGroup runAsNonRoot allowPrivilegeEscalation privileged fsGroup tolerationSeconds " +
    "defaultMode mode partition immutable controller blockOwnerDeletion progressDeadlineSeconds shareProcessNamespace " +
    "orphanDependents expirationSeconds minReplicas successfulJobsHistoryLimit failedJobsHistoryLimit setHostnameAsFQDN " +
    "hostUsers procMount ready serving terminating allocateLoadBalancerNodePorts").split(" "),
);

/** Whether Go's JSON would leave the value out. */
function isAbsent(name: string, value: unknown): boolean {
  if (value === undefined || value === "") return true;
  return (value === 0 || value === false) && !POINTERS.has(name);
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/**
 * Reads a body that is a built-in object in Kubernetes' Protobuf.
 *
 * @throws {ApiError} 400
 */
export function decodeProtobuf(body: Uint8Array): unknown {
  if (!MAGIC.every((byte, i) => body[i] === byte)) {
    throw ApiError.badRequest("the body of the request is not Kubernetes Protobuf");
  }
  try {
    let apiVersion = "";
    let kind = "";
    let raw: Uint8Array = new Uint8Array(0);
    for (const field of fieldsIn(body.subarray(4))) {
      if (field.number === 2 && field.bytes) raw = field.bytes;
      if (field.number !== 1 || !field.bytes) continue;
      for (const part of fieldsIn(field.bytes)) {
        if (part.number === 1 && part.bytes) apiVersion = text(part.bytes);
        if (part.number === 2 && part.bytes) kind = text(part.bytes);
      }
    }
    return { apiVersion, kind, ...decodeMessage(schemaOf(apiVersion, kind), raw, 0) as Record<string, unknown> };
  } catch (error) {
    if (error instanceof Malformed) throw ApiError.badRequest(`couldn't decode Protobuf: ${error.message}`);
    throw error;
  }
}

function decodeMessage(schema: Schema, bytes: Uint8Array, depth: number): unknown {
  const result: Record<string, any> = {};
  readInto(result, schema, protoFields.get(schema) ?? new Map(), bytes, depth);
  return result;
}

function readInto(
  result: Record<string, any>,
  schema: Schema,
  fields: ProtoFields,
  bytes: Uint8Array,
  depth: number,
): void {
  if (depth > DEPTH_LIMIT) throw new Malformed("messages are nested too deeply");
  for (const field of fieldsIn(bytes)) {
    const name = fields.get(field.number);
    if (name === undefined) continue;
    if (name instanceof Map) {
      if (field.bytes) readInto(result, schema, name, field.bytes, depth + 1);
      continue;
    }
    const inner = schema.properties![name];
    if (inner.type === "array") {
      const list = result[name] ??= [];
      const number = inner.items!.type === "integer" || inner.items!.type === "boolean";
      if (number && field.bytes) throw new Malformed("packed lists are not used");
      list.push(decodeValue(inner.items!, field, depth));
    } else if (typeof inner.additionalProperties === "object") {
      const [key, value] = decodeEntry(inner.additionalProperties, field, depth);
      Object.defineProperty(result[name] ??= {}, key, { value, enumerable: true, configurable: true, writable: true });
    } else {
      const value = decodeValue(inner, field, depth);
      if (!isAbsent(name, value)) result[name] = value;
    }
  }
}

function decodeEntry(schema: Schema, field: WireField, depth: number): [string, unknown] {
  let key = "";
  let value: unknown = schema.type === "string" ? "" : undefined;
  for (const part of fieldsIn(field.bytes ?? new Uint8Array(0))) {
    if (part.number === 1 && part.bytes) key = text(part.bytes);
    if (part.number !== 2) continue;
    // A list as the value of a map is wrapped in a message of its own.
    if (schema.type === "array") {
      value = [...fieldsIn(part.bytes ?? new Uint8Array(0))].map((item) => decodeValue(schema.items!, item, depth + 1));
    } else value = decodeValue(schema, part, depth);
  }
  return [key, value];
}

function decodeValue(schema: Schema, field: WireField, depth: number): unknown {
  const bytes = field.bytes ?? new Uint8Array(0);
  if (schema["x-kubernetes-int-or-string"]) {
    const parts = new Map([...fieldsIn(bytes)].map((part) => [part.number, part]));
    return parts.get(1)?.scalar === 1n
      ? text(parts.get(3)?.bytes ?? new Uint8Array(0))
      : Number(parts.get(2)?.scalar ?? 0n);
  }
  if (schema.quantity) return text([...fieldsIn(bytes)].find(({ number }) => number === 1)?.bytes ?? new Uint8Array(0));
  if (schema.format === "date-time") return decodeTime(bytes, schema.typeName!.endsWith("MicroTime"));
  switch (schema.type) {
    case "string":
      return schema.format === "byte" ? bytes.toBase64() : text(bytes);
    case "integer":
      return Number(field.scalar ?? 0n);
    case "number":
      return field.double ?? 0;
    case "boolean":
      return field.scalar === 1n;
    default:
      if (schema["x-kubernetes-preserve-unknown-fields"]) return decodeRaw(bytes);
      return decodeMessage(schema, bytes, depth + 1);
  }
}

function decodeTime(bytes: Uint8Array, micro: boolean): string | undefined {
  const parts = new Map([...fieldsIn(bytes)].map((part) => [part.number, part.scalar ?? 0n]));
  if (parts.size === 0) return undefined;
  const date = new Date(Number(parts.get(1) ?? 0n) * 1000);
  if (Number.isNaN(date.getTime())) throw new Malformed("a time is out of range");
  if (!micro) return date.toISOString().replace(".000Z", "Z");
  const fraction = String(Math.trunc(Number(parts.get(2) ?? 0n) / 1000)).padStart(6, "0");
  return date.toISOString().replace(".000Z", `.${fraction}Z`);
}

function decodeRaw(bytes: Uint8Array): unknown {
  const raw = [...fieldsIn(bytes)].find(({ number }) => number === 1)?.bytes;
  if (!raw) return undefined;
  try {
    return JSON.parse(text(raw));
  } catch {
    throw new Malformed("an embedded object is not JSON");
  }
}
