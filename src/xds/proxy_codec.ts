// ambientd.proxy.v1.ProxyResource <-> model. What a control plane sends is checked field by field before anything else reads it:
// a resource of an unknown kind, with a field that is not known, of another type or out of range refuses that resource alone.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ProxyResource as ProxyResourceMessage, ProxyResourceSchema } from "../gen/ambientd/proxy/resource_pb.ts";
import type { ProxyResource } from "../model/l7.ts";
import { invalidResource } from "./convert_error.ts";
import { proxyResource } from "./proxy_codec_model.ts";
import { ShapeError } from "./proxy_codec_shape.ts";

/** A virtual host with 5,000 routes is some 2 MiB. */
const MAX_BYTES = 32 * 1024 * 1024;

/** Serialised ProxyResource; equal resources have equal bytes. */
export function encodeProxyResource(resource: ProxyResource): Uint8Array {
  return toBinary(ProxyResourceSchema, create(ProxyResourceSchema, { json: canonicalJson(resource) }));
}

/**
 * Decodes the bytes of a ProxyResource. The error never quotes a secret: it names fields and shows what was there only outside of
 * `secret` resources.
 *
 * @throws MeshError `invalid_resource`
 */
export function decodeProxyResource(bytes: Uint8Array): ProxyResource {
  if (bytes.length > MAX_BYTES) throw invalidResource(`a resource of ${bytes.length} bytes`);
  let message: ProxyResourceMessage;
  try {
    message = fromBinary(ProxyResourceSchema, bytes);
  } catch (cause) {
    throw invalidResource("not a protobuf ProxyResource", cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(message.json);
  } catch {
    // The parser's own message quotes the text, which may be a key.
    throw invalidResource("not JSON");
  }
  return checkProxyResource(value);
}

/**
 * Checks JSON that should be a resource.
 *
 * @throws MeshError `invalid_resource`
 */
export function checkProxyResource(value: unknown): ProxyResource {
  try {
    return proxyResource(value);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    const secret = typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "secret";
    throw invalidResource(secret ? error.message.replace(/, got .*$/s, "") : error.message);
  }
}

/** JSON with sorted keys and without absent fields. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, item) => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return item;
    const keys = Object.keys(item);
    if (sorted(keys)) return item;
    return Object.fromEntries(keys.sort().map((key) => [key, (item as Record<string, unknown>)[key]]));
  });
}

function sorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if (keys[i - 1] > keys[i]) return false;
  return true;
}
