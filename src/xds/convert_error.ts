import { MeshError } from "../core/errors.ts";

export type ResourceErrorCode = "invalid_resource";

/** One resource cannot be used; the others of its response are not affected. */
export function invalidResource(why: string, cause?: unknown): MeshError<ResourceErrorCode> {
  return new MeshError("invalid_resource", why, { source: "upstream", cause });
}
