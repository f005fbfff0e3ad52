import { Resolver } from "node:dns/promises";
import { MeshError } from "../../core/errors.ts";
import type { HostResolver } from "./types.ts";

interface Record {
  readonly address: string;
  readonly ttl: number;
}

/**
 * Asks for A and AAAA records; when one family cannot be had, the other will do. Deno's resolver reports a server that refuses or fails as it
 * reports a name without addresses, so that both are failures here, and what was known stays.
 *
 * @param servers `address:port`; the system's when absent
 */
export function dnsResolver(servers?: readonly string[]): HostResolver {
  const resolver = new Resolver();
  if (servers) resolver.setServers(servers);
  return {
    async resolve(hostname) {
      const answers = await Promise.allSettled([
        resolver.resolve4(hostname, { ttl: true }),
        resolver.resolve6(hostname, { ttl: true }),
      ]);
      const records = answers.flatMap((answer): Record[] => answer.status === "fulfilled" ? answer.value : []);
      if (records.length === 0) {
        const failure = answers.find((answer) => answer.status === "rejected");
        throw new MeshError("name_not_resolved", `cannot resolve "${hostname}"`, { cause: failure?.reason });
      }
      return {
        addresses: records.map(({ address }) => address),
        ttlMs: 1000 * Math.min(...records.map(({ ttl }) => ttl)),
      };
    },
  };
}

/** The system's name servers. */
export const systemResolver: HostResolver = dnsResolver();
