import xxhash from "xxhash-wasm";

const { h64Raw } = await xxhash();

/** The version of an Address resource: xxHash64 of its serialised bytes in 16 lower-case hexadecimal digits, as istiod's. */
export function resourceVersion(bytes: Uint8Array): string {
  return h64Raw(bytes).toString(16).padStart(16, "0");
}
