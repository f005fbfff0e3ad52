import type { Command } from "commander";
import { bool, examples, integer, type ProgramBuilder } from "./program_builder.ts";
import type { ProxyPart } from "./proxy_config.ts";
import type { DumpViewName } from "./ztunnel_tables.ts";

const PORT = integer(0, 65535);

/** Commands that ask proxies, or istiod about them. */
export function addProxyCommands(builder: ProgramBuilder): void {
  addProxyStatus(builder, builder.program);
  addZtunnelConfig(builder);
  addProxyConfig(builder);
}

/** `ctl proxy-status` and `ctl x proxy-status`. */
export function addProxyStatus(builder: ProgramBuilder, parent: Command): void {
  builder.on(
    examples(
      builder.add(parent, "proxy-status", "Which proxies the control plane serves, and their state", "ps")
        .argument("[pod]", "[type/]name[.namespace] of one proxy")
        .option("-o, --output <format>", "table, json or yaml", "table")
        .option("-v, --verbosity <level>", "0 or 1 (one column for each type)", integer(0, 9), "0")
        .option("-f, --file <file>", 'Read istiod\'s answer from a file, or "-"')
        .option("-r, --revision <name>", "Control-plane revision"),
      "proxy-status",
      "proxy-status deploy/waypoint -v 1",
    ),
    async (context, [pod], flags) => (await import("./proxy_status.ts")).proxyStatusCommand(context, pod, flags),
  );
}

function addZtunnelConfig(builder: ProgramBuilder): void {
  const ztunnel = builder.add(builder.program, "ztunnel-config", "What a ztunnel knows", "zc");
  const common = (name: string, description: string, aliases: string[]) =>
    examples(
      builder.add(ztunnel, name, description, ...aliases)
        .argument("[pod]", "ztunnel pod, or a pod whose ztunnel is meant, as [type/]name[.namespace]")
        .option("-o, --output <format>", "json, yaml or short", "short")
        .option("--proxy-admin-port <port>", "Port of ztunnel's admin interface", "15000")
        .option("--node <node>", "The ztunnel of this node")
        .option("-f, --file <file>", 'Read the configuration dump from a file, or "-"'),
      `ztunnel-config ${name}`,
      `ztunnel-config ${name} deploy/sleep.default`,
      `ztunnel-config ${name} --node worker-1`,
    );
  const view = (name: DumpViewName | "all", description: string, ...aliases: string[]) =>
    builder.on(
      common(name, description, aliases),
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
  view("all", "Everything, part by part").option("--with-headers", "Print a heading over each table");
  builder.on(
    common("log", "Show or set log levels", ["o"])
      .option("--level <levels>", "level, or scope:level,...")
      .option("-r, --reset", "Back to the level info"),
    async (context, [pod], flags) => (await import("./ztunnel_config.ts")).ztunnelLogCommand(context, pod, flags),
  );
}

/** `ctl proxy-config …`. */
function addProxyConfig(builder: ProgramBuilder): void {
  const proxy = builder.add(builder.program, "proxy-config", "What a waypoint or gateway knows", "pc");
  const view = (name: ProxyPart, output: string, description: string, ...aliases: string[]) =>
    builder.on(
      examples(
        builder.add(proxy, name, description, ...aliases)
          .argument("[pod]", "Pod of a waypoint or gateway, as [type/]name[.namespace]")
          .option("-o, --output <format>", "json, yaml or short", output)
          .option("--proxy-admin-port <port>", "Port of the proxy's admin interface", "15000")
          .option("-f, --file <file>", 'Read the configuration dump from a file, or "-"'),
        `proxy-config ${name} deploy/waypoint`,
        `proxy-config ${name} deploy/istio-ingressgateway.istio-system -o json`,
        `proxy-config ${name} --file dump.json`,
      ),
      async (context, [pod], flags) =>
        (await import("./proxy_config.ts")).proxyConfigCommand(context, name, pod, flags),
    );
  const verbose = (command: Command) => command.option("--verbose [bool]", "All columns", bool, true);
  const port = (command: Command, what: string) => command.option("--port <port>", `Only ${what} of this port`, PORT);
  const forListeners = (command: Command) =>
    command
      .option("--address <address>", "Only those with this address")
      .option("--type <type>", "Only listeners of this type: HTTP, TCP or HTTP+TCP");
  const forClusters = (command: Command) =>
    command
      .option("--fqdn <name>", "Only clusters with this in their service's name")
      .option("--subset <name>", "Only clusters with this in their subset's name")
      .option("--direction <direction>", "Only clusters of this direction: outbound or inbound-vip");
  const forRoutes = (command: Command) => command.option("--name <name>", "Only routes of this configuration");

  verbose(port(forListeners(view("listener", "short", "Listeners", "listeners", "l")), "listeners"))
    .option("--waypoint", "What a waypoint does for each of its services");
  port(forClusters(view("cluster", "short", "Destinations", "clusters", "c")), "clusters");
  verbose(forRoutes(view("route", "short", "Routes", "routes", "r")));
  port(view("endpoint", "short", "Endpoints", "endpoints", "ep"), "endpoints")
    .option("--address <address>", "Only endpoints with this address")
    .option("--cluster <name>", "Only endpoints of this cluster")
    .option("--status <status>", "Only endpoints of this status: healthy or unhealthy");
  view("secret", "short", "Certificates", "secrets", "s");
  view("bootstrap", "json", "What the proxy was started with", "b");
  view("ecds", "short", "Extensions that the control plane sent apart from listeners", "ec");
  const all = view("all", "short", "Everything, part by part", "a").option(
    "--with-headers",
    "Print a heading over each table",
  );
  verbose(port(forRoutes(forClusters(forListeners(all))), "clusters, listeners and endpoints"));
  builder.on(
    examples(
      builder.add(proxy, "log", "Show or set log levels", "o")
        .argument("[pods...]", "Pods of waypoints or gateways; of a deployment, all of them")
        .option("-o, --output <format>", "short", "short")
        .option("--proxy-admin-port <port>", "Port of the proxy's admin interface", "15000")
        .option("-l, --selector <labels>", "Pods with these labels")
        .option("--level <levels>", "level, or scope:level,...")
        .option("-r, --reset", "Back to the level info"),
      "proxy-config log deploy/waypoint --level debug",
      "proxy-config log deploy/waypoint --level upstream:trace,info",
      "proxy-config log deploy/waypoint --reset",
    ),
    async (context, pods, flags) => (await import("./proxy_config.ts")).proxyLogCommand(context, pods, flags),
  );
  builder.on(
    examples(
      builder.add(proxy, "rootca-compare", "Say whether two pods trust the same root", "rc")
        .argument("[pods...]", "Two pods: waypoints, gateways, ztunnels, or pods in the mesh")
        .option("--proxy-admin-port <port>", "Port of the proxies' admin interface", "15000"),
      "proxy-config rootca-compare deploy/waypoint deploy/istio-ingressgateway.istio-system",
      "proxy-config rootca-compare deploy/sleep ztunnel-x7k2p.istio-system",
    ),
    async (context, pods, flags) => (await import("./rootca_compare.ts")).rootCaCompareCommand(context, pods, flags),
  );
}
