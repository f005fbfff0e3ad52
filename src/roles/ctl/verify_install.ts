import { ISTIO_OPERATOR } from "../../../manifests/crds/istio_operator.ts";
import type { InstallValues } from "../../../manifests/mod.ts";
import { CommandError } from "../../core/usage.ts";
import type { CtlContext } from "./context.ts";
import { type InstallFlags, readFiles } from "./install_command.ts";
import { planInstallation } from "./install.ts";
import { readRecord } from "./installed_state.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { isReady } from "./readiness.ts";
import { inInstallOrder, render } from "./render.ts";
import type { Installation } from "./resolve.ts";

/** Kinds that an installation has only where the cluster serves them. */
const OPTIONAL = new Set(["HorizontalPodAutoscaler", "PodDisruptionBudget"]);

/** `ctl verify-install`: checks the cluster against a profile, by default the one that is installed. */
export async function verifyInstallCommand(
  context: CtlContext,
  flags: Pick<InstallFlags, "filename" | "set" | "revision">,
): Promise<number> {
  using client = await context.client();
  const asked = flags.filename !== undefined || flags.set !== undefined;
  const installation = asked
    ? planInstallation({
      files: await readFiles(context, flags.filename),
      set: flags.set,
      revision: flags.revision,
    })
    : await recordedInstallation(client, context.flags.istioNamespace, flags.revision);
  await verifyInstallation(context, client, installation);
  return 0;
}

/** What `install` recorded; of an installation by Helm or from manifests what these leave. @throws CommandError when there is none */
async function recordedInstallation(client: KubeClient, namespace: string, revision?: string): Promise<Installation> {
  const record = await readRecord(client, namespace, revision);
  if (record) {
    const name = `IstioOperator ${namespace}/${record.metadata.name}`;
    // Another release of Istio may have recorded what this one does not know.
    return planInstallation({ files: [{ name, text: JSON.stringify({ ...record, ...RECORD_TYPE }) }], force: true });
  }
  return await fromValues(client, namespace, revision);
}

const RECORD_TYPE = { apiVersion: ISTIO_OPERATOR.apiVersion, kind: ISTIO_OPERATOR.kind };

/** By the ConfigMap of the merged values: its profile, and the gateways that were asked for beside it. */
async function fromValues(client: KubeClient, namespace: string, revision?: string): Promise<Installation> {
  const values = await recordedValues(client, namespace, revision);
  const plan = planInstallation({ set: [`profile=${values.profile}`], revision });
  const { ingressGateways = [], egressGateways = [] } = values;
  return {
    ...plan,
    values: { ...plan.values, ingressGateways, egressGateways },
    components: [
      ...plan.components.filter((name) => !name.endsWith("Gateways")),
      ...(ingressGateways.length > 0 ? ["ingressGateways" as const] : []),
      ...(egressGateways.length > 0 ? ["egressGateways" as const] : []),
    ],
  };
}

async function recordedValues(
  client: KubeClient,
  namespace: string,
  revision?: string,
): Promise<Partial<InstallValues>> {
  const name = revision && revision !== "default" ? `values-${revision}` : "values";
  const recorded = await client.get("v1", "ConfigMap", namespace, name);
  if (!recorded) {
    const what = revision ? `no Istio installation of revision "${revision}"` : "no Istio installation";
    throw new CommandError(
      `${what} found in namespace "${namespace}"; install one with \`ambientd ctl install\`, ` +
        "or name its namespace with --istioNamespace",
    );
  }
  try {
    const values = JSON.parse(recorded.data["merged-values"]);
    if (typeof values.profile === "string") return values;
  } catch {
    // Told below.
  }
  throw new CommandError(`cannot read the installed profile from the ConfigMap "${namespace}/${name}"`);
}

/** Prints a line for each object of an installation. @throws CommandError when one is missing or not ready */
export async function verifyInstallation(
  context: CtlContext,
  client: KubeClient,
  installation: Installation,
): Promise<void> {
  const { green, red } = context.streams.palette;
  const objects = inInstallOrder(render(installation)).filter(({ kind }) => !OPTIONAL.has(kind));
  const states = await Promise.all(objects.map((object) => check(client, object)));
  let definitions = 0, deployments = 0, daemonSets = 0, failures = 0;
  states.forEach((problem, i) => {
    const { kind, metadata: { name, namespace } } = objects[i];
    const label = `${kind}: ${name}${namespace ? `.${namespace}` : ""}`;
    if (problem === undefined) {
      context.print(`${green("✔")} ${label} checked successfully`);
      if (kind === "CustomResourceDefinition") definitions++;
      if (kind === "Deployment") deployments++;
      if (kind === "DaemonSet") daemonSets++;
    } else {
      failures++;
      context.print(`${red("✘")} ${label}: ${problem}`);
    }
  });
  context.print(`Checked ${definitions} custom resource definitions`);
  context.print(`Checked ${deployments} Istio Deployments`);
  if (daemonSets > 0) context.print(`Checked ${daemonSets} Istio Daemonsets`);
  if (failures > 0) {
    throw new CommandError(
      `Istio installation failed verification: ${failures} ${
        failures === 1 ? "object is" : "objects are"
      } missing or not ready`,
    );
  }
  context.print(`${green("✔")} Istio is installed and verified successfully`);
}

async function check(client: KubeClient, object: KubeJson): Promise<string | undefined> {
  const { apiVersion, kind, metadata: { name, namespace } } = object;
  const found = await client.get(apiVersion, kind, namespace, name);
  if (!found) return "not found";
  if (!isReady({ ...found, kind })) return kind === "CustomResourceDefinition" ? "not established" : "not available";
  return undefined;
}
