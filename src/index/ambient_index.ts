// Kubernetes objects -> workloads, services and policies, kept up to date: a change of one object recomputes what depends on it
// and nothing else, and only what comes out different is announced.

import type { Change } from "../kube/store.ts";
import { type KubeObject, objectKey, type Pod } from "../kube/types.ts";
import { type AuthorizationPolicy, policyKey } from "../model/policy.ts";
import type { Port, Service, Workload } from "../model/workload.ts";
import { attachedService, attachedWorkload, Attachments } from "./attachments.ts";
import { convertAuthorizationPolicy } from "./authorization/convert.ts";
import { buildSliceWorkloads, slicePods, slicePorts, sliceService } from "./endpoint_slice.ts";
import { EntryHosts } from "./entry_hosts.ts";
import { type EntryContext, serviceEntryOutputs, workloadEntryOutputs } from "./entry_outputs.ts";
import { sameValue } from "./equal.ts";
import { addIndexes, BY, type IndexInputs, newInputs } from "./inputs.ts";
import { LABEL, type Labels, selects } from "./labels.ts";
import { PeerPolicies } from "./peer_policies.ts";
import { buildPodWorkload, containerPort, isWorkload, podUid } from "./pod_workload.ts";
import { textOf } from "./read.ts";
import { SelectingPolicies } from "./selecting_policies.ts";
import { buildService, type ServiceInfo } from "./service.ts";
import { DEFAULT_SETTINGS, type MeshSettings } from "./settings.ts";
import { mark, StaleKeys, take } from "./stale_keys.ts";
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
  readonly #stale: StaleKeys;

  constructor(inputs: IndexInputs, settings: MeshSettings = DEFAULT_SETTINGS) {
    this.#inputs = inputs = { ...newInputs(), ...inputs };
    this.#settings = settings;
    this.#hosts = new EntryHosts(inputs.serviceEntries, (host) => this.#serviceOfHost(host));
    this.#peers = new PeerPolicies(inputs.peerAuthentications, settings);
    this.#stale = new StaleKeys(inputs, () => this.#settings, (service) => this.#serviceInfos.get(service));
    addIndexes(inputs);
    this.#stale.everything();
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
    this.#stale.everything();
  }

  /** Takes changes of one input in. */
  changed(input: keyof IndexInputs, changes: readonly Change[]): void {
    this.#stale.changed(input, changes);
  }

  /** Recomputes what changes affect; what came out different. */
  flush(): IndexDelta {
    // In the order of dependence: each step may mark what later ones read.
    for (const key of take(this.#stale.gateways)) this.#buildGateway(key);
    for (const key of take(this.#stale.services)) this.#buildService(key);
    for (const key of take(this.#stale.policies)) this.#buildPolicy(key);
    if (this.#stale.peers) this.#buildPeers();
    if (this.#stale.allocation) { for (const key of this.#hosts.allocate()) this.#stale.serviceEntries.add(key); }
    this.#stale.allocation = false;
    for (const key of take(this.#stale.serviceEntries)) this.#buildServiceEntry(key);
    for (const key of take(this.#stale.slices)) this.#buildSlice(key);
    for (const key of take(this.#stale.pods)) this.#buildPod(key);
    for (const key of take(this.#stale.workloadEntries)) this.#buildWorkloadEntry(key);
    return {
      workloads: this.workloads.take(),
      services: this.services.take(),
      policies: this.policies.take(),
      statuses: this.statuses.take(),
    };
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
      mark(this.#stale.serviceEntries, this.#inputs.serviceEntries.by(BY.host, host));
    }
    if (!rebound && sameValue(members(old), members(info))) return;
    for (const { selector } of [old, info].filter((one) => one !== undefined)) {
      if (selector) this.#stale.selected(selector, key.slice(0, key.indexOf("/")));
    }
    for (const slice of endpointSlices.by(BY.service, key)) {
      this.#stale.slices.add(objectKey(slice));
      for (const pod of slicePods(slice)) this.#stale.pods.add(pod);
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
        Service: this.#stale.services,
        ServiceEntry: this.#stale.serviceEntries,
        Pod: this.#stale.pods,
        WorkloadEntry: this.#stale.workloadEntries,
      }[source.slice(0, cut)];
      dirty?.add(name);
    }
    if (!sameValue(now?.inboundBinding, old?.inboundBinding)) {
      const { namespace, name } = (now ?? old)!;
      mark(this.#stale.pods, pods.by(BY.label, `${namespace}|${LABEL.gatewayName}=${name}`));
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
      if (selector) this.#stale.selected(selector, namespace);
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
    for (const { selector, namespace } of this.#selecting.set(key, now)) this.#stale.selected(selector, namespace);
  }

  #buildPeers(): void {
    this.#stale.peers = false;
    const namespaces = this.#peers.rebuild(this.policies);
    const { pods, workloadEntries, serviceEntries } = this.#inputs;
    if (namespaces === "all") {
      mark(this.#stale.workloadEntries, workloadEntries.values());
      mark(this.#stale.serviceEntries, serviceEntries.values());
      return mark(this.#stale.pods, pods.values());
    }
    for (const namespace of namespaces) {
      mark(this.#stale.pods, pods.by(BY.namespace, namespace));
      mark(this.#stale.workloadEntries, workloadEntries.by(BY.namespace, namespace));
      mark(this.#stale.serviceEntries, serviceEntries.by(BY.namespace, namespace));
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
