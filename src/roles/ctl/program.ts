import { Command } from "commander";
import { parseDurationMs } from "../../core/duration.ts";
import { UsageError } from "../../core/usage.ts";
import { CtlContext, type Streams } from "./context.ts";
import type { FlagDefaults } from "./defaults.ts";
import type { ProxyViewName } from "./proxy_tables.ts";
import type { DumpViewName } from "./ztunnel_tables.ts";

type Handler = (context: CtlContext, args: string[], flags: any) => Promise<number>;

const collect = (value: string, previous: string[] | undefined) => [...(previous ?? []), value];

/** Commands of `ctl`; each module is loaded only when its command runs. */
export function buildProgram(
  streams: Streams,
  defaults: FlagDefaults,
  setCode: (code: number) => void,
): Command {
  const program = new Command("ambientd ctl");
  program.description("Install, inspect and operate the mesh, with istioctl's commands and flags.")
    .option("-c, --kubeconfig <file>", "Kubernetes configuration file", defaults("kubeconfig"))
    .option("--context <name>", "Kubernetes configuration context", defaults("context"))
    .option("-n, --namespace <namespace>", "Kubernetes namespace", defaults("namespace"))
    .option("-i, --istioNamespace <namespace>", "Istio system namespace", defaults("istioNamespace") ?? "istio-system")
    .option("--as <user>", "Username to impersonate", defaults("as"))
    .option("--as-group <group>", "Group to impersonate (repeatable)", collect)
    .option("--as-uid <uid>", "UID to impersonate", defaults("as-uid"))
    .option(
      "--kubeclient-timeout <duration>",
      "Limit of one request to the Kubernetes API",
      defaults("kubeclient-timeout") ?? "15s",
    )
    .option("--vklog <level>", "Accepted for istioctl's sake; has no effect");
  configure(program, streams);

  /** Attaches a handler that gets the positional arguments and the command's own flags. */
  const on = (command: Command, handler: Handler) =>
    command.action(async (...received: unknown[]) => {
      const self = received.at(-1) as Command;
      const { kubeclientTimeout, ...global } = program.opts();
      const timeout = parseDurationMs(kubeclientTimeout);
      if (!(timeout > 0)) throw new UsageError(`--kubeclient-timeout must be above zero, not "${kubeclientTimeout}"`);
      const context = new CtlContext({ ...global, kubeclientTimeout: timeout } as any, streams);
      setCode(await handler(context, self.args, self.opts()));
    });
  const add = (parent: Command, name: string, description: string, ...aliases: string[]) => {
    const command = configure(parent.command(name).description(description), streams);
    for (const alias of aliases) command.alias(alias);
    return command;
  };

  const specFlags = (command: Command) =>
    command
      .option("-f, --filename <file>", "IstioOperator file to lay over the profile (repeatable)", collect)
      .option(
        "-s, --set <path=value>",
        'Setting that overrides profile and files, e.g. "profile=ambient" (repeatable)',
        collect,
      )
      .option("-r, --revision <name>", "Control-plane revision");

  const installFlags = (command: Command) =>
    specFlags(command)
      .option("-y, --skip-confirmation", "Do not ask before changing the cluster")
      .option("--force", "Go on in spite of settings that are unknown")
      .option("--verify", "Verify the installation afterwards")
      .option("--readiness-timeout <duration>", "How long to wait for everything to be ready", "5m")
      .option("--dry-run", "Send everything to the cluster without storing it");
  const install: Handler = async (context, _args, flags) =>
    (await import("./install_command.ts")).installCommand(context, flags);

  on(installFlags(add(program, "install", "Install the mesh, or change an installed one", "apply")), install);
  on(installFlags(add(program, "upgrade", "Upgrade the mesh in place; the same as install")), install);

  on(
    specFlags(add(program, "uninstall", "Remove the mesh from the cluster"))
      .option("--purge", "Remove everything of the mesh, all revisions and definitions")
      .option("-y, --skip-confirmation", "Do not ask before changing the cluster")
      .option("--force", "Go on in spite of settings that are unknown")
      .option("-v, --verbose", "Accepted for istioctl's sake; has no effect")
      .option("--dry-run", "Show what would be removed"),
    async (context, _args, flags) => (await import("./uninstall.ts")).uninstallCommand(context, flags),
  );

  on(
    specFlags(add(program, "verify-install", "Check that an installation is complete and healthy")),
    async (context, _args, flags) => (await import("./verify_install.ts")).verifyInstallCommand(context, flags),
  );

  const versionFlags = (command: Command) =>
    command
      .option("--remote [bool]", "Ask the control plane, too", "true")
      .option("-s, --short [bool]", "Versions only", "true")
      .option("-o, --output <format>", "json or yaml")
      .option("-r, --revision <name>", "Control-plane revision");
  const version: Handler = async (context, _args, flags) =>
    (await import("./version_command.ts")).versionCommand(context, {
      ...flags,
      remote: bool("--remote", flags.remote),
      short: bool("--short", flags.short),
    });
  on(versionFlags(add(program, "version", "Print the versions of ctl, control plane and proxies")), version);

  const manifest = add(program, "manifest", "Work with the manifests of an installation");
  on(
    specFlags(add(manifest, "generate", "Print the manifests of an installation"))
      .option("--force", "Go on in spite of settings that are unknown")
      .option("--filter <components>", "Only these components (repeatable)", collect)
      .option("-o, --output <directory>", "Write a file for each component"),
    async (context, _args, flags) => (await import("./manifest.ts")).manifestGenerateCommand(context, flags),
  );
  on(installFlags(add(manifest, "install", "The same as ctl install", "apply")), install);

  const proxyStatus = (command: Command) =>
    on(
      command
        .argument("[pod]", "[type/]name[.namespace] of one proxy")
        .option("-o, --output <format>", "table, json or yaml", "table")
        .option("-v, --verbosity <level>", "0 or 1 (one column for each type)", Number, 0)
        .option("--file <file>", "Read istiod's answer from a file")
        .option("-r, --revision <name>", "Control-plane revision"),
      async (context, [pod], flags) => (await import("./proxy_status.ts")).proxyStatusCommand(context, pod, flags),
    );
  proxyStatus(add(program, "proxy-status", "Which proxies the control plane serves, and their state", "ps"));

  addZtunnelConfig(add, on, program);
  addProxyConfig(add, on, program);
  addWaypoint(add, on, program);

  const experimental = add(program, "experimental", "Commands that may still change", "x", "exp");
  on(
    add(experimental, "precheck", "Check whether the mesh can be installed or upgraded safely")
      .option("--skip-controlplane", "Leave out what only an installation needs")
      .option("--output-threshold <level>", "Info, Warning or Error", "Warning")
      .option("-o, --output <format>", "log, json or yaml", "log"),
    async (context, _args, flags) => (await import("./precheck.ts")).precheckCommand(context, flags),
  );
  on(versionFlags(add(experimental, "version", "Print the versions of ctl, control plane and proxies")), version);
  proxyStatus(add(experimental, "proxy-status", "Which proxies the control plane serves, and their state", "ps"));
  addWaypoint(add, on, experimental);
  return program;
}

function addZtunnelConfig(
  add: (parent: Command, name: string, description: string, ...aliases: string[]) => Command,
  on: (command: Command, handler: Handler) => Command,
  program: Command,
): void {
  const ztunnel = add(program, "ztunnel-config", "What a ztunnel knows", "zc");
  const common = (command: Command) =>
    command
      .argument("[pod]", "ztunnel pod, or a pod whose ztunnel is meant, as [type/]name[.namespace]")
      .option("-o, --output <format>", "json, yaml or short", "short")
      .option("--proxy-admin-port <port>", "Port of ztunnel's admin interface", "15000")
      .option("--node <node>", "The ztunnel of this node")
      .option("-f, --file <file>", 'Read the configuration dump from a file, or "-"');
  const view = (name: DumpViewName | "all", description: string, ...aliases: string[]) =>
    on(
      common(add(ztunnel, name, description, ...aliases)),
      async (context, [pod], flags) =>
        (await import("./ztunnel_config.ts")).ztunnelConfigCommand(context, name, pod, flags),
    );
  view("workload", "Workloads", "workloads", "w")
    .option("--workload-namespace <namespace>", "Only workloads of this namespace")
    .option("--workload-node <node>", "Only workloads on this node")
    .option("--address <ip>", "Only the workload with this address");
  view("service", "Services", "services", "svc", "s")
    .option("--service-namespace <namespace>", "Only services of this namespace");
  view("policy", "Authorization policies", "policies", "pol", "p")
    .option("--policy-namespace <namespace>", "Only policies of this namespace");
  view("certificate", "Certificates", "certificates", "certs", "cert");
  view("connections", "Open connections", "cons")
    .option("--workload-namespace <namespace>", "Only connections of workloads of this namespace")
    .option("--direction <direction>", "inbound or outbound")
    .option("--raw", "Addresses as they are, without names");
  view("all", "All of the above").option("--with-headers", "Print a heading over each table");
  on(
    add(ztunnel, "log", "Show or set log levels", "o")
      .argument("[pod]", "ztunnel pod, or a pod whose ztunnel is meant")
      .option("--proxy-admin-port <port>", "Port of ztunnel's admin interface", "15000")
      .option("--node <node>", "The ztunnel of this node")
      .option("--level <levels>", "level, or scope:level,...")
      .option("-r, --reset", "Back to the level info"),
    async (context, [pod], flags) => (await import("./ztunnel_config.ts")).ztunnelLogCommand(context, pod, flags),
  );
}

/** `ctl proxy-config …`. */
function addProxyConfig(
  add: (parent: Command, name: string, description: string, ...aliases: string[]) => Command,
  on: (command: Command, handler: Handler) => Command,
  program: Command,
): void {
  const proxy = add(program, "proxy-config", "What a waypoint or gateway knows", "pc");
  const view = (name: ProxyViewName | "all" | "bootstrap", output: string, description: string, ...aliases: string[]) =>
    on(
      add(proxy, name, description, ...aliases)
        .argument("[pod]", "Pod of a waypoint or gateway, as [type/]name[.namespace]")
        .option("-o, --output <format>", "json, yaml or short", output)
        .option("--proxy-admin-port <port>", "Port of the proxy's admin interface", "15000")
        .option("-f, --file <file>", 'Read the configuration dump from a file, or "-"')
        .option("--verbose [bool]", "All columns", "true"),
      async (context, [pod], flags) =>
        (await import("./proxy_config.ts")).proxyConfigCommand(context, name, pod, {
          ...flags,
          verbose: bool("--verbose", flags.verbose),
        }),
    );
  view("listener", "short", "Listeners", "listeners", "l")
    .option("--address <address>", "Only listeners on this address")
    .option("--port <port>", "Only listeners on this port")
    .option("--type <type>", "HTTP, TCP or HTTP+TCP")
    .option("--waypoint", "What a waypoint does for each of its services");
  view("cluster", "short", "Destinations", "clusters", "c")
    .option("--fqdn <name>", "Only those of a service")
    .option("--port <port>", "Only those of a port")
    .option("--subset <name>", "Only those of a subset")
    .option("--direction <direction>", "outbound or inbound-vip");
  view("route", "short", "Routes", "routes", "r").option("--name <name>", "Only routes of this configuration");
  view("endpoint", "short", "Endpoints", "endpoints", "ep")
    .option("--address <address>", "Only endpoints with this address")
    .option("--port <port>", "Only endpoints on this port")
    .option("--cluster <name>", "Only endpoints of this cluster")
    .option("--status <status>", "healthy or unhealthy");
  view("secret", "short", "Certificates", "secrets", "s");
  view("bootstrap", "json", "What the proxy was started with", "b");
  view("all", "short", "All of the above", "a").option("--with-headers", "Print a heading over each table");
  on(
    add(proxy, "log", "Show or set log levels", "o")
      .argument("[pods...]", "Pods of waypoints or gateways")
      .option("--proxy-admin-port <port>", "Port of the proxy's admin interface", "15000")
      .option("-l, --selector <labels>", "Pods with these labels")
      .option("--level <levels>", "level, or scope:level,...")
      .option("-r, --reset", "Back to the level info"),
    async (context, pods, flags) => (await import("./proxy_config.ts")).proxyLogCommand(context, pods, flags),
  );
}

/** `ctl waypoint …` and `ctl x waypoint …`. */
function addWaypoint(
  add: (parent: Command, name: string, description: string, ...aliases: string[]) => Command,
  on: (command: Command, handler: Handler) => Command,
  parent: Command,
): void {
  const waypoint = add(parent, "waypoint", "Make, list and delete waypoints", "wp")
    .option("--name <name>", "Name of the waypoint (default: waypoint)");
  const sub = (name: string, description: string, ...aliases: string[]) =>
    add(waypoint, name, description, ...aliases).option("--name <name>", "Name of the waypoint (default: waypoint)");
  const flagsOf = (flags: Record<string, any>) => ({ ...waypoint.opts(), ...flags });
  const traffic = (command: Command) =>
    command
      .option("--for <traffic>", "What the waypoint is for: service, workload, all or none")
      .option("-r, --revision <name>", "Control-plane revision of the waypoint");
  on(
    traffic(sub("apply", "Make a waypoint in the namespace, or change it"))
      .option("--enroll-namespace", "Label the namespace so that its traffic uses the waypoint")
      .option("--overwrite", "With --enroll-namespace: replace another waypoint of the namespace")
      .option("-w, --wait", "Wait until the waypoint is ready")
      .option("--waypoint-timeout <duration>", "How long to wait", "90s"),
    async (context, _args, flags) => (await import("./waypoint.ts")).waypointApplyCommand(context, flagsOf(flags)),
  );
  on(
    traffic(sub("generate", "Print the waypoint as YAML")),
    async (context, _args, flags) => (await import("./waypoint.ts")).waypointGenerateCommand(context, flagsOf(flags)),
  );
  on(
    sub("list", "List waypoints").option("-A, --all-namespaces", "Of all namespaces"),
    async (context, _args, flags) => (await import("./waypoint.ts")).waypointListCommand(context, flagsOf(flags)),
  );
  on(
    sub("status", "Show whether waypoints are ready")
      .argument("[name]", "One waypoint")
      .option("-A, --all-namespaces", "Of all namespaces")
      .option("-w, --wait [bool]", "Show changes until all are ready", "true")
      .option("--waypoint-timeout <duration>", "How long to wait", "90s"),
    async (context, args, flags) => {
      const all = flagsOf(flags);
      return (await import("./waypoint.ts")).waypointStatusCommand(context, args.length > 0 ? args : names(all.name), {
        ...all,
        wait: bool("--wait", all.wait),
      });
    },
  );
  on(
    sub("delete", "Delete waypoints")
      .argument("[names...]", "Waypoints of the namespace")
      .option("--all", "Every waypoint of the namespace")
      .option("-r, --revision <name>", "Those of a revision"),
    async (context, args, flags) =>
      (await import("./waypoint.ts")).waypointDeleteCommand(context, args, flagsOf(flags)),
  );
}

function names(name: string | undefined): string[] {
  return name === undefined ? [] : [name];
}

/** Errors are thrown instead of ending the process, and all text goes to the given streams. */
function configure(command: Command, streams: Streams): Command {
  return command
    .exitOverride()
    .configureOutput({
      writeOut: streams.out,
      writeErr: streams.err,
      outputError: (text, write) => write(text.replace(/^error: /, "Error: ")),
    })
    .showSuggestionAfterError(true)
    .helpCommand(false);
}

/** A flag that pflag calls boolean: `--x`, `--x=true`, `--x=false`, `-x=false`. */
function bool(name: string, given: string | boolean): boolean {
  const value = typeof given === "string" ? given.replace(/^=/, "") : given;
  if (value === true || value === "true" || value === "1") return true;
  if (value === false || value === "false" || value === "0") return false;
  throw new UsageError(`${name} must be true or false, not "${value}"`);
}
