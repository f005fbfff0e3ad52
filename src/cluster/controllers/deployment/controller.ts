import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import { findCondition } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { canonicalJson, templateHash } from "../kit/hash.ts";
import { claim, indexOrphans } from "../kit/pods.ts";
import { matchesSelector } from "../kit/selector.ts";
import { controllerOf, DEPLOYMENTS, keyOf, ownerReference, PODS, REPLICA_SETS } from "../kit/types.ts";
import { remove, writeStatus } from "../kit/writes.ts";
import {
  bounds,
  byAge,
  DESIRED_REPLICAS,
  findNew,
  HASH_LABEL,
  inheritedAnnotations,
  isRollingUpdate,
  MAX_REPLICAS,
  replicasOf,
  REVISION,
  REVISION_HISTORY,
  revisionOf,
  sameTemplate,
} from "./model.ts";
import { newReplicas, recreateMayProceed, rollingUpdate } from "./rollout.ts";
import { COMPONENT, isScalingEvent, scale, scaleProportionally } from "./scale.ts";
import { deploymentStatus, setCondition } from "./status.ts";

/** Rolls each Deployment out by making and sizing ReplicaSets; a ReplicaSet per template is the revision history. */
export function startDeployments(context: ControllerContext): void {
  const { api, caches, runner, events, clock } = context;
  const deployments = caches.of(DEPLOYMENTS);
  const sets = caches.of(REPLICA_SETS);
  const pods = caches.of(PODS);
  indexOrphans(sets);
  const queue = runner.register("deployment", reconcile);

  deployments.onChange((_event, deployment) => queue.add(keyOf(deployment)));
  sets.onChange((_event, set, previous) => {
    for (const version of [set, previous]) {
      if (!version) continue;
      const owner = controllerOf(version);
      if (owner?.kind === "Deployment") queue.add(`${version.metadata.namespace}/${owner.name}`);
    }
    if (!controllerOf(set)) {
      for (const deployment of deployments.inNamespace(set.metadata.namespace!)) {
        if (matchesSelector(deployment.spec.selector, set.metadata.labels)) queue.add(keyOf(deployment));
      }
    }
  });
  // A Recreate rollout waits for the last pod of the old ReplicaSets to be gone.
  pods.onChange((event, pod) => {
    const owner = event === "DELETED" ? controllerOf(pod) : undefined;
    const set = owner?.kind === "ReplicaSet" ? sets.find(pod.metadata.namespace, owner.name) : undefined;
    const deployment = set && controllerOf(set);
    if (deployment?.kind === "Deployment") queue.add(`${pod.metadata.namespace}/${deployment.name}`);
  });

  function reconcile(key: string): void {
    const deployment = deployments.get(key);
    if (!deployment) return;
    const owned = claim(api, REPLICA_SETS, sets, deployment, deployment.spec.selector);
    if (deployment.metadata.deletionTimestamp) {
      return updateStatus(deployment, findNew(deployment, owned), owned);
    }
    const paused = notePause(deployment);
    if (paused !== deployment) return;
    const newSet = findNew(deployment, owned);
    const old = owned.filter((set) => set !== newSet);
    if (deployment.spec.paused || isScalingEvent(deployment, owned.filter((set) => replicasOf(set) > 0))) {
      scaleProportionally(context, deployment, newSet, old);
      if (deployment.spec.paused) cleanUp(deployment, old);
      return updateStatus(deployment, newSet, current(owned));
    }
    if (!isRollingUpdate(deployment)) {
      if (!recreateMayProceed(context, deployment, old, (set) => pods.controlledBy(set.metadata.uid!).length)) {
        return updateStatus(deployment, newSet, current(owned));
      }
    }
    const made = newSet ? adoptRevision(deployment, newSet, old) : makeNew(deployment, old);
    if (!made) return;
    const all = [...old, made.set];
    if (isRollingUpdate(deployment)) rollingUpdate(context, deployment, made.set, old);
    else scale(context, deployment, made.set, replicasOf(deployment));
    cleanUp(made.deployment, old);
    updateStatus(made.deployment, made.set, all);
  }

  /** The ReplicaSets as they are stored now, after this reconcile may have written some. */
  function current(owned: KubeObject[]): KubeObject[] {
    return owned.map((set) => api.get(REPLICA_SETS, set.metadata.namespace, set.metadata.name) ?? set);
  }

  /** Tells in the Progressing condition that the rollout was paused or resumed, so that its deadline stops meanwhile. */
  function notePause(deployment: KubeObject): KubeObject {
    if ((deployment.spec.progressDeadlineSeconds ?? 600) === 2 ** 31 - 1) return deployment;
    const reason = findCondition(deployment.status?.conditions, "Progressing")?.reason;
    if (reason === "ProgressDeadlineExceeded" && deployment.spec.paused) return deployment;
    const pausedNow = deployment.spec.paused === true;
    if (pausedNow === (reason === "DeploymentPaused")) return deployment;
    const conditions = setCondition(deployment.status?.conditions ?? [], {
      type: "Progressing",
      status: "Unknown",
      reason: pausedNow ? "DeploymentPaused" : "DeploymentResumed",
      message: pausedNow ? "Deployment is paused" : "Deployment is resumed",
    }, clock.now());
    return writeStatus(api, DEPLOYMENTS, deployment, { ...deployment.status, conditions });
  }

  /** Makes the ReplicaSet for the present template, or nothing when that has to be tried again. */
  function makeNew(
    deployment: KubeObject,
    old: KubeObject[],
  ): { deployment: KubeObject; set: KubeObject } | undefined {
    const collisions = deployment.status?.collisionCount ?? 0;
    const hash = templateHash(deployment.spec.template, collisions);
    const revision = String(Math.max(0, ...old.map(revisionOf)) + 1);
    const template = structuredClone(deployment.spec.template);
    template.metadata = { ...template.metadata, labels: { ...template.metadata?.labels, [HASH_LABEL]: hash } };
    const selector = structuredClone(deployment.spec.selector);
    selector.matchLabels = { ...selector.matchLabels, [HASH_LABEL]: hash };
    const size = newReplicas(deployment, old, undefined);
    const set: KubeObject = {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${deployment.metadata.name}-${hash}`,
        namespace: deployment.metadata.namespace,
        labels: template.metadata.labels,
        annotations: {
          ...inheritedAnnotations(deployment),
          [REVISION]: revision,
          [DESIRED_REPLICAS]: String(replicasOf(deployment)),
          [MAX_REPLICAS]: String(replicasOf(deployment) + bounds(deployment).maxSurge),
        },
        ownerReferences: [ownerReference(deployment)],
      },
      spec: { replicas: size, minReadySeconds: deployment.spec.minReadySeconds, selector, template },
    };
    let created: KubeObject;
    try {
      created = api.create(REPLICA_SETS, set);
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      if (thrown.reason === "AlreadyExists") return collided(deployment, set.metadata.name);
      if (!JSON.stringify(thrown.details ?? {}).includes("NamespaceTerminating")) {
        const message = `Failed to create new replica set "${set.metadata.name}": ${thrown.message}`;
        events.warning(deployment, COMPONENT, "ReplicaSetCreateError", message);
        const conditions = setCondition(deployment.status?.conditions ?? [], {
          type: "Progressing",
          status: "False",
          reason: "ReplicaSetCreateError",
          message,
        }, clock.now());
        writeStatus(api, DEPLOYMENTS, deployment, { ...deployment.status, conditions });
      }
      throw thrown;
    }
    if (size > 0) {
      events.normal(
        deployment,
        COMPONENT,
        "ScalingReplicaSet",
        `Scaled up replica set ${created.metadata.name} from 0 to ${size}`,
      );
    }
    const progressing = noteProgress(
      deployment,
      "NewReplicaSetCreated",
      `Created new replica set "${created.metadata.name}"`,
    );
    return { deployment: noteRevision(progressing, revision), set: created };
  }

  /** Somebody has the name that the new ReplicaSet would get: another hash next time, unless it is the one we want. */
  function collided(deployment: KubeObject, name: string): undefined {
    const existing = api.get(REPLICA_SETS, deployment.metadata.namespace, name);
    const ours = existing && controllerOf(existing)?.uid === deployment.metadata.uid &&
      sameTemplate(existing.spec.template, deployment.spec.template);
    if (!ours) {
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      writeStatus(api, DEPLOYMENTS, deployment, { ...deployment.status, collisionCount });
    }
    queue.add(keyOf(deployment));
    return undefined;
  }

  /** The template is that of a ReplicaSet there is (a rollback, or nothing new): it becomes the newest revision. */
  function adoptRevision(
    deployment: KubeObject,
    newSet: KubeObject,
    old: KubeObject[],
  ): { deployment: KubeObject; set: KubeObject } {
    const highest = Math.max(0, ...old.map(revisionOf));
    const annotations: Record<string, string> = {
      ...newSet.metadata.annotations,
      ...inheritedAnnotations(deployment),
    };
    const present = annotations[REVISION];
    if (revisionOf(newSet) <= highest) {
      if (present !== undefined) {
        const history = (annotations[REVISION_HISTORY] ?? "").split(",").filter((part) => part !== "");
        annotations[REVISION_HISTORY] = [...history, present].slice(-10).join(",");
      }
      annotations[REVISION] = String(highest + 1);
    }
    let set = newSet;
    const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
    if (
      canonicalJson(annotations) !== canonicalJson(newSet.metadata.annotations ?? {}) ||
      minReadySeconds !== (newSet.spec.minReadySeconds ?? 0)
    ) {
      const next = structuredClone(newSet);
      next.metadata.annotations = annotations;
      next.spec.minReadySeconds = minReadySeconds;
      set = api.update(REPLICA_SETS, next);
    }
    const hasCondition = findCondition(deployment.status?.conditions, "Progressing") !== undefined;
    const progressing = hasCondition && set === newSet
      ? deployment
      : revisionOf(set) !== revisionOf(newSet) || !hasCondition
      ? noteProgress(deployment, "FoundNewReplicaSet", `Found new replica set "${set.metadata.name}"`)
      : deployment;
    return { deployment: noteRevision(progressing, annotations[REVISION]), set };
  }

  function noteProgress(deployment: KubeObject, reason: string, message: string): KubeObject {
    if ((deployment.spec.progressDeadlineSeconds ?? 600) === 2 ** 31 - 1) return deployment;
    const conditions = setCondition(
      deployment.status?.conditions ?? [],
      { type: "Progressing", status: "True", reason, message: `${message}` },
      clock.now(),
    );
    return writeStatus(api, DEPLOYMENTS, deployment, { ...deployment.status, conditions });
  }

  function noteRevision(deployment: KubeObject, revision: string): KubeObject {
    if (deployment.metadata.annotations?.[REVISION] === revision) return deployment;
    const next = structuredClone(deployment);
    next.metadata.annotations = { ...next.metadata.annotations, [REVISION]: revision };
    return api.update(DEPLOYMENTS, next);
  }

  /** Forgets the oldest revisions that have no pods. */
  function cleanUp(deployment: KubeObject, old: KubeObject[]): void {
    const limit: number = deployment.spec.revisionHistoryLimit ?? 10;
    const candidates = byAge(old).sort((a, b) => revisionOf(a) - revisionOf(b)).filter((set) =>
      !set.metadata.deletionTimestamp
    );
    for (const set of candidates.slice(0, Math.max(0, candidates.length - limit))) {
      if ((set.status?.replicas ?? 0) !== 0 || replicasOf(set) !== 0) continue;
      if (set.metadata.generation! > (set.status?.observedGeneration ?? 0)) continue;
      remove(api, REPLICA_SETS, set);
    }
  }

  function updateStatus(deployment: KubeObject, newSet: KubeObject | undefined, all: KubeObject[]): void {
    const { status, recheckMs } = deploymentStatus(deployment, newSet, all, clock.now());
    writeStatus(api, DEPLOYMENTS, deployment, status);
    if (recheckMs !== undefined) queue.addAfter(keyOf(deployment), recheckMs);
  }
}
