import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import type { WriteContext } from "../context.ts";
import type { ApiCore } from "../core.ts";
import type { ResourceType, TypeVersion } from "../types.ts";

export function applyConfiguration(
  _core: ApiCore,
  _type: ResourceType,
  _version: TypeVersion,
  _namespace: string | undefined,
  _name: string,
  _patch: unknown,
  _context: WriteContext,
  _subresource?: string,
): KubeObject {
  throw ApiError.badRequest("pending");
}
