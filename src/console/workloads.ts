// Pods -> workloads and applications: who is in the mesh, by which means, and behind which waypoint.

import { LABEL, type Labels, selects } from "../index/labels.ts";
import type { Objects, PodFacts, PolicyFacts, ServiceFacts } from "./objects.ts";
import { proxyKind } from "./targets.ts";

/**
 * How a pod takes part in the mesh: `proxy` are the mesh's own gateways and waypoints, `system` pods of namespaces that nobody enrols,
 * `part` workloads with pods of both sorts.
 */
export type Membership = "ambient" | "sidecar" | "proxy" | "system" | "part" | "out";

/** A policy that may decide about a workload's traffic. */
export interface PolicyRef {
  readonly namespace: string;
  readonly name: string;
  readonly action: string;
  /** Where it is enforced: at the workload's own proxy, or at a waypoint or gateway. */
  readonly at: "workload" | "waypoint";
}

/** The pods of one Deployment, or of whatever else made them. */
export interface WorkloadView {
  /** `namespace/name`. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly app: string;
  readonly version: string;
  readonly serviceAccount: string;
  readonly membership: Membership;
  /** What kind of the mesh's own proxies it is, if it is one. */
  readonly proxy: "waypoint" | "gateway" | undefined;
  readonly pods: number;
  readonly ready: number;
  /** Names of pods that are not in the mesh and could be; at most ten. */
  readonly outOfMesh: readonly string[];
  /** Services that select it. */
  readonly services: readonly string[];
  /** The waypoint that its traffic passes, as `namespace/name`. */
  readonly waypoint: string | undefined;
  readonly policies: readonly PolicyRef[];
}

/** Workloads of the same application name in one namespace. */
export interface ApplicationView {
  readonly namespace: string;
  readonly app: string;
  readonly workloads: readonly WorkloadView[];
  readonly membership: Membership;
  readonly outOfMesh: number;
  readonly pods: number;
  readonly ready: number;
}

export interface NamespaceView {
  readonly name: string;
  /** Labelled `istio.io/dataplane-mode=ambient`. */
  readonly ambient: boolean;
  readonly waypoint: string | undefined;
  readonly system: boolean;
  readonly workloads: number;
  readonly pods: number;
  readonly inMesh: number;
  readonly policies: number;
}

const DATAPLANE_MODE = "istio.io/dataplane-mode";
const NAMED_PODS = 10;

/** Canonical name and revision as the mesh's metrics have them. */
export function canonical(pod: Pick<PodFacts, "labels" | "workload">): { app: string; version: string } {
  const { labels, workload } = pod;
  return {
    app: labels[LABEL.canonicalName] ?? labels[LABEL.appName] ?? labels[LABEL.app] ?? workload,
    version: labels[LABEL.canonicalRevision] ?? labels[LABEL.appVersion] ?? labels[LABEL.version] ?? "latest",
  };
}

function membershipOf(pod: PodFacts, rootNamespace: string): Membership {
  const kind = proxyKind(pod, rootNamespace);
  if (kind === "waypoint" || kind === "gateway" || kind === "ztunnel") return "proxy";
  if (pod.sidecar) return "sidecar";
  if (pod.captured) return "ambient";
  return isSystem(pod.namespace, rootNamespace) ? "system" : "out";
}

/** Namespaces that belong to the cluster or to the mesh, not to its users. */
export function isSystem(namespace: string, rootNamespace: string): boolean {
  return namespace === rootNamespace || namespace.startsWith("kube-") || namespace === "local-path-storage";
}

/** Views of snapshots that are in use: several parts of one answer ask for the same. */
const known = new WeakMap<Objects, ReadonlyMap<string, WorkloadView>>();

/** All workloads with running pods, by `namespace/name`. */
export function workloadViews(objects: Objects): ReadonlyMap<string, WorkloadView> {
  let views = known.get(objects);
  if (!views) known.set(objects, views = viewsOf(objects));
  return views;
}

function viewsOf(objects: Objects): Map<string, WorkloadView> {
  const { pods, services, policies, rootNamespace } = objects;
  const grouped = new Map<string, PodFacts[]>();
  for (const pod of pods) {
    if (!pod.running) continue;
    const id = `${pod.namespace}/${pod.workload}`;
    const group = grouped.get(id);
    if (group) group.push(pod);
    else grouped.set(id, [pod]);
  }
  const servicesIn = groupBy(services, ({ namespace }) => namespace);
  const policiesIn = groupBy(policies, ({ namespace }) => namespace);
  const waypoints = new Waypoints(objects);
  const views = new Map<string, WorkloadView>();
  for (const [id, group] of grouped) {
    const [first] = group, { namespace, labels } = first;
    const members = new Set(group.map((pod) => membershipOf(pod, rootNamespace)));
    const kind = proxyKind(first, rootNamespace);
    const selecting = (servicesIn.get(namespace) ?? []).filter(({ selector }) =>
      Object.keys(selector).length > 0 && selects(selector, labels)
    );
    const membership = members.size === 1 ? [...members][0] : "part";
    views.set(id, {
      id,
      namespace,
      name: first.workload,
      ...canonical(first),
      serviceAccount: first.serviceAccount,
      membership,
      proxy: kind === "waypoint" || kind === "gateway" ? kind : undefined,
      pods: group.length,
      ready: group.filter(({ ready }) => ready).length,
      outOfMesh: group.filter((pod) => membershipOf(pod, rootNamespace) === "out").map(({ name }) => name).sort()
        .slice(0, NAMED_PODS),
      services: selecting.map(({ name }) => name).sort(),
      waypoint: membership === "ambient" ? waypoints.of(first, selecting) : undefined,
      policies: policyRefs([...policiesIn.get(namespace) ?? [], ...policiesIn.get(rootNamespace) ?? []], {
        namespace,
        labels,
        rootNamespace,
        services: selecting.map(({ name }) => name),
        waypoint: waypoints.of(first, selecting),
      }),
    });
  }
  return views;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

/** Which waypoint labels choose: a Service's or a pod's own label before its namespace's; `none` chooses none. */
class Waypoints {
  readonly #known: ReadonlySet<string>;
  readonly #namespaces: ReadonlyMap<string, Labels>;

  constructor({ gateways, namespaces }: Objects) {
    this.#known = new Set(
      gateways.filter(({ className }) => className === "istio-waypoint").map(({ namespace, name }) =>
        `${namespace}/${name}`
      ),
    );
    this.#namespaces = new Map(namespaces.map(({ name, labels }) => [name, labels]));
  }

  of(pod: PodFacts, services: readonly ServiceFacts[]): string | undefined {
    for (const { labels } of services) {
      if (labels[LABEL.useWaypoint] !== undefined) return this.#named(labels, pod.namespace);
    }
    if (pod.labels[LABEL.useWaypoint] !== undefined) return this.#named(pod.labels, pod.namespace);
    return this.ofNamespace(pod.namespace);
  }

  ofNamespace(namespace: string): string | undefined {
    return this.#named(this.#namespaces.get(namespace) ?? {}, namespace);
  }

  #named(labels: Labels, namespace: string): string | undefined {
    const name = labels[LABEL.useWaypoint];
    if (name === undefined || name === "none") return undefined;
    const id = `${labels[LABEL.useWaypointNamespace] ?? namespace}/${name}`;
    return this.#known.has(id) ? id : undefined;
  }
}

interface Governed {
  readonly namespace: string;
  readonly labels: Labels;
  readonly rootNamespace: string;
  readonly services: readonly string[];
  readonly waypoint: string | undefined;
}

/** Policies whose selector or targets name the workload, its Services or its waypoint. */
function policyRefs(policies: readonly PolicyFacts[], of: Governed): PolicyRef[] {
  const refs = new Map<string, PolicyRef>();
  for (const { namespace, name, action, selector, targets } of policies) {
    let at: PolicyRef["at"] | undefined;
    if (targets.length > 0) {
      const named = targets.some(({ kind, name, namespace }) =>
        (kind === "Service" && namespace === of.namespace && of.services.includes(name)) ||
        (kind === "Gateway" && `${namespace}/${name}` === of.waypoint) ||
        (kind === "GatewayClass" && of.waypoint !== undefined)
      );
      if (named) at = "waypoint";
    } else if (selects(selector ?? {}, of.labels) && (namespace === of.namespace || namespace === of.rootNamespace)) {
      at = "workload";
    }
    if (at !== undefined) refs.set(`${namespace}/${name}`, { namespace, name, action, at });
  }
  return [...refs.values()].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Workloads as applications, sorted by namespace and name. `namespaces` undefined: all but the system's. */
export function applications(objects: Objects, namespaces?: ReadonlySet<string>): ApplicationView[] {
  const views = [...workloadViews(objects).values()].filter(({ namespace }) =>
    namespaces ? namespaces.has(namespace) : !isSystem(namespace, objects.rootNamespace)
  );
  const found: ApplicationView[] = [];
  for (const workloads of groupBy(views, ({ namespace, app }) => `${namespace}/${app}`).values()) {
    workloads.sort((a, b) => a.name < b.name ? -1 : 1);
    const members = new Set(workloads.map(({ membership }) => membership));
    const sum = (value: (workload: WorkloadView) => number) => workloads.reduce((total, one) => total + value(one), 0);
    found.push({
      namespace: workloads[0].namespace,
      app: workloads[0].app,
      workloads,
      membership: members.size === 1 ? [...members][0] : "part",
      outOfMesh: sum(({ outOfMesh }) => outOfMesh.length),
      pods: sum(({ pods }) => pods),
      ready: sum(({ ready }) => ready),
    });
  }
  return found.sort((a, b) =>
    a.namespace === b.namespace ? (a.app < b.app ? -1 : 1) : (a.namespace < b.namespace ? -1 : 1)
  );
}

/** Every namespace with what is in it, users' namespaces first. */
export function namespaceViews(objects: Objects): NamespaceView[] {
  const views = groupBy([...workloadViews(objects).values()], ({ namespace }) => namespace);
  const waypoints = new Waypoints(objects);
  const policies = groupBy(objects.policies, ({ namespace }) => namespace);
  return objects.namespaces.map(({ name, labels }): NamespaceView => {
    const workloads = views.get(name) ?? [];
    const pods = workloads.reduce((sum, one) => sum + one.pods, 0);
    return {
      name,
      ambient: labels[DATAPLANE_MODE] === "ambient",
      waypoint: waypoints.ofNamespace(name),
      system: isSystem(name, objects.rootNamespace),
      workloads: workloads.length,
      pods,
      inMesh: pods - workloads.reduce((sum, one) => sum + one.outOfMesh.length, 0),
      policies: policies.get(name)?.length ?? 0,
    };
  }).sort((a, b) => Number(a.system) - Number(b.system) || (a.name < b.name ? -1 : 1));
}
