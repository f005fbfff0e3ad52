// `GET /config_dump` of the L7 proxy: what it was told and what came of it, in a form of our own that `ctl proxy-config` reads. Private keys
// are never part of it.

import { VERSION } from "../../core/version.ts";
import type { ListenerSlot } from "../../http/exchange/mod.ts";
import type { Clusters, HostView } from "../../http/upstream/mod.ts";
import type { CertificateDump } from "../../identity/cache.ts";
import { certificateFacts } from "../../identity/certificate.ts";
import { certificatesOf } from "../../identity/pem.ts";
import type {
  Destination,
  L7Listener,
  L7Policy,
  L7Settings,
  ProxyResource,
  TlsSecret,
  VirtualHost,
} from "../../model/mod.ts";
import type { XdsNode } from "../../xds/client/mod.ts";
import type { WaypointConfig } from "./config.ts";
import { envoyConfigs } from "./envoy_dump.ts";

/** Tells this dump from Envoy's and ztunnel's. */
export const DUMP_KIND = "ambientd/proxy-dump/v1";

/** One certificate of a {@linkcode TlsSecret}. */
export interface CertificateView {
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

/** A {@linkcode TlsSecret} without what is secret. */
export interface SecretView {
  readonly kind: "secret";
  readonly name: string;
  readonly privateKey: "[redacted]" | "";
  readonly certChain: readonly CertificateView[];
  readonly ca: readonly CertificateView[];
}

/** An open port. */
export interface PortView {
  readonly address: string;
  readonly port: number;
  /** What is behind it: gateway listeners, or one of the proxy's own pages. */
  readonly use: "gateway" | "hbone" | "readiness" | "stats";
}

/** What `ctl proxy-config` reads. */
export interface ProxyDump {
  readonly kind: typeof DUMP_KIND;
  readonly version: { readonly version: string; readonly name: "ambientd" };
  readonly mode: "waypoint" | "router";
  readonly node: XdsNode;
  readonly bootstrap: Readonly<Record<string, unknown>>;
  readonly ports: readonly PortView[];
  readonly settings: L7Settings | null;
  readonly listeners: readonly L7Listener[];
  readonly virtualHosts: readonly VirtualHost[];
  readonly destinations: readonly Destination[];
  readonly policies: readonly L7Policy[];
  readonly secrets: readonly SecretView[];
  readonly endpoints: readonly HostView[];
  /** The proxy's own identity. */
  readonly certificates: readonly CertificateDump[];
  /** What of the configuration cannot be done as written, by listener. */
  readonly problems: Readonly<Record<string, readonly string[]>>;
  readonly lastUpdated: string | null;
  /** The same in Envoy's shape, for tools that read no other. */
  readonly configs: readonly unknown[];
}

export interface DumpSources {
  readonly config: WaypointConfig;
  readonly node: XdsNode;
  readonly ports: readonly PortView[];
  readonly resources: Iterable<ProxyResource>;
  readonly slots: Iterable<ListenerSlot>;
  readonly clusters: Clusters;
  readonly certificates: readonly CertificateDump[];
  /** Milliseconds since the epoch; 0 before anything was received. */
  readonly updatedAt: number;
}

const byName = (a: { name: string }, b: { name: string }) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

export function configDump(sources: DumpSources): ProxyDump {
  const { config, node, ports, clusters, certificates, updatedAt } = sources;
  const of = <K extends ProxyResource["kind"]>(kind: K) =>
    all.filter((resource): resource is Extract<ProxyResource, { kind: K }> => resource.kind === kind).sort(byName);
  const all = [...sources.resources];
  const listeners = of("listener"), virtualHosts = of("virtualHost"), destinations = of("destination");
  return {
    kind: DUMP_KIND,
    version: { version: VERSION, name: "ambientd" },
    mode: config.mode,
    node,
    // A token may be given as text.
    bootstrap: { ...config, token: /^[./]/.test(config.token) ? config.token : "[redacted]" },
    ports,
    settings: of("settings")[0] ?? null,
    listeners,
    virtualHosts,
    destinations,
    policies: of("policy"),
    secrets: of("secret").map(secretView),
    endpoints: clusters.view(),
    certificates,
    problems: Object.fromEntries(
      [...sources.slots].filter(({ current }) => current && current.problems.length > 0).map((
        { name, current },
      ) => [name, current!.problems]),
    ),
    lastUpdated: updatedAt === 0 ? null : new Date(updatedAt).toISOString(),
    configs: envoyConfigs({ node, listeners, virtualHosts, destinations }),
  };
}

function secretView({ name, certificateChain, privateKey, ca }: TlsSecret): SecretView {
  return {
    kind: "secret",
    name,
    privateKey: privateKey === "" ? "" : "[redacted]",
    certChain: certificateViews(certificateChain),
    ca: certificateViews(ca ?? ""),
  };
}

function certificateViews(pem: string): CertificateView[] {
  return certificatesOf(pem).flatMap((der) => {
    try {
      const { serial, notBefore, notAfter } = certificateFacts(der);
      return [{ serialNumber: serial, validFrom: notBefore.toISOString(), expirationTime: notAfter.toISOString() }];
    } catch {
      return [];
    }
  });
}
