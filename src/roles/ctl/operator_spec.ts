import { parseAllDocuments } from "yaml";
import { CommandError } from "../../core/usage.ts";
import { PROFILES } from "./profiles.ts";
import { parseSetting, setAtPath } from "./set_path.ts";
import { coerce, problems, type Shape, shapeAt } from "./shape.ts";

/** The `spec` of an IstioOperator file (install.istio.io/v1alpha1), as far as it is merged but not yet interpreted. */
export type OperatorSpec = Record<string, any>;

/** Stands in a recorded specification for a value that may be secret (`installed_state.ts`). */
export const REDACTED = "[redacted]";

const STRINGS: Shape = { map: "string" };

const K8S: Record<string, Shape> = {
  replicaCount: "integer",
  resources: "any",
  env: { list: "any" },
  nodeSelector: STRINGS,
  tolerations: { list: "any" },
  affinity: "any",
  podAnnotations: STRINGS,
  priorityClassName: "string",
  strategy: "any",
  imagePullPolicy: "string",
  overlays: {
    list: {
      fields: {
        apiVersion: "string",
        kind: "string",
        name: "string",
        patches: { list: { fields: { path: "string", value: "any" } } },
      },
    },
  },
};

const COMPONENT: Shape = {
  fields: { enabled: "boolean", namespace: "string", k8s: { fields: K8S } },
};

/** Annotations of a Service stand in either place; Istio once had the second. */
const ANNOTATIONS: Shape = { map: "text" };

const GATEWAY: Shape = {
  fields: {
    enabled: "boolean",
    name: "string",
    namespace: "string",
    label: STRINGS,
    k8s: {
      fields: {
        ...K8S,
        hpaSpec: "any",
        service: {
          fields: {
            ...Object.fromEntries(
              [
                "type loadBalancerIP externalTrafficPolicy internalTrafficPolicy sessionAffinity loadBalancerClass",
                "clusterIP ipFamilyPolicy trafficDistribution externalName",
              ].join(" ").split(" ").map((field) => [field, "string"]),
            ) as Record<string, Shape>,
            ...Object.fromEntries(
              ["loadBalancerSourceRanges", "externalIPs", "clusterIPs", "ipFamilies"].map((
                field,
              ) => [field, { list: "string" }]),
            ) as Record<string, Shape>,
            ports: {
              list: {
                fields: {
                  name: "string",
                  port: "integer",
                  targetPort: "any",
                  nodePort: "integer",
                  protocol: "string",
                  appProtocol: "string",
                },
              },
            },
            selector: STRINGS,
            sessionAffinityConfig: "any",
            healthCheckNodePort: "integer",
            allocateLoadBalancerNodePorts: "boolean",
            publishNotReadyAddresses: "boolean",
            serviceAnnotations: ANNOTATIONS,
          },
        },
        serviceAnnotations: ANNOTATIONS,
        securityContext: "any",
        volumes: { list: "any" },
        volumeMounts: { list: "any" },
      },
    },
  },
};

const WORKLOAD_VALUES: Record<string, Shape> = {
  env: STRINGS,
  resources: "any",
  nodeSelector: STRINGS,
  tolerations: { list: "any" },
  affinity: "any",
  podAnnotations: STRINGS,
  podLabels: STRINGS,
};

/** Helm values that an installation follows; others are refused, for a setting without effect misleads. */
const VALUES: Shape = {
  fields: {
    profile: "string",
    revision: "string",
    defaultRevision: "string",
    meshConfig: "any",
    global: {
      fields: {
        hub: "string",
        tag: "string",
        variant: "string",
        istioNamespace: "string",
        imagePullPolicy: "string",
        imagePullSecrets: { list: "string" },
        priorityClassName: "string",
        network: "string",
        meshID: "string",
        platform: "string",
        nativeNftables: "boolean",
        logAsJson: "boolean",
        caAddress: "string",
        trustDomain: "string",
        logging: { fields: { level: "string" } },
        multiCluster: { fields: { clusterName: "string" } },
        proxy: { fields: { clusterDomain: "string" } },
      },
    },
    pilot: {
      fields: {
        ...WORKLOAD_VALUES,
        replicaCount: "integer",
        traceSampling: "number",
        autoscaleEnabled: "boolean",
        autoscaleMin: "integer",
        autoscaleMax: "integer",
      },
    },
    cni: {
      fields: {
        ...WORKLOAD_VALUES,
        cniBinDir: "string",
        cniConfDir: "string",
        cniConfFileName: "string",
        cniNetnsDir: "string",
        chained: "boolean",
        excludeNamespaces: { list: "string" },
        updateStrategy: "any",
        ambient: {
          fields: {
            enabled: "boolean",
            dnsCapture: "boolean",
            ipv6: "boolean",
            reconcileIptablesOnStartup: "boolean",
            shareHostNetworkNamespace: "boolean",
          },
        },
      },
    },
    ztunnel: {
      fields: {
        ...WORKLOAD_VALUES,
        logLevel: "string",
        logAsJson: "boolean",
        terminationGracePeriodSeconds: "integer",
        updateStrategy: "any",
        network: "string",
        caAddress: "string",
        xdsAddress: "string",
        multiCluster: { fields: { clusterName: "string" } },
      },
    },
  },
};

const SPEC: Shape = {
  fields: {
    profile: "string",
    hub: "string",
    tag: "string",
    revision: "string",
    namespace: "string",
    compatibilityVersion: "string",
    installPackagePath: "string",
    meshConfig: "any",
    values: VALUES,
    components: {
      fields: {
        base: COMPONENT,
        pilot: COMPONENT,
        cni: COMPONENT,
        ztunnel: COMPONENT,
        ingressGateways: { list: GATEWAY },
        egressGateways: { list: GATEWAY },
      },
    },
  },
};

/** Maps merge, gateways merge by their names, all else is replaced by what comes later. */
export function overlay(base: any, over: any): any {
  if (!isMap(base) || !isMap(over)) return over === undefined ? base : over;
  const result: Record<string, any> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    result[key] = GATEWAY_LISTS.has(key) && Array.isArray(result[key]) && Array.isArray(value)
      ? overlayByName(result[key], value)
      : overlay(result[key], value);
  }
  return result;
}

const GATEWAY_LISTS = new Set(["ingressGateways", "egressGateways"]);

/** An entry without a name means the first. */
function overlayByName(base: readonly any[], over: readonly any[]): any[] {
  const result = [...base];
  for (const entry of over) {
    const at = entry?.name === undefined
      ? (result.length > 0 ? 0 : -1)
      : result.findIndex(({ name }) => name === entry.name);
    if (at < 0) result.push(entry);
    else result[at] = overlay(result[at], entry);
  }
  return result;
}

/** The gateways that a profile has, on or off: what `[0]` of a setting means. */
function profileGateways(files: readonly OperatorSpec[], sets: readonly string[]): OperatorSpec {
  let name: string = files.reduce((found, { profile, values }) => profile ?? values?.profile ?? found, "default");
  for (const text of sets) name = /^(?:values\.)?profile=(.*)$/.exec(text)?.[1] ?? name;
  const gateways = Object.hasOwn(PROFILES, name) ? PROFILES[name].gateways : undefined;
  if (!gateways) return {};
  const entry = (direction: "ingress" | "egress") => [{
    name: `istio-${direction}gateway`,
    enabled: gateways[direction] ?? false,
    ...(gateways.resources ? { k8s: { resources: gateways.resources } } : {}),
  }];
  return { components: { ingressGateways: entry("ingress"), egressGateways: entry("egress") } };
}

function isMap(value: unknown): value is Record<string, any> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Merges IstioOperator files and `--set` settings, left to right.
 *
 * @param force accept what is unknown
 * @throws CommandError listing everything that is unknown or of a wrong kind; UsageError for an unreadable `--set`
 */
export function mergeSpec(
  files: readonly { name: string; text: string }[],
  sets: readonly string[],
  force = false,
): OperatorSpec {
  const wrong: string[] = [];
  const found = files.flatMap(({ name, text }) => operatorSpecs(name, text).map((spec) => ({ name, spec })));
  let spec = structuredClone(profileGateways(found.map(({ spec }) => spec), sets));
  for (const { name, spec: over } of found) {
    wrong.push(...[...problems(SPEC, over, ""), ...withheld(over, "")].map((problem) => `${name}: ${problem}`));
    spec = overlay(spec, force ? withoutWithheld(over) : over);
  }
  for (const text of sets) {
    const { path, value } = parseSetting(text);
    const found = shapeAt(SPEC, path);
    if ("unknownAt" in found) {
      const step = path[found.unknownAt];
      const label = "field" in step ? step.field : "index" in step ? `[${step.index}]` : `[${step.key}:${step.value}]`;
      wrong.push(`--set ${text}: unknown field "${label}"`);
      if (!force) continue;
    }
    const shape = "shape" in found ? found.shape : "any";
    const coerced = coerce(shape, value);
    wrong.push(...problems(shape, coerced, "").map((problem) => `--set ${text}: the value${problem.slice(2)}`));
    setAtPath(spec, path, coerced);
  }
  if (wrong.length > 0 && !force) {
    throw new CommandError(
      `cannot use the configuration: ${
        wrong.join("; ")
      }; mend or leave out what is named, or go on without it by --force`,
    );
  }
  return spec;
}

/** Values that a record kept to itself: the user has them. */
function withheld(value: unknown, path: string): string[] {
  if (value === REDACTED) return [`"${path}" was left out of the record: put its value in`];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => withheld(item, path === "" ? key : `${path}.${key}`));
}

function withoutWithheld(value: any): any {
  if (Array.isArray(value)) return value.map(withoutWithheld);
  if (!isMap(value)) return value;
  const kept = Object.entries(value).filter(([, item]) => item !== REDACTED);
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutWithheld(item)]));
}

function operatorSpecs(name: string, text: string): OperatorSpec[] {
  const specs: OperatorSpec[] = [];
  for (const document of parseAllDocuments(text)) {
    if (document.errors.length > 0) {
      throw new CommandError(`cannot read "${name}": ${document.errors[0].message.split("\n")[0]}`);
    }
    const object = document.toJS() as Record<string, any> | null;
    if (object === null) continue;
    if (object.kind !== "IstioOperator" || !String(object.apiVersion).startsWith("install.istio.io/")) {
      throw new CommandError(
        `cannot read "${name}": want kind IstioOperator of install.istio.io/v1alpha1, found "${object.kind}" of "${object.apiVersion}"`,
      );
    }
    specs.push(object.spec ?? {});
  }
  return specs;
}
