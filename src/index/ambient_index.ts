// Kubernetes objects -> workloads, services and policies, kept up to date: a change of one object recomputes what depends on it
// and nothing else, and only what comes out different is announced.

import type { Change } from "../kube/store.ts";
import { type EndpointSlice, type KubeObject, objectKey, type Pod } from "../kube/types.ts";
import { type AuthorizationPolicy, policyKey } from "../model/policy.ts";
import type { Port, Service, Workload } from "../model/workload.ts";
import { attachedService, attachedWorkload, Attachments } from "./attachments.ts";
import { convertAuthorizationPolicy } from "./authorization/convert.ts";
import { buildSliceWorkloads, slicePods, slicePorts, sliceService } from "./endpoint_slice.ts";
import { EntryHosts } from "./entry_hosts.ts";
import { type EntryContext, serviceEntryOutputs, workloadEntryOutputs } from "./entry_outputs.ts";
import { sameValue } from "./equal.ts";
import { addIndexes, BY, type IndexInputs, newInputs, withLabels } from "./inputs.ts";
import { ANNOTATION, LABEL, type Labels, selects } from "./labels.ts";
import { PeerPolicies } from "./peer_policies.ts";
import { buildPodWorkload, containerPort, isWorkload, podUid } from "./pod_workload.ts";
import { textOf } from "./read.ts";
import { SelectingPolicies } from "./selecting_policies.ts";
import { buildService, type ServiceInfo } from "./service.ts";
import { readServiceEntry } from "./service_entry.ts";
import { DEFAULT_SETTINGS, type MeshSettings } from "./settings.ts";
import type { StatusReport } from "./status.ts";
import { OutputTable, type TableDelta } from "./table.ts";
import {
  allowWaypointPolicy,
  bindWaypoint,
  isWaypointService,
  readWaypoint,
  type Waypoint,
  type WaypointBinding,
  withWaypoint,
} from "./waypoints.ts";
import { workloadEntryLabels } from "./workload_entry.ts";

/** What differs after a {@linkcode AmbientIndex.flush}. */
export interface IndexDelta {
  readonly workloads: TableDelta;
  readonly services: TableDelta;
  readonly policies: TableDelta;
  readonly statuses: TableDelta;
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
  /** By key of the ServiceEntry: one for each host that is its own. */
  readonly #entryInfos = new Map<string, readonly ServiceInfo[]>();
  readonly #hosts: EntryHosts;
  readonly #waypoints = new Map<string, Waypoint>();
  readonly #attachments = new Attachments();
  readonly #selecting = new SelectingPolicies();
  readonly #dirtyPods = new Set<string>();
  readonly #dirtyServices = new Set<string>();
  readonly #dirtySlices = new Set<string>();
  readonly #dirtyPolicies = new Set<string>();
  readonly #dirtyGateways = new Set<string>();
  readonly #dirtyServiceEntries = new Set<string>();
  readonly #dirtyWorkloadEntries = new Set<string>();
  #dirtyAllocation = true;
  #dirtyPeers = false;

  constructor(inputs: IndexInputs, settings: MeshSettings = DEFAULT_SETTINGS) {
    this.#inputs = inputs = { ...newInputs(), ...inputs };
    this.#settings = settings;
    this.#hosts = new EntryHosts(inputs.serviceEntries, (host) => this.#serviceOfHost(host));
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

  /** Keys (`namespace/hostname`) of the services that a Gateway (`namespace/name`) is the waypoint of. */
  attachedServices(gateway: string): Iterable<string> {
    return this.#attachments.services(gateway);
  }

  /** Uids of the workloads that a Gateway is the waypoint of. */
  attachedWorkloads(gateway: string): Iterable<string> {
    return this.#attachments.workloads(gateway);
  }

  /** Keys of the Gateways that are waypoints of a service. */
  waypointsOf(service: string): readonly string[] {
    return this.#attachments.waypointsOf(service);
  }

  /** A Gateway, when it is of a waypoint's class. */
  waypoint(gateway: string): Waypoint | undefined {
    return this.#waypoints.get(gateway);
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
        case "gateways":
          this.#dirtyGateways.add(key);
          break;
        case "gatewayClasses":
          for (const gateway of this.#inputs.gateways.values()) {
            if (gateway.spec?.gatewayClassName === key) this.#dirtyGateways.add(objectKey(gateway));
          }
          break;
        case "serviceEntries":
          this.#serviceEntryChanged(change);
          break;
        case "workloadEntries":
          this.#dirtyWorkloadEntries.add(key);
          break;
      }
    }
  }

  /** Recomputes what changes affect; what came out different. */
  flush(): IndexDelta {
    // In the order of dependence: each step may mark what later ones read.
    for (const key of take(this.#dirtyGateways)) this.#buildGateway(key);
    for (const key of take(this.#dirtyServices)) this.#buildService(key);
    for (const key of take(this.#dirtyPolicies)) this.#buildPolicy(key);
    if (this.#dirtyPeers) this.#buildPeers();
    if (this.#dirtyAllocation) { for (const key of this.#hosts.allocate()) this.#dirtyServiceEntries.add(key); }
    this.#dirtyAllocation = false;
    for (const key of take(this.#dirtyServiceEntries)) this.#buildServiceEntry(key);
    for (const key of take(this.#dirtySlices)) this.#buildSlice(key);
    for (const key of take(this.#dirtyPods)) this.#buildPod(key);
    for (const key of take(this.#dirtyWorkloadEntries)) this.#buildWorkloadEntry(key);
    return {
      workloads: this.workloads.take(),
      services: this.services.take(),
      policies: this.policies.take(),
      statuses: this.statuses.take(),
    };
  }

  #everything(): void {
    const { pods, services, endpointSlices, authorizationPolicies } = this.#inputs;
    this.#mark(this.#dirtyGateways, this.#inputs.gateways.values());
    this.#mark(this.#dirtyServiceEntries, this.#inputs.serviceEntries.values());
    this.#mark(this.#dirtyWorkloadEntries, this.#inputs.workloadEntries.values());
    this.#dirtyAllocation = true;
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
      // Slices of a Service with a selector say nothing that the pods do not say themselves. What the Service was when it was last built
      // decides: a Service that differs now marks its slices' pods by itself.
      const info = service === undefined ? undefined : this.#serviceInfos.get(service);
      if (!info || info.selector) continue;
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
    // Any label may decide whether a waypoint admits the namespace.
    const labels = !sameValue(metadata.labels ?? {}, old?.labels ?? {});
    const weight = differs(({ annotations }) => annotations?.[ANNOTATION.waypointCanaryWeight]);
    if (labels || weight || differs(({ annotations }) => annotations?.[ANNOTATION.trafficDistribution])) {
      this.#mark(this.#dirtyServices, this.#inputs.services.by(BY.namespace, metadata.name));
      this.#mark(this.#dirtyServiceEntries, this.#inputs.serviceEntries.by(BY.namespace, metadata.name));
    }
    if (labels) {
      this.#mark(this.#dirtyPods, this.#inputs.pods.by(BY.namespace, metadata.name));
      this.#mark(this.#dirtyWorkloadEntries, this.#inputs.workloadEntries.by(BY.namespace, metadata.name));
    }
  }

  #serviceEntryChanged(change: Change): void {
    const { type, object } = change;
    this.#dirtyServiceEntries.add(objectKey(object));
    this.#dirtyAllocation = true;
    const before = type === "updated" ? change.old : undefined;
    for (const entry of before ? [before, object] : [object]) {
      // Entries with the same host decide among themselves which is the one.
      for (const host of readServiceEntry(entry).hosts) {
        this.#mark(this.#dirtyServiceEntries, this.#inputs.serviceEntries.by(BY.host, host));
      }
    }
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
    const binding = object && info && !isWaypointService(object) ? this.#bind("service", object) : undefined;
    const source = `Service/${key}`;
    const before = info && this.waypointsOf(info.key);
    this.#attachments.set(source, binding && attachedService(binding, [info!.key]));
    const rebound = this.#settings.autoAllowWaypointPolicy === true && info !== undefined &&
      !sameValue(before, this.waypointsOf(info.key));
    this.services.replace(source, info ? [[info.key, withWaypoint(info.service, binding)]] : []);
    this.#reportBinding("Service", key, object, binding?.condition);
    // A ServiceEntry for this host gives way to the Service, and comes back when that goes.
    const host = (info ?? old)?.service.hostname;
    if (host && !info !== !old) {
      this.#mark(this.#dirtyServiceEntries, this.#inputs.serviceEntries.by(BY.host, host));
    }
    if (!rebound && sameValue(members(old), members(info))) return;
    for (const { selector } of [old, info].filter((one) => one !== undefined)) {
      if (selector) this.#markSelected(selector, key.slice(0, key.indexOf("/")));
    }
    for (const slice of endpointSlices.by(BY.service, key)) {
      this.#dirtySlices.add(objectKey(slice));
      for (const pod of slicePods(slice)) this.#dirtyPods.add(pod);
    }
  }

  #buildGateway(key: string): void {
    const { gateways, gatewayClasses, pods } = this.#inputs, object = gateways.get(key);
    const now = object && readWaypoint(object, gatewayClasses.get(textOf(object.spec?.gatewayClassName)));
    const old = this.#waypoints.get(key);
    if (sameValue(now, old) && !this.#settings.autoAllowWaypointPolicy) return;
    if (now) this.#waypoints.set(key, now);
    else this.#waypoints.delete(key);
    const implicit = now && this.#settings.autoAllowWaypointPolicy
      ? allowWaypointPolicy(now, this.#settings)
      : undefined;
    this.policies.replace(`Gateway/${key}`, implicit ? [[policyKey(implicit), implicit]] : []);
    for (const source of this.#attachments.sources(key)) {
      const cut = source.indexOf("/"), name = source.slice(cut + 1);
      const dirty = {
        Service: this.#dirtyServices,
        ServiceEntry: this.#dirtyServiceEntries,
        Pod: this.#dirtyPods,
        WorkloadEntry: this.#dirtyWorkloadEntries,
      }[source.slice(0, cut)];
      dirty?.add(name);
    }
    if (!sameValue(now?.inboundBinding, old?.inboundBinding)) {
      const { namespace, name } = (now ?? old)!;
      this.#mark(this.#dirtyPods, pods.by(BY.label, `${namespace}|${LABEL.gatewayName}=${name}`));
    }
  }

  /** The waypoint of an object by its labels and those of its namespace. */
  #bind(kind: "service" | "workload", object: KubeObject, labels = object.metadata.labels): WaypointBinding {
    const { namespace = "", annotations } = object.metadata;
    const namespaceObject = this.#inputs.namespaces.get(namespace);
    return bindWaypoint({ kind, namespace, labels, annotations, namespaceObject }, (key) => this.#waypoints.get(key));
  }

  #reportBinding(
    kind: "Service" | "ServiceEntry" | "WorkloadEntry",
    key: string,
    object: KubeObject | undefined,
    condition: StatusReport["condition"] | undefined,
  ): void {
    const name = `${kind}/${key}`;
    if (!object || !condition) return this.statuses.replace(name, []);
    const { namespace = "default", generation = 0 } = object.metadata;
    const fieldManager = kind === "WorkloadEntry" ? "istio-ambient-workloadentry" : "istio-ambient-service";
    const report = { kind, namespace, name: object.metadata.name, generation, fieldManager, condition };
    this.statuses.replace(name, [[name, report]]);
  }

  #buildServiceEntry(key: string): void {
    const object = this.#inputs.serviceEntries.get(key), source = `ServiceEntry/${key}`;
    const old = this.#entryInfos.get(key) ?? [], before = old.map((info) => this.waypointsOf(info.key));
    const outputs = object && serviceEntryOutputs(object, this.#entryContext(object));
    const now = outputs?.infos ?? [];
    if (object) this.#entryInfos.set(key, now);
    else this.#entryInfos.delete(key);
    this.#attachments.set(source, outputs?.attached);
    this.services.replace(source, outputs?.services ?? []);
    this.workloads.replace(source, outputs?.workloads ?? []);
    this.#reportBinding("ServiceEntry", key, object, outputs?.condition);
    const rebound = this.#settings.autoAllowWaypointPolicy === true &&
      !sameValue(before, now.map((info) => this.waypointsOf(info.key)));
    if (!rebound && sameValue(old.map(members), now.map(members))) return;
    const namespace = key.slice(0, key.indexOf("/"));
    for (const selector of new Set([old[0]?.selector, now[0]?.selector])) {
      if (selector) this.#markSelected(selector, namespace);
    }
  }

  #entryContext(object: KubeObject): EntryContext {
    const { namespace = "" } = object.metadata;
    return {
      settings: this.#settings,
      network: this.#network,
      hosts: this.#hosts,
      namespace: this.#inputs.namespaces.get(namespace),
      bind: (kind, labels) => this.#bind(kind, object, labels),
      policiesOf: (labels, waypoints) => this.#policiesOf(namespace, labels, waypoints),
      waypointsOf: (service) => this.waypointsOf(service),
      selecting: (labels) => this.#infosSelecting(namespace, labels),
    };
  }

  #serviceOfHost(host: string): ServiceInfo | undefined {
    const suffix = `.svc.${this.#settings.clusterDomain}`;
    if (!host.endsWith(suffix)) return undefined;
    const parts = host.slice(0, -suffix.length).split(".");
    return parts.length === 2 ? this.#serviceInfos.get(`${parts[1]}/${parts[0]}`) : undefined;
  }

  #buildWorkloadEntry(key: string): void {
    const object = this.#inputs.workloadEntries.get(key), source = `WorkloadEntry/${key}`;
    const outputs = object && workloadEntryOutputs(object, this.#entryContext(object));
    this.workloads.replace(source, outputs?.workloads ?? []);
    this.#attachments.set(source, outputs?.attached);
    this.#reportBinding("WorkloadEntry", key, object, outputs?.condition);
  }

  #buildPolicy(key: string): void {
    const object = this.#inputs.authorizationPolicies.get(key);
    const converted = object && convertAuthorizationPolicy(object, this.#settings);
    const policy = converted?.policy;
    this.policies.replace(`AuthorizationPolicy/${key}`, policy ? [[policyKey(policy), policy]] : []);
    const status = `AuthorizationPolicy/${key}`;
    const condition = converted?.condition;
    this.statuses.replace(status, object && condition ? [[status, report(object, condition)]] : []);

    const { rootNamespace } = this.#settings;
    const now = policy && converted.selector && {
      key: policyKey(policy),
      selector: converted.selector,
      namespace: policy.namespace === rootNamespace ? "" : policy.namespace,
    };
    for (const { selector, namespace } of this.#selecting.set(key, now)) this.#markSelected(selector, namespace);
  }

  /** Marks the pods and entries with these labels, of one namespace or ("") of all. */
  #markSelected(selector: Labels, namespace: string): void {
    this.#mark(this.#dirtyPods, withLabels(this.#inputs.pods, selector, namespace, ({ metadata }) => metadata.labels));
    const entries = withLabels(this.#inputs.workloadEntries, selector, namespace, workloadEntryLabels);
    this.#mark(this.#dirtyWorkloadEntries, entries);
    // Inline endpoints have labels of their own; there are few of them.
    const { serviceEntries } = this.#inputs;
    this.#mark(
      this.#dirtyServiceEntries,
      namespace === "" ? serviceEntries.values() : serviceEntries.by(BY.namespace, namespace),
    );
  }

  #buildPeers(): void {
    this.#dirtyPeers = false;
    const namespaces = this.#peers.rebuild(this.policies);
    const { pods, workloadEntries, serviceEntries } = this.#inputs;
    if (namespaces === "all") {
      this.#mark(this.#dirtyWorkloadEntries, workloadEntries.values());
      this.#mark(this.#dirtyServiceEntries, serviceEntries.values());
      return this.#mark(this.#dirtyPods, pods.values());
    }
    for (const namespace of namespaces) {
      this.#mark(this.#dirtyPods, pods.by(BY.namespace, namespace));
      this.#mark(this.#dirtyWorkloadEntries, workloadEntries.by(BY.namespace, namespace));
      this.#mark(this.#dirtyServiceEntries, serviceEntries.by(BY.namespace, namespace));
    }
  }

  #buildSlice(key: string): void {
    const slice = this.#inputs.endpointSlices.get(key);
    const service = slice && sliceService(slice);
    const info = service === undefined ? undefined : this.#serviceInfos.get(service);
    const workloads = slice ? buildSliceWorkloads(slice, info, this.#network, this.#settings) : [];
    this.workloads.replace(`EndpointSlice/${key}`, workloads.map((workload) => [workload.uid, workload]));
  }

  #buildPod(key: string): void {
    const pod = this.#inputs.pods.get(key), source = `Pod/${key}`;
    if (!pod || !isWorkload(pod)) {
      this.#attachments.set(source);
      return this.workloads.replace(source, []);
    }
    const { namespace = "", labels } = pod.metadata, uid = podUid(pod, this.#settings);
    const instanceOf = labels?.[LABEL.gatewayName];
    const binding = instanceOf === undefined ? this.#bind("workload", pod) : undefined;
    this.#attachments.set(source, binding && attachedWorkload(binding, uid));
    const services = this.#servicesOf(pod, key);
    const workload = buildPodWorkload(pod, {
      settings: this.#settings,
      network: this.#network,
      node: pod.spec.nodeName ? this.#inputs.nodes.get(pod.spec.nodeName) : undefined,
      services,
      policies: this.#policiesOf(namespace, labels, [
        ...binding?.waypoint ? [binding.waypoint.key] : [],
        ...[...services.keys()].flatMap((service) => this.waypointsOf(service)),
      ]),
      waypoint: binding?.waypoint?.address,
      applicationTunnel: instanceOf === undefined
        ? undefined
        : this.#waypoints.get(`${namespace}/${instanceOf}`)?.inboundBinding,
    });
    this.workloads.replace(source, [[uid, workload]]);
  }

  #servicesOf(pod: Pod, key: string): ReadonlyMap<string, readonly Port[]> {
    const { endpointSlices } = this.#inputs, { labels = {}, namespace = "" } = pod.metadata;
    const found = new Map<string, readonly Port[]>();
    for (const info of this.#infosSelecting(namespace, labels)) found.set(info.key, portsOf(info, pod));
    const slices = [...endpointSlices.by(BY.pod, key)].sort((a, b) => a.metadata.name < b.metadata.name ? -1 : 1);
    for (const slice of slices) {
      const info = this.#serviceInfos.get(sliceService(slice) ?? "");
      if (!info || info.selector || info.service.namespace !== namespace) continue;
      found.set(info.key, [...found.get(info.key) ?? [], ...slicePorts(slice, info)]);
    }
    return sortedByKey(found);
  }

  /** Services and the hosts of ServiceEntries whose selector holds for these labels. */
  *#infosSelecting(namespace: string, labels: Labels): Iterable<ServiceInfo> {
    const { services, serviceEntries } = this.#inputs;
    for (const [label, value] of Object.entries(labels)) {
      const pair = `${namespace}|${label}=${value}`;
      for (const service of services.by(BY.selector, pair)) {
        const info = this.#serviceInfos.get(objectKey(service));
        if (info?.selector && selects(info.selector, labels)) yield info;
      }
      for (const entry of serviceEntries.by(BY.selector, pair)) {
        for (const info of this.#entryInfos.get(objectKey(entry)) ?? []) {
          if (info.selector && selects(info.selector, labels)) yield info;
        }
      }
    }
  }

  /** Keys of policies in the order of §1: those that select the workload, sorted, then those of PeerAuthentications, then the implicit ones of waypoints. */
  #policiesOf(namespace: string, labels: Labels | undefined, waypoints: readonly string[]): string[] {
    const keys = [...this.#selecting.keysFor(namespace, labels), ...this.#peers.keysFor(namespace, labels)];
    if (!this.#settings.autoAllowWaypointPolicy) return keys;
    for (const one of [...new Set(waypoints)].sort()) {
      const known = this.#waypoints.get(one);
      if (known) keys.push(policyKey(allowWaypointPolicy(known, this.#settings)));
    }
    return keys;
  }
}

/** What decides which workloads are a service's, and how their ports are numbered. */
function members(info: ServiceInfo | undefined): unknown {
  return info && [info.key, info.selector, info.ports];
}

function sortedByKey<V>(map: ReadonlyMap<string, V>): Map<string, V> {
  return new Map([...map].sort(([a], [b]) => a < b ? -1 : 1));
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
  const fieldManager = "istio-ambient-ztunnel-policy";
  return { kind: "AuthorizationPolicy", namespace, name, generation, fieldManager, condition };
}

/** Empties a set; what was in it. */
function take(set: Set<string>): string[] {
  const all = [...set];
  set.clear();
  return all;
}
