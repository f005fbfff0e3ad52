import { Command } from "commander";
import { UsageError } from "../../core/usage.ts";
import type { Streams } from "./context.ts";
import type { FlagDefaults } from "./defaults.ts";
import { addElsewhere } from "./program_elsewhere.ts";
import {
  bool,
  collect,
  collectList,
  duration,
  examples,
  type Handler,
  hidden,
  ProgramBuilder,
} from "./program_builder.ts";
import { addProxyCommands, addProxyStatus } from "./program_proxies.ts";
import { addWaypoint } from "./program_waypoint.ts";

/** Commands of `ctl`; each module is loaded only when its command runs. */
export function buildProgram(
  streams: Streams,
  defaults: FlagDefaults,
  setCode: (code: number) => void,
): Command {
  const builder = new ProgramBuilder(new Command("ambientd ctl"), streams, setCode);
  const { program } = builder;
  program.description("Install, inspect and operate the mesh, with istioctl's commands and flags.")
    .option("-c, --kubeconfig <file>", "Kubernetes configuration file", defaults("kubeconfig"))
    .option("--context <name>", "Kubernetes configuration context", defaults("context"))
    .option("-n, --namespace <namespace>", "Kubernetes namespace", defaults("namespace"))
    .option("-i, --istioNamespace <namespace>", "Istio system namespace", defaults("istioNamespace") || "istio-system")
    .option("--as <user>", "Username to impersonate", defaults("as"))
    .option("--as-group <group>", "Group to impersonate (repeatable)", collect)
    .option("--as-uid <uid>", "UID to impersonate", defaults("as-uid"))
    .option(
      "--kubeclient-timeout <duration>",
      "Limit of one request to the Kubernetes API",
      duration,
      defaults("kubeclient-timeout") || "15s",
    )
    .addOption(hidden("--vklog <level>"))
    .addOption(hidden("--log_output_level <levels>"));

  addInstallation(builder);
  addVersion(builder, program);
  addProxyCommands(builder);
  addWaypoint(builder, program);

  const experimental = builder.add(program, "experimental", "Commands that may still change", "x", "exp");
  addPrecheck(builder, experimental);
  addVersion(builder, experimental);
  addProxyStatus(builder, experimental);
  addWaypoint(builder, experimental);
  builder.on(
    examples(
      builder.add(experimental, "envoy-stats", "Metrics of a waypoint or gateway", "es")
        .argument("[pod]", "Pod of a waypoint or gateway, as [type/]name[.namespace]")
        .option("-o, --output <format>", "short, prom, prom-merged, json or yaml", "short")
        .option("-t, --type <type>", "server or clusters", "server")
        .option("-l, --selector <labels>", "Pods with these labels")
        .option("--proxy-admin-port <port>", "Port of the proxy's admin interface", "15000"),
      "x envoy-stats deploy/waypoint",
      "x envoy-stats deploy/waypoint -o prom",
    ),
    async (context, pods, flags) => (await import("./envoy_stats.ts")).envoyStatsCommand(context, pods, flags),
  );
  builder.on(
    builder.add(program, "options", "Print the flags that every command takes"),
    async () => {
      const help = program.createHelp();
      const rows = help.visibleOptions(program).map((
        option,
      ) => [help.optionTerm(option), help.optionDescription(option)]);
      const width = Math.max(...rows.map(([term]) => term.length));
      streams.out(`Every command takes:\n${rows.map(([a, b]) => `  ${a.padEnd(width)}  ${b}`).join("\n")}\n`);
      return 0;
    },
  );
  addElsewhere(builder, experimental);
  return program;
}

/** Charts of a downloaded release: ours are part of the executable, and what would have no effect is refused. */
function chartsFlags(command: Command): Command {
  return command
    .addOption(hidden("-d, --manifests <directory>").argParser(refuseCharts))
    .addOption(hidden("--charts <directory>").argParser(refuseCharts));
}

function refuseCharts(directory: string): never {
  throw new UsageError(
    `cannot use the charts in "${directory}": the manifests are part of this executable; leave --manifests out`,
  );
}

function specFlags(command: Command): Command {
  return chartsFlags(command)
    .option("-f, --filename <file>", "IstioOperator file to lay over the profile (repeatable)", collectList)
    .option(
      "-s, --set <path=value>",
      'Setting that overrides profile and files, e.g. "profile=ambient" (repeatable)',
      collect,
    )
    .option("-r, --revision <name>", "Control-plane revision");
}

function installFlags(command: Command): Command {
  return specFlags(command)
    .option("-y, --skip-confirmation", "Do not ask before changing the cluster")
    .option("--force", "Go on in spite of settings that are unknown")
    .option("--verify", "Verify the installation afterwards")
    .option("--readiness-timeout <duration>", "How long to wait for everything to be ready", duration, "5m")
    .option("--dry-run", "Send everything to the cluster without storing it");
}

function addInstallation(builder: ProgramBuilder): void {
  const { program } = builder;
  const install: Handler = async (context, _args, flags) =>
    (await import("./install_command.ts")).installCommand(context, flags);
  const INSTALL = ["install --set profile=ambient --skip-confirmation", "install -f mesh.yaml --revision canary"];
  builder.on(
    examples(
      installFlags(builder.add(program, "install", "Install the mesh, or change an installed one", "apply")),
      ...INSTALL,
      "install --set profile=ambient --set 'components.ingressGateways[0].enabled=true'",
    ),
    install,
  );
  builder.on(
    examples(
      installFlags(builder.add(program, "upgrade", "Upgrade the mesh in place; the same as install")),
      "upgrade --set profile=ambient -y",
    ),
    install,
  );
  builder.on(
    examples(
      specFlags(builder.add(program, "uninstall", "Remove the mesh from the cluster"))
        .option("--purge", "Remove everything of the mesh, all revisions and definitions")
        .option("-y, --skip-confirmation", "Do not ask before changing the cluster")
        .option("--force", "Go on in spite of settings that are unknown")
        .option("-v, --verbose", "List what will be removed")
        .option("--dry-run", "Show what would be removed"),
      "uninstall --purge -y",
      "uninstall --revision canary",
      "uninstall -f mesh.yaml",
    ),
    async (context, _args, flags) => (await import("./uninstall.ts")).uninstallCommand(context, flags),
  );
  builder.on(
    examples(
      specFlags(builder.add(program, "verify-install", "Check that an installation is complete and healthy")),
      "verify-install",
      "verify-install --revision canary",
    ),
    async (context, _args, flags) => (await import("./verify_install.ts")).verifyInstallCommand(context, flags),
  );

  const manifest = builder.add(program, "manifest", "Work with the manifests of an installation");
  builder.on(
    examples(
      specFlags(builder.add(manifest, "generate", "Print the manifests of an installation"))
        .option("--force", "Go on in spite of settings that are unknown")
        .option("--cluster-specific", "Take what depends on the cluster's platform from the cluster")
        .option("--filter <components>", "Only these components (repeatable)", collectList)
        .option("-o, --output <path>", "Write to a file (*.yaml), or a file for each component to a directory")
        .addOption(hidden("--dry-run")),
      "manifest generate --set profile=ambient | kubectl apply -f -",
    ),
    async (context, _args, flags) => (await import("./manifest.ts")).manifestGenerateCommand(context, flags),
  );
  builder.on(
    examples(installFlags(builder.add(manifest, "install", "The same as ctl install", "apply")), ...INSTALL),
    install,
  );
}

function addVersion(builder: ProgramBuilder, parent: Command): void {
  builder.on(
    examples(
      builder.add(parent, "version", "Print the versions of ctl, control plane and proxies")
        .option("--remote [bool]", "Ask the control plane, too", bool, true)
        .option("-s, --short [bool]", "Versions only", bool, true)
        .option("-o, --output <format>", "json or yaml")
        .option("-r, --revision <name>", "Control-plane revision"),
      "version",
      "version --remote=false",
      "version -o json",
    ),
    async (context, _args, flags) => (await import("./version_command.ts")).versionCommand(context, flags),
  );
}

function addPrecheck(builder: ProgramBuilder, experimental: Command): void {
  builder.on(
    examples(
      builder.add(experimental, "precheck", "Check whether the mesh can be installed or upgraded safely")
        .option("--skip-controlplane", "Leave out what only an installation needs")
        .option("-f, --from-version <1.N>", "Check also what changed in behaviour since this version of Istio")
        .option("--output-threshold <level>", "Info, Warning or Error", "Warning")
        .option("-o, --output <format>", "log, json or yaml", "log")
        .option("-r, --revision <name>", "Control-plane revision"),
      "x precheck",
      "x precheck --from-version 1.20",
    ),
    async (context, _args, flags) => (await import("./precheck.ts")).precheckCommand(context, flags),
  );
}
