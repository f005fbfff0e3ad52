/** Flags as Go programs take them: `-name value`, `-name=value`, one dash or two, before the arguments. */
export interface Flags {
  readonly values: ReadonlyMap<string, string>;
  /** Every `-H`, in order. */
  readonly headers: readonly string[];
  readonly rest: readonly string[];
}

const SWITCHES = new Set([
  "quiet",
  "keepalive",
  "allow-initial-errors",
  "a",
  "stdclient",
  "h2",
  "grpc",
  "ping",
  "k",
  "L",
]);
const VALUED = new Set([
  ...["c", "n", "qps", "t", "loglevel", "timeout", "payload", "payload-size", "X", "H", "p", "labels", "content-type"],
  ...["http-port", "grpc-port", "tcp-port", "udp-port", "redirect-port", "s", "delay", "user", "httpbufferkb"],
]);

/** @returns the flags, or what is wrong with them */
export function parseFlags(args: readonly string[]): Flags | { problem: string } {
  const values = new Map<string, string>(), headers: string[] = [];
  let at = 0;
  for (; at < args.length && /^--?[a-zA-Z]/.test(args[at]); at++) {
    const [, name, joined] = /^--?([\w-]+)(?:=(.*))?$/s.exec(args[at]) ?? [];
    if (SWITCHES.has(name)) {
      values.set(name, joined ?? "true");
      continue;
    }
    if (!VALUED.has(name)) return { problem: `flag provided but not defined: ${args[at]}` };
    const value = joined ?? args[++at];
    if (value === undefined) return { problem: `flag needs an argument: -${name}` };
    if (name === "H") headers.push(value);
    else values.set(name, value);
  }
  return { values, headers, rest: args.slice(at) };
}

/** `1.5s`, `300ms`, `2m`, `1h30m`, in milliseconds; undefined when it is none. */
export function goDuration(text: string): number | undefined {
  const units: Record<string, number> = { us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (!/^(\d+(\.\d+)?(us|ms|s|m|h))+$/.test(text)) return text === "0" ? 0 : undefined;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(us|ms|s|m|h)/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * units[unit],
    0,
  );
}
