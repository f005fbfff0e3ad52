// What users lay over a Gateway's objects: ConfigMaps named by `infrastructure.parametersRef`, and defaults of the class.

import { describeError } from "../../../core/errors.ts";
import { objectOf } from "../../../index/read.ts";
import type { KubeObject, Store } from "../../../kube/mod.ts";
import { LABEL } from "./names.ts";
import type { Overlay } from "./render.ts";

const PARTS: readonly (keyof Overlay)[] = [
  "deployment",
  "service",
  "serviceAccount",
  "horizontalPodAutoscaler",
  "podDisruptionBudget",
];

/**
 * The overlays of a Gateway, in the order they are laid.
 *
 * @returns the reason where one cannot be used: nothing is deployed with half of what was asked
 */
export async function overlaysOf(
  gateway: KubeObject,
  configMaps: Store,
  rootNamespace: string,
): Promise<{ readonly overlays: readonly Overlay[] } | { readonly refused: string }> {
  const found: KubeObject[] = [];
  const defaults = [...configMaps.values()].filter(({ metadata }) =>
    metadata.namespace === rootNamespace && metadata.labels?.[LABEL.classDefaults] === gateway.spec?.gatewayClassName
  ).sort((a, b) => a.metadata.name < b.metadata.name ? -1 : 1);
  if (defaults.length > 0) found.push(defaults[0]);
  const reference = gateway.spec?.infrastructure?.parametersRef;
  if (reference !== undefined && reference !== null) {
    const { group = "", kind, name } = objectOf(reference);
    if (group !== "" || kind !== "ConfigMap") {
      return { refused: `invalid parametersRef: only a ConfigMap can be used, not kind "${kind}" of group "${group}"` };
    }
    const map = configMaps.get(`${gateway.metadata.namespace}/${name}`);
    if (!map) return { refused: `invalid parametersRef: ConfigMap "${gateway.metadata.namespace}/${name}" not found` };
    found.push(map);
  }
  const overlays: Overlay[] = [];
  if (found.length === 0) return { overlays };
  const { parse } = await import("yaml");
  for (const map of found) {
    const overlay: Record<string, any> = {};
    for (const part of PARTS) {
      const text = map.data?.[part];
      if (text === undefined) continue;
      const where = `key "${part}" of ConfigMap "${map.metadata.namespace}/${map.metadata.name}"`;
      let value: unknown;
      try {
        value = parse(text) ?? {};
      } catch (error) {
        return { refused: `invalid parametersRef: ${where}: ${describeError(error).split("\n")[0].replace(/:$/, "")}` };
      }
      if (typeof value !== "object" || Array.isArray(value)) {
        return { refused: `invalid parametersRef: ${where} is not a map` };
      }
      overlay[part] = value;
    }
    overlays.push(overlay);
  }
  return { overlays };
}
