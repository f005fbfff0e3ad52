import { describeError } from "../../core/errors.ts";
import type { PodInfo, SnapshotPod, ZdsServer } from "../../inpod/mod.ts";
import { inNetns, type Netns, openNetns } from "../../net/netns.ts";
import {
  applyRedirect,
  DEFAULT_REDIRECT,
  drainRedirect,
  type Firewall,
  type HostProbes,
  interfaceNames,
  type RedirectOptions,
  removeRedirect,
} from "../../redirect/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { CniConfig } from "./config.ts";
import { type AgentPod, podIps } from "./enablement.ts";

/** A pod whose traffic is redirected. */
export interface Captured {
  readonly uid: string;
  readonly info: PodInfo;
  /** Undefined when an agent before this one captured it and its processes are not to be found. */
  netns: Netns | undefined;
  ips: readonly string[];
  /** Whether a ztunnel has taken it over. */
  accepted: boolean;
}

export interface CaptureParts {
  readonly config: CniConfig;
  readonly firewall: Firewall;
  readonly probes: HostProbes | undefined;
  readonly logger: Logger;
  /** The ZDS server, once it listens. */
  readonly zds: () => ZdsServer | undefined;
}

/** How often it is looked whether a pod that has left still has proxied connections. */
const DRAIN_CHECK_MS = 5_000;
/** ztunnel's ports in a pod: a socket with one of them is a proxied connection. */
const PROXIED_PORTS = new Set([15001, 15006, 15008]);

/** How long peers may take to hear that a pod has left: until then ztunnel serves in it what they send by HBONE. */
const PEERS_HEAR_MS = 2_000;

/** A pod that has left. */
interface Draining {
  readonly netns: Netns;
  timer: ReturnType<typeof setTimeout>;
  /** Whether ztunnel knows it. */
  told: boolean;
}

/** The steps by which a pod joins and leaves; what to do when is the agent's decision. */
export class Captures {
  readonly #parts: CaptureParts;
  readonly #captured = new Map<string, Captured>();
  /** The last step of leaving, while it runs: a pod that joins again waits for it. */
  readonly #cleaning = new Map<string, Promise<void>>();
  /** Pods that have left, whose proxied connections live on. */
  readonly #draining = new Map<string, Draining>();

  constructor(parts: CaptureParts) {
    this.#parts = parts;
  }

  get(uid: string): Captured | undefined {
    return this.#captured.get(uid);
  }

  all(): Captured[] {
    return [...this.#captured.values()];
  }

  /** What a ztunnel that connects is told. */
  snapshot(): SnapshotPod[] {
    return this.all().map(({ uid, info, netns }) => ({ uid, info, netns: netns?.fd }));
  }

  /** A pod that an earlier agent captured; with `reconcile` its rules are written again. */
  async adopt(pod: AgentPod, netnsPath: string | undefined, reconcile: boolean): Promise<void> {
    const netns = netnsPath === undefined ? undefined : openNetns(netnsPath);
    const { uid } = pod.metadata;
    this.#captured.set(uid, { uid, info: infoOf(pod), netns, ips: podIps(pod), accepted: false });
    if (netns && reconcile) await this.#apply(pod, netns);
    await this.#probes(uid, podIps(pod));
  }

  /**
   * A pod that starts: rules first, then ztunnel, so that nothing ever leaves it unprotected.
   *
   * @param netnsPath where the pod's namespace is now; it is opened, and held while the pod is captured
   * @param ips as the network plugin says them, when the API does not know them yet
   * @returns whether ztunnel has taken the pod; when not, its rules are in place and `offer` is to be called again
   * @throws MeshError `redirect_failed`, `system`: nothing is left behind
   */
  async add(pod: AgentPod, netnsPath: string, ips: readonly string[] = podIps(pod)): Promise<boolean> {
    const captured = await this.#open(pod, netnsPath, ips);
    try {
      await this.#apply(pod, captured.netns!);
    } catch (thrown) {
      captured.netns!.close();
      throw thrown;
    }
    await this.#keep(captured);
    return await this.offer(captured);
  }

  /**
   * A pod that runs joins. Its connections were plain until now: it is ztunnel that goes first where there is one, so that the first
   * connection that is redirected finds it listening. Otherwise as {@linkcode add}.
   */
  async join(pod: AgentPod, netnsPath: string): Promise<boolean> {
    const captured = await this.#open(pod, netnsPath, podIps(pod)), { uid, netns } = captured;
    // Before it is offered: a ztunnel that connects meanwhile has to hear of it too.
    await this.#keep(captured);
    const offered = await this.offer(captured);
    try {
      await this.#apply(pod, netns!);
    } catch (thrown) {
      await this.forget(uid);
      throw thrown;
    }
    return offered || captured.accepted || await this.offer(captured);
  }

  async #open(pod: AgentPod, netnsPath: string, ips: readonly string[]): Promise<Captured> {
    const { uid } = pod.metadata, netns = openNetns(netnsPath);
    this.#stopDraining(uid)?.netns.close();
    await this.#cleaning.get(uid);
    return { uid, info: infoOf(pod), netns, ips, accepted: false };
  }

  async #keep(captured: Captured): Promise<void> {
    const { uid, ips } = captured, old = this.#captured.get(uid);
    this.#captured.set(uid, captured);
    old?.netns?.close();
    await this.#probes(uid, ips);
  }

  /** Hands a captured pod to ztunnel; false when there is none, or when it refused. */
  async offer(captured: Captured): Promise<boolean> {
    const { zds, logger } = this.#parts;
    const { uid, info, netns } = captured;
    const server = zds();
    // Without a ztunnel nothing is amiss: the snapshot that the next one is sent names this pod.
    if (!netns || !server || server.connections === 0) return false;
    try {
      await server.add({ uid, info, netns: netns.fd });
      captured.accepted = true;
    } catch (thrown) {
      captured.accepted = false;
      logger.warn("ztunnel has not taken a pod yet", {
        pod: `${info.namespace}/${info.name}`,
        error: describeError(thrown),
      });
    }
    return captured.accepted;
  }

  async setIps(captured: Captured, ips: readonly string[]): Promise<void> {
    captured.ips = ips;
    await this.#probes(captured.uid, ips);
  }

  /** The pod has ended: only ztunnel needs to know. */
  async forget(uid: string): Promise<void> {
    const captured = this.#captured.get(uid), draining = this.#stopDraining(uid);
    draining?.netns.close();
    if (!captured && draining?.told !== false) return;
    this.#captured.delete(uid);
    await this.#parts.probes?.remove(uid).catch((thrown) => this.#complain("remove a probe address", thrown));
    await this.#parts.zds()?.remove(uid);
    captured?.netns?.close();
  }

  /**
   * The pod leaves the mesh and runs on: new connections are plain at once, proxied ones live on until they end.
   *
   * @throws MeshError `redirect_failed`: the pod is still captured
   */
  async release(uid: string, netnsPath?: string): Promise<void> {
    const { probes, zds, firewall } = this.#parts;
    const captured = this.#captured.get(uid);
    const netns = captured?.netns ?? (netnsPath === undefined ? undefined : openNetns(netnsPath));
    await probes?.remove(uid).catch((thrown) => this.#complain("remove a probe address", thrown));
    if (netns) await drainRedirect(pathOf(netns), firewall);
    this.#captured.delete(uid);
    if (netns) this.#drain(uid, netns);
    else await zds()?.remove(uid);
  }

  /** Undoes everything in every pod: the mesh is being uninstalled. Failures are logged. */
  async removeAll(): Promise<string[]> {
    const { firewall, zds } = this.#parts;
    const removed: string[] = [];
    await Promise.all(
      this.all().map(async ({ uid, netns, info }) => {
        try {
          if (netns) await removeRedirect(pathOf(netns), firewall);
          await zds()?.remove(uid);
          removed.push(uid);
        } catch (thrown) {
          this.#complain(`remove the redirection of "${info.namespace}/${info.name}"`, thrown);
        }
      }),
    );
    for (const [uid, { netns, told }] of this.#draining) {
      await removeRedirect(pathOf(netns), firewall).catch((thrown) => this.#complain("remove redirection", thrown));
      if (!told) await zds()?.remove(uid);
    }
    return removed;
  }

  /** Lets go of every descriptor; what is in the pods stays. */
  async close(): Promise<void> {
    await Promise.all(this.#cleaning.values());
    for (const uid of [...this.#draining.keys()]) this.#stopDraining(uid)?.netns.close();
    for (const { netns } of this.#captured.values()) netns?.close();
    this.#captured.clear();
  }

  async #apply(pod: AgentPod, netns: Netns): Promise<void> {
    await applyRedirect(pathOf(netns), this.#parts.firewall, this.#options(pod));
  }

  /** The pod's own wishes, by annotation, on top of the agent's settings. */
  #options(pod: AgentPod): RedirectOptions {
    const { config, logger } = this.#parts;
    const annotations = pod.metadata.annotations ?? {};
    const name = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const flag = (key: string, fallback: boolean) => {
      const text = annotations[key];
      if (text === undefined) return fallback;
      if (/^(1|t|true)$/i.test(text)) return true;
      if (/^(0|f|false)$/i.test(text)) return false;
      logger.warn("cannot read an annotation as true or false", { pod: name, annotation: key, value: text });
      return fallback;
    };
    const interfaces = interfaceNames(annotations["istio.io/reroute-virtual-interfaces"]);
    if (interfaces.refused.length > 0) {
      logger.warn("these are not interface names", { pod: name, names: interfaces.refused });
    }
    return {
      ...DEFAULT_REDIRECT,
      dnsCapture: flag("ambient.istio.io/dns-capture", config.dnsCapture),
      ingressMode: flag("ambient.istio.io/bypass-inbound-capture", false),
      ipv6: config.ipv6,
      virtualInterfaces: interfaces.names,
      probeAddressV4: config.probeIpv4,
      probeAddressV6: config.probeIpv6,
    };
  }

  async #probes(uid: string, ips: readonly string[]): Promise<void> {
    await this.#parts.probes?.add(uid, ips).catch((thrown) => this.#complain("add a probe address", thrown));
  }

  #drain(uid: string, netns: Netns): void {
    this.#stopDraining(uid)?.netns.close();
    const entry: Draining = { netns, told: false, timer: setTimeout(() => tell(), PEERS_HEAR_MS) };
    const tell = () => {
      entry.told = true;
      void this.#parts.zds()?.remove(uid);
      // ztunnel closes its listeners right after the removal; a first look may come soon.
      entry.timer = setTimeout(check, 1000);
    };
    const check = () => {
      if (hasProxiedSockets(netns)) {
        entry.timer = setTimeout(check, DRAIN_CHECK_MS);
        return;
      }
      this.#draining.delete(uid);
      const cleaning = removeRedirect(pathOf(netns), this.#parts.firewall)
        .catch((thrown) => this.#complain("clean up a pod that has left", thrown))
        .finally(() => {
          netns.close();
          this.#cleaning.delete(uid);
        });
      this.#cleaning.set(uid, cleaning);
    };
    this.#draining.set(uid, entry);
  }

  /** A pod that was draining, whose namespace the caller closes or keeps. */
  #stopDraining(uid: string): Draining | undefined {
    const entry = this.#draining.get(uid);
    if (!entry) return undefined;
    clearTimeout(entry.timer);
    this.#draining.delete(uid);
    return entry;
  }

  #complain(what: string, thrown: unknown): void {
    this.#parts.logger.warn(`cannot ${what}`, { error: describeError(thrown) });
  }
}

function infoOf(pod: AgentPod): PodInfo {
  const { name, namespace } = pod.metadata;
  return { name, namespace, serviceAccount: pod.spec.serviceAccountName || "default" };
}

/** A path to an open namespace that child processes can open too. */
function pathOf(netns: Netns): string {
  return `/proc/${Deno.pid}/fd/${netns.fd}`;
}

/** Whether any connection of ztunnel's is left in the namespace, as its own tables say. */
export function hasProxiedSockets(netns: Netns): boolean {
  try {
    const tables = inNetns(netns, () =>
      ["tcp", "tcp6"].map((name) => {
        try {
          return Deno.readTextFileSync(`/proc/thread-self/net/${name}`);
        } catch {
          return "";
        }
      }));
    return tables.some((table) => table.split("\n").slice(1).some(isProxied));
  } catch {
    return false;
  }
}

const ESTABLISHED = "01", TIME_WAIT = "06", LISTEN = "0A";

/** One line of /proc/net/tcp: `sl local remote state …`, addresses as hex with the port after the colon. */
function isProxied(line: string): boolean {
  const [, local, remote, state] = line.trim().split(/\s+/);
  if (state === undefined || state === LISTEN || state === TIME_WAIT) return false;
  const port = (address: string) => parseInt(address.slice(address.lastIndexOf(":") + 1), 16);
  return PROXIED_PORTS.has(port(local)) || (state === ESTABLISHED && port(remote) === 15008);
}
