import type { KubeObject } from "../../contracts.ts";
import { canonicalJson } from "../kit/hash.ts";
import { type Endpoint, type EndpointPort, type PortGroup, SLICE_MAX } from "./build.ts";

interface Content {
  ports: EndpointPort[];
  endpoints: Endpoint[];
}

/** What has to happen to the slices of one Service and address family. */
export interface SlicePlan {
  keep: (Content & { slice: KubeObject })[];
  create: Content[];
  drop: KubeObject[];
}

/**
 * Spreads endpoints over slices of at most {@linkcode SLICE_MAX}, moving as few as possible: an endpoint stays in the
 * slice it is in, new ones fill the fullest that have room, and only then there are more slices. A Service without
 * endpoints keeps one empty slice, which tells watchers that it is known.
 */
export function packSlices(present: KubeObject[], groups: PortGroup[]): SlicePlan {
  const plan: SlicePlan = { keep: [], create: [], drop: [] };
  const unused = new Set(present.filter((slice) => !slice.metadata.deletionTimestamp));
  for (const { ports, endpoints } of groups) {
    const wanted = new Map(endpoints.map((endpoint) => [endpoint.targetRef.uid, endpoint]));
    const own = canonicalJson(ports);
    const matching = [...unused].filter((slice) => canonicalJson(slice.ports ?? []) === own);
    const filled = matching.map((slice) => {
      const stay: Endpoint[] = [];
      for (const endpoint of slice.endpoints ?? []) {
        const uid = endpoint.targetRef?.uid;
        const current = wanted.get(uid);
        if (!current || stay.length >= SLICE_MAX) continue;
        stay.push(current);
        wanted.delete(uid);
      }
      return { slice, endpoints: stay };
    });
    const homeless = [...wanted.values()];
    for (const entry of filled.sort((a, b) => b.endpoints.length - a.endpoints.length)) {
      entry.endpoints.push(...homeless.splice(0, SLICE_MAX - entry.endpoints.length));
    }
    for (const { slice, endpoints } of filled) {
      if (endpoints.length === 0) continue;
      unused.delete(slice);
      plan.keep.push({ slice, ports, endpoints });
    }
    while (homeless.length > 0) {
      const content = { ports, endpoints: homeless.splice(0, SLICE_MAX) };
      // A slice whose ports are not in use any more takes the new ones: one write in place of two.
      const spare = [...unused].find((slice) =>
        !groups.some((group) => canonicalJson(group.ports) === canonicalJson(slice.ports ?? []))
      );
      if (spare) {
        unused.delete(spare);
        plan.keep.push({ slice: spare, ...content });
      } else plan.create.push(content);
    }
  }
  if (plan.keep.length + plan.create.length === 0) {
    const [spare] = unused;
    if (spare) {
      unused.delete(spare);
      plan.keep.push({ slice: spare, ports: [], endpoints: [] });
    } else plan.create.push({ ports: [], endpoints: [] });
  }
  plan.drop = [...unused];
  return plan;
}
