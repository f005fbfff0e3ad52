// The headers of a CONNECT that carry telemetry: who calls (baggage), for which service (forwarded), and the trace.

import { hostPort } from "../core/ip.ts";
import type { Locality, Workload } from "../model/mod.ts";

/** What baggage says about a workload; a claim, used in telemetry alone. */
export interface BaggageFacts {
  readonly clusterId?: string;
  readonly namespace?: string;
  readonly workloadType?: string;
  readonly workloadName?: string;
  readonly canonicalName?: string;
  readonly canonicalRevision?: string;
  readonly region?: string;
  readonly zone?: string;
}

const MEMBER = /^[\x21-\x2b\x2d-\x3a\x3c-\x7e]*$/;

/** Members that would break the header (spaces, commas, semicolons, non-ASCII) are left out, as are empty ones. */
export function encodeBaggage(workload: Workload): string {
  const locality: Locality = workload.locality ?? { region: "", zone: "", subzone: "" };
  const members: [string, string][] = [
    ["k8s.cluster.name", workload.clusterId],
    ["k8s.namespace.name", workload.namespace],
    [`k8s.${workload.workloadType.toLowerCase()}.name`, workload.workloadName],
    ["service.name", workload.canonicalName],
    ["service.version", workload.canonicalRevision],
    ["cloud.region", locality.region],
    ["cloud.availability_zone", locality.zone],
  ];
  return members.filter(([, value]) => value !== "" && MEMBER.test(value)).map(([key, value]) => `${key}=${value}`)
    .join(",");
}

const TYPES = ["deployment", "cronjob", "pod", "job"];

export function parseBaggage(header: string | undefined): BaggageFacts {
  const facts: Record<string, string> = {};
  for (const member of (header ?? "").slice(0, 4096).split(",")) {
    const cut = member.indexOf("=");
    if (cut <= 0) continue;
    const key = member.slice(0, cut).trim(), value = member.slice(cut + 1).split(";")[0].trim();
    if (value === "" || value.length > 253) continue;
    const type = /^k8s\.([a-z]+)\.name$/.exec(key)?.[1];
    if (key === "k8s.cluster.name") facts.clusterId = value;
    else if (key === "k8s.namespace.name") facts.namespace = value;
    else if (type && TYPES.includes(type)) [facts.workloadType, facts.workloadName] = [type, value];
    else if (key === "service.name") facts.canonicalName = value;
    else if (key === "service.version") facts.canonicalRevision = value;
    else if (key === "cloud.region") facts.region = value;
    else if (key === "cloud.availability_zone") facts.zone = value;
  }
  return facts;
}

/** `for="10.0.0.1:41000";host=web.default.svc.cluster.local` */
export function encodeForwarded(ip: string, port: number, serviceHost: string | undefined): string {
  const source = `for="${hostPort(ip, port)}"`;
  return serviceHost !== undefined && MEMBER.test(serviceHost) ? `${source};host=${serviceHost}` : source;
}

/** The host of a `forwarded` header, quoted or not; undefined when it names none. */
export function forwardedHost(header: string | undefined): string | undefined {
  for (const part of (header ?? "").slice(0, 1024).split(/[;,]/)) {
    const found = /^\s*host\s*=\s*(?:"([^"]*)"|([^\s"]+))\s*$/i.exec(part);
    const host = found?.[1] ?? found?.[2];
    if (host) return host;
  }
  return undefined;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A fresh W3C trace context, not sampled. */
export function newTraceparent(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  let hex = "";
  for (const byte of bytes) hex += (byte < 16 ? "0" : "") + byte.toString(16);
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}

/** The caller's trace context if it is one. */
export function parseTraceparent(header: string | undefined): string | undefined {
  return header !== undefined && TRACEPARENT.test(header) ? header : undefined;
}
