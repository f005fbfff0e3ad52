import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import type { ControllerContext } from "./kit/context.ts";
import { claim, deletePod, indexOrphans, isAvailable, isReady, isTerminated, untilAvailable } from "./kit/pods.ts";
import { podFromTemplate } from "./kit/pods.ts";
import { scaledValue } from "./kit/quantity.ts";
import { hashOf, pruneRevisions, REVISION_LABEL, syncRevisions, templateOf } from "./kit/revisions.ts";
import { matchesSelector } from "./kit/selector.ts";
import {
  CONTROLLER_REVISIONS,
  controllerOf,
  keyOf,
  ownerReference,
  PODS,
  STATEFUL_SETS,
  VOLUME_CLAIMS,
} from "./kit/types.ts";
import { ensure, remove, writeStatus } from "./kit/writes.ts";

const COMPONENT = "statefulset-controller";
const POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL = "apps.kubernetes.io/pod-index";
/** Pods made per turn of the event loop where podManagementPolicy is Parallel. */
const BURST = 20;

/** Keeps the numbered pods of each StatefulSet, in order unless podManagementPolicy is Parallel. */
export function startStatefulSets({ api, caches, runner, events, clock }: ControllerContext): void {
  const sets = caches.of(STATEFUL_SETS);
  const pods = caches.of(PODS);
  const revisions = caches.of(CONTROLLER_REVISIONS);
  const volumeClaims = caches.of(VOLUME_CLAIMS);
  indexOrphans(pods);
  indexOrphans(revisions);
  const queue = runner.register("statefulset", reconcile);

  sets.onChange((_event, set) => queue.add(keyOf(set)));
  pods.onChange((_event, pod, previous) => {
    for (const version of [pod, previous]) {
      if (!version) continue;
      const owner = controllerOf(version);
      if (owner?.kind === "StatefulSet") queue.add(`${version.metadata.namespace}/${owner.name}`);
    }
    if (!controllerOf(pod)) {
      for (const set of sets.inNamespace(pod.metadata.namespace!)) {
        if (matchesSelector(set.spec.selector, pod.metadata.labels)) queue.add(keyOf(set));
      }
    }
  });

  function reconcile(key: string): void {
    const set = sets.get(key);
    if (!set) return;
    const mine = claim(api, PODS, pods, set, set.spec.selector, (pod) => ordinalOf(set, pod) !== undefined);
    if (set.metadata.deletionTimestamp) return;
    const { update, all } = syncRevisions(api, revisions, set);
    const current = all.find((revision) => revision.metadata.name === set.status?.currentRevision) ?? update;
    let failure: string | undefined;
    try {
      step(set, mine, current, update);
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      if (!JSON.stringify(thrown.details ?? {}).includes("NamespaceTerminating")) {
        failure = thrown.message;
        events.warning(
          set,
          COMPONENT,
          "FailedCreate",
          `create Pod in StatefulSet ${set.metadata.name} failed error: ${failure}`,
        );
      }
    }
    const used = new Set([hashOf(update), hashOf(current), ...mine.map(revisionOf)]);
    pruneRevisions(api, set, all, used);
    updateStatus(set, mine, current, update);
    if (failure !== undefined) throw new ApiError(500, "FailedCreate", failure);
  }

  /** The next thing to do, of which ordered management does one at a time. */
  function step(set: KubeObject, mine: KubeObject[], current: KubeObject, update: KubeObject): void {
    const { first, replicas } = range(set);
    const parallel = set.spec.podManagementPolicy === "Parallel";
    const byOrdinal = new Map(mine.map((pod) => [ordinalOf(set, pod)!, pod]));
    const minReadySeconds = set.spec.minReadySeconds ?? 0;
    let made = 0;
    for (let ordinal = first; ordinal < first + replicas; ordinal++) {
      const pod = byOrdinal.get(ordinal);
      if (pod && isTerminated(pod) && !pod.metadata.deletionTimestamp) {
        events.warning(
          set,
          COMPONENT,
          "RecreatingTerminatedPod",
          `StatefulSet ${set.metadata.namespace}/${set.metadata.name} is recreating terminated Pod ${pod.metadata.name}`,
        );
        deletePod(api, pod);
        if (!parallel) return;
      } else if (!pod) {
        create(set, ordinal, revisionFor(set, ordinal, current, update));
        if (!parallel) return;
        if (++made >= BURST) return queue.add(keyOf(set));
      } else if (!parallel && (pod.metadata.deletionTimestamp || !isAvailable(pod, minReadySeconds, clock.now()))) {
        return;
      }
    }
    const surplus = mine.filter((pod) => !inRange(set, pod)).sort((a, b) => ordinalOf(set, b)! - ordinalOf(set, a)!);
    for (const pod of surplus) {
      if (!pod.metadata.deletionTimestamp) deleteOne(set, pod);
      if (!parallel) return;
    }
    if (set.spec.updateStrategy?.type === "OnDelete") return;
    updateNext(set, byOrdinal, update);
  }

  /** Replaces pods of older revisions, highest number first, as many at once as may be unavailable. */
  function updateNext(set: KubeObject, byOrdinal: Map<number, KubeObject>, update: KubeObject): void {
    const { first, replicas } = range(set);
    const rolling = set.spec.updateStrategy?.rollingUpdate ?? {};
    const most = Math.max(1, scaledValue(rolling.maxUnavailable ?? 1, replicas, "up"));
    const last = first + replicas - 1;
    let unavailable = 0;
    for (let ordinal = first; ordinal <= last; ordinal++) {
      const pod = byOrdinal.get(ordinal);
      const up = pod && !pod.metadata.deletionTimestamp &&
        isAvailable(pod, set.spec.minReadySeconds ?? 0, clock.now());
      if (!up) unavailable++;
    }
    for (let ordinal = last; ordinal >= Math.max(first, rolling.partition ?? 0); ordinal--) {
      const pod = byOrdinal.get(ordinal);
      if (!pod || pod.metadata.deletionTimestamp) {
        if (unavailable >= most) return;
        continue;
      }
      const up = isAvailable(pod, set.spec.minReadySeconds ?? 0, clock.now());
      if (revisionOf(pod) !== hashOf(update)) {
        // One that is not available is replaced whatever the count: that is how a broken rollout is repaired.
        if (up && unavailable >= most) return;
        deleteOne(set, pod);
        if (up) unavailable++;
      } else if (!up && unavailable >= most) return;
    }
  }

  function deleteOne(set: KubeObject, pod: KubeObject): void {
    deletePod(api, pod);
    events.normal(
      set,
      COMPONENT,
      "SuccessfulDelete",
      `delete Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} successful`,
    );
  }

  function create(set: KubeObject, ordinal: number, revision: KubeObject): void {
    const name = `${set.metadata.name}-${ordinal}`;
    const pod = podFromTemplate(set, templateOf(revision));
    delete pod.metadata.generateName;
    pod.metadata.name = name;
    pod.metadata.labels = {
      ...pod.metadata.labels,
      [POD_NAME_LABEL]: name,
      [INDEX_LABEL]: String(ordinal),
      [REVISION_LABEL]: hashOf(revision),
    };
    pod.spec.hostname = name;
    pod.spec.subdomain = set.spec.serviceName;
    const templates: any[] = set.spec.volumeClaimTemplates ?? [];
    const claimed = new Set(templates.map((template) => template.metadata?.name));
    pod.spec.volumes = [
      ...(pod.spec.volumes ?? []).filter((volume: any) => !claimed.has(volume.name)),
      ...templates.map((template) => ({
        name: template.metadata.name,
        persistentVolumeClaim: { claimName: `${template.metadata.name}-${name}` },
      })),
    ];
    for (const template of templates) {
      const claimName = `${template.metadata.name}-${name}`;
      if (volumeClaims.find(set.metadata.namespace, claimName)) continue;
      ensure(api, VOLUME_CLAIMS, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: {
          ...template.metadata,
          name: claimName,
          namespace: set.metadata.namespace,
          labels: { ...template.metadata.labels, ...set.spec.selector?.matchLabels },
          // Claims outlive the set unless it says otherwise.
          ...(set.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted === "Delete"
            ? { ownerReferences: [{ ...ownerReference(set), controller: undefined, blockOwnerDeletion: undefined }] }
            : {}),
        },
        spec: structuredClone(template.spec),
      });
    }
    api.create(PODS, pod);
    events.normal(
      set,
      COMPONENT,
      "SuccessfulCreate",
      `create Pod ${name} in StatefulSet ${set.metadata.name} successful`,
    );
  }

  function updateStatus(set: KubeObject, mine: KubeObject[], current: KubeObject, update: KubeObject): void {
    const now = clock.now();
    const { replicas } = range(set);
    let [ready, available, onCurrent, onUpdate] = [0, 0, 0, 0];
    let soonest = Infinity;
    for (const pod of mine) {
      if (!pod.metadata.deletionTimestamp && !isTerminated(pod)) {
        if (revisionOf(pod) === hashOf(current)) onCurrent++;
        if (revisionOf(pod) === hashOf(update)) onUpdate++;
      }
      if (!isReady(pod) || pod.metadata.deletionTimestamp) continue;
      ready++;
      const wait = untilAvailable(pod, set.spec.minReadySeconds ?? 0, now)!;
      if (wait === 0) available++;
      else soonest = Math.min(soonest, wait);
    }
    if (soonest < Infinity) queue.addAfter(keyOf(set), soonest);
    const done = onUpdate === replicas && ready === replicas && mine.length === replicas;
    const rolling = set.spec.updateStrategy?.type !== "OnDelete" &&
      (set.spec.updateStrategy?.rollingUpdate?.partition ?? 0) === 0;
    const settled = done && (rolling || current === update) ? update : current;
    writeStatus(api, STATEFUL_SETS, set, {
      observedGeneration: set.metadata.generation,
      replicas: mine.length,
      availableReplicas: available,
      ...(ready > 0 ? { readyReplicas: ready } : {}),
      ...((settled === update ? onUpdate : onCurrent) > 0
        ? { currentReplicas: settled === update ? onUpdate : onCurrent }
        : {}),
      ...(onUpdate > 0 ? { updatedReplicas: onUpdate } : {}),
      currentRevision: settled.metadata.name,
      updateRevision: update.metadata.name,
      collisionCount: set.status?.collisionCount ?? 0,
      ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
    });
    retainClaims(set);
  }

  /** Deletes the claims of numbers scaled away, where the set's retention policy asks for that. */
  function retainClaims(set: KubeObject): void {
    if (set.spec.persistentVolumeClaimRetentionPolicy?.whenScaled !== "Delete") return;
    for (const template of set.spec.volumeClaimTemplates ?? []) {
      const prefix = `${template.metadata.name}-${set.metadata.name}-`;
      for (const volumeClaim of volumeClaims.inNamespace(set.metadata.namespace!)) {
        const { name } = volumeClaim.metadata;
        const ordinal = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : NaN;
        const { first, replicas } = range(set);
        if (!Number.isSafeInteger(ordinal) || (ordinal >= first && ordinal < first + replicas)) continue;
        if (!pods.find(set.metadata.namespace, `${set.metadata.name}-${ordinal}`)) {
          remove(api, VOLUME_CLAIMS, volumeClaim);
        }
      }
    }
  }
}

/** The revision a missing pod is made from: below the partition, and until a rollout reaches it, the current one. */
function revisionFor(set: KubeObject, ordinal: number, current: KubeObject, update: KubeObject): KubeObject {
  const { first } = range(set);
  const strategy = set.spec.updateStrategy ?? {};
  if (strategy.type === "OnDelete") return update;
  const partition = strategy.rollingUpdate?.partition ?? 0;
  if (partition > 0) return ordinal < first + partition ? current : update;
  const settled = set.status?.currentReplicas ?? 0;
  return ordinal < first + settled && set.status?.currentRevision !== set.status?.updateRevision ? current : update;
}

function range(set: KubeObject): { first: number; replicas: number } {
  return { first: set.spec.ordinals?.start ?? 0, replicas: set.spec.replicas ?? 1 };
}

/** The number of a pod by its name, or undefined for a name that the set never gives. */
function ordinalOf(set: KubeObject, pod: KubeObject): number | undefined {
  const prefix = `${set.metadata.name}-`;
  if (!pod.metadata.name.startsWith(prefix)) return undefined;
  const text = pod.metadata.name.slice(prefix.length);
  return /^(0|[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined;
}

function inRange(set: KubeObject, pod: KubeObject): boolean {
  const { first, replicas } = range(set);
  const ordinal = ordinalOf(set, pod)!;
  return ordinal >= first && ordinal < first + replicas;
}

function revisionOf(pod: KubeObject): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? "";
}
