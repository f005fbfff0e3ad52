import { field } from "../errors.ts";
import { nameProblem, validateLabels } from "../names.ts";
import { indexPath } from "../schema/schema.ts";
import type { Strategy } from "../types.ts";
import { oneOf, validatePort } from "./pod_validation.ts";
import { allocateServiceAddresses } from "./service_addresses.ts";

const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

const service: Strategy = {
  nameRule: "label1035",
  noGeneration: true,
  defaults(object) {
    const spec = object.spec ??= {};
    spec.type ||= "ClusterIP";
    spec.sessionAffinity ||= "None";
    if (spec.sessionAffinity === "ClientIP") {
      spec.sessionAffinityConfig ??= {};
      spec.sessionAffinityConfig.clientIP ??= {};
      spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10800;
    }
    if (["NodePort", "LoadBalancer"].includes(spec.type)) spec.externalTrafficPolicy ||= "Cluster";
    if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
    for (const port of spec.ports ?? []) {
      port.protocol ||= "TCP";
      port.targetPort ??= port.port;
      if (port.targetPort === 0 || port.targetPort === "") port.targetPort = port.port;
    }
  },
  prepareCreate(object) {
    object.status = { loadBalancer: {} };
  },
  prepareUpdate(object, old) {
    // A Service that stops being a load balancer loses the address.
    if (old.spec.type === "LoadBalancer" && object.spec.type !== "LoadBalancer") {
      object.status = { ...object.status, loadBalancer: {} };
    }
    if (object.spec.type === "ClusterIP") {
      delete object.spec.externalTrafficPolicy;
      delete object.spec.allocateLoadBalancerNodePorts;
      delete object.spec.healthCheckNodePort;
    }
  },
  admit: (object, old, env) => allocateServiceAddresses(object, old, env),
  validate(object, old) {
    const { spec } = object;
    const errors = validateLabels(spec.selector, "spec.selector");
    oneOf(errors, "spec.type", spec.type, TYPES);
    oneOf(errors, "spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"]);
    oneOf(errors, "spec.externalTrafficPolicy", spec.externalTrafficPolicy, ["Cluster", "Local"]);
    oneOf(errors, "spec.internalTrafficPolicy", spec.internalTrafficPolicy, ["Cluster", "Local"]);
    if (spec.type === "ExternalName" && !spec.externalName) errors.push(field.required("spec.externalName"));
    const ports: any[] = spec.ports ?? [];
    if (ports.length === 0 && spec.clusterIP !== "None" && spec.type !== "ExternalName") {
      errors.push(field.required("spec.ports"));
    }
    const names = new Set<string>();
    const numbers = new Set<string>();
    ports.forEach((port, i) => {
      const at = indexPath("spec.ports", i);
      if (port.port !== undefined) validatePort(errors, `${at}.port`, port.port);
      if (typeof port.targetPort === "number") validatePort(errors, `${at}.targetPort`, port.targetPort);
      oneOf(errors, `${at}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]);
      if (!port.name && ports.length > 1) errors.push(field.required(`${at}.name`));
      if (port.name) {
        const problem = nameProblem(port.name, "label");
        if (problem) errors.push(field.invalid(`${at}.name`, port.name, problem));
        if (names.has(port.name)) errors.push(field.duplicate(`${at}.name`, port.name));
        names.add(port.name);
      }
      const number = `${port.protocol}/${port.port}`;
      if (numbers.has(number)) errors.push(field.duplicate(at, { protocol: port.protocol, port: port.port }));
      numbers.add(number);
    });
    if (
      old && old.spec.type !== "ExternalName" && spec.type !== "ExternalName" && old.spec.clusterIP &&
      old.spec.clusterIP !== spec.clusterIP
    ) {
      errors.push({
        type: "Invalid",
        field: "spec.clusterIPs[0]",
        message: `Invalid value: ${JSON.stringify([spec.clusterIP])}: may not change once set`,
      });
    }
    return errors;
  },
};

const endpoints: Strategy = {
  noGeneration: true,
  defaults(object) {
    for (const subset of object.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ??= "TCP";
  },
};

const endpointSlice: Strategy = {
  defaults(object) {
    object.endpoints ??= [];
    object.ports ??= [];
    for (const port of object.ports) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate(object, old) {
    const errors: ReturnType<NonNullable<Strategy["validate"]>> = [];
    if (!object.addressType) errors.push(field.required("addressType"));
    oneOf(errors, "addressType", object.addressType, ["FQDN", "IPv4", "IPv6"]);
    if (old && old.addressType !== object.addressType) errors.push(field.immutable("addressType", object.addressType));
    if (object.endpoints.length > 1000) {
      errors.push({
        type: "TooMany",
        field: "endpoints",
        message: `Too many: ${object.endpoints.length}: must have at most 1000 items`,
      });
    }
    object.endpoints.forEach((endpoint: any, i: number) => {
      if (!endpoint.addresses?.length) {
        errors.push(field.required(`endpoints[${i}].addresses`, "must contain at least 1 address"));
      }
    });
    return errors;
  },
};

const ingress: Strategy = {
  prepareCreate(object) {
    object.status = { loadBalancer: {} };
  },
  validate(object) {
    const errors: ReturnType<NonNullable<Strategy["validate"]>> = [];
    const { spec = {} } = object;
    if (!spec.rules?.length && !spec.defaultBackend) {
      errors.push(field.invalid("spec", spec, "either `defaultBackend` or `rules` must be specified"));
    }
    (spec.rules ?? []).forEach((rule: any, i: number) =>
      (rule.http?.paths ?? []).forEach((path: any, j: number) => {
        const at = `spec.rules[${i}].http.paths[${j}]`;
        oneOf(errors, `${at}.pathType`, path.pathType, ["Exact", "ImplementationSpecific", "Prefix"]);
        if (["Exact", "Prefix"].includes(path.pathType) && !path.path?.startsWith("/")) {
          errors.push(field.invalid(`${at}.path`, path.path ?? "", "must be an absolute path"));
        }
      })
    );
    return errors;
  },
};

const networkPolicy: Strategy = {
  defaults(object) {
    const spec = object.spec ??= {};
    spec.podSelector ??= {};
    spec.policyTypes ??= spec.egress ? ["Ingress", "Egress"] : ["Ingress"];
    for (const rule of [...spec.ingress ?? [], ...spec.egress ?? []]) {
      for (const port of rule.ports ?? []) port.protocol ??= "TCP";
    }
  },
};

export const serviceStrategies: Record<string, Strategy> = {
  "/services": service,
  "/endpoints": endpoints,
  "discovery.k8s.io/endpointslices": endpointSlice,
  "networking.k8s.io/ingresses": ingress,
  "networking.k8s.io/networkpolicies": networkPolicy,
};
