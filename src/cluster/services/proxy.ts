import { describeError, MeshError } from "../../core/errors.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { CLUSTER_NETWORK, type ClusterApi, type KubeObject } from "../contracts.ts";
import { run, tool } from "../runtime/host.ts";
import { renderRules } from "./nft.ts";
import { type HostPort, hostPorts, type ServicePort, serviceTable } from "./table.ts";

/** A network namespace that gets the rules. */
export interface ProxyPlace {
  name: string;
  /** A process in it; absent for the engine's own. */
  pid?: number;
  /** Source address for a pod that reaches itself through a Service. */
  gateway: string;
}

/** A change is applied after this long, so that changes that come together are one. */
const DEBOUNCE_MS = 20;
/** And at most this often, however many come. */
const MIN_INTERVAL_MS = 200;

type BuiltIn = Pick<
  ServicePort,
  "namespace" | "name" | "protocol" | "port" | "addresses" | "backends" | "affinity"
>;

/** Backends that are there before any Service object tells of them. */
export const BUILT_IN: BuiltIn[] = [
  ["tcp", 53] as const,
  ["udp", 53] as const,
].map(([protocol, port]) => ({
  ...{ namespace: "kube-system", name: "kube-dns", protocol, port, affinity: false },
  ...{ addresses: [CLUSTER_NETWORK.dnsServiceIp], backends: [{ ip: CLUSTER_NETWORK.fabricIp, port: 53 }] },
}));
BUILT_IN.push({
  ...{ namespace: "default", name: "kubernetes", protocol: "tcp", port: 443, affinity: false },
  ...{ addresses: [CLUSTER_NETWORK.apiServiceIp] },
  ...{ backends: [{ ip: CLUSTER_NETWORK.fabricIp, port: CLUSTER_NETWORK.apiPort }] },
});

/** A node's kubelet at the node's address; the engine answers in its place. */
export function kubeletEntry(index: number, nodeIp: string): BuiltIn {
  const { fabricIp, kubeletPort } = CLUSTER_NETWORK;
  return {
    ...{ namespace: "kube-system", name: `kubelet-${index}`, protocol: "tcp", port: kubeletPort, affinity: false },
    ...{ addresses: [nodeIp], backends: [{ ip: fabricIp, port: kubeletPort + index }] },
  };
}

/** Adds the built-in entries whose address and port no Service with backends has. */
export function withBuiltIn(table: ServicePort[], builtIn: readonly BuiltIn[] = BUILT_IN): ServicePort[] {
  const key = (one: ServicePort) => `${one.addresses[0]}/${one.protocol}/${one.port}`;
  const served = new Set(table.filter((one) => one.backends.length > 0).map(key));
  const missing = builtIn.filter((one) => !served.has(key(one)));
  const replaced = new Set(missing.map(key));
  return [...missing, ...table.filter((one) => !replaced.has(key(one)))];
}

/** Keeps the service rules of every node, and of the fabric, in step with Services and EndpointSlices. */
export class ServiceProxy {
  readonly #services = new Map<string, KubeObject>();
  readonly #slices = new Map<string, KubeObject>();
  /** Pods with host ports only. */
  readonly #pods = new Map<string, KubeObject>();
  readonly #places: ProxyPlace[];
  readonly #builtIn: readonly BuiltIn[];
  readonly #log: Logger;
  readonly #applied = new Map<string, string>();
  readonly #unwatch: (() => void)[];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(api: ClusterApi, places: ProxyPlace[], builtIn: readonly BuiltIn[], log: Logger) {
    this.#places = places;
    this.#builtIn = builtIn;
    this.#log = log;
    const keep = (store: Map<string, KubeObject>) => (type: string, object: KubeObject) => {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      if (type === "DELETED") store.delete(key);
      else store.set(key, object);
      this.#schedule();
    };
    this.#unwatch = [
      api.watch({ group: "", resource: "services" }, keep(this.#services)),
      api.watch({ group: "discovery.k8s.io", resource: "endpointslices" }, keep(this.#slices)),
      api.watch({ group: "", resource: "pods" }, (type, pod) => {
        if (hasHostPort(pod)) keep(this.#pods)(type, pod);
      }),
    ];
  }

  /** Applies the rules for the first time. @throws MeshError `service_rules` when nft refuses them */
  async start(): Promise<void> {
    await this.#apply(true);
  }

  #schedule(): void {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#cycle();
    }, DEBOUNCE_MS);
  }

  async #cycle(): Promise<void> {
    do {
      this.#again = false;
      await this.#apply(false);
      if (!this.#stopped) await new Promise((resolve) => setTimeout(resolve, MIN_INTERVAL_MS));
    } while (this.#again && !this.#stopped);
    this.#running = undefined;
  }

  async #apply(strict: boolean): Promise<void> {
    const table = withBuiltIn(serviceTable(this.#services.values(), this.#slices.values()), this.#builtIn);
    const ports: HostPort[] = hostPorts(this.#pods.values());
    await Promise.all(this.#places.map(async (place) => {
      const own = ports.filter(({ node }) => node === place.name);
      const script = renderRules(table, place.gateway, own, place.pid === undefined ? undefined : place.name);
      if (this.#applied.get(place.name) === script) return;
      try {
        await applyRules(place, script);
        this.#applied.set(place.name, script);
      } catch (error) {
        if (strict) throw error;
        if (!this.#stopped) {
          this.#log.error("cannot apply service rules", { place: place.name, error: describeError(error) });
        }
      }
    }));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const stop of this.#unwatch) stop();
    clearTimeout(this.#timer);
    await this.#running;
  }
}

function hasHostPort({ spec }: KubeObject): boolean {
  return (spec?.containers ?? []).some((container: any) => container.ports?.some((port: any) => port.hostPort));
}

async function applyRules({ name, pid }: ProxyPlace, script: string): Promise<void> {
  const enter = pid === undefined ? [] : [tool("nsenter"), "-t", String(pid), "-n"];
  const { code, stderr } = await run([...enter, tool("nft"), "-f", "-"], script);
  if (code !== 0) {
    throw new MeshError(
      "service_rules",
      `cannot apply the service rules in "${name}": ${stderr.trim().split("\n")[0]}`,
    );
  }
}
