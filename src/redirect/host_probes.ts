// The host's part for kubelet probes (shared/reference/cni-and-redirection.md §5): connections that the kubelet opens
// to captured pods get the probe address as their source, which the pods' rules let through. The nftables form.

import { parseIp } from "../core/ip.ts";
import { MeshError } from "../core/errors.ts";
import { PROBE_ADDRESS_V4, PROBE_ADDRESS_V6 } from "./options.ts";

const TABLE = "istio-ambient-nat";
const SETS = { 4: "istio-inpod-probes-v4", 6: "istio-inpod-probes-v6" } as const;

export interface HostProbeOptions {
  /** User id of the kubelet. */
  readonly uid: number;
  readonly probeAddressV4?: string;
  readonly probeAddressV6?: string;
}

/** Sets up (or replaces) table, sets and SNAT rules; addresses in the sets are those given, with their pods' UIDs. */
export function renderHostProbes(options: HostProbeOptions, members: ReadonlyMap<string, string>): string {
  const v4 = options.probeAddressV4 ?? PROBE_ADDRESS_V4, v6 = options.probeAddressV6 ?? PROBE_ADDRESS_V6;
  const set = (family: 4 | 6) => {
    const type = family === 4 ? "ipv4_addr" : "ipv6_addr";
    const own = [...members].filter(([ip]) => parseIp(ip)?.family === family);
    const elements = own.map(([ip, uid]) => `${ip} comment "${uid}"`);
    const body = elements.length > 0 ? `    elements = { ${elements.join(", ")} }\n` : "";
    return `  set ${SETS[family]} {\n    type ${type}\n${body}  }\n`;
  };
  return `${renderHostProbesRemoval()}table inet ${TABLE} {
${set(4)}${set(6)}  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    meta l4proto tcp meta skuid ${options.uid} ip daddr @${SETS[4]} snat ip to ${v4}
    meta l4proto tcp meta skuid ${options.uid} ip6 daddr @${SETS[6]} snat ip6 to ${v6}
  }
}
`;
}

export function renderHostProbesRemoval(): string {
  return `table inet ${TABLE} {}\ndelete table inet ${TABLE}\n`;
}

/** One element more (or, with another UID, a new owner of the address). */
export function renderProbeUpsert(ip: string, uid: string): string {
  const set = SETS[parseIp(ip)?.family ?? 4];
  // An add of what is there would keep the old comment.
  return `add element inet ${TABLE} ${set} { ${ip} }\ndelete element inet ${TABLE} ${set} { ${ip} }\n` +
    `add element inet ${TABLE} ${set} { ${ip} comment "${uid}" }\n`;
}

export function renderProbeRemoval(ip: string): string {
  const set = SETS[parseIp(ip)?.family ?? 4];
  return `add element inet ${TABLE} ${set} { ${ip} }\ndelete element inet ${TABLE} ${set} { ${ip} }\n`;
}

/** Which pod's probes each address belongs to, kept in step with the host's set. */
export class HostProbes {
  readonly #members = new Map<string, string>();
  readonly #netns: string;
  readonly #options: HostProbeOptions;
  #installed = false;
  #tail: Promise<void> = Promise.resolve();

  /** @param netns path of the kubelet's network namespace */
  constructor(netns: string, options: HostProbeOptions) {
    this.#netns = netns;
    this.#options = options;
  }

  /** Makes table and rules with what is known so far. */
  install(): Promise<void> {
    return this.#run(() => {
      this.#installed = true;
      return renderHostProbes(this.#options, this.#members);
    });
  }

  add(uid: string, ips: readonly string[]): Promise<void> {
    return this.#run(() => {
      const fresh = ips.filter((ip) => this.#members.get(ip) !== uid && parseIp(ip));
      for (const ip of fresh) this.#members.set(ip, uid);
      return fresh.map((ip) => renderProbeUpsert(ip, uid)).join("");
    });
  }

  /** Only addresses that still belong to this pod go: another pod may have been given one meanwhile. */
  remove(uid: string): Promise<void> {
    return this.#run(() => {
      const own = [...this.#members].filter(([, owner]) => owner === uid).map(([ip]) => ip);
      for (const ip of own) this.#members.delete(ip);
      return own.map(renderProbeRemoval).join("");
    });
  }

  uninstall(): Promise<void> {
    return this.#run(() => {
      this.#installed = false;
      return renderHostProbesRemoval();
    }, true);
  }

  /** One at a time, in order; before `install()` only the bookkeeping happens. */
  #run(render: () => string, always = false): Promise<void> {
    const next = this.#tail.then(async () => {
      const input = render();
      if (input !== "" && (this.#installed || always)) await nftIn(this.#netns, input);
    });
    this.#tail = next.catch(() => {});
    return next;
  }
}

async function nftIn(netns: string, input: string): Promise<void> {
  const child = new Deno.Command("nsenter", {
    args: [`--net=${netns}`, "--", "nft", "-f", "-"],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { success, stderr } = await child.output();
  if (!success) {
    const said = new TextDecoder().decode(stderr).trim().split("\n")[0];
    throw new MeshError("redirect_failed", `cannot change the host's probe rules: ${said}`);
  }
}
