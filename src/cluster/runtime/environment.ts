import { MeshError } from "../../core/errors.ts";
import { CLUSTER_NETWORK, type ClusterApi, type KubeObject } from "../contracts.ts";
import { dataOf, expand, fieldValue, type PodFacts, resourceValue } from "./references.ts";

const decoder = new TextDecoder();

/** A container refers to something that is not there (yet): it waits with reason CreateContainerConfigError. */
export class ContainerConfigError extends MeshError<"container_config"> {
  constructor(message: string) {
    super("container_config", message, { retryable: true });
    this.name = "ContainerConfigError";
  }
}

/**
 * The environment of a container as the kubelet builds it: Services, then envFrom, then env, later ones winning, `$(NAME)`
 * replaced by what was set before.
 *
 * @throws ContainerConfigError when a required ConfigMap, Secret, key or field is missing
 */
export function containerEnvironment(
  api: ClusterApi,
  facts: PodFacts,
  container: any,
  defaults: Readonly<Record<string, string>>,
): Record<string, string> {
  const namespace = facts.pod.metadata.namespace!;
  const env: Record<string, string> = { ...defaults, HOSTNAME: facts.pod.spec?.hostname ?? facts.pod.metadata.name };
  Object.assign(env, serviceEnvironment(api, namespace, facts.pod.spec?.enableServiceLinks !== false));
  for (const source of container.envFrom ?? []) {
    const ref = source.configMapRef ?? source.secretRef;
    const resource = source.configMapRef ? "configmaps" : "secrets";
    if (!ref) continue;
    const object = api.get({ group: "", resource }, namespace, ref.name);
    if (!object) {
      if (ref.optional) continue;
      throw new ContainerConfigError(`${source.configMapRef ? "configmap" : "secret"} "${ref.name}" not found`);
    }
    for (const [key, value] of dataOf(object)) env[(source.prefix ?? "") + key] = decoder.decode(value);
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (!valueFrom) {
      env[name] = expand(value ?? "", env);
      continue;
    }
    const resolved = referencedValue(api, facts, container.name, valueFrom);
    if (resolved !== undefined) env[name] = resolved;
  }
  return env;
}

function referencedValue(api: ClusterApi, facts: PodFacts, container: string, from: any): string | undefined {
  const namespace = facts.pod.metadata.namespace!;
  if (from.fieldRef) {
    const value = fieldValue(facts, from.fieldRef.fieldPath);
    if (value === undefined) throw new ContainerConfigError(`unsupported fieldPath: ${from.fieldRef.fieldPath}`);
    return value;
  }
  if (from.resourceFieldRef) {
    const value = resourceValue(facts, from.resourceFieldRef, container);
    if (value === undefined) throw new ContainerConfigError(`unsupported resource: ${from.resourceFieldRef.resource}`);
    return value;
  }
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  if (!ref) return undefined;
  const kind = from.configMapKeyRef ? "configmap" : "secret";
  const object = api.get({ group: "", resource: `${kind}s` }, namespace, ref.name);
  const value = object && dataOf(object).get(ref.key);
  if (value) return decoder.decode(value);
  if (ref.optional) return undefined;
  throw new ContainerConfigError(
    object
      ? `couldn't find key ${ref.key} in ${kind === "secret" ? "Secret" : "ConfigMap"} ${namespace}/${ref.name}`
      : `${kind} "${ref.name}" not found`,
  );
}

/** `<NAME>_SERVICE_HOST`, Docker's link variables and their like, of the API server and the namespace's Services. */
export function serviceEnvironment(api: ClusterApi, namespace: string, links: boolean): Record<string, string> {
  const env: Record<string, string> = {};
  const services: KubeObject[] = links ? api.list({ group: "", resource: "services" }, { namespace }) : [];
  const api443 = { name: "https", port: 443, protocol: "TCP" };
  addService(env, "kubernetes", CLUSTER_NETWORK.apiServiceIp, [api443]);
  for (const { metadata: { name }, spec } of services) {
    if (spec?.clusterIP && spec.clusterIP !== "None") addService(env, name, spec.clusterIP, spec.ports ?? []);
  }
  return env;
}

function addService(env: Record<string, string>, name: string, ip: string, ports: any[]): void {
  if (ports.length === 0) return;
  const prefix = name.toUpperCase().replaceAll("-", "_");
  env[`${prefix}_SERVICE_HOST`] = ip;
  env[`${prefix}_SERVICE_PORT`] = String(ports[0].port);
  for (const [index, { name: portName, port, protocol = "TCP" }] of ports.entries()) {
    if (portName) env[`${prefix}_SERVICE_PORT_${portName.toUpperCase().replaceAll("-", "_")}`] = String(port);
    const proto = protocol.toLowerCase(), url = `${proto}://${ip}:${port}`, link = `${prefix}_PORT_${port}_${protocol}`;
    if (index === 0) env[`${prefix}_PORT`] = url;
    Object.assign(env, { [link]: url, [`${link}_PROTO`]: proto, [`${link}_PORT`]: String(port), [`${link}_ADDR`]: ip });
  }
}
