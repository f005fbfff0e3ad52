import { CONNMARK, MARK, MARK_MASK, type RedirectOptions } from "./options.ts";

const hex = (value: number): string => `0x${value.toString(16)}`;
const OURS = `-m mark --mark ${hex(MARK)}/${hex(MARK_MASK)}`;
const NOT_OURS = `-m mark ! --mark ${hex(MARK)}/${hex(MARK_MASK)}`;

/** Only a connection's first packet is redirected, see nft.ts. */
const TCP = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN";
const REMEMBER = `${OURS} -j CONNMARK --set-xmark ${hex(CONNMARK)}/${hex(MARK_MASK)}`;
const RESTORE =
  `-m connmark --mark ${hex(CONNMARK)}/${hex(MARK_MASK)} -j CONNMARK --restore-mark --nfmask 0xffffffff ` +
  "--ctmask 0xffffffff";

/** Input of `iptables-restore --noflush` (family 4) or `ip6tables-restore --noflush` (family 6) for one pod. */
export function renderIptables(options: RedirectOptions, family: 4 | 6): string {
  const loopback = family === 4 ? "127.0.0.1/32" : "::1/128";
  const probe = family === 4 ? `${options.probeAddressV4}/32` : `${options.probeAddressV6}/128`;
  const P = "-A ISTIO_PRERT", O = "-A ISTIO_OUTPUT";

  const mangle = [
    `${P} ${REMEMBER}`,
    `${O} ${RESTORE}`,
  ];

  const nat: string[] = [];
  for (const name of options.virtualInterfaces) {
    nat.push(`${P} -i ${name} ${TCP} -j REDIRECT --to-ports 15001`, `${P} -i ${name} -p tcp -j RETURN`);
  }
  if (!options.ingressMode) {
    nat.push(
      `${P} -s ${probe} -p tcp -m tcp -j ACCEPT`,
      `${P} ! -d ${loopback} ${TCP} ! --dport 15008 ${NOT_OURS} -j REDIRECT --to-ports 15006`,
    );
  }
  nat.push(`${O} -d ${probe} -p tcp -m tcp -j ACCEPT`);
  if (options.dnsCapture) {
    nat.push(
      `${O} ! -o lo -p udp ${NOT_OURS} -m udp --dport 53 -j REDIRECT --to-ports 15053`,
      `${O} ! -d ${loopback} ${TCP} --dport 53 ${NOT_OURS} -j REDIRECT --to-ports 15053`,
    );
  }
  nat.push(
    `${O} -p tcp -m mark --mark ${hex(CONNMARK)}/${hex(MARK_MASK)} -j ACCEPT`,
    `${O} ! -d ${loopback} -o lo -j ACCEPT`,
    `${O} ! -d ${loopback} ${TCP} ${NOT_OURS} -j REDIRECT --to-ports 15001`,
  );

  const raw = options.dnsCapture
    ? [
      `${O} -p udp ${OURS} -m udp --dport 53 -j CT --zone 1`,
      `${P} -p udp ${NOT_OURS} -m udp --sport 53 -j CT --zone 1`,
    ]
    : [];
  return section("mangle", mangle) + section("nat", nat) + (raw.length > 0 ? section("raw", raw) : "");
}

function section(table: string, rules: string[]): string {
  // Naming a chain empties it; the jumps are appended, so the caller removes older ones first.
  return [
    `*${table}`,
    ":ISTIO_PRERT - [0:0]",
    ":ISTIO_OUTPUT - [0:0]",
    "-A PREROUTING -j ISTIO_PRERT",
    "-A OUTPUT -j ISTIO_OUTPUT",
    ...rules,
    "COMMIT",
    "",
  ].join("\n");
}

/**
 * Shell that takes away whatever of the rules is there. `command` is `iptables` or `ip6tables`. With `drain` the
 * marks stay by which the application's replies find ztunnel, for connections that live on.
 */
export function renderIptablesRemoval(command: string, drain = false): string {
  const lines = [
    `ipt() { ${command} -w 5 -t "$@"; }`,
    "for table in mangle nat raw; do",
    "  while ipt $table -D PREROUTING -j ISTIO_PRERT; do :; done",
    "  while ipt $table -D OUTPUT -j ISTIO_OUTPUT; do :; done",
    "  for chain in ISTIO_PRERT ISTIO_OUTPUT; do ipt $table -F $chain; ipt $table -X $chain; done",
  ];
  if (drain) {
    lines.push(
      `  if [ $table = mangle ]; then ipt mangle -N ISTIO_OUTPUT; ipt mangle -A ISTIO_OUTPUT ${RESTORE}; fi`,
      "  if [ $table = mangle ]; then ipt mangle -A OUTPUT -j ISTIO_OUTPUT; fi",
      `  if [ $table = mangle ]; then ipt mangle -N ISTIO_PRERT; ipt mangle -A ISTIO_PRERT ${REMEMBER}; fi`,
      "  if [ $table = mangle ]; then ipt mangle -A PREROUTING -j ISTIO_PRERT; fi",
    );
  }
  return [...lines, "done 2>/dev/null", ""].join("\n");
}
