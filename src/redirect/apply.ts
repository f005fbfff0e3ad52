import { MeshError } from "../core/errors.ts";
import { renderIptables, renderIptablesRemoval } from "./iptables.ts";
import { NFT_TABLES, renderNft, renderNftDrain, renderNftRemoval } from "./nft.ts";
import { CONNMARK, MARK_MASK, type RedirectOptions, ROUTE_TABLE, RULE_PRIORITY } from "./options.ts";

export type Firewall = "nftables" | "iptables";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs `script` with sh in the network namespace at `netns` (a path), or in the caller's own when undefined. */
async function runIn(netns: string | undefined, script: string, attempted: string): Promise<string> {
  const sh = ["sh", "-c", script];
  const [command, ...args] = netns === undefined ? sh : ["nsenter", `--net=${netns}`, "--", ...sh];
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(command, { args, env: { PATH }, stdin: "null", stdout: "piped", stderr: "piped" })
      .output();
  } catch (cause) {
    throw new MeshError("redirect_failed", `cannot ${attempted}: "${command}" did not start`, { cause });
  }
  if (!output.success) {
    const said = new TextDecoder().decode(output.stderr).trim().split("\n").slice(0, 4).join("; ");
    throw new MeshError("redirect_failed", `cannot ${attempted}: ${said || `exit code ${output.code}`}`, {
      retryable: false,
    });
  }
  return new TextDecoder().decode(output.stdout);
}

const FORCE: Record<string, Firewall> = { nft: "nftables", nftables: "nftables", iptables: "iptables" };

/**
 * The firewall to use for every pod of this node: nftables where `nft` is there, else iptables.
 *
 * @param force overrides the choice ("nft" or "iptables")
 * @throws MeshError `no_firewall`
 */
export async function detectFirewall(force?: string): Promise<Firewall> {
  if (force !== undefined && force !== "") {
    const chosen = FORCE[force];
    if (!chosen) throw new MeshError("no_firewall", `"${force}" is not a firewall; use "nft" or "iptables"`);
    return chosen;
  }
  const script =
    "command -v nft >/dev/null && echo nftables || { command -v iptables-restore >/dev/null && echo iptables; }";
  const found = (await runIn(undefined, `${script} || true`, "look for a firewall")).trim();
  if (found === "nftables" || found === "iptables") return found;
  throw new MeshError("no_firewall", "neither nft nor iptables-restore is installed; install the package nftables");
}

const IP6 = "[ -e /proc/sys/net/ipv6/conf/lo/disable_ipv6 ] && " +
  '[ "$(cat /proc/sys/net/ipv6/conf/lo/disable_ipv6)" = 0 ]';

/** Rule and route that bring an application's replies to ztunnel's source-preserving sockets back to the local stack. */
function routes(family: 4 | 6): string {
  const ip = `ip -${family}`, any = family === 4 ? "0.0.0.0/0" : "::/0";
  const mark = `0x${CONNMARK.toString(16)}/0x${MARK_MASK.toString(16)}`;
  // "rule add" refuses what is there already, which is as good.
  return `{ ${ip} rule add fwmark ${mark} pref ${RULE_PRIORITY} lookup ${ROUTE_TABLE} 2>/dev/null || ` +
    `${ip} rule show pref ${RULE_PRIORITY} | grep -q 'lookup ${ROUTE_TABLE}'; } && ` +
    `${ip} route replace local ${any} dev lo table ${ROUTE_TABLE}`;
}

function removeRoutes(family: 4 | 6): string {
  const ip = `ip -${family}`;
  return `while ${ip} rule del pref ${RULE_PRIORITY} 2>/dev/null; do :; done; ` +
    `${ip} route flush table ${ROUTE_TABLE} 2>/dev/null || true`;
}

function heredoc(command: string, input: string): string {
  return `${command} <<'AMBIENTD_RULES'\n${input}AMBIENTD_RULES`;
}

/** The shell that {@linkcode applyRedirect} runs inside the pod's namespace. */
export function renderApply(firewall: Firewall, options: RedirectOptions): string {
  const lines = ["set -e", routes(4)];
  if (options.ipv6) lines.push(`if ${IP6}; then ${routes(6)}; fi`);
  if (firewall === "nftables") {
    lines.push(heredoc("nft -f -", renderNft(options)));
  } else {
    lines.push("set +e", renderIptablesRemoval("iptables"), "set -e");
    lines.push(heredoc("iptables-restore -w 5 --noflush", renderIptables(options, 4)));
    lines.push("set +e", renderIptablesRemoval("ip6tables"), "set -e");
    if (options.ipv6) {
      lines.push(`if ${IP6}; then`);
      lines.push(heredoc("ip6tables-restore -w 5 --noflush", renderIptables(options, 6)), "fi");
    }
  }
  return lines.join("\n") + "\n";
}

/** The shell that {@linkcode removeRedirect} runs: the rules first, so that nothing is captured without a way back. */
export function renderRemove(firewall: Firewall): string {
  const rules = firewall === "nftables"
    ? heredoc("nft -f -", renderNftRemoval()) + "\n"
    : renderIptablesRemoval("iptables") + renderIptablesRemoval("ip6tables");
  return `${rules}${removeRoutes(4)}\n${removeRoutes(6)}\n`;
}

/** The shell that {@linkcode drainRedirect} runs. */
export function renderDrain(firewall: Firewall): string {
  if (firewall === "nftables") return heredoc("nft -f -", renderNftDrain()) + "\n";
  return renderIptablesRemoval("iptables", true) + `if ${IP6}; then\n${renderIptablesRemoval("ip6tables", true)}fi\n`;
}

/**
 * Sets up the redirection of a pod, or replaces what is there; safe to repeat, and connections that exist go on.
 *
 * @param netns path of the pod's network namespace, e.g. `/proc/self/fd/9` or `/proc/1234/ns/net`
 * @throws MeshError `redirect_failed`
 */
export async function applyRedirect(netns: string, firewall: Firewall, options: RedirectOptions): Promise<void> {
  await runIn(netns, renderApply(firewall, options), `set up redirection in "${netns}"`);
}

/**
 * Stops capturing new connections. Those that were redirected go on, their replies still find the way: call
 * {@linkcode removeRedirect} once they have ended.
 *
 * @throws MeshError `redirect_failed`
 */
export async function drainRedirect(netns: string, firewall: Firewall): Promise<void> {
  await runIn(netns, renderDrain(firewall), `stop redirection in "${netns}"`);
}

/**
 * Removes every trace of redirection. A redirected connection that still lives loses its translation.
 *
 * @throws MeshError `redirect_failed`
 */
export async function removeRedirect(netns: string, firewall: Firewall): Promise<void> {
  await runIn(netns, renderRemove(firewall), `remove redirection from "${netns}"`);
}

/** Whether any of the rules is in the namespace. */
export async function hasRedirect(netns: string, firewall: Firewall): Promise<boolean> {
  const list = firewall === "nftables" ? "nft list tables" : "iptables-save; ip6tables-save";
  const text = await runIn(netns, `${list} 2>/dev/null`, `list the rules in "${netns}"`);
  return firewall === "nftables" ? NFT_TABLES.some((name) => text.includes(` ${name}\n`)) : text.includes("ISTIO_");
}
