/** Source address of kubelet probes after the host's SNAT: they reach the application without the mesh. */
export const PROBE_ADDRESS_V4 = "169.254.7.127";
export const PROBE_ADDRESS_V6 = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";

/** What differs from pod to pod in its rules. Ports, marks and their order are Istio's. */
export interface RedirectOptions {
  /** Capture DNS (UDP and TCP port 53). */
  readonly dnsCapture: boolean;
  /** Leave inbound connections alone (`ambient.istio.io/bypass-inbound-capture`). */
  readonly ingressMode: boolean;
  readonly ipv6: boolean;
  /** TCP that arrives on these interfaces counts as outbound (`istio.io/reroute-virtual-interfaces`). */
  readonly virtualInterfaces: readonly string[];
  readonly probeAddressV4: string;
  readonly probeAddressV6: string;
}

export const DEFAULT_REDIRECT: RedirectOptions = Object.freeze({
  dnsCapture: true,
  ingressMode: false,
  ipv6: true,
  virtualInterfaces: [],
  probeAddressV4: PROBE_ADDRESS_V4,
  probeAddressV6: PROBE_ADDRESS_V6,
});

/** Numbers shared by both firewalls. A packet marked 0x539 belongs to ztunnel, a connection marked 0x111 to its dialling. */
export const MARK = 0x539;
export const CONNMARK = 0x111;
export const MARK_MASK = 0xfff;
export const ROUTE_TABLE = 100;
export const RULE_PRIORITY = 32764;

const INTERFACE = /^[A-Za-z0-9_.@-]{1,15}$/;

/** Names that can stand in a rule as they are: what an annotation says never reaches a firewall unchecked. */
export function interfaceNames(annotation: string | undefined): { names: string[]; refused: string[] } {
  const all = (annotation ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
  return { names: all.filter((name) => INTERFACE.test(name)), refused: all.filter((name) => !INTERFACE.test(name)) };
}
