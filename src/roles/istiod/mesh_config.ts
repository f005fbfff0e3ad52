import { MeshError } from "../../core/errors.ts";
import type { IstiodConfig } from "./config.ts";

/** What istiod takes from the mesh configuration (ConfigMap `istio`, key `mesh`). */
export interface MeshConfig {
  readonly trustDomain: string;
  readonly rootNamespace: string;
  /** All of it, for `/debug/mesh`. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What holds while there is no mesh configuration. */
export function defaultMeshConfig(config: IstiodConfig): MeshConfig {
  return { trustDomain: config.trustDomain, rootNamespace: config.namespace, raw: {} };
}

/**
 * Reads the text of the mesh configuration.
 *
 * @throws MeshError `invalid_mesh_config`
 */
export async function readMeshConfig(text: string, config: IstiodConfig): Promise<MeshConfig> {
  const { parse } = await import("yaml");
  let raw: unknown;
  try {
    raw = parse(text) ?? {};
  } catch (cause) {
    throw new MeshError("invalid_mesh_config", "cannot read the mesh configuration", { cause });
  }
  if (typeof raw !== "object" || Array.isArray(raw)) {
    throw new MeshError("invalid_mesh_config", "cannot read the mesh configuration: its top level is not a map");
  }
  const fields = raw as Record<string, unknown>, defaults = defaultMeshConfig(config);
  const word = (name: string, fallback: string, pattern: RegExp): string => {
    const value = fields[name];
    if (value === undefined || value === null || value === "") return fallback;
    if (typeof value === "string" && pattern.test(value)) return value;
    throw new MeshError("invalid_mesh_config", `cannot use ${name}=${JSON.stringify(value)} of the mesh configuration`);
  };
  return {
    // Both become parts of identities and names: whatever does not fit those is refused here.
    trustDomain: word("trustDomain", defaults.trustDomain, /^[a-z0-9._-]{1,253}$/),
    rootNamespace: word("rootNamespace", defaults.rootNamespace, /^[a-z0-9-]{1,63}$/),
    raw: fields,
  };
}
