import type { ClusterApi, KubeObject } from "../../contracts.ts";
import type { ObjectCache } from "./cache.ts";
import { canonicalJson, templateHash } from "./hash.ts";
import { claim } from "./pods.ts";
import { CONTROLLER_REVISIONS, ownerReference } from "./types.ts";
import { remove } from "./writes.ts";

export const REVISION_LABEL = "controller-revision-hash";

/** The revisions of a DaemonSet or StatefulSet. */
export interface Revisions {
  /** The one that has the present template. */
  update: KubeObject;
  /** All, lowest revision first. */
  all: KubeObject[];
}

/** The patch that `kubectl rollout undo` applies to go back to the template. */
function patchOf(template: unknown): unknown {
  return { spec: { template: { ...(template as Record<string, unknown>), $patch: "replace" } } };
}

/** The pod template that a revision stands for. */
export function templateOf(revision: KubeObject): any {
  const { $patch: _, ...template } = revision.data?.spec?.template ?? {};
  return template;
}

/**
 * Finds or makes the ControllerRevision of the owner's present template. One of an earlier rollout that is equal becomes
 * the newest. A name that somebody else's revision has is avoided by hashing again.
 */
export function syncRevisions(api: ClusterApi, cache: ObjectCache, owner: KubeObject): Revisions {
  const all = claim(api, CONTROLLER_REVISIONS, cache, owner, owner.spec.selector).sort((a, b) =>
    a.revision - b.revision
  );
  const data = patchOf(owner.spec.template);
  const wanted = canonicalJson(data);
  const newest = all.at(-1)?.revision ?? 0;
  const equal = all.findLast((revision) => canonicalJson(revision.data) === wanted);
  if (equal) {
    if (equal.revision === newest) return { update: equal, all };
    const update = api.update(CONTROLLER_REVISIONS, { ...structuredClone(equal), revision: newest + 1 });
    return { update, all: [...all.filter((revision) => revision !== equal), update] };
  }
  for (let collisions = 0;; collisions++) {
    const hash = templateHash(data, collisions);
    const name = `${owner.metadata.name}-${hash}`;
    if (api.get(CONTROLLER_REVISIONS, owner.metadata.namespace, name)) continue;
    const update = api.create(CONTROLLER_REVISIONS, {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name,
        namespace: owner.metadata.namespace,
        labels: { ...owner.spec.template.metadata?.labels, [REVISION_LABEL]: hash },
        annotations: ownAnnotations(owner),
        ownerReferences: [ownerReference(owner)],
      },
      data,
      revision: newest + 1,
    });
    return { update, all: [...all, update] };
  }
}

/** Forgets the oldest revisions that no pod has. */
export function pruneRevisions(api: ClusterApi, owner: KubeObject, all: KubeObject[], used: Set<string>): void {
  const limit: number = owner.spec.revisionHistoryLimit ?? 10;
  const unused = all.filter((revision) => !used.has(hashOf(revision)));
  for (const revision of unused.slice(0, Math.max(0, unused.length - limit))) {
    remove(api, CONTROLLER_REVISIONS, revision);
  }
}

/** What pods made from the revision carry as controller-revision-hash. */
export function hashOf(revision: KubeObject): string {
  return revision.metadata.labels?.[REVISION_LABEL] ?? "";
}

function ownAnnotations(owner: KubeObject): Record<string, string> {
  const { "kubectl.kubernetes.io/last-applied-configuration": _, ...rest } = owner.metadata.annotations ?? {};
  return rest;
}
