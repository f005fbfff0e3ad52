import { field } from "../errors.ts";
import {
  DNS_LABEL_TEXT,
  isDnsLabel,
  nameProblem,
  qualifiedNameProblem,
  validateAnnotations,
  validateLabels,
} from "../names.ts";
import { indexPath, keyPath } from "../schema/schema.ts";
import type { FieldError } from "../types.ts";

/** One of a fixed set, where it is set. */
export function oneOf(errors: FieldError[], path: string, value: unknown, allowed: readonly unknown[]): void {
  if (value !== undefined && !allowed.includes(value)) errors.push(field.notSupported(path, value, allowed));
}

export function validatePort(errors: FieldError[], path: string, value: unknown): void {
  if (typeof value !== "number" || value < 1 || value > 65535) {
    errors.push(field.invalid(path, value ?? 0, "must be between 1 and 65535, inclusive"));
  }
}

function validatePortReference(errors: FieldError[], path: string, value: unknown): void {
  if (typeof value !== "string") return validatePort(errors, path, value);
  if (value === "" || value.length > 15 || !/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(value) || !/[a-z]/.test(value)) {
    errors.push(
      field.invalid(
        path,
        value,
        'must be an IANA_SVC_NAME (at most 15 characters, matching regex [a-z0-9]([a-z0-9-]*[a-z0-9])*, it must contain at least one letter [a-z], and hyphens cannot be adjacent to other hyphens): e.g. "http"',
      ),
    );
  }
}

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES = ["Always", "IfNotPresent", "Never"];

/** A pod's spec, in a pod or in a template. Required fields are checked by the schema. */
export function validatePodSpec(spec: any, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!Array.isArray(spec.containers) || spec.containers.length === 0) {
    errors.push(field.required(`${path}.containers`));
  }
  oneOf(errors, `${path}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]);
  oneOf(errors, `${path}.dnsPolicy`, spec.dnsPolicy, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
  if (spec.terminationGracePeriodSeconds < 0) {
    errors.push(
      field.invalid(
        `${path}.terminationGracePeriodSeconds`,
        spec.terminationGracePeriodSeconds,
        "must be greater than or equal to 0",
      ),
    );
  }
  if (spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds < 1) {
    errors.push(
      field.invalid(
        `${path}.activeDeadlineSeconds`,
        spec.activeDeadlineSeconds,
        "must be between 1 and 2147483647, inclusive",
      ),
    );
  }
  if (spec.hostname !== undefined && spec.hostname !== "" && !isDnsLabel(spec.hostname)) {
    errors.push(field.invalid(`${path}.hostname`, spec.hostname, DNS_LABEL_TEXT));
  }
  if (spec.subdomain !== undefined && spec.subdomain !== "" && !isDnsLabel(spec.subdomain)) {
    errors.push(field.invalid(`${path}.subdomain`, spec.subdomain, DNS_LABEL_TEXT));
  }
  if (spec.serviceAccountName) {
    const problem = nameProblem(spec.serviceAccountName, "subdomain");
    if (problem) errors.push(field.invalid(`${path}.serviceAccountName`, spec.serviceAccountName, problem));
  }
  errors.push(...validateLabels(spec.nodeSelector, `${path}.nodeSelector`));
  const volumes = validateVolumes(errors, spec.volumes ?? [], `${path}.volumes`);
  const names = new Set<string>();
  for (const list of ["initContainers", "containers"]) {
    (spec[list] ?? []).forEach((container: any, i: number) =>
      validateContainer(errors, container, indexPath(`${path}.${list}`, i), names, volumes, spec)
    );
  }
  return errors;
}

function validateVolumes(errors: FieldError[], volumes: any[], path: string): Set<string> {
  const names = new Set<string>();
  volumes.forEach((volume, i) => {
    const at = indexPath(path, i);
    if (!volume.name) return;
    if (!isDnsLabel(volume.name)) errors.push(field.invalid(`${at}.name`, volume.name, DNS_LABEL_TEXT));
    if (names.has(volume.name)) errors.push(field.duplicate(`${at}.name`, volume.name));
    names.add(volume.name);
    const sources = Object.keys(volume).filter((key) => key !== "name");
    for (const extra of sources.slice(1)) {
      errors.push(field.forbidden(`${at}.${extra}`, "may not specify more than 1 volume type"));
    }
    if (volume.hostPath?.path?.split("/").includes("..")) {
      errors.push(field.invalid(`${at}.hostPath.path`, volume.hostPath.path, "must not contain '..'"));
    }
  });
  return names;
}

function validateContainer(
  errors: FieldError[],
  container: any,
  path: string,
  names: Set<string>,
  volumes: Set<string>,
  spec: any,
): void {
  if (container.name) {
    if (!isDnsLabel(container.name)) errors.push(field.invalid(`${path}.name`, container.name, DNS_LABEL_TEXT));
    if (names.has(container.name)) errors.push(field.duplicate(`${path}.name`, container.name));
    names.add(container.name);
  }
  if (!container.image) errors.push(field.required(`${path}.image`));
  else if (container.image !== container.image.trim()) {
    errors.push(field.invalid(`${path}.image`, container.image, "must not have leading or trailing whitespace"));
  }
  oneOf(errors, `${path}.imagePullPolicy`, container.imagePullPolicy, PULL_POLICIES);
  oneOf(errors, `${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
    "FallbackToLogsOnError",
    "File",
  ]);
  const portNames = new Set<string>();
  (container.ports ?? []).forEach((port: any, i: number) => {
    const at = indexPath(`${path}.ports`, i);
    if (port.containerPort !== undefined) validatePort(errors, `${at}.containerPort`, port.containerPort);
    if (port.hostPort) {
      validatePort(errors, `${at}.hostPort`, port.hostPort);
      if (spec.hostNetwork && port.hostPort !== port.containerPort) {
        errors.push(
          field.invalid(`${at}.hostPort`, port.hostPort, "must match `containerPort` when `hostNetwork` is true"),
        );
      }
    }
    oneOf(errors, `${at}.protocol`, port.protocol, PROTOCOLS);
    if (!port.name) return;
    validatePortReference(errors, `${at}.name`, port.name);
    if (portNames.has(port.name)) errors.push(field.duplicate(`${at}.name`, port.name));
    portNames.add(port.name);
  });
  (container.env ?? []).forEach((variable: any, i: number) => {
    const at = indexPath(`${path}.env`, i);
    if (variable.name !== undefined && (variable.name === "" || /[=\0]/.test(variable.name))) {
      errors.push(
        field.invalid(
          `${at}.name`,
          variable.name,
          "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
      );
    }
    if (variable.valueFrom && variable.value) {
      errors.push(field.invalid(`${at}.valueFrom`, "", "may not be specified when `value` is not empty"));
    }
    if (variable.valueFrom && Object.keys(variable.valueFrom).length !== 1) {
      errors.push(
        field.invalid(
          `${at}.valueFrom`,
          "",
          Object.keys(variable.valueFrom).length === 0
            ? "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            : "may not have more than one field specified at a time",
        ),
      );
    }
  });
  const mounts = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount: any, i: number) => {
    const at = indexPath(`${path}.volumeMounts`, i);
    if (mount.name && !volumes.has(mount.name)) {
      errors.push({ type: "Invalid", field: `${at}.name`, message: `Not found: ${JSON.stringify(mount.name)}` });
    }
    if (mount.mountPath && mounts.has(mount.mountPath)) {
      errors.push(field.invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    }
    mounts.add(mount.mountPath);
    if (mount.subPath?.startsWith("/")) {
      errors.push(field.invalid(`${at}.subPath`, mount.subPath, "must be a relative path"));
    }
    if (mount.subPath?.split("/").includes("..")) {
      errors.push(field.invalid(`${at}.subPath`, mount.subPath, "must not contain '..'"));
    }
  });
  for (const kind of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (container[kind]) validateProbe(errors, container[kind], `${path}.${kind}`, kind);
  }
  for (const kind of ["requests", "limits"]) {
    for (const [name, amount] of Object.entries(container.resources?.[kind] ?? {})) {
      const at = keyPath(`${path}.resources.${kind}`, name);
      if (qualifiedNameProblem(name)) errors.push(field.invalid(at, name, qualifiedNameProblem(name)!));
      if (String(amount).startsWith("-")) errors.push(field.invalid(at, amount, "must be greater than or equal to 0"));
    }
  }
}

function validateProbe(errors: FieldError[], probe: any, path: string, kind: string): void {
  const handlers = ["exec", "httpGet", "tcpSocket", "grpc"].filter((name) => probe[name]);
  if (handlers.length === 0) errors.push(field.required(path, "must specify a handler type"));
  for (const extra of handlers.slice(1)) {
    errors.push(field.forbidden(`${path}.${extra}`, "may not specify more than 1 handler type"));
  }
  for (
    const name of ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
  ) {
    if (probe[name] < 0) {
      errors.push(
        field.invalid(`${path}.${name}`, probe[name], "must be greater than or equal to 0"),
      );
    }
  }
  if (kind !== "readinessProbe" && probe.successThreshold > 1) {
    errors.push(field.invalid(`${path}.successThreshold`, probe.successThreshold, "must be 1"));
  }
  if (probe.httpGet) {
    if (probe.httpGet.port !== undefined) validatePortReference(errors, `${path}.httpGet.port`, probe.httpGet.port);
    oneOf(errors, `${path}.httpGet.scheme`, probe.httpGet.scheme, ["HTTP", "HTTPS"]);
  }
  if (probe.tcpSocket?.port !== undefined) {
    validatePortReference(errors, `${path}.tcpSocket.port`, probe.tcpSocket.port);
  }
  if (probe.grpc?.port !== undefined) validatePort(errors, `${path}.grpc.port`, probe.grpc.port);
}

/** The template of a workload. */
export function validatePodTemplate(template: any, path: string): FieldError[] {
  if (!template?.spec) return [field.required(`${path}.spec.containers`)];
  return [
    ...validateLabels(template.metadata?.labels, `${path}.labels`),
    ...validateAnnotations(template.metadata?.annotations, `${path}.annotations`),
    ...validatePodSpec(template.spec, `${path}.spec`),
  ];
}
