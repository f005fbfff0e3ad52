import type { ClusterApi, KubeObject } from "../../contracts.ts";
import { findCondition, withCondition } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { canonicalJson } from "../kit/hash.ts";
import { isTerminated } from "../kit/pods.ts";
import { keyOf, NAMESPACES, NODES, PODS } from "../kit/types.ts";
import { unless } from "../kit/writes.ts";
import { decide } from "./decide.ts";
import type { ClusterView } from "./topology.ts";

const COMPONENT = "default-scheduler";

/** Binds pods that name no node. A pod that fits nowhere waits until nodes or pods change. There is no preemption. */
export function startScheduler({ api, caches, runner, events, clock }: ControllerContext): void {
  const pods = caches.of(PODS);
  const nodes = caches.of(NODES);
  const namespaces = caches.of(NAMESPACES);
  pods.index("node", (pod) => pod.spec?.nodeName ? [pod.spec.nodeName] : []);
  const queue = runner.register("scheduler", reconcile);
  const waiting = new Set<string>();

  pods.onChange((event, pod, previous) => {
    const key = keyOf(pod);
    if (event === "DELETED") waiting.delete(key);
    else if (!pod.spec?.nodeName) return queue.add(key);
    if (!pod.spec?.nodeName) return;
    // A pod that has left makes room; one that has arrived is something for pod affinity to hold on to.
    if (event === "DELETED" || isTerminated(pod)) retryWaiting();
    else if (!previous?.spec?.nodeName) retryWaiting((waiting) => waiting.spec?.affinity?.podAffinity !== undefined);
  });
  nodes.onChange((_event, node, previous) => {
    if (!previous || canonicalJson(relevant(node)) !== canonicalJson(relevant(previous))) retryWaiting();
  });
  namespaces.onChange((_event, namespace, previous) => {
    if (canonicalJson(namespace.metadata.labels) !== canonicalJson(previous?.metadata.labels)) retryWaiting();
  });

  function retryWaiting(concerned: (pod: KubeObject) => boolean = () => true): void {
    for (const key of waiting) {
      const pod = pods.get(key);
      if (pod && concerned(pod)) queue.add(key);
    }
  }

  const view: ClusterView = {
    get nodes() {
      return [...nodes.all()].filter((node) => !node.metadata.deletionTimestamp);
    },
    podsOn: (node) => pods.by("node", node),
    namespaceLabels: (namespace) => namespaces.find(undefined, namespace)?.metadata.labels,
  };

  function reconcile(key: string): void {
    const pod = pods.get(key);
    waiting.delete(key);
    if (!pod || pod.spec.nodeName || pod.metadata.deletionTimestamp || isTerminated(pod)) return;
    if ((pod.spec.schedulerName ?? COMPONENT) !== COMPONENT) return;
    if (pod.spec.schedulingGates?.length > 0) {
      return notScheduled(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates");
    }
    const placement = decide({ ...view, nodes: view.nodes }, pod);
    if ("node" in placement) {
      bind(api, pod, placement.node);
      events.normal(
        pod,
        COMPONENT,
        "Scheduled",
        `Successfully assigned ${pod.metadata.namespace}/${pod.metadata.name} to ${placement.node}`,
      );
      return;
    }
    waiting.add(key);
    events.warning(pod, COMPONENT, "FailedScheduling", placement.message);
    notScheduled(pod, "Unschedulable", placement.message);
  }

  function notScheduled(pod: KubeObject, reason: string, message: string): void {
    const current = findCondition(pod.status?.conditions, "PodScheduled");
    if (current?.status === "False" && current.reason === reason && current.message === message) return;
    const conditions = withCondition(
      pod.status?.conditions,
      { type: "PodScheduled", status: "False", reason, message },
      clock.now(),
    );
    api.update(PODS, { ...structuredClone(pod), status: { ...pod.status, conditions } }, { subresource: "status" });
  }
}

/** The parts of a Node that a decision depends on; heartbeats are not among them. */
function relevant(node: KubeObject): unknown {
  return [node.metadata.labels, node.spec, node.status?.allocatable, node.metadata.deletionTimestamp];
}

/** Binds as kube-scheduler does, by a Binding posted to the pod. One bound or gone meanwhile is left alone. */
export function bind(api: ClusterApi, pod: KubeObject, node: string): void {
  const binding: KubeObject = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid: pod.metadata.uid },
    target: { apiVersion: "v1", kind: "Node", name: node },
  };
  unless(["NotFound", "Conflict"], () => api.create(PODS, binding, { subresource: "binding" }));
}
