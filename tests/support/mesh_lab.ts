// A mesh without Kubernetes for tests: pods in namespaces of their own, "nodes" that each run the real node proxy in this
// process, one test CA, and xDS by method call.

import { readConfig } from "../../src/core/config.ts";
import type { CertificateAuthority } from "../../src/identity/authority.ts";
import type { WorkloadCertificate } from "../../src/identity/types.ts";
import { duplicate } from "../../src/inpod/descriptor.ts";
import {
  type AuthorizationPolicy,
  policyKey,
  type Service,
  type SpiffeId,
  type Workload,
} from "../../src/model/mod.ts";
import { Reactor } from "../../src/net/mod.ts";
import {
  ConnectionManager,
  DnsMetrics,
  MeshState,
  NodeProxy,
  PROXY_SETTINGS,
  type Shared,
  TrafficMetrics,
} from "../../src/proxy/mod.ts";
import { applyRedirect, DEFAULT_REDIRECT, drainRedirect } from "../../src/redirect/mod.ts";
import { Logger, LogLevels } from "../../src/telemetry/logger.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import { issueWorkload, testCa } from "../identity/support.ts";
import { workload } from "./model.ts";
import { type LabPod, NetLab } from "./netns.ts";
import { dial, EchoServer, type TestConnection } from "./tcp.ts";

/** Certificates straight from a CA in this process. */
class DirectCertificates {
  readonly #ca: CertificateAuthority;
  readonly #held = new Map<SpiffeId, WorkloadCertificate>();
  constructor(ca: CertificateAuthority) {
    this.#ca = ca;
  }
  current(id: SpiffeId): WorkloadCertificate | undefined {
    return this.#held.get(id);
  }
  async get(id: SpiffeId): Promise<WorkloadCertificate> {
    const certificate = await issueWorkload(this.#ca, id);
    this.#held.set(id, certificate);
    return certificate;
  }
}

export interface LabNode {
  readonly name: string;
  readonly state: MeshState;
  readonly connections: ConnectionManager;
  readonly proxy: NodeProxy;
  readonly dns: boolean;
  readonly registry: Registry;
  /** Lines of scope `access`, without their time. */
  readonly access: string[];
  /** Lines of every other scope. */
  readonly log: string[];
}

export interface MeshPod extends LabPod {
  readonly uid: string;
  readonly node: LabNode;
  readonly workload: Workload;
}

export class MeshLab {
  readonly reactor: Reactor = new Reactor();
  readonly net: NetLab;
  readonly #ca: CertificateAuthority;
  readonly nodes: LabNode[] = [];
  readonly #servers: EchoServer[] = [];
  readonly #connections: TestConnection[] = [];
  readonly #resources: { workloads: Workload[]; services: Service[]; policies: AuthorizationPolicy[] } = {
    workloads: [],
    services: [],
    policies: [],
  };

  private constructor(net: NetLab, ca: CertificateAuthority) {
    this.net = net;
    this.#ca = ca;
    this.reactor.start();
  }

  static async run(test: (lab: MeshLab) => Promise<void>): Promise<void> {
    const lab = new MeshLab(await NetLab.create(), await testCa());
    try {
      await test(lab);
    } catch (thrown) {
      for (const node of lab.nodes) console.error(`--- ${node.name}\n${[...node.access, ...node.log].join("\n")}`);
      throw thrown;
    } finally {
      await lab.#close();
    }
  }

  /**
   * @param ca another CA than the lab's
   * @param dnsServers name servers behind the DNS proxy; undefined for no DNS capture
   */
  node(name: string, ca: CertificateAuthority = this.#ca, dnsServers?: readonly string[]): LabNode {
    const access: string[] = [], log: string[] = [];
    const sink = {
      write: (line: string) => {
        const rest = line.slice(line.indexOf("\t") + 1);
        (rest.split("\t")[1] === "access" ? access : log).push(rest);
      },
    };
    const logger = new Logger("proxy", { levels: new LogLevels("debug"), sink });
    logger.levels.apply("access=info");
    const state = new MeshState(), registry = new Registry();
    const connections = new ConnectionManager(state, logger.child("policy"));
    const shared: Shared = {
      reactor: this.reactor,
      state,
      certificates: new DirectCertificates(ca),
      connections,
      metrics: new TrafficMetrics(registry),
      access: logger.child("access"),
      logger,
      config: readConfig(PROXY_SETTINGS, () => undefined),
      dns: dnsServers && {
        metrics: new DnsMetrics(registry),
        clusterDomain: "cluster.local",
        preferredNamespace: "",
        servers: () => dnsServers,
      },
      random: Math.random,
      resolve: () => Promise.resolve([]),
    };
    const node: LabNode = {
      name,
      state,
      connections,
      registry,
      access,
      log,
      proxy: new NodeProxy(shared, registry, () => {}),
      dns: dnsServers !== undefined,
    };
    for (const one of this.#resources.workloads) state.upsertWorkload(one);
    for (const one of this.#resources.services) state.upsertService(one);
    for (const one of this.#resources.policies) state.policies.upsert(one);
    this.nodes.push(node);
    return node;
  }

  /** A pod known to xDS; captured unless told otherwise. */
  async pod(name: string, node: LabNode, extra: Partial<Workload> & { captured?: boolean } = {}): Promise<MeshPod> {
    const { captured = true, ...fields } = extra;
    const bare = await this.net.pod(name);
    const known = workload(name, bare.ip, {
      addresses: [bare.ip, bare.ip6],
      serviceAccount: name,
      node: node.name,
      tunnelProtocol: captured ? "HBONE" : "NONE",
      ...fields,
    });
    const pod: MeshPod = Object.assign(bare, { uid: `uid-${name}`, node, workload: known });
    this.workloads(known);
    if (captured) await this.capture(pod);
    return pod;
  }

  async capture(pod: MeshPod): Promise<void> {
    await applyRedirect(pod.path, "nftables", { ...DEFAULT_REDIRECT, dnsCapture: pod.node.dns });
    await this.hand(pod);
  }

  /** What the agent's ZDS Add does. */
  async hand(pod: MeshPod, to: LabNode = pod.node): Promise<void> {
    const { name, namespace, serviceAccount } = pod.workload;
    await to.proxy.add(pod.uid, { name, namespace, serviceAccount }, duplicate(pod.netns.fd));
  }

  async release(pod: MeshPod): Promise<void> {
    await drainRedirect(pod.path, "nftables");
    pod.node.proxy.remove(pod.uid);
    this.workloads({ ...pod.workload, tunnelProtocol: "NONE" });
  }

  workloads(...all: Workload[]): void {
    for (const one of all) {
      this.#resources.workloads = [...this.#resources.workloads.filter((other) => other.uid !== one.uid), one];
      for (const node of this.nodes) node.state.upsertWorkload(one);
    }
    for (const node of this.nodes) node.state.changed();
  }

  services(...all: Service[]): void {
    this.#resources.services.push(...all);
    for (const node of this.nodes) for (const one of all) node.state.upsertService(one);
  }

  policy(policy: AuthorizationPolicy): void {
    this.#resources.policies.push(policy);
    for (const node of this.nodes) {
      node.state.policies.upsert(policy);
      node.connections.reevaluate();
    }
  }

  removePolicy(policy: AuthorizationPolicy): void {
    this.#resources.policies = this.#resources.policies.filter((one) => one !== policy);
    for (const node of this.nodes) {
      node.state.policies.remove(policyKey(policy));
      node.connections.reevaluate();
    }
  }

  serve(pod: LabPod, port: number, name: string = pod.name): EchoServer {
    const server = new EchoServer(this.reactor, pod.netns, port, name);
    this.#servers.push(server);
    return server;
  }

  async dial(from: LabPod, address: string, port: number): Promise<TestConnection> {
    const connection = await dial(this.reactor, from.netns, address, port);
    this.#connections.push(connection);
    return connection;
  }

  /** Dials and waits for the greeting. */
  async greet(from: LabPod, address: string, port: number): Promise<TestConnection> {
    const connection = await this.dial(from, address, port);
    await connection.until((c) => c.received !== "" || c.state !== "open");
    return connection;
  }

  async #close(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    for (const server of this.#servers) server.close();
    for (const node of this.nodes) {
      const left = node.proxy.leave();
      node.proxy.abort("the test has ended");
      await left;
    }
    await this.reactor.stop();
    this.net.close();
  }
}
