import { type ConfigOf, setting } from "../core/config.ts";

/** Settings of the proxying itself, with ztunnel's names. */
export const PROXY_SETTINGS = {
  network: setting("NETWORK", "string", "", "The network under which addresses are looked up"),
  clusterDomain: setting("CLUSTER_DOMAIN", "string", "cluster.local", "Suffix of Service host names"),
  localNode: setting("NODE_NAME", "string", "", "The node whose workloads' certificates are fetched ahead"),
  packetMark: setting("PACKET_MARK", "integer", 0, "SO_MARK of proxy sockets; 0: 1337 in pods' namespaces, else none"),
  ipv6: setting("IPV6_ENABLED", "boolean", true, "Listen on IPv6 as well"),
  portReuse: setting("INPOD_PORT_REUSE", "boolean", true, "SO_REUSEPORT, so that two ztunnels can serve a pod at once"),
  originalSource: setting(
    "ENABLE_ORIG_SRC",
    "string",
    "",
    "Keep the client's address towards the application: true insists, false does not, empty does where it can",
  ),
  localhostAppTunnel: setting(
    "LOCALHOST_APP_TUNNEL",
    "boolean",
    true,
    "PROXY-protocol tunnels are reached on loopback",
  ),
  responseBaggage: setting("ENABLE_RESPONSE_BAGGAGE", "boolean", true, "Describe the destination in the 200"),
  policyInfoLogging: setting("AUTHZ_POLICY_INFO_LOGGING", "boolean", false, "Log authorization decisions at INFO"),
  keepaliveEnabled: setting("KEEPALIVE_ENABLED", "boolean", true, "TCP keepalive on sockets other than 15008"),
  keepaliveTimeMs: setting("KEEPALIVE_TIME", "duration", 180_000, "Idle time before the first probe"),
  keepaliveIntervalMs: setting("KEEPALIVE_INTERVAL", "duration", 180_000, "Time between probes"),
  keepaliveRetries: setting("KEEPALIVE_RETRIES", "integer", 9, "Probes unanswered before a connection is given up"),
  userTimeoutEnabled: setting("USER_TIMEOUT_ENABLED", "boolean", false, "Set TCP_USER_TIMEOUT to the same patience"),
  poolUnusedReleaseMs: setting("POOL_UNUSED_RELEASE_TIMEOUT", "duration", 300_000, "Idle HBONE connections are let go"),
  poolMaxStreams: setting("POOL_MAX_STREAMS_PER_CONNECTION", "integer", 100, "Streams on one HBONE connection"),
};

export type ProxyConfig = ConfigOf<typeof PROXY_SETTINGS>;

/** ztunnel's own ports in a pod: never dialled on behalf of anybody. */
export const OWN_PORTS: ReadonlySet<number> = new Set([15001, 15006, 15008]);

/** SO_MARK of every socket in a pod's namespace: this packet belongs to ztunnel, do not capture it. */
export const DEFAULT_MARK = 0x539;

export const OUTBOUND_PORT = 15001;
export const PASSTHROUGH_PORT = 15006;

/** How long a connection waits for its pod to appear in xDS. */
export const WORKLOAD_WAIT_MS = 5_000;
/** How long dialling may take. */
export const CONNECT_TIMEOUT_MS = 10_000;
