import { parseDurationMs } from "../../core/duration.ts";
import type { CtlContext } from "./context.ts";
import { readRecord } from "./installed_state.ts";
import { installMesh, type InstallOptions, planInstallation } from "./install.ts";
import type { KubeClient } from "./kube.ts";
import { terminalProgress } from "./progress.ts";
import { meshVersions } from "./remote_version.ts";
import { COMPONENT_TITLES } from "./render.ts";
import type { Installation } from "./resolve.ts";
import { verifyInstallation } from "./verify_install.ts";

/** Kubernetes minors below this are not among those that Istio of this line supports. */
const OLDEST_MINOR = 32;

/** Greets whoever sits before a terminal. */
const BANNER = String.raw`
      /|
     / |\
    /  | \    ambientd
   /___|__\
  \________/
 ~~~~~~~~~~~~~
`;

export interface InstallFlags {
  filename?: string[];
  set?: string[];
  revision?: string;
  skipConfirmation?: boolean;
  force?: boolean;
  verify?: boolean;
  readinessTimeout: string;
  dryRun?: boolean;
}

/** Reads the files of `-f`; "-" is standard input. */
export async function readFiles(
  context: CtlContext,
  names: readonly string[] = [],
): Promise<{ name: string; text: string }[]> {
  return await Promise.all(names.map(async (name) => ({ name, text: await context.readInput(name) })));
}

/** `ctl install`. */
export async function installCommand(context: CtlContext, flags: InstallFlags): Promise<number> {
  const options: InstallOptions = {
    set: flags.set,
    files: await readFiles(context, flags.filename),
    revision: flags.revision,
    force: flags.force,
    dryRun: flags.dryRun,
    wait: true,
    readinessTimeoutMs: parseDurationMs(flags.readinessTimeout),
    requestTimeoutMs: context.flags.kubeclientTimeout,
  };
  const plan = planInstallation(options);
  const { values, lacks } = plan;
  const target = await context.target();
  using client = await context.client();
  if (context.streams.errIsTerminal) context.warn(BANNER);
  await warnings(context, client, values.namespace, values.revision, values.tag);
  await warnOfProfile(context, client, plan);
  if (!flags.skipConfirmation && !flags.dryRun) {
    const question =
      `This will install the Istio ${values.tag} profile "${values.profile}" into the cluster. Proceed? (y/N)`;
    if (!context.streams.confirm(question)) {
      context.print("Cancelled.");
      return 1;
    }
  }
  const { streams } = context;
  if (lacks) context.warn(`The profile "${values.profile}" is installed without ${lacks}.`);
  const installation = await installMesh(
    options,
    target,
    terminalProgress({ write: streams.out, live: streams.outIsTerminal, palette: streams.palette }),
  );
  if (flags.verify) await verifyInstallation(context, client, installation);
  if (installation.values.ambient && !flags.dryRun) {
    context.print(
      "The ambient profile has been installed successfully, enjoy Istio without sidecars!",
    );
  }
  return 0;
}

/** An installation that was made with another profile loses what only that one has. */
async function warnOfProfile(context: CtlContext, client: KubeClient, plan: Installation): Promise<void> {
  const { profile, namespace, revision } = plan.values;
  const recorded = await readRecord(client, namespace, revision === "" ? "default" : revision).catch(() => undefined);
  const before = recorded?.spec?.profile;
  if (before === undefined || before === profile) return;
  const lost = (["base", "pilot", "cni", "ztunnel"] as const).filter((name) =>
    recorded!.spec.components?.[name]?.enabled && !plan.components.includes(name)
  ).map((name) => COMPONENT_TITLES[name][0]);
  context.warn(
    `The profile "${before}" is installed and will be changed to "${profile}"` +
      (lost.length > 0 ? `, which removes ${lost.join(" and ")}` : "") +
      `. To keep it, add --set profile=${before}.`,
  );
}

async function warnings(
  context: CtlContext,
  client: KubeClient,
  namespace: string,
  revision: string,
  tag: string,
): Promise<void> {
  const [server, versions] = await Promise.all([
    client.request("GET", "/version"),
    meshVersions(client, namespace, revision === "" ? "default" : revision).catch(() => []),
  ]);
  const minor = Number.parseInt(server?.minor ?? "", 10);
  if (server?.major === "1" && minor < OLDEST_MINOR) {
    context.warn(
      `The Kubernetes version ${server.gitVersion} is not supported by Istio ${tag}. The minimum supported Kubernetes version is 1.${OLDEST_MINOR}.\n` +
        `Proceeding with the installation, but you might experience problems.`,
    );
  }
  const other = versions.find(({ version }) => version !== tag);
  if (other) {
    context.warn(
      `An Istio control plane of version ${other.version} is installed already and will be changed to ${tag}.\n` +
        "Run `ambientd ctl x precheck` first to see whether that is safe.",
    );
  }
}
