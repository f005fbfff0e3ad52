// Istio Gateway, read once for each version of an object.

import type { KubeObject } from "../../../kube/types.ts";
import type { ListenerTls } from "../../../model/l7.ts";
import type { Labels } from "../../labels.ts";
import { readHostname } from "../hostname.ts";
import { Fields, Notes } from "../notes.ts";

export interface ParsedIstioGateway {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly age: string;
  readonly selector: Labels;
  readonly servers: readonly ParsedServer[];
  readonly notes: Notes;
}

export interface ParsedServer {
  readonly port: number;
  readonly portName: string;
  readonly protocol: "HTTP" | "HTTPS" | "TLS_PASSTHROUGH" | "TCP";
  readonly hosts: readonly ServerHost[];
  readonly httpsRedirect: boolean;
  /** HTTPS. */
  readonly tls?: {
    readonly mode: ListenerTls["mode"];
    readonly credentialNames: readonly string[];
    readonly minVersion: ListenerTls["minVersion"];
  };
  /** It cannot be served as it is meant, so it is not. */
  readonly broken: boolean;
}

export interface ServerHost {
  /** Whose VirtualServices: a namespace, `*` for any. */
  readonly namespace: string;
  readonly hostname: string;
}

const read = new WeakMap<KubeObject, ParsedIstioGateway>();

export function readIstioGateway(object: KubeObject): ParsedIstioGateway {
  let gateway = read.get(object);
  if (!gateway) read.set(object, gateway = parse(object));
  return gateway;
}

function parse({ metadata, spec }: KubeObject): ParsedIstioGateway {
  const { name, namespace = "default", generation = 0, creationTimestamp = "" } = metadata, notes = new Notes();
  const fields = new Fields(spec, "", notes, ["selector", "servers"]);
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    generation,
    age: `${creationTimestamp} ${namespace}/${name}`,
    selector: Object.fromEntries(fields.pairs("selector")),
    servers: fields.list("servers").map((server, i) => readServer(server, `servers[${i}]`, notes, namespace)),
    notes,
  };
}

const PROTOCOLS: Readonly<Record<string, ParsedServer["protocol"]>> = {
  HTTP: "HTTP",
  HTTP2: "HTTP",
  GRPC: "HTTP",
  "GRPC-WEB": "HTTP",
  HTTPS: "HTTPS",
  TLS: "TLS_PASSTHROUGH",
  TCP: "TCP",
  MONGO: "TCP",
  MYSQL: "TCP",
  REDIS: "TCP",
};

function readServer(value: unknown, place: string, notes: Notes, namespace: string): ParsedServer {
  const server = new Fields(value ?? 0, place, notes, ["port", "hosts", "tls", "name", "bind", "defaultEndpoint"]);
  for (const field of ["bind", "defaultEndpoint"]) if (server.has(field)) server.unsupported(field);
  const port = server.object("port", ["number", "protocol", "name", "targetPort"]),
    number = port.count("number", 1, 65535);
  if (number === undefined) port.wrong("number", port.raw("number"));
  if (port.has("targetPort")) port.without("targetPort", "the Service of the gateway says where its ports lead");
  const said = port.text("protocol").toUpperCase(),
    protocol = Object.hasOwn(PROTOCOLS, said) ? PROTOCOLS[said] : undefined;
  if (!protocol) port.wrong("protocol", said);
  const hosts = server.texts("hosts").flatMap((text): ServerHost[] => {
    const cut = text.indexOf("/"), host = readHostname(text.slice(cut + 1)), owner = cut < 0 ? "*" : text.slice(0, cut);
    if (host === undefined) server.wrong("hosts", text);
    return host === undefined ? [] : [{ namespace: owner === "." ? namespace : owner, hostname: host }];
  });
  const tls = server.object("tls", [
    "httpsRedirect",
    "mode",
    "credentialName",
    "credentialNames",
    "minProtocolVersion",
  ]);
  const redirect = tls.flag("httpsRedirect"), mode = tls.text("mode", "SIMPLE");
  const passthrough = mode === "PASSTHROUGH" && (protocol === "HTTPS" || protocol === "TLS_PASSTHROUGH");
  let terminated: ParsedServer["tls"];
  if (!passthrough && (protocol === "HTTPS" || protocol === "TLS_PASSTHROUGH")) {
    terminated = readTls(tls, mode);
    if (protocol === "TLS_PASSTHROUGH") tls.unsupported(`mode ${mode} on a port of protocol TLS`);
  }
  server.take(port, tls);
  return {
    port: number ?? 0,
    portName: port.text("name"),
    protocol: passthrough ? "TLS_PASSTHROUGH" : protocol ?? "TCP",
    hosts,
    httpsRedirect: redirect && protocol === "HTTP",
    tls: terminated,
    broken: server.bad,
  };
}

const VERSIONS = ["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"];

function readTls(tls: Fields, mode: string): ParsedServer["tls"] {
  const known = (["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"] as const).find((one) => one === mode);
  if (!known) tls.unsupported(`mode ${mode}`);
  const version = tls.text("minProtocolVersion", "TLS_AUTO");
  if (!VERSIONS.includes(version)) tls.wrong("minProtocolVersion", version);
  const names = tls.texts("credentialNames"), name = tls.text("credentialName");
  const credentialNames = (names.length > 0 ? names : name ? [name] : []).map((one) => one.replace(/^[a-z]+:\/\//, ""));
  if (credentialNames.length === 0) tls.wrong("credentialName", name);
  return { mode: known ?? "MUTUAL", credentialNames, minVersion: version === "TLSV1_3" ? "TLSv1_3" : "TLSv1_2" };
}
