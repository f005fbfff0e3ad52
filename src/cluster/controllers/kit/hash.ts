/** The alphabet of rand.SafeEncodeString: no vowels, so no words. */
const SAFE = "bcdfghjklmnpqrstvwxz2456789";

/** JSON with the keys of every object in order, so that equal values have equal text; absent and undefined are equal. */
export function canonicalJson(value: unknown): string {
  if (value === undefined) return "null";
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const object = value as Record<string, unknown>;
  const parts: string[] = [];
  for (const key of Object.keys(object).sort()) {
    if (object[key] !== undefined) parts.push(`${JSON.stringify(key)}:${canonicalJson(object[key])}`);
  }
  return `{${parts.join(",")}}`;
}

/**
 * The hash of a pod template, as it appears in pod-template-hash and in names: kube's is FNV-1a over a Go dump, ours is
 * FNV-1a over canonical JSON, written in the same alphabet. `collisions` gives another value for the same template.
 */
export function templateHash(template: unknown, collisions = 0): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(canonicalJson(template) + (collisions ? `#${collisions}` : ""))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return [...String(hash)].map((digit) => SAFE[digit.charCodeAt(0) % SAFE.length]).join("");
}

/** A random suffix as generateName makes it. */
export function randomSuffix(length = 5): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => SAFE[byte % SAFE.length]).join("");
}
