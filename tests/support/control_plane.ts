// istiod reduced to what proxies need: xDS and the CA on one TLS port, with node authorization, for tests that run real
// ztunnels and waypoints.

import { tokenAuthenticator } from "../../src/identity/authenticate.ts";
import type { CertificateAuthority } from "../../src/identity/authority.ts";
import { addCaService } from "../../src/identity/ca_service.ts";
import { closeGrpc, listenGrpc, newGrpcServer } from "../../src/identity/grpc.ts";
import type { PodFacts } from "../../src/identity/node_authorization.ts";
import type { AuthorizationPolicy, ProxyResource, Service, Workload } from "../../src/model/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import {
  AddressStore,
  addXdsService,
  authorizationResource,
  authorizationStore,
  DiscoveryServer,
  ProxyResourceSource,
  serviceResource,
  workloadResource,
} from "../../src/xds/server/mod.ts";
import { grpcTimersFired, reviewed, tableReviewer, testCa } from "../identity/support.ts";

/** The host name that the server's certificate carries. */
export const ISTIOD_HOST = "istiod.istio-system.svc";

export class TestControlPlane {
  readonly lines: string[] = [];
  readonly #logger = new Logger("istiod", { sink: { write: (line) => this.lines.push(line) } });
  readonly #addresses = new AddressStore();
  readonly #policies = authorizationStore();
  #config: readonly ProxyResource[] = [];
  /** Every L7 proxy gets the same. */
  readonly #proxies = new ProxyResourceSource({ groupOf: () => "all", configOf: () => this.#config });
  readonly #pods: PodFacts[] = [];
  readonly #discovery: DiscoveryServer;
  readonly #server = newGrpcServer();
  readonly dir: string;
  readonly ca: CertificateAuthority;
  port = 0;

  private constructor(ca: CertificateAuthority, dir: string) {
    this.ca = ca;
    this.dir = dir;
    this.#discovery = new DiscoveryServer({ logger: this.#logger, debounce: { quietMs: 5, maxMs: 100 } });
    this.#discovery.register(this.#addresses);
    this.#discovery.register(this.#policies);
    this.#discovery.register(this.#proxies);
  }

  /** @param nodes of each a ztunnel may connect, with the token of its node */
  static async start(nodes: readonly string[], address = "127.0.0.1"): Promise<TestControlPlane> {
    const plane = new TestControlPlane(await testCa(), await Deno.makeTempDir({ prefix: "ambientd-plane-" }));
    const tokens = Object.fromEntries(nodes.map((node) => [
      `token.${node}.x`,
      reviewed("istio-system", "ztunnel", `ztunnel-${node}`, `uid-ztunnel-${node}`),
    ]));
    for (const nodeName of nodes) {
      plane.#pods.push({
        namespace: "istio-system",
        name: `ztunnel-${nodeName}`,
        uid: `uid-ztunnel-${nodeName}`,
        serviceAccount: "ztunnel",
        nodeName,
        phase: "Running",
      });
      await Deno.writeTextFile(`${plane.dir}/token-${nodeName}`, `token.${nodeName}.x`);
    }
    tokens["token.proxy.x"] = reviewed("default", "waypoint", "waypoint-1", "uid-waypoint-1");
    await Deno.writeTextFile(`${plane.dir}/token-proxy`, "token.proxy.x");
    await Deno.writeTextFile(`${plane.dir}/root.pem`, plane.ca.rootPem);
    const authenticators = [tokenAuthenticator({
      reviewerOf: () => tableReviewer(tokens),
      audiences: ["istio-ca"],
      trustDomain: () => "cluster.local",
    })];
    const logger = plane.#logger;
    addXdsService(plane.#server, { discovery: plane.#discovery, logger, authenticators });
    addCaService(plane.#server, {
      authority: plane.ca,
      authenticators,
      trustedNodeAccounts: new Set(["istio-system/ztunnel"]),
      podsOf: () => ({
        pod: (namespace, name) => plane.#pods.find((pod) => pod.namespace === namespace && pod.name === name),
        podsOfServiceAccount: (namespace, account) =>
          plane.#pods.filter((pod) => pod.namespace === namespace && pod.serviceAccount === account),
      }),
      logger,
    });
    const serving = await plane.ca.servingCertificate([{ dns: ISTIOD_HOST }, { ip: address }], 3600_000, {
      kind: "EC",
      curve: "P-256",
    });
    plane.port = await listenGrpc(plane.#server, `${address}:0`, { ...serving, clientRootsPem: plane.ca.rootPem });
    return plane;
  }

  /** The environment of a ztunnel on a node; its own servers take free ports. */
  env(node: string, zdsPath: string, address = "127.0.0.1"): Record<string, string> {
    const url = `https://${address}:${this.port}`;
    return {
      XDS_ADDRESS: url,
      CA_ADDRESS: url,
      ALT_XDS_HOSTNAME: ISTIOD_HOST,
      ALT_CA_HOSTNAME: ISTIOD_HOST,
      XDS_ROOT_CA: `${this.dir}/root.pem`,
      CA_ROOT_CA: `${this.dir}/root.pem`,
      AUTH_TOKEN: `${this.dir}/token-${node}`,
      ZTUNNEL_UDS_ADDRESS: zdsPath,
      INPOD_UDS: zdsPath,
      POD_NAME: `ztunnel-${node}`,
      POD_NAMESPACE: "istio-system",
      NODE_NAME: node,
      ADMIN_ADDR: "127.0.0.1:0",
      STATS_ADDR: "127.0.0.1:0",
      READINESS_ADDR: "127.0.0.1:0",
    };
  }

  /** The environment of the L7 proxy `default/waypoint-1`; everything that it listens on takes free ports of loopback. */
  proxyEnv(): Record<string, string> {
    const { ZTUNNEL_UDS_ADDRESS: _1, INPOD_UDS: _2, CA_ADDRESS: address, ...env } = this.env("proxy", "");
    return {
      ...env,
      CA_ADDR: address,
      POD_NAME: "waypoint-1",
      POD_NAMESPACE: "default",
      SERVICE_ACCOUNT: "waypoint",
      INSTANCE_IP: "127.0.0.1",
      PROXY_STATS_ADDR: "127.0.0.1:0",
      HBONE_ADDR: "127.0.0.1:0",
      GATEWAY_BIND: "127.0.0.1",
    };
  }

  /** What L7 proxies are told. */
  configure(config: readonly ProxyResource[]): void {
    this.#config = config;
    this.#proxies.refresh();
  }

  workloads(...all: Workload[]): void {
    for (const one of all) {
      this.#pods.push({
        namespace: one.namespace,
        name: one.name,
        uid: `uid-${one.name}`,
        serviceAccount: one.serviceAccount,
        nodeName: one.node,
        phase: "Running",
      });
    }
    this.#addresses.apply(all.map(workloadResource));
  }

  services(...all: Service[]): void {
    this.#addresses.apply(all.map(serviceResource));
  }

  policies(...all: AuthorizationPolicy[]): void {
    this.#policies.apply(all.map(authorizationResource));
  }

  removePolicies(...keys: string[]): void {
    this.#policies.apply([], keys);
  }

  async close(): Promise<void> {
    this.#discovery.close();
    await closeGrpc(this.#server, 500);
    await grpcTimersFired();
    await Deno.remove(this.dir, { recursive: true });
  }
}
