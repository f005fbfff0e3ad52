import type { KubeObject } from "../../contracts.ts";
import { age, containerCells, humanDuration, labelsText, selectorText, since } from "./cells.ts";
import { podCells } from "./pods.ts";
import { endpointsCells, endpointSliceCells, ingressCells, serviceCells } from "./services.ts";

/**
 * Columns as text, `Name` first: `*` marks those that only `-o wide` shows, `#` integers, `?` booleans. The functions give
 * one cell per column.
 */
export interface BuiltinTable {
  columns: string;
  cells(object: KubeObject, now: number): unknown[];
}

const name = (object: KubeObject) => object.metadata.name;
const scalar = (value: unknown) => value === undefined || value === null || value === "" ? "<unset>" : String(value);
const WORKLOAD_WIDE = "*Containers|*Images|*Selector";

function workloadTail(object: KubeObject): unknown[] {
  return [...containerCells(object.spec.template), selectorText(object.spec.selector)];
}

function nodeCells(node: KubeObject, now: number): unknown[] {
  const { status = {}, spec = {} } = node;
  const ready = status.conditions?.find((condition: any) => condition.type === "Ready");
  const states = [ready ? (ready.status === "True" ? "Ready" : "NotReady") : "Unknown"];
  if (spec.unschedulable) states.push("SchedulingDisabled");
  const roles = Object.entries<string>(node.metadata.labels ?? {}).flatMap(([key, value]) =>
    key.startsWith("node-role.kubernetes.io/") ? [key.slice(24)] : key === "kubernetes.io/role" && value ? [value] : []
  ).sort();
  const address = (type: string) => status.addresses?.find((entry: any) => entry.type === type)?.address ?? "<none>";
  const info = status.nodeInfo ?? {};
  return [
    name(node),
    states.join(","),
    roles.join(",") || "<none>",
    age(node, now),
    info.kubeletVersion ?? "",
    address("InternalIP"),
    address("ExternalIP"),
    info.osImage || "<unknown>",
    info.kernelVersion || "<unknown>",
    info.containerRuntimeVersion || "<unknown>",
  ];
}

function jobCells(job: KubeObject, now: number): unknown[] {
  const { spec, status = {} } = job;
  const condition = (type: string) =>
    status.conditions?.some((item: any) => item.type === type && item.status === "True");
  const state = condition("Complete")
    ? "Complete"
    : condition("Failed")
    ? "Failed"
    : job.metadata.deletionTimestamp
    ? "Terminating"
    : condition("Suspended")
    ? "Suspended"
    : condition("FailureTarget")
    ? "FailureTarget"
    : condition("SuccessCriteriaMet")
    ? "SuccessCriteriaMet"
    : "Running";
  const done = status.succeeded ?? 0;
  const completions = spec.completions !== undefined
    ? `${done}/${spec.completions}`
    : (spec.parallelism ?? 0) > 1
    ? `${done}/1 of ${spec.parallelism}`
    : `${done}/1`;
  const end = status.completionTime ? Date.parse(status.completionTime) : now;
  const duration = status.startTime ? humanDuration(end - Date.parse(status.startTime)) : "";
  return [name(job), state, completions, duration, age(job, now), ...workloadTail(job)];
}

function eventCells(event: KubeObject, now: number): unknown[] {
  const { involvedObject: about = {}, source = {} } = event;
  const first = event.firstTimestamp ? since(event.firstTimestamp, now) : since(event.eventTime, now);
  const last = event.series?.lastObservedTime
    ? since(event.series.lastObservedTime, now)
    : event.lastTimestamp
    ? since(event.lastTimestamp, now)
    : first;
  const kind = String(about.kind ?? "").toLowerCase();
  const component = source.component || event.reportingComponent || "";
  return [
    last,
    event.type ?? "",
    event.reason ?? "",
    about.name ? `${kind}/${about.name}` : kind,
    about.fieldPath ?? "",
    source.host ? `${component}, ${source.host}` : component,
    String(event.message ?? "").trim(),
    first,
    String(event.series?.count ?? event.count ?? 1),
    name(event),
  ];
}

function hpaCells(object: KubeObject, now: number): unknown[] {
  const { spec, status = {} } = object;
  const targets = (spec.metrics ?? []).map((metric: any, i: number) => {
    const current = status.currentMetrics?.[i]?.resource?.current;
    const target = metric.resource?.target;
    const shown = current?.averageUtilization !== undefined ? `${current.averageUtilization}%` : "<unknown>";
    return metric.resource
      ? `${metric.resource.name}: ${shown}/${
        target?.averageUtilization !== undefined ? `${target.averageUtilization}%` : target?.averageValue ?? "<auto>"
      }`
      : "<unknown>";
  });
  return [
    name(object),
    `${spec.scaleTargetRef?.kind}/${spec.scaleTargetRef?.name}`,
    targets.join(" + ") || "<none>",
    scalar(spec.minReplicas),
    spec.maxReplicas ?? 0,
    status.currentReplicas ?? 0,
    age(object, now),
  ];
}

function bindingCells(binding: KubeObject, now: number): unknown[] {
  const of = (kind: string) => (binding.subjects ?? []).filter((subject: any) => subject.kind === kind);
  return [
    name(binding),
    `${binding.roleRef?.kind}/${binding.roleRef?.name}`,
    age(binding, now),
    of("User").map((subject: any) => subject.name).join(", "),
    of("Group").map((subject: any) => subject.name).join(", "),
    of("ServiceAccount").map((subject: any) => `${subject.namespace}/${subject.name}`).join(", "),
  ];
}

function csrCells(csr: KubeObject, now: number): unknown[] {
  const states = (csr.status?.conditions ?? []).map((condition: any) => condition.type);
  const state = states.includes("Denied") ? "Denied" : states.includes("Approved") ? "Approved" : "Pending";
  return [
    name(csr),
    age(csr, now),
    csr.spec?.signerName ?? "<none>",
    csr.spec?.username ?? "",
    csr.spec?.expirationSeconds ? humanDuration(csr.spec.expirationSeconds * 1000) : "<none>",
    csr.status?.certificate ? `${state},Issued` : state,
  ];
}

const bindingTable: BuiltinTable = { columns: "Name|Role|Age|*Users|*Groups|*ServiceAccounts", cells: bindingCells };
const hooks: BuiltinTable = {
  columns: "Name|#Webhooks|Age",
  cells: (o, now) => [name(o), o.webhooks?.length ?? 0, age(o, now)],
};
const createdAt: BuiltinTable = {
  columns: "Name|Created At",
  cells: (o) => [name(o), o.metadata.creationTimestamp ?? "<unknown>"],
};

/** Tables of built-in types by `group/plural`. */
export const BUILTIN_TABLES: Record<string, BuiltinTable> = {
  "/pods": { columns: "Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates", cells: podCells },
  "/services": { columns: "Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector", cells: serviceCells },
  "/endpoints": { columns: "Name|Endpoints|Age", cells: endpointsCells },
  "/nodes": {
    columns: "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime",
    cells: nodeCells,
  },
  "/namespaces": { columns: "Name|Status|Age", cells: (o, now) => [name(o), o.status?.phase ?? "", age(o, now)] },
  "/configmaps": {
    columns: "Name|#Data|Age",
    cells: (
      o,
      now,
    ) => [name(o), Object.keys(o.data ?? {}).length + Object.keys(o.binaryData ?? {}).length, age(o, now)],
  },
  "/secrets": {
    columns: "Name|Type|#Data|Age",
    cells: (o, now) => [name(o), o.type ?? "", Object.keys(o.data ?? {}).length, age(o, now)],
  },
  "/serviceaccounts": {
    columns: "Name|#Secrets|Age",
    cells: (o, now) => [name(o), o.secrets?.length ?? 0, age(o, now)],
  },
  "/events": {
    columns: "Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*Count|*Name",
    cells: eventCells,
  },
  "/persistentvolumeclaims": {
    columns: "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode",
    cells: (
      o,
      now,
    ) => [
      name(o),
      o.status?.phase ?? "",
      o.spec?.volumeName ?? "",
      o.status?.capacity?.storage ?? "",
      (o.status?.accessModes ?? []).join(","),
      o.spec?.storageClassName ?? "",
      scalar(o.spec?.volumeAttributesClassName),
      age(o, now),
      scalar(o.spec?.volumeMode),
    ],
  },
  "/persistentvolumes": {
    columns:
      "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|*VolumeMode",
    cells: (
      o,
      now,
    ) => [
      name(o),
      o.spec?.capacity?.storage ?? "",
      (o.spec?.accessModes ?? []).join(","),
      o.spec?.persistentVolumeReclaimPolicy ?? "",
      o.status?.phase ?? "",
      o.spec?.claimRef ? `${o.spec.claimRef.namespace}/${o.spec.claimRef.name}` : "",
      o.spec?.storageClassName ?? "",
      scalar(o.spec?.volumeAttributesClassName),
      o.status?.reason ?? "",
      age(o, now),
      scalar(o.spec?.volumeMode),
    ],
  },
  "/replicationcontrollers": {
    columns: `Name|#Desired|#Current|#Ready|Age|${WORKLOAD_WIDE}`,
    cells: (
      o,
      now,
    ) => [
      name(o),
      o.spec?.replicas ?? 0,
      o.status?.replicas ?? 0,
      o.status?.readyReplicas ?? 0,
      age(o, now),
      ...containerCells(o.spec?.template),
      labelsText(o.spec?.selector),
    ],
  },
  "/resourcequotas": {
    columns: "Name|Age|Request|Limit",
    cells: (o, now) => {
      const show = (limits: boolean) =>
        Object.entries(o.spec?.hard ?? {}).filter(([key]) => key.startsWith("limits.") === limits).map(([key, hard]) =>
          `${key}: ${o.status?.used?.[key] ?? 0}/${hard}`
        ).join(", ");
      return [name(o), age(o, now), show(false), show(true)];
    },
  },
  "apps/deployments": {
    columns: `Name|Ready|#Up-to-date|#Available|Age|${WORKLOAD_WIDE}`,
    cells: (
      o,
      now,
    ) => [
      name(o),
      `${o.status?.readyReplicas ?? 0}/${o.spec.replicas ?? 0}`,
      o.status?.updatedReplicas ?? 0,
      o.status?.availableReplicas ?? 0,
      age(o, now),
      ...workloadTail(o),
    ],
  },
  "apps/replicasets": {
    columns: `Name|#Desired|#Current|#Ready|Age|${WORKLOAD_WIDE}`,
    cells: (
      o,
      now,
    ) => [
      name(o),
      o.spec.replicas ?? 0,
      o.status?.replicas ?? 0,
      o.status?.readyReplicas ?? 0,
      age(o, now),
      ...workloadTail(o),
    ],
  },
  "apps/statefulsets": {
    columns: "Name|Ready|Age|*Containers|*Images",
    cells: (
      o,
      now,
    ) => [
      name(o),
      `${o.status?.readyReplicas ?? 0}/${o.spec.replicas ?? 0}`,
      age(o, now),
      ...containerCells(o.spec.template),
    ],
  },
  "apps/daemonsets": {
    columns: `Name|#Desired|#Current|#Ready|#Up-to-date|#Available|Node Selector|Age|${WORKLOAD_WIDE}`,
    cells: (o, now) => {
      const status = o.status ?? {};
      return [
        name(o),
        status.desiredNumberScheduled ?? 0,
        status.currentNumberScheduled ?? 0,
        status.numberReady ?? 0,
        status.updatedNumberScheduled ?? 0,
        status.numberAvailable ?? 0,
        labelsText(o.spec.template?.spec?.nodeSelector),
        age(o, now),
        ...workloadTail(o),
      ];
    },
  },
  "apps/controllerrevisions": {
    columns: "Name|Controller|Revision|Age",
    cells: (o, now) => {
      const owner = o.metadata.ownerReferences?.find((reference) => reference.controller);
      return [
        name(o),
        owner ? `${owner.kind.toLowerCase()}.${owner.apiVersion.split("/")[0]}/${owner.name}` : "<none>",
        String(o.revision ?? 0),
        age(o, now),
      ];
    },
  },
  "batch/jobs": { columns: `Name|Status|Completions|Duration|Age|${WORKLOAD_WIDE}`, cells: jobCells },
  "batch/cronjobs": {
    columns: `Name|Schedule|Timezone|Suspend|#Active|Last Schedule|Age|${WORKLOAD_WIDE}`,
    cells: (o, now) => {
      const last = o.status?.lastScheduleTime;
      return [
        name(o),
        o.spec?.schedule ?? "",
        o.spec?.timeZone ?? "<none>",
        o.spec?.suspend ? "True" : "False",
        o.status?.active?.length ?? 0,
        last ? since(last, now) : "<none>",
        age(o, now),
        ...containerCells(o.spec?.jobTemplate?.spec?.template),
        selectorText(o.spec?.jobTemplate?.spec?.selector),
      ];
    },
  },
  "autoscaling/horizontalpodautoscalers": {
    columns: "Name|Reference|Targets|MinPods|#MaxPods|#Replicas|Age",
    cells: hpaCells,
  },
  "policy/poddisruptionbudgets": {
    columns: "Name|Min Available|Max Unavailable|#Allowed Disruptions|Age",
    cells: (
      o,
      now,
    ) => [
      name(o),
      String(o.spec?.minAvailable ?? "N/A"),
      String(o.spec?.maxUnavailable ?? "N/A"),
      o.status?.disruptionsAllowed ?? 0,
      age(o, now),
    ],
  },
  "discovery.k8s.io/endpointslices": { columns: "Name|AddressType|Ports|Endpoints|Age", cells: endpointSliceCells },
  "coordination.k8s.io/leases": {
    columns: "Name|Holder|Age",
    cells: (o, now) => [name(o), o.spec?.holderIdentity ?? "", age(o, now)],
  },
  "scheduling.k8s.io/priorityclasses": {
    columns: "Name|#Value|?Global-Default|Age|PreemptionPolicy",
    cells: (o, now) => [name(o), o.value ?? 0, o.globalDefault ?? false, age(o, now), o.preemptionPolicy ?? ""],
  },
  "node.k8s.io/runtimeclasses": {
    columns: "Name|Handler|Age",
    cells: (o, now) => [name(o), o.handler ?? "", age(o, now)],
  },
  "certificates.k8s.io/certificatesigningrequests": {
    columns: "Name|Age|SignerName|Requestor|RequestedDuration|Condition",
    cells: csrCells,
  },
  "networking.k8s.io/ingresses": { columns: "Name|Class|Hosts|Address|Ports|Age", cells: ingressCells },
  "networking.k8s.io/ingressclasses": {
    columns: "Name|Controller|Parameters|Age",
    cells: (
      o,
      now,
    ) => [
      name(o),
      o.spec?.controller ?? "",
      o.spec?.parameters ? `${o.spec.parameters.kind}/${o.spec.parameters.name}` : "<none>",
      age(o, now),
    ],
  },
  "networking.k8s.io/networkpolicies": {
    columns: "Name|Pod-Selector|Age",
    cells: (o, now) => [name(o), selectorText(o.spec?.podSelector), age(o, now)],
  },
  "rbac.authorization.k8s.io/roles": createdAt,
  "rbac.authorization.k8s.io/clusterroles": createdAt,
  "rbac.authorization.k8s.io/rolebindings": bindingTable,
  "rbac.authorization.k8s.io/clusterrolebindings": bindingTable,
  "storage.k8s.io/storageclasses": {
    columns: "Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age",
    cells: (o, now) => {
      const isDefault = o.metadata.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true";
      return [
        isDefault ? `${name(o)} (default)` : name(o),
        o.provisioner ?? "",
        o.reclaimPolicy ?? "",
        o.volumeBindingMode ?? "",
        o.allowVolumeExpansion ?? false,
        age(o, now),
      ];
    },
  },
  "admissionregistration.k8s.io/mutatingwebhookconfigurations": hooks,
  "admissionregistration.k8s.io/validatingwebhookconfigurations": hooks,
  "apiextensions.k8s.io/customresourcedefinitions": createdAt,
};
