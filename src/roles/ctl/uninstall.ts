import type { Manifest } from "../../../manifests/mod.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { CommandError, UsageError } from "../../core/usage.ts";
import type { CtlContext } from "./context.ts";
import { type InstallFlags, readFiles } from "./install_command.ts";
import { planInstallation } from "./install.ts";
import { installedState } from "./installed_state.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { COMPONENT, labelled, removeInOrder } from "./prune.ts";
import { meshVersions } from "./remote_version.ts";
import { inInstallOrder, render } from "./render.ts";
import { syncStatus } from "./syncz.ts";
import { istiodPods } from "./remote_version.ts";

export interface UninstallFlags extends Pick<InstallFlags, "filename" | "set" | "revision" | "force" | "dryRun"> {
  purge?: boolean;
  skipConfirmation?: boolean;
  verbose?: boolean;
}

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
    context.print(
      "No resources will be pruned from the cluster: nothing in it belongs to " +
        (flags.purge ? "an installation." : "such an installation; --purge would remove every one."),
    );
    return 0;
  }
  if (flags.purge && (revision || flags.filename)) {
    context.print("--purge removes all Istio resources, whatever the revision or file that was given.");
  }
  await warnings(context, client, flags, objects, revision);
  if (flags.purge) context.print("All Istio resources will be pruned from the cluster");
  if (!flags.skipConfirmation && !flags.dryRun && !context.streams.confirm("Proceed? (y/N)")) {
    context.print("Cancelled.");
    return 1;
  }
  await removeInOrder(client, objects, {
    dryRun: flags.dryRun,
    removed: (text) => context.print(text),
    warn: (text) => context.warn(text),
  });
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
      throw new CommandError(
        `could not find target revision "${revision}"; \`kubectl get pods -A -l app=istiod -L istio.io/rev\` shows those that run`,
      );
    }
    return found.filter(({ metadata }) => metadata.labels?.[COMPONENT] !== "Base");
  }
  const installation = planInstallation({
    files: await readFiles(context, flags.filename),
    set: flags.set,
    force: flags.force,
  });
  const wanted = inInstallOrder(render(installation)).filter(({ kind }) => kind !== "CustomResourceDefinition")
    .reverse().concat(installedState(installation) as Manifest);
  const present = await Promise.all(
    wanted.map(({ apiVersion, kind, metadata }) => client.get(apiVersion, kind, metadata.namespace, metadata.name)),
  );
  return wanted.filter((_, i) => present[i] !== undefined);
}

/** Says what will stop working, before anything is removed. */
async function warnings(
  context: CtlContext,
  client: KubeClient,
  flags: UninstallFlags,
  objects: readonly KubeJson[],
  revision?: string,
): Promise<void> {
  if (flags.verbose) {
    const names = new Map<string, string[]>();
    for (const { kind, metadata } of objects) names.set(kind, [...names.get(kind) ?? [], metadata.name]);
    const kinds = [...names].map(([kind, names]) => `  ${kind}: ${names.join(", ")}`);
    context.print(`The following resources will be pruned from the cluster:\n${kinds.join("\n")}`);
  }
  const namespaces = await client.list("v1", "Namespace", { labelSelector: "istio.io/dataplane-mode=ambient" });
  if (flags.purge && namespaces.length > 0) {
    const names = namespaces.map(({ metadata }) => metadata.name).join(", ");
    context.print(
      `Namespaces that are still labelled istio.io/dataplane-mode=ambient: ${names}. ` +
        "Their pods leave the mesh and go on in plain text; open mesh connections end.",
    );
  }
  if (flags.purge) return;
  const gateways = objects.filter(({ kind, metadata }) =>
    kind === "Deployment" && /^(In|E)gressGateways$/.test(metadata.labels?.[COMPONENT])
  );
  if (gateways.length > 0) {
    const names = gateways.map(({ metadata }) => metadata.name).join(", ");
    context.print(
      `You are about to remove the following gateways: ${names}. Whoever reaches applications through them ` +
        "cannot any more; to avoid that, stop here and install them with a revision that stays.",
    );
  }
  if (!revision) return;
  try {
    const proxies = await syncStatus(client, await istiodPods(client, context.flags.istioNamespace, revision));
    if (proxies.length === 0) return;
    const names = proxies.length <= 30 ? `:\n${proxies.map(({ proxy }) => `  ${proxy}`).join("\n")}` : "";
    context.print(
      `There are still ${proxies.length} proxies pointing to the control plane revision ${revision}${names}\n` +
        "They keep what they were last told, and hear of no change until they are connected to another revision.",
    );
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    context.warn(`cannot tell which proxies use revision "${revision}": ${describeError(error)}`);
  }
}
