// The CustomResourceDefinitions of the istio.io groups, as an installation has them.

import { customResourceDefinition, type KindDefinition } from "./definition.ts";
import { NETWORKING } from "./networking.ts";
import { EXTENSIONS, SECURITY, TELEMETRY } from "./security.ts";

export const ISTIO_KINDS: readonly KindDefinition[] = [...EXTENSIONS, ...NETWORKING, ...SECURITY, ...TELEMETRY];

/** A fresh copy of all definitions, without the labels of an installation. */
export function customResourceDefinitions(): Record<string, any>[] {
  return ISTIO_KINDS.map((kind) => structuredClone(customResourceDefinition(kind)));
}
