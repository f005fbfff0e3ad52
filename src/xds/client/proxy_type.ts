// ProxyResource on the side of the L7 proxy: what cannot be read is refused, and a policy among it closes instead of opening.

import { describeError } from "../../core/errors.ts";
import { type L7Policy, type ProxyResource, proxyResourceKey } from "../../model/l7.ts";
import { decodeProxyResource } from "../proxy_codec.ts";
import { TYPE_URL } from "../types.ts";
import type { Reject, ResourceType } from "./resource_type.ts";

/** One response: apply `removed` first, then `added` (each new or changed). */
export interface ProxyUpdate {
  readonly added: readonly ProxyResource[];
  /** `kind/name` of each ({@linkcode proxyResourceKey}). */
  readonly removed: readonly string[];
}

type Decoded = { readonly resource: ProxyResource } | { readonly error: string };

const POLICY = "policy/", SETTINGS = "settings/mesh";

/**
 * The configuration of an L7 proxy, for {@linkcode DeltaXdsClient}. A resource that cannot be read is refused, and what is held under its
 * name stays in use. A policy that cannot be read and has no earlier version is replaced by one that denies everything: nobody knows
 * what it was written to deny.
 *
 * @param onUpdate what it returns, by `kind/name`, is refused too
 */
export function proxyResourceType(onUpdate: (update: ProxyUpdate) => readonly Reject[] | void): ResourceType<unknown> {
  const held = new Set<string>();
  return {
    typeUrl: TYPE_URL.proxyResource,
    // Every configuration has them: a proxy that is told nothing has not been recognised, and must not be taken for ready.
    complete: () => held.has(SETTINGS),
    decode(bytes): Decoded {
      try {
        return { resource: decodeProxyResource(bytes) };
      } catch (error) {
        return { error: describeError(error) };
      }
    },
    onUpdate({ added, removed }) {
      const rejects: Reject[] = [], resources: ProxyResource[] = [];
      for (const name of removed) held.delete(name);
      for (const { name, value } of added as readonly { name: string; value: Decoded }[]) {
        const reason = "error" in value
          ? value.error
          : proxyResourceKey(value.resource) !== name
          ? "its name is another in its content"
          : undefined;
        if (reason === undefined) resources.push((value as { resource: ProxyResource }).resource);
        else {
          rejects.push({ name, reason });
          if (name.startsWith(POLICY) && !held.has(name)) resources.push(denyAll(name.slice(POLICY.length)));
        }
      }
      rejects.push(...onUpdate({ added: resources, removed }) ?? []);
      const refused = new Set(rejects.map(({ name }) => name));
      for (const resource of resources) {
        const name = proxyResourceKey(resource);
        if (!refused.has(name)) held.add(name);
      }
      return rejects;
    },
  };
}

/** Stands for a policy that cannot be read. */
function denyAll(name: string): L7Policy {
  return {
    kind: "policy",
    name,
    listeners: ["*"],
    action: "DENY",
    dryRun: false,
    rules: [{ from: [], to: [], when: [] }],
  };
}
