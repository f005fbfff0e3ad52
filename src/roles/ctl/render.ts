import { type ComponentName, COMPONENTS, type Manifest } from "../../../manifests/mod.ts";
import { CommandError } from "../../core/usage.ts";
import type { Installation, Overlay } from "./resolve.ts";
import { parsePath, setAtPath } from "./set_path.ts";

/** One component's objects. */
export interface RenderedComponent {
  readonly name: ComponentName;
  readonly objects: readonly Manifest[];
}

/** The name of a component as progress shows it, and its sign. */
export const COMPONENT_TITLES: Readonly<Record<ComponentName, readonly [title: string, sign: string]>> = {
  base: ["Istio core", "⛵️"],
  pilot: ["Istiod", "🧠"],
  cni: ["CNI", "🪢"],
  ztunnel: ["Ztunnel", "🔒"],
  ingressGateways: ["Ingress gateways", "🛬"],
  egressGateways: ["Egress gateways", "🛫"],
};

/** Renders every component of an installation. */
export function render(installation: Installation): RenderedComponent[] {
  return installation.components.map((name) => {
    const objects = COMPONENTS[name](installation.values);
    for (const overlay of installation.overlays[name] ?? []) patch(objects, overlay);
    return { name, objects };
  });
}

function patch(objects: readonly Manifest[], overlay: Overlay): void {
  const object = objects.find(({ kind, metadata }) => kind === overlay.kind && metadata.name === overlay.name);
  if (!object) {
    throw new CommandError(`cannot patch ${overlay.kind} "${overlay.name}": the component has no such object`);
  }
  for (const { path, value } of overlay.patches ?? []) {
    setAtPath(object, parsePath(path.replace(/\.(?=\[)/g, "")), value);
  }
}

/** The order of `manifest generate`, as Istio prints it. */
const ORDER = [
  "Namespace",
  "ResourceQuota",
  "ServiceAccount",
  "CustomResourceDefinition",
  "ClusterRole",
  "ClusterRoleBinding",
  "ValidatingWebhookConfiguration",
  "ConfigMap",
  "MutatingWebhookConfiguration",
  "DaemonSet",
  "Deployment",
  "PodDisruptionBudget",
  "Role",
  "RoleBinding",
  "HorizontalPodAutoscaler",
  "Service",
];

/** All objects in the order of {@linkcode ORDER}, components in theirs. */
export function inInstallOrder(components: readonly RenderedComponent[]): Manifest[] {
  return components.flatMap(({ objects }) => objects)
    .map((object, i) => ({ object, i, rank: ORDER.indexOf(object.kind) }))
    .sort((a, b) => a.rank - b.rank || a.i - b.i)
    .map(({ object }) => object);
}
