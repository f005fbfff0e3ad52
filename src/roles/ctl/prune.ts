// What an installation leaves behind, found by its labels and removed in order.

import { sleep } from "../../core/backoff.ts";
import { describeError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import type { KubeClient, KubeJson } from "./kube.ts";

/** The label that says which component an object belongs to. */
export const COMPONENT = "operator.istio.io/component";

/** Kinds that carry the component label, in the order of removal. */
const KINDS: readonly [apiVersion: string, kind: string, scope: "revision" | "purge"][] = [
  ["apps/v1", "Deployment", "revision"],
  ["apps/v1", "DaemonSet", "revision"],
  ["admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "revision"],
  ["admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "revision"],
  ["v1", "Service", "revision"],
  ["v1", "ConfigMap", "revision"],
  ["v1", "Secret", "revision"],
  ["v1", "ResourceQuota", "revision"],
  ["policy/v1", "PodDisruptionBudget", "revision"],
  ["autoscaling/v2", "HorizontalPodAutoscaler", "revision"],
  ["networking.istio.io/v1alpha3", "EnvoyFilter", "revision"],
  ["install.istio.io/v1alpha1", "IstioOperator", "revision"],
  ["rbac.authorization.k8s.io/v1", "RoleBinding", "revision"],
  ["rbac.authorization.k8s.io/v1", "Role", "revision"],
  ["rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "revision"],
  ["rbac.authorization.k8s.io/v1", "ClusterRole", "revision"],
  ["v1", "ServiceAccount", "revision"],
  ["k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", "purge"],
  ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "purge"],
];

const NOT_PRUNED = "install.operator.istio.io/owning-resource-not-pruned";

/** How long pods of a removed DaemonSet get to end: the CNI agent takes its rules out of every pod then. */
const DRAIN_MS = 60_000;

/** Objects with these labels, of every kind that an installation makes. */
export async function labelled(client: KubeClient, labelSelector: string, purge: boolean): Promise<KubeJson[]> {
  const kinds = KINDS.filter(([, , scope]) => purge || scope === "revision");
  return (await Promise.all(kinds.map(async ([apiVersion, kind]) => {
    const found = await client.list(apiVersion, kind, { labelSelector });
    return found.map((object): KubeJson => ({ ...object, apiVersion, kind }));
  }))).flat();
}

/**
 * What an earlier run of the same installation (its revision and namespace) made and this one has no more: objects with all labels of the
 * owner, but without `owning-resource-not-pruned`. Definitions of custom types stay, with users' objects.
 */
export async function leftovers(
  client: KubeClient,
  installed: readonly KubeJson[],
  owner: Readonly<Record<string, string>>,
): Promise<KubeJson[]> {
  const selector = [COMPONENT, ...Object.entries(owner).map(([key, value]) => `${key}=${value}`)].join(",");
  const kept = new Set(installed.map(identity));
  return (await labelled(client, selector, false)).filter((object) =>
    !kept.has(identity(object)) && object.metadata.labels?.[NOT_PRUNED] !== "true" && !object.metadata.deletionTimestamp
  );
}

function identity({ kind, metadata }: KubeJson): string {
  return `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;
}

export interface RemoveOptions {
  readonly dryRun?: boolean;
  /** Takes the line that says what has been removed. */
  readonly removed: (text: string) => void;
  readonly warn: (text: string) => void;
}

/**
 * Removes in an order that leaves applications connected: first the CNI agents, which take the redirection out of every
 * pod while they can still reach the API, then the proxies, then the rest.
 */
export async function removeInOrder(
  client: KubeClient,
  objects: readonly KubeJson[],
  options: RemoveOptions,
): Promise<void> {
  const left = new Set(objects);
  const take = (pick: (object: KubeJson) => boolean) => {
    const taken = [...left].filter(pick);
    for (const object of taken) left.delete(object);
    return taken;
  };
  const isDaemonSet = (component: string) => (object: KubeJson) =>
    object.kind === "DaemonSet" && object.metadata.labels?.[COMPONENT] === component;
  for (const component of ["Cni", "Ztunnel"]) {
    const daemonSets = take(isDaemonSet(component));
    await removeAll(client, daemonSets, options);
    if (!options.dryRun) await Promise.all(daemonSets.map((daemonSet) => waitForPods(client, daemonSet, options)));
  }
  await removeAll(client, take(({ kind }) => kind === "Deployment"), options);
  await removeAll(client, take(({ kind }) => kind !== "CustomResourceDefinition"), options);
  await removeAll(client, [...left], options);
}

async function removeAll(
  client: KubeClient,
  objects: readonly KubeJson[],
  { dryRun = false, removed }: RemoveOptions,
): Promise<void> {
  const failures: string[] = [];
  await Promise.all(objects.map(async (object) => {
    const { kind, metadata: { name, namespace } } = object;
    const label = `${kind}/${name}${namespace ? `.${namespace}` : ""}`;
    try {
      if (await client.delete(object, { dryRun })) removed(`  Removed ${label}.${dryRun ? " (dry run)" : ""}`);
    } catch (error) {
      failures.push(`${label}: ${describeError(error)}`);
    }
  }));
  if (failures.length > 0) throw new CommandError(`failed to remove ${failures.join("; ")}`);
}

async function waitForPods(client: KubeClient, daemonSet: KubeJson, { warn }: RemoveOptions): Promise<void> {
  const { namespace, name } = daemonSet.metadata;
  const labelSelector = Object.entries(daemonSet.spec?.selector?.matchLabels ?? {}).map(([k, v]) => `${k}=${v}`).join(
    ",",
  );
  if (labelSelector === "") return;
  const deadline = Date.now() + DRAIN_MS;
  while ((await client.list("v1", "Pod", { namespace, labelSelector })).length > 0) {
    if (Date.now() > deadline) {
      warn(
        `pods of DaemonSet "${namespace}/${name}" have not ended after ${DRAIN_MS / 1000} s; going on without them`,
      );
      return;
    }
    await sleep(200);
  }
}
