import { sleep } from "../../core/backoff.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { CommandError, UsageError } from "../../core/usage.ts";
import type { CtlContext } from "./context.ts";
import { type InstallFlags, readFiles } from "./install_command.ts";
import { planInstallation } from "./install.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { meshVersions } from "./remote_version.ts";
import { inInstallOrder, render } from "./render.ts";
import { syncStatus } from "./syncz.ts";
import { istiodPods } from "./remote_version.ts";

export interface UninstallFlags extends Pick<InstallFlags, "filename" | "set" | "revision" | "force" | "dryRun"> {
  purge?: boolean;
  skipConfirmation?: boolean;
  verbose?: boolean;
}

const COMPONENT = "operator.istio.io/component";

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
  ["rbac.authorization.k8s.io/v1", "RoleBinding", "revision"],
  ["rbac.authorization.k8s.io/v1", "Role", "revision"],
  ["rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "revision"],
  ["rbac.authorization.k8s.io/v1", "ClusterRole", "revision"],
  ["v1", "ServiceAccount", "revision"],
  ["k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", "purge"],
  ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "purge"],
];

/** How long pods of a removed DaemonSet get to end: the CNI agent takes its rules out of every pod then. */
const DRAIN_MS = 60_000;

/** `ctl uninstall`. */
export async function uninstallCommand(context: CtlContext, flags: UninstallFlags): Promise<number> {
  const fromSet = flags.set?.map((text) => /^revision=(.*)$/.exec(text)?.[1]).find(Boolean);
  const revision = flags.revision ?? fromSet;
  if (!flags.purge && !revision && !flags.filename) {
    throw new UsageError(
      "at least one of the --revision (or --set revision=<revision>), --filename or --purge flags must be set",
    );
  }
  using client = await context.client();
  const objects = await selectObjects(context, client, flags, revision);
  if (objects.length === 0) {
    context.print("No resources will be pruned: nothing in the cluster belongs to such an installation.");
    return 0;
  }
  await warnings(context, client, flags, revision);
  if (flags.purge) context.print("All Istio resources will be pruned from the cluster");
  if (!flags.skipConfirmation && !flags.dryRun && !context.streams.confirm("Proceed? (y/N)")) {
    context.print("Cancelled.");
    return 1;
  }
  await remove(context, client, objects, flags.dryRun ?? false);
  context.print(`${context.streams.palette.green("✔")} Uninstall complete`);
  return 0;
}

async function selectObjects(
  context: CtlContext,
  client: KubeClient,
  flags: UninstallFlags,
  revision?: string,
): Promise<KubeJson[]> {
  if (flags.purge) return await labelled(client, COMPONENT, true);
  if (revision) {
    const found = await labelled(client, `${COMPONENT},istio.io/rev=${revision}`, false);
    const versions = await meshVersions(client, context.flags.istioNamespace, revision);
    if (found.length === 0 && versions.length === 0) {
      throw new CommandError(`could not find target revision "${revision}"`);
    }
    return found.filter(({ metadata }) => metadata.labels?.[COMPONENT] !== "Base");
  }
  const installation = planInstallation({
    files: await readFiles(context, flags.filename),
    set: flags.set,
    force: flags.force,
  });
  const wanted = inInstallOrder(render(installation)).filter(({ kind }) => kind !== "CustomResourceDefinition")
    .reverse();
  const present = await Promise.all(
    wanted.map(({ apiVersion, kind, metadata }) => client.get(apiVersion, kind, metadata.namespace, metadata.name)),
  );
  return wanted.filter((_, i) => present[i] !== undefined);
}

async function labelled(client: KubeClient, labelSelector: string, purge: boolean): Promise<KubeJson[]> {
  const kinds = KINDS.filter(([, , scope]) => purge || scope === "revision");
  return (await Promise.all(kinds.map(([apiVersion, kind]) => client.list(apiVersion, kind, { labelSelector }))))
    .flat();
}

/** Says what will stop working, before anything is removed. */
async function warnings(
  context: CtlContext,
  client: KubeClient,
  flags: UninstallFlags,
  revision?: string,
): Promise<void> {
  const namespaces = await client.list("v1", "Namespace", { labelSelector: "istio.io/dataplane-mode=ambient" });
  if (flags.purge && namespaces.length > 0) {
    const names = namespaces.map(({ metadata }) => metadata.name).join(", ");
    context.print(
      `Namespaces that are still labelled istio.io/dataplane-mode=ambient: ${names}. ` +
        "Their pods leave the mesh and go on in plain text; open mesh connections end.",
    );
  }
  if (flags.purge || !revision) return;
  try {
    const proxies = await syncStatus(client, await istiodPods(client, context.flags.istioNamespace, revision));
    if (proxies.length === 0) return;
    const names = proxies.length <= 30 ? `:\n${proxies.map(({ proxy }) => `  ${proxy}`).join("\n")}` : "";
    context.print(
      `There are still ${proxies.length} proxies pointing to the control plane revision ${revision}${names}`,
    );
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    context.warn(`cannot tell which proxies use revision "${revision}": ${describeError(error)}`);
  }
}

/**
 * Removes in an order that leaves applications connected: first the CNI agents, which take the redirection out of every
 * pod while they can still reach the API, then the proxies, then the rest.
 */
async function remove(
  context: CtlContext,
  client: KubeClient,
  objects: readonly KubeJson[],
  dryRun: boolean,
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
    await removeAll(context, client, daemonSets, dryRun);
    if (!dryRun) await Promise.all(daemonSets.map((daemonSet) => waitForPods(context, client, daemonSet)));
  }
  await removeAll(context, client, take(({ kind }) => kind === "Deployment"), dryRun);
  await removeAll(context, client, take(({ kind }) => kind !== "CustomResourceDefinition"), dryRun);
  await removeAll(context, client, [...left], dryRun);
}

async function removeAll(
  context: CtlContext,
  client: KubeClient,
  objects: readonly KubeJson[],
  dryRun: boolean,
): Promise<void> {
  const failures: string[] = [];
  await Promise.all(objects.map(async (object) => {
    const { kind, metadata: { name, namespace } } = object;
    const label = `${kind}/${name}${namespace ? `.${namespace}` : ""}`;
    try {
      if (await client.delete(object, { dryRun })) context.print(`  Removed ${label}.${dryRun ? " (dry run)" : ""}`);
    } catch (error) {
      failures.push(`${label}: ${describeError(error)}`);
    }
  }));
  if (failures.length > 0) throw new CommandError(`failed to remove ${failures.join("; ")}`);
}

async function waitForPods(context: CtlContext, client: KubeClient, daemonSet: KubeJson): Promise<void> {
  const { namespace, name } = daemonSet.metadata;
  const labelSelector = Object.entries(daemonSet.spec?.selector?.matchLabels ?? {}).map(([k, v]) => `${k}=${v}`).join(
    ",",
  );
  if (labelSelector === "") return;
  const deadline = Date.now() + DRAIN_MS;
  while ((await client.list("v1", "Pod", { namespace, labelSelector })).length > 0) {
    if (Date.now() > deadline) {
      context.warn(
        `pods of DaemonSet "${namespace}/${name}" have not ended after ${DRAIN_MS / 1000} s; going on without them`,
      );
      return;
    }
    await sleep(200);
  }
}
