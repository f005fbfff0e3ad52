// What one ServiceEntry or WorkloadEntry gives, with the waypoints of it.

import type { KubeObject } from "../kube/types.ts";
import type { Port, Service, Workload } from "../model/workload.ts";
import { type Attached, attachedService, attachedWorkload } from "./attachments.ts";
import type { EntryHosts } from "./entry_hosts.ts";
import { LABEL, type Labels } from "./labels.ts";
import { labelsOf, objectOf, textOf } from "./read.ts";
import type { ServiceInfo } from "./service.ts";
import { buildEntryEndpoints, buildEntryServices, readServiceEntry } from "./service_entry.ts";
import type { MeshSettings } from "./settings.ts";
import type { StatusCondition } from "./status.ts";
import { type WaypointBinding, waypointKeys, withWaypoint } from "./waypoints.ts";
import {
  buildEntryWorkload,
  ENTRY_FIELDS,
  entryPorts,
  workloadEntryLabels,
  workloadEntryUid,
} from "./workload_entry.ts";

/** What entries depend on beside themselves. */
export interface EntryContext {
  readonly settings: MeshSettings;
  readonly network: string;
  readonly hosts: EntryHosts;
  readonly namespace: KubeObject | undefined;
  /** The waypoint of an object, or of an endpoint with labels of its own. */
  readonly bind: (kind: "service" | "workload", labels: Labels | undefined) => WaypointBinding;
  /** Keys of the policies for a workload that these waypoints serve. */
  readonly policiesOf: (labels: Labels, waypoints: readonly string[]) => string[];
  /** Keys of the waypoints of a service. */
  readonly waypointsOf: (service: string) => readonly string[];
  /** Services and hosts whose selector holds for the labels. */
  readonly selecting: (labels: Labels) => Iterable<ServiceInfo>;
}

export interface EntryOutputs {
  readonly infos: readonly ServiceInfo[];
  readonly services: readonly (readonly [key: string, service: Service])[];
  readonly workloads: readonly (readonly [uid: string, workload: Workload])[];
  readonly attached: Attached;
  readonly condition?: StatusCondition;
}

export function serviceEntryOutputs(object: KubeObject, context: EntryContext): EntryOutputs {
  const { network, settings, hosts, namespace, bind, policiesOf } = context, { labels } = object.metadata;
  const infos = buildEntryServices(object, network, hosts.allocated, (host) => hosts.answersFor(object, host))
    .filter(({ service }) => hosts.owns(object, service.hostname));
  const binding = bind("service", labels);
  const inherited = labels?.[LABEL.ingressUseWaypoint] === undefined &&
    namespace?.metadata.labels?.[LABEL.ingressUseWaypoint] === "true";
  const endpoints = readServiceEntry(object).endpoints,
    bound = new Map<string, string>(),
    named = new Set(binding.named);
  const workloads = buildEntryEndpoints(object, infos, network, settings).map((workload) => {
    const address = workload.hostname || workload.addresses[0];
    // An endpoint has the labels that are written at it; those of the entry are its services'.
    const own = labelsOf(endpoints.find((one) => textOf(one.address) === address)?.labels);
    const { waypoint, named: names } = bind("workload", own);
    for (const name of names) named.add(name);
    if (waypoint) bound.set(workload.uid, waypoint.key);
    const authorizationPolicies = policiesOf(own, [...waypoint ? [waypoint.key] : [], ...waypointKeys(binding)]);
    return [workload.uid, { ...workload, waypoint: waypoint?.address, authorizationPolicies }] as const;
  });
  return {
    infos,
    services: infos.map(({ key, service }) => [
      key,
      withWaypoint(inherited ? { ...service, ingressUseWaypoint: true } : service, binding),
    ]),
    workloads,
    attached: { ...attachedService(binding, infos.map(({ key }) => key)), named: [...named], workloads: bound },
    condition: withProblems(binding.condition, readServiceEntry(object).problems),
  };
}

/** One condition tells all: the list of conditions has one writer. */
function withProblems(bound: StatusCondition | undefined, problems: readonly string[]): StatusCondition | undefined {
  if (problems.length === 0) return bound;
  const told = problems.join("; ");
  return bound
    ? { ...bound, message: `${bound.message}; ${told}` }
    : { type: "Reconciled", status: "False", reason: "UnsupportedValue", message: told };
}

/** Without workloads for an entry without an address that the mesh can reach. */
export function workloadEntryOutputs(object: KubeObject, context: EntryContext): EntryOutputs {
  const { settings, network, bind, policiesOf, waypointsOf, selecting } = context;
  const fields = objectOf(object.spec), address = textOf(fields.address);
  if (address === "" || address.startsWith("unix:")) {
    const why = address === "" ? "address is missing, or no text" : `address ${address} is not supported`;
    const attached = { named: [], services: new Map<string, string[]>(), workloads: new Map<string, string>() };
    return {
      infos: [],
      services: [],
      workloads: [],
      attached,
      condition: withProblems(undefined, [why.slice(0, 300)]),
    };
  }
  const labels = workloadEntryLabels(object),
    uid = workloadEntryUid(object, settings),
    found = new Map<string, Port[]>();
  for (const info of selecting(labels)) found.set(info.key, entryPorts(info, fields));
  const services = new Map([...found].sort(([a], [b]) => a < b ? -1 : 1)), binding = bind("workload", labels);
  const workload = {
    ...buildEntryWorkload({ object, uid, address, fields, services, network, settings }),
    waypoint: binding.waypoint?.address,
    authorizationPolicies: policiesOf(labels, [...waypointKeys(binding), ...[...services.keys()].flatMap(waypointsOf)]),
  };
  return {
    infos: [],
    services: [],
    workloads: [[uid, workload]],
    attached: attachedWorkload(binding, uid),
    condition: withProblems(
      binding.condition,
      Object.keys(fields).filter((field) => !ENTRY_FIELDS.includes(field)).slice(0, 8).map((field) =>
        `${field} is not supported`
      ),
    ),
  };
}
