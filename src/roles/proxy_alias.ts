import { UsageError } from "../core/usage.ts";

/** Istio's images are started as `proxy ztunnel`, `proxy waypoint` or `proxy router`. */
export async function run(args: string[]): Promise<number> {
  if (args[0] === "ztunnel") return await (await import("./ztunnel.ts")).run(args);
  if (args[0] === "waypoint" || args[0] === "router") return await (await import("./waypoint.ts")).run(args);
  throw new UsageError(`unknown proxy "${args[0] ?? ""}"; the proxies are ztunnel, waypoint and router`);
}
