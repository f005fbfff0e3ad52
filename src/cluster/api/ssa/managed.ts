import type { KubeObject } from "../../contracts.ts";
import type { WriteContext } from "../context.ts";
import type { ResourceType, TypeVersion } from "../types.ts";

export interface ManagedWrite {
  type: ResourceType;
  version: TypeVersion;
  object: KubeObject;
  old?: KubeObject;
  context: WriteContext;
  now: number;
  subresource?: string;
  applied?: KubeObject;
}

export function recordManagedFields({ object, old }: ManagedWrite): void {
  if (old?.metadata.managedFields) object.metadata.managedFields = old.metadata.managedFields;
}
