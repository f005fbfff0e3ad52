import { Backoff, sleep } from "../../core/backoff.ts";
import { describeError } from "../../core/errors.ts";
import { Readiness } from "../../core/readiness.ts";
import { selfCommand } from "../../core/self.ts";
import { VERSION } from "../../core/version.ts";
import type { KubeClient } from "../../kube/mod.ts";
import { detectFirewall, HostProbes } from "../../redirect/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Registry } from "../../telemetry/metrics.ts";
import { addProcessMetrics } from "../../telemetry/process_metrics.ts";
import { type Served, serveHttp, statsHandler, textResponse } from "../../telemetry/serve.ts";
import { CniAgent } from "./agent.ts";
import { Cluster } from "./cluster.ts";
import type { CniConfig } from "./config.ts";
import { parseSelectors } from "./enablement.ts";
import { type InstallOptions, installPlugin, uninstallPlugin } from "./install.ts";
import { findKubelet } from "./kubelet.ts";
import { NetnsFinder } from "./netns_finder.ts";
import { servePlugin } from "./plugin_server.ts";

/** How often the installed files are compared with what they should be. */
const INSTALL_CHECK_MS = 10_000;

export interface CniAppOptions {
  readonly config: CniConfig;
  readonly client: KubeClient;
  readonly logger: Logger;
  /** The environment that the plugin needs to start this executable on the node. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface CniApp {
  readonly readiness: Readiness;
  readonly agent: CniAgent;
  /** Stops; on a real uninstall takes every pod out of the mesh and the plugin off the node first. */
  shutdown(): Promise<void>;
}

/** Starts the agent; resolves when it serves ztunnel. */
export async function startCni({ config, client, logger, environment }: CniAppOptions): Promise<CniApp> {
  const readiness = new Readiness(), registry = new Registry();
  const stop = new AbortController(), servers: Served[] = [];
  const informed = readiness.register("informers"), installed = readiness.register("plugin installation");
  registry.gauge("istio_build", "Istio component build info", ["component", "tag"]).with("cni", VERSION).set(1);
  addProcessMetrics(registry);
  const installReady = registry.gauge("istio_cni_install_ready", "Whether the CNI plugin is installed").with();
  const installs = registry.counter("istio_cni_installs_total", "The total number of installations", ["result"]);
  const requests = registry.counter("istio_cni_plugin_requests_total", "Requests of the CNI plugin", ["result"]);
  servers.push(
    serveHttp(`[::]:${config.monitoringPort}`, statsHandler(registry)),
    serveHttp(`[::]:${config.healthPort}`, (request) => health(request, readiness)),
  );

  const selectors = parseSelectors(config.enablementSelector);
  const firewall = await detectFirewall(config.nativeNftables ? "nft" : config.forceIptables === "" ? "" : "iptables");
  const probes = await hostProbes(config, firewall === "nftables", logger);
  const cluster = new Cluster(client, config.nodeName, logger.child("kube"));
  const finder = new NetnsFinder(config.hostProc);
  const agent = new CniAgent({
    config,
    firewall,
    probes,
    enablement: { selectors, excludeNamespaces: config.excludeNamespaces },
    cluster,
    finder,
    logger: logger.child("ambient"),
    registry,
  });
  logger.info("starting", { version: VERSION, node: config.nodeName, firewall });

  await cluster.start();
  await Deno.mkdir(config.runDir, { recursive: true });
  await Deno.mkdir(config.zdsPath.slice(0, config.zdsPath.lastIndexOf("/")), { recursive: true });
  await agent.start();
  cluster.watch((key) => agent.podChanged(key), (name) => agent.namespaceChanged(name));
  informed();
  const plugin = servePlugin(
    `${config.runDir}/pluginevent.sock`,
    {
      pod: (namespace, name, fresh) =>
        fresh ? cluster.fetch(namespace, name) : Promise.resolve(cluster.pod(`${namespace}/${name}`)),
      add: (pod, path, ips) => agent.pluginAdd(pod, path, ips),
      hostPath: (path) => onHost(path, config),
      findNetns: async (uid) => (await finder.find(uid)).path,
      excludeNamespaces: config.excludeNamespaces,
    },
    logger.child("plugin"),
    requests,
  );

  const install: InstallOptions = {
    config,
    selectors,
    command: Deno.build.standalone ? { executable: Deno.execPath() } : selfCommand(["cni"]),
    environment,
    credentials: async () => {
      const { server, caPem = "", token = "" } = client.target;
      return { server, caPem, token: typeof token === "string" ? token : await token() };
    },
  };
  const installing = keepInstalled();

  async function keepInstalled(): Promise<void> {
    const backoff = new Backoff({ initialMs: 200, maxMs: 5000 });
    while (!stop.signal.aborted) {
      let wait = INSTALL_CHECK_MS;
      try {
        const written = await installPlugin(install);
        if (written > 0) {
          installs.with("SUCCESS").inc();
          logger.info("installed the CNI plugin", { files: written, folder: config.confDir });
        }
        installReady.set(1);
        installed();
        backoff.reset();
      } catch (thrown) {
        wait = backoff.next();
        installReady.set(0);
        readiness.set("plugin installation", false);
        installs.with("FAILURE").inc();
        logger.warn("cannot install the CNI plugin yet", { error: describeError(thrown), retryMs: wait });
      }
      await sleep(wait, stop.signal);
    }
  }

  return {
    readiness,
    agent,
    shutdown: async () => {
      stop.abort();
      await installing;
      const gone = await cluster.isUninstalled(config.podNamespace, config.podName);
      if (gone) {
        logger.info("the agent is being uninstalled: taking its pods out of the mesh");
        await uninstallPlugin(config);
        await agent.unenrolAll();
        await probes?.uninstall().catch((thrown) =>
          logger.warn("cannot remove host rules", { error: describeError(thrown) })
        );
      }
      await plugin.close();
      await agent.stop();
      await cluster.stop();
      await Promise.all(servers.map((server) => server.close()));
      client.close();
    },
  };
}

/** Paths that the plugin names are the node's; here the node's folders are mounted elsewhere. */
function onHost(path: string, config: CniConfig): string {
  const netns = /^(?:\/var)?\/run\/netns\/([^/]+)$/.exec(path);
  if (netns) return `${config.hostNetnsDir}/${netns[1]}`;
  return path.startsWith("/proc/") ? config.hostProc + path.slice("/proc".length) : path;
}

function health(request: Request, readiness: Readiness): Response {
  switch (new URL(request.url).pathname) {
    case "/healthz":
      return textResponse("ok\n");
    case "/readyz":
      return readiness.ready
        ? textResponse("ok\n")
        : textResponse(`not ready: ${readiness.pending().join(", ")}\n`, 503);
    default:
      return textResponse("not found\n", 404);
  }
}

/** The rules that give kubelet probes their source address, where there is a kubelet. */
async function hostProbes(config: CniConfig, nft: boolean, logger: Logger): Promise<HostProbes | undefined> {
  const kubelet = await findKubelet(config.hostProc);
  if (!kubelet) {
    logger.info("no kubelet among this node's processes: its probes are expected from the probe address", {
      address: config.probeIpv4,
    });
    return undefined;
  }
  if (!nft) {
    logger.warn("kubelet probes are not exempted: that needs nft on the node");
    return undefined;
  }
  const probes = new HostProbes(kubelet.netns, {
    uid: kubelet.uid,
    probeAddressV4: config.probeIpv4,
    probeAddressV6: config.probeIpv6,
  });
  await probes.install();
  return probes;
}
