import { CONNMARK, MARK, MARK_MASK, type RedirectOptions } from "./options.ts";

const TABLES = ["istio-ambient-nat", "istio-ambient-mangle", "istio-ambient-raw"] as const;

const hex = (value: number): string => `0x${value.toString(16)}`;
const OURS = `meta mark & ${hex(MARK_MASK)} == ${hex(MARK)}`;
const NOT_OURS = `meta mark & ${hex(MARK_MASK)} != ${hex(MARK)}`;
/**
 * Only a connection's first packet is redirected. Istio's rules do without this: there, the first packet that connection
 * tracking sees of a connection older than the rules is redirected too, which resets it.
 */
const SYN = "tcp flags & (fin | syn | rst | ack) == syn";
const REMEMBER = `${OURS} ct mark set ct mark & ${hex(0xffffffff - MARK_MASK)} | ${hex(CONNMARK)}`;
const RESTORE = `ct mark & ${hex(MARK_MASK)} == ${hex(CONNMARK)} meta mark set ct mark`;

interface Family {
  readonly word: "ip" | "ip6";
  readonly loopback: string;
  readonly probe: string;
}

function families(options: RedirectOptions): Family[] {
  const v4: Family = { word: "ip", loopback: "127.0.0.1", probe: options.probeAddressV4 };
  return options.ipv6 ? [v4, { word: "ip6", loopback: "::1", probe: options.probeAddressV6 }] : [v4];
}

/** The rows P0-P2 of shared/reference/cni-and-redirection.md §4. */
function natPrerouting(options: RedirectOptions): string[] {
  const rules: string[] = [];
  for (const name of options.virtualInterfaces) {
    rules.push(`iifname "${name}" ${SYN} redirect to :15001`, `iifname "${name}" meta l4proto tcp return`);
  }
  if (options.ingressMode) return rules;
  for (const { word, probe } of families(options)) rules.push(`meta l4proto tcp ${word} saddr ${probe} accept`);
  for (const { word, loopback } of families(options)) {
    rules.push(`${word} daddr != ${loopback} tcp dport != 15008 ${SYN} ${NOT_OURS} redirect to :15006`);
  }
  return rules;
}

/** The rows O1-O6. */
function natOutput(options: RedirectOptions): string[] {
  const rules = families(options).map(({ word, probe }) => `meta l4proto tcp ${word} daddr ${probe} accept`);
  if (options.dnsCapture) {
    rules.push(`oifname != "lo" udp dport 53 ${NOT_OURS} redirect to :15053`);
    for (const { word, loopback } of families(options)) {
      rules.push(`${word} daddr != ${loopback} tcp dport 53 ${SYN} ${NOT_OURS} redirect to :15053`);
    }
  }
  rules.push(`meta l4proto tcp meta mark & ${hex(MARK_MASK)} == ${hex(CONNMARK)} accept`);
  for (const { word, loopback } of families(options)) rules.push(`oifname "lo" ${word} daddr != ${loopback} accept`);
  for (const { word, loopback } of families(options)) {
    rules.push(`${word} daddr != ${loopback} ${SYN} ${NOT_OURS} redirect to :15001`);
  }
  return rules;
}

function table(name: string, chains: { name: string; type?: string; rules: string[] }[]): string {
  const body = chains.map((chain) => {
    const lines = chain.type ? [chain.type, ...chain.rules] : chain.rules;
    return `  chain ${chain.name} {\n${lines.map((line) => `    ${line}\n`).join("")}  }\n`;
  });
  return `table inet ${name} {\n${body.join("")}}\n`;
}

function hooks(
  prerouting: { type: string; rules: string[] },
  output: { type: string; rules: string[] },
): Parameters<typeof table>[1] {
  return [
    { name: "istio-prerouting", rules: prerouting.rules },
    { name: "istio-output", rules: output.rules },
    { name: "prerouting", type: prerouting.type, rules: ["jump istio-prerouting"] },
    { name: "output", type: output.type, rules: ["jump istio-output"] },
  ];
}

/** One transaction for `nft -f -` that sets up (or replaces) all of a pod's rules. */
export function renderNft(options: RedirectOptions): string {
  const nat = table(
    TABLES[0],
    hooks(
      { type: "type nat hook prerouting priority -100; policy accept;", rules: natPrerouting(options) },
      { type: "type nat hook output priority -100; policy accept;", rules: natOutput(options) },
    ),
  );
  const mangle = table(
    TABLES[1],
    hooks(
      {
        type: "type filter hook prerouting priority -150; policy accept;",
        rules: [REMEMBER],
      },
      {
        // "route" so that the packet is routed again with its new mark.
        type: "type route hook output priority -150; policy accept;",
        rules: [RESTORE],
      },
    ),
  );
  const raw = options.dnsCapture
    ? table(
      TABLES[2],
      hooks(
        {
          type: "type filter hook prerouting priority -300; policy accept;",
          rules: [`udp sport 53 ${NOT_OURS} ct zone set 1`],
        },
        {
          type: "type filter hook output priority -300; policy accept;",
          rules: [`udp dport 53 ${OURS} ct zone set 1`],
        },
      ),
    )
    : "";
  return renderNftRemoval() + nat + mangle + raw;
}

/**
 * What stays while connections that were redirected live on: the hooks (without any NAT chain the kernel would stop
 * translating them) and the marks by which the application's replies find ztunnel, which serves peers until they have heard.
 */
export function renderNftDrain(): string {
  const nothing = (type: string, hook: string, priority: number) => ({
    name: hook,
    type: `type ${type} hook ${hook} priority ${priority}; policy accept;`,
    rules: [],
  });
  const nat = table(TABLES[0], [nothing("nat", "prerouting", -100), nothing("nat", "output", -100)]);
  const remember = { ...nothing("filter", "prerouting", -150), rules: [REMEMBER] };
  const restore = { ...nothing("route", "output", -150), rules: [RESTORE] };
  return renderNftRemoval() + nat + table(TABLES[1], [remember, restore]);
}

/** Removes the rules, present or not: a table is made (a no-op where it exists) and then deleted, in one transaction. */
export function renderNftRemoval(): string {
  return TABLES.map((name) => `table inet ${name} {}\ndelete table inet ${name}\n`).join("");
}

export { TABLES as NFT_TABLES };
