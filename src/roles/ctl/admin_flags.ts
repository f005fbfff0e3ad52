// Flags of commands that ask a proxy's admin interface.

import { CommandError, UsageError } from "../../core/usage.ts";

const LEVELS: Record<string, string> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  warning: "warn",
  warn: "warn",
  error: "error",
  critical: "error",
  off: "off",
};

/** `level`, `scope:level` or `scope=level` as the proxies take it. @throws CommandError */
export function levelDirective(text: string): string {
  const colon = Math.max(text.lastIndexOf(":"), text.lastIndexOf("="));
  const level = Object.hasOwn(LEVELS, text.slice(colon + 1)) ? LEVELS[text.slice(colon + 1)] : undefined;
  if (!level) {
    throw new CommandError(
      `"${text.slice(colon + 1)}" is not a log level; the levels are ${Object.keys(LEVELS).join(", ")}`,
    );
  }
  return colon < 0 ? level : `${text.slice(0, colon)}=${level}`;
}

/** @throws UsageError */
export function adminPort(flags: { proxyAdminPort: string }): number {
  const port = Number(flags.proxyAdminPort);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new UsageError(`--proxy-admin-port must be a port, not "${flags.proxyAdminPort}"`);
  }
  return port;
}
