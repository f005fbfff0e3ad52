// Kubernetes objects -> workloads, services and policies, kept up to date: a change of one object recomputes what depends on it
// and nothing else, and only what comes out different is announced.

import type { Change, Store } from "../kube/store.ts";
import { type EndpointSlice, type KubeObject, objectKey, type Pod } from "../kube/types.ts";
import { type AuthorizationPolicy, policyKey } from "../model/policy.ts";
import type { Port, Service, Workload } from "../model/workload.ts";
import { convertAuthorizationPolicy } from "./authorization/convert.ts";
import { buildSliceWorkloads, slicePods, slicePorts, sliceService } from "./endpoint_slice.ts";
import { sameValue } from "./equal.ts";
import { addIndexes, BY, type IndexInputs, newInputs } from "./inputs.ts";
import { ANNOTATION, LABEL, type Labels, selectorPair, selects } from "./labels.ts";
import { PeerPolicies } from "./peer_policies.ts";
import { buildPodWorkload, containerPort, isWorkload, podUid } from "./pod_workload.ts";
import { buildService, type ServiceInfo } from "./service.ts";
import { DEFAULT_SETTINGS, type MeshSettings } from "./settings.ts";
import type { StatusReport } from "./status.ts";
import { OutputTable, type TableDelta } from "./table.ts";

/** What differs after a {@linkcode AmbientIndex.flush}. */
export interface IndexDelta {
  readonly workloads: TableDelta;
  readonly services: TableDelta;
  readonly policies: TableDelta;
  readonly statuses: TableDelta;
}

/** A policy that is for the workloads with these labels. */
interface Selecting {
  readonly key: string;
  readonly selector: Labels;
  /** "" for all namespaces. */
  readonly namespace: string;
}

/**
 * The ambient index. Tell it of changed inputs with `changed` (the stores are up to date by then), then `flush`.
 * Outputs are immutable; a change is a new object.
 */
export class AmbientIndex {
  /** By uid. */
  readonly workloads = new OutputTable<Workload>();
  /** By `namespace/hostname`. */
  readonly services = new OutputTable<Service>();
  /** By `namespace/name`. */
  readonly policies = new OutputTable<AuthorizationPolicy>();
  /** By `kind/namespace/name`. */
  readonly statuses = new OutputTable<StatusReport>();

  readonly #inputs: IndexInputs;
  #settings: MeshSettings;
  readonly #peers: PeerPolicies;
  /** By key of the Service. */
  readonly #serviceInfos = new Map<string, ServiceInfo>();
  readonly #selecting = new Map<string, Selecting>();
  /** The same by their namespace. */
  readonly #selectingIn = new Map<string, Set<Selecting>>();
  readonly #dirtyPods = new Set<string>();
  readonly #dirtyServices = new Set<string>();
  readonly #dirtySlices = new Set<string>();
  readonly #dirtyPolicies = new Set<string>();
  #dirtyPeers = false;

  constructor(inputs: IndexInputs, settings: MeshSettings = DEFAULT_SETTINGS) {
    this.#inputs = inputs = { ...newInputs(), ...inputs };
    this.#settings = settings;
    this.#peers = new PeerPolicies(inputs.peerAuthentications, settings);
    addIndexes(inputs);
    this.#everything();
  }

  get settings(): MeshSettings {
    return this.#settings;
  }

  /** What PeerAuthentications say that could not be understood, by key. */
  get peerProblems(): ReadonlyMap<string, readonly string[]> {
    return this.#peers.problems;
  }

  /** Uses other settings from the next flush on; everything is built anew then. */
  configure(settings: MeshSettings): void {
    if (sameValue(settings, this.#settings)) return;
    this.#settings = settings;
    this.#peers.configure(settings);
    this.#everything();
  }

  /** Takes changes of one input in. */
  changed(input: keyof IndexInputs, changes: readonly Change[]): void {
    for (const change of changes) {
      const key = objectKey(change.object);
      switch (input) {
        case "pods":
          this.#dirtyPods.add(key);
          break;
        case "services":
          this.#dirtyServices.add(key);
          break;
        case "endpointSlices":
          this.#sliceChanged(key, change as Change<EndpointSlice>);
          break;
        case "namespaces":
          this.#namespaceChanged(change);
          break;
        case "nodes":
          if (change.type === "updated" && sameValue(change.old.metadata.labels, change.object.metadata.labels)) break;
          this.#mark(this.#dirtyPods, this.#inputs.pods.by(BY.node, change.object.metadata.name));
          break;
        case "authorizationPolicies":
          this.#dirtyPolicies.add(key);
          break;
        case "peerAuthentications":
          this.#dirtyPeers = true;
          break;
      }
    }
  }

  /** Recomputes what changes affect; what came out different. */
  flush(): IndexDelta {
    // In the order of dependence: each step may mark what later ones read.
    for (const key of take(this.#dirtyServices)) this.#buildService(key);
    for (const key of take(this.#dirtyPolicies)) this.#buildPolicy(key);
    if (this.#dirtyPeers) this.#buildPeers();
    for (const key of take(this.#dirtySlices)) this.#buildSlice(key);
    for (const key of take(this.#dirtyPods)) this.#buildPod(key);
    return {
      workloads: this.workloads.take(),
      services: this.services.take(),
      policies: this.policies.take(),
      statuses: this.statuses.take(),
    };
  }

  #everything(): void {
    const { pods, services, endpointSlices, authorizationPolicies } = this.#inputs;
    this.#mark(this.#dirtyPods, pods.values());
    this.#mark(this.#dirtyServices, services.values());
    this.#mark(this.#dirtySlices, endpointSlices.values());
    this.#mark(this.#dirtyPolicies, authorizationPolicies.values());
    this.#dirtyPeers = true;
  }

  #mark(dirty: Set<string>, objects: Iterable<KubeObject>): void {
    for (const object of objects) dirty.add(objectKey(object));
  }

  #sliceChanged(key: string, change: Change<EndpointSlice>): void {
    this.#dirtySlices.add(key);
    for (const slice of change.type === "updated" ? [change.old, change.object] : [change.object]) {
      const service = sliceService(slice);
      // Slices of a Service with a selector say nothing that the pods do not say themselves.
      if (service === undefined || selectorPair(this.#inputs.services.get(service)?.spec.selector ?? {})) continue;
      for (const pod of slicePods(slice)) this.#dirtyPods.add(pod);
    }
  }

  #namespaceChanged(change: Change): void {
    const { metadata } = change.object, old = change.type === "updated" ? change.old.metadata : undefined;
    const differs = (read: (meta: KubeObject["metadata"]) => string | undefined) =>
      change.type !== "updated" || read(metadata) !== read(old!);
    if (metadata.name === this.#settings.rootNamespace && differs(({ labels }) => labels?.[LABEL.network])) {
      this.#everything();
    }
    if (
      differs(({ annotations }) => annotations?.[ANNOTATION.trafficDistribution]) ||
      differs(({ labels }) => labels?.[LABEL.ingressUseWaypoint])
    ) this.#mark(this.#dirtyServices, this.#inputs.services.by(BY.namespace, metadata.name));
  }

  /** The network that this cluster's endpoints are on. */
  get #network(): string {
    return this.#inputs.namespaces.get(this.#settings.rootNamespace)?.metadata.labels?.[LABEL.network] ?? "";
  }

  #buildService(key: string): void {
    const { services, namespaces, endpointSlices } = this.#inputs;
    const object = services.get(key), old = this.#serviceInfos.get(key);
    const info = object &&
      buildService(object, namespaces.get(object.metadata.namespace ?? ""), this.#network, this.#settings);
    if (info) this.#serviceInfos.set(key, info);
    else this.#serviceInfos.delete(key);
    this.services.replace(key, info ? [[info.key, info.service]] : []);
    const members = (of: ServiceInfo | undefined) => of && [of.key, of.selector, of.ports];
    if (sameValue(members(old), members(info))) return;
    for (const { selector } of [old, info].filter((one) => one !== undefined)) {
      if (selector) this.#mark(this.#dirtyPods, this.#podsWith(selector, key.slice(0, key.indexOf("/"))));
    }
    for (const slice of endpointSlices.by(BY.service, key)) {
      this.#dirtySlices.add(objectKey(slice));
      for (const pod of slicePods(slice)) this.#dirtyPods.add(pod);
    }
  }

  #buildPolicy(key: string): void {
    const object = this.#inputs.authorizationPolicies.get(key);
    const converted = object && convertAuthorizationPolicy(object, this.#settings);
    const policy = converted?.policy;
    this.policies.replace(`AuthorizationPolicy/${key}`, policy ? [[policyKey(policy), policy]] : []);
    const status = `AuthorizationPolicy/${key}`;
    this.statuses.replace(status, object && converted ? [[status, report(object, converted.condition)]] : []);

    const old = this.#selecting.get(key);
    let now: Selecting | undefined;
    if (policy && converted?.selector) {
      const { rootNamespace } = this.#settings;
      now = {
        key: policyKey(policy),
        selector: converted.selector,
        namespace: policy.namespace === rootNamespace ? "" : policy.namespace,
      };
    }
    if (sameValue(old, now)) return;
    if (old) this.#selectingIn.get(old.namespace)?.delete(old);
    if (now) {
      this.#selecting.set(key, now);
      const group = this.#selectingIn.get(now.namespace);
      if (group) group.add(now);
      else this.#selectingIn.set(now.namespace, new Set([now]));
    } else this.#selecting.delete(key);
    for (const selecting of [old, now].filter((one) => one !== undefined)) {
      this.#mark(this.#dirtyPods, this.#podsWith(selecting.selector, selecting.namespace));
    }
  }

  #buildPeers(): void {
    this.#dirtyPeers = false;
    const namespaces = this.#peers.rebuild(this.policies);
    if (namespaces === "all") return this.#mark(this.#dirtyPods, this.#inputs.pods.values());
    for (const namespace of namespaces) this.#mark(this.#dirtyPods, this.#inputs.pods.by(BY.namespace, namespace));
  }

  #buildSlice(key: string): void {
    const slice = this.#inputs.endpointSlices.get(key);
    const service = slice && sliceService(slice);
    const info = service === undefined ? undefined : this.#serviceInfos.get(service);
    const workloads = slice ? buildSliceWorkloads(slice, info, this.#network, this.#settings) : [];
    this.workloads.replace(`EndpointSlice/${key}`, workloads.map((workload) => [workload.uid, workload]));
  }

  #buildPod(key: string): void {
    const pod = this.#inputs.pods.get(key);
    if (!pod || !isWorkload(pod)) return this.workloads.replace(`Pod/${key}`, []);
    const workload = buildPodWorkload(pod, {
      settings: this.#settings,
      network: this.#network,
      node: pod.spec.nodeName ? this.#inputs.nodes.get(pod.spec.nodeName) : undefined,
      services: this.#servicesOf(pod, key),
      policies: this.#policiesOf(pod),
    });
    this.workloads.replace(`Pod/${key}`, [[podUid(pod, this.#settings), workload]]);
  }

  #servicesOf(pod: Pod, key: string): ReadonlyMap<string, readonly Port[]> {
    const { services, endpointSlices } = this.#inputs;
    const { labels = {}, namespace } = pod.metadata;
    const found = new Map<string, readonly Port[]>();
    for (const [label, value] of Object.entries(labels)) {
      for (const service of services.by(BY.selector, `${namespace}|${label}=${value}`)) {
        const info = this.#serviceInfos.get(objectKey(service));
        if (info?.selector && selects(info.selector, labels)) found.set(info.key, portsOf(info, pod));
      }
    }
    for (const slice of endpointSlices.by(BY.pod, key)) {
      const info = this.#serviceInfos.get(sliceService(slice) ?? "");
      if (!info || info.selector || info.service.namespace !== namespace) continue;
      found.set(info.key, [...found.get(info.key) ?? [], ...slicePorts(slice, info)]);
    }
    return new Map([...found].sort(([a], [b]) => a < b ? -1 : 1));
  }

  /** Keys of policies in the order of §1: those that select the pod, sorted, then those of PeerAuthentications. */
  #policiesOf(pod: Pod): string[] {
    const { labels, namespace = "" } = pod.metadata;
    const keys: string[] = [];
    for (const group of ["", namespace]) {
      for (const policy of this.#selectingIn.get(group) ?? []) {
        if (selects(policy.selector, labels)) keys.push(policy.key);
      }
    }
    return [...keys.sort(), ...this.#peers.keysFor(namespace, labels)];
  }

  /** Pods with these labels, of one namespace or ("") of all. */
  #podsWith(selector: Labels, namespace: string): Iterable<Pod> {
    const pair = selectorPair(selector), pods: Store<Pod> = this.#inputs.pods;
    if (pair === undefined) return namespace === "" ? pods.values() : pods.by(BY.namespace, namespace);
    const candidates = namespace === "" ? pods.by(BY.anyLabel, pair) : pods.by(BY.label, `${namespace}|${pair}`);
    return [...candidates].filter(({ metadata }) => selects(selector, metadata.labels));
  }
}

/** The service's ports as this pod serves them; a port whose name no container has is left out. */
function portsOf(info: ServiceInfo, pod: Pod): Port[] {
  return info.ports.flatMap(({ servicePort, targetPort, targetName, appProtocol }) => {
    const number = targetName === "" ? targetPort : containerPort(pod, targetName);
    return number === undefined ? [] : [{ servicePort, targetPort: number, appProtocol }];
  });
}

function report(object: KubeObject, condition: StatusReport["condition"]): StatusReport {
  const { name, namespace = "default", generation = 0 } = object.metadata;
  const fieldManager = condition.type === "ZtunnelAccepted"
    ? "istio-ambient-ztunnel-policy"
    : "istio-ambient-waypoint-policy";
  return { kind: "AuthorizationPolicy", namespace, name, generation, fieldManager, condition };
}

/** Empties a set; what was in it. */
function take(set: Set<string>): string[] {
  const all = [...set];
  set.clear();
  return all;
}
