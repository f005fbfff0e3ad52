import { CLUSTER_NETWORK } from "../../contracts.ts";
import { unknownPath } from "../errors.ts";
import type { TypeRegistry } from "../registry.ts";
import { METRICS_GROUP, METRICS_RESOURCES, METRICS_VERSION } from "./metrics.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";

const STORED_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** A resource or subresource as discovery lists it. */
interface Entry {
  name: string;
  kind: string;
  verbs: string[];
  group?: string;
  version?: string;
}

/** The type itself, then its subresources. */
function entriesOf(type: ResourceType, version: TypeVersion): Entry[] {
  const entries: Entry[] = [{ name: type.plural, kind: type.kind, verbs: type.virtual ? ["create"] : STORED_VERBS }];
  for (const [name, { kind, verbs, group, version: other }] of Object.entries(type.subresources)) {
    entries.push({ name: `${type.plural}/${name}`, kind, verbs, group, version: other });
  }
  if (version.scale) {
    entries.push({
      name: `${type.plural}/scale`,
      kind: "Scale",
      verbs: ["get", "patch", "update"],
      group: "autoscaling",
      version: "v1",
    });
  }
  if (version.hasStatus) {
    entries.push({ name: `${type.plural}/status`, kind: type.kind, verbs: ["get", "patch", "update"] });
  }
  return entries;
}

function typesOf(registry: TypeRegistry, group: string, version: string): [ResourceType, TypeVersion][] {
  const found: [ResourceType, TypeVersion][] = [];
  for (const type of registry.all()) {
    const entry = type.group === group
      ? type.versions.find(({ name, served }) => served && name === version)
      : undefined;
    if (entry) found.push([type, entry]);
  }
  return found;
}

/** /api */
export function apiVersions(): unknown {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{
      clientCIDR: "0.0.0.0/0",
      serverAddress: `${CLUSTER_NETWORK.fabricIp}:${CLUSTER_NETWORK.apiPort}`,
    }],
  };
}

function groupDocument(group: string, versions: string[]): Record<string, unknown> {
  const list = versions.map((version) => ({ groupVersion: groupVersion(group, version), version }));
  return { name: group, versions: list, preferredVersion: list[0] };
}

/** /apis */
export function apiGroupList(registry: TypeRegistry): unknown {
  const groups = registry.groups().filter(({ group }) => group !== "").map(({ group, versions }) =>
    groupDocument(group, versions)
  );
  groups.push(groupDocument(METRICS_GROUP, [METRICS_VERSION]));
  return { kind: "APIGroupList", apiVersion: "v1", groups };
}

/** /apis/GROUP */
export function apiGroup(registry: TypeRegistry, group: string): unknown {
  const metrics = { group: METRICS_GROUP, versions: [METRICS_VERSION] };
  const found = [...registry.groups(), metrics].find((candidate) => candidate.group === group);
  if (!found || group === "") throw unknownPath();
  return { kind: "APIGroup", apiVersion: "v1", ...groupDocument(group, found.versions) };
}

/** /api/v1 and /apis/GROUP/VERSION */
export function apiResourceList(registry: TypeRegistry, group: string, version: string): unknown {
  if (group === METRICS_GROUP && version === METRICS_VERSION) {
    return {
      ...{ kind: "APIResourceList", apiVersion: "v1", groupVersion: groupVersion(group, version) },
      resources: METRICS_RESOURCES,
    };
  }
  const types = typesOf(registry, group, version);
  if (types.length === 0) throw unknownPath();
  const resources = types.flatMap(([type, entry]) =>
    entriesOf(type, entry).map(({ name, kind, verbs, group: otherGroup, version: otherVersion }, i) => ({
      name,
      singularName: i === 0 ? type.singular : "",
      namespaced: type.namespaced,
      ...(otherGroup !== undefined ? { group: otherGroup, version: otherVersion } : {}),
      kind,
      verbs,
      ...(i === 0 && type.shortNames.length > 0 ? { shortNames: type.shortNames } : {}),
      ...(i === 0 && type.categories.length > 0 ? { categories: type.categories } : {}),
      ...(i === 0 && !type.virtual ? { storageVersionHash: hashOf(type) } : {}),
    }))
  );
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: groupVersion(group, version), resources };
}

/** Clients only compare it: any text that tells types and their storage versions apart will do. */
function hashOf(type: ResourceType): string {
  let hash = 2166136261;
  for (const char of `${type.key}/${type.storageVersion}`) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619);
  return new TextEncoder().encode(`${hash >>> 0}`).slice(0, 8).toBase64();
}

/** The whole of discovery in one document: /api or /apis in the form that current kubectl asks for. */
export function aggregatedDiscovery(registry: TypeRegistry, core: boolean, apiVersion: string): unknown {
  const items: unknown[] = registry.groups().filter(({ group }) => (group === "") === core).map((
    { group, versions },
  ) => ({
    metadata: { creationTimestamp: null, ...(group === "" ? {} : { name: group }) },
    versions: versions.map((version) => ({
      version,
      freshness: "Current",
      resources: typesOf(registry, group, version).map(([type, entry]) => {
        const [main, ...subresources] = entriesOf(type, entry);
        const kindOf = ({ kind, group: otherGroup, version: otherVersion }: Entry) => ({
          group: otherGroup ?? group,
          version: otherVersion ?? version,
          kind,
        });
        return {
          resource: type.plural,
          responseKind: kindOf(main),
          scope: type.namespaced ? "Namespaced" : "Cluster",
          singularResource: type.singular,
          verbs: main.verbs,
          ...(type.shortNames.length > 0 ? { shortNames: type.shortNames } : {}),
          ...(type.categories.length > 0 ? { categories: type.categories } : {}),
          ...(subresources.length === 0 ? {} : {
            subresources: subresources.map((entry) => ({
              subresource: entry.name.slice(entry.name.indexOf("/") + 1),
              responseKind: kindOf(entry),
              verbs: entry.verbs,
            })),
          }),
        };
      }),
    })),
  }));
  if (!core) items.push(metricsDiscovery());
  return { kind: "APIGroupDiscoveryList", apiVersion: `apidiscovery.k8s.io/${apiVersion}`, metadata: {}, items };
}

function metricsDiscovery(): unknown {
  const resources = METRICS_RESOURCES.map(({ name, namespaced, kind, verbs, singularName }) => ({
    resource: name,
    responseKind: { group: METRICS_GROUP, version: METRICS_VERSION, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: singularName,
    verbs,
  }));
  return {
    metadata: { creationTimestamp: null, name: METRICS_GROUP },
    versions: [{ version: METRICS_VERSION, freshness: "Current", resources }],
  };
}
