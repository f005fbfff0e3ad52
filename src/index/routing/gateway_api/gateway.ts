// Gateways of the Gateway API: their listeners, read and judged.

import type { KubeObject } from "../../../kube/types.ts";
import type { TlsSecret } from "../../../model/l7.ts";
import { controllerOf } from "../../waypoints.ts";
import { isObject, listOf, objectOf, portOf, textOf } from "../../read.ts";
import { readHostname } from "../hostname.ts";
import { Fields, Notes } from "../notes.ts";
import { rootsSecret, secretName, serverSecret } from "../secrets.ts";
import type { World } from "../world.ts";
import { clientRootsOf, type ClientValidations, readClientValidations } from "./client_validation.ts";
import { GATEWAY_GROUP } from "./references.ts";

export interface ParsedGateway {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly listeners: readonly ParsedListener[];
  /** Host names of `spec.addresses`: Services that somebody else deployed. */
  readonly hostnames: readonly string[];
  /** Of the Gateway as a whole; what is here hinders every listener. */
  readonly notes: Notes;
  readonly broken: boolean;
  readonly unsupportedAddress: string | undefined;
  /** What is not done, though its own listeners serve as they are meant. */
  readonly without: Notes;
  /** What its HTTPS listeners ask of clients. */
  readonly clients: ClientValidations | undefined;
}

export interface ParsedListener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname: string;
  /** Kinds that `allowedRoutes` names; undefined: all that suit the protocol. */
  readonly kinds: readonly { readonly group: string; readonly kind: string }[] | undefined;
  readonly from: string;
  readonly selector: unknown;
  readonly certificates: readonly {
    readonly group: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
  }[];
  readonly mutual: boolean;
  readonly notes: Notes;
  readonly broken: boolean;
  /** Fields that a waypoint's listener has no use for. */
  readonly routed: readonly string[];
}

const read = new WeakMap<KubeObject, ParsedGateway>();

export function readGateway(object: KubeObject): ParsedGateway {
  let gateway = read.get(object);
  if (!gateway) read.set(object, gateway = parse(object));
  return gateway;
}

function parse({ metadata, spec }: KubeObject): ParsedGateway {
  const { name, namespace = "default", generation = 0 } = metadata, notes = new Notes();
  const fields = new Fields(spec, "", notes, [
    "gatewayClassName",
    "listeners",
    "addresses",
    "infrastructure",
    "allowedListeners",
    "defaultScope",
    "tls",
  ]);
  const tls = fields.object("tls", ["frontend"]), clients = readClientValidations(tls, namespace);
  const addresses = listOf(objectOf(spec).addresses).filter(isObject);
  const type = (one: Record<string, unknown>) => textOf(one.type) || "IPAddress", without = new Notes();
  const guests = fields.object("allowedListeners", ["namespaces"]),
    from = guests.object("namespaces", ["from", "selector"]);
  if (from.text("from", "None") !== "None") {
    without.add("allowedListeners is not supported: listeners of ListenerSets are not served");
  }
  if (fields.has("defaultScope") && fields.raw("defaultScope") !== "None") {
    without.add("defaultScope is not supported: routes name their Gateways");
  }
  const infrastructure = fields.object("infrastructure", ["labels", "annotations", "parametersRef"]);
  fields.take(
    tls,
    guests,
    from,
    infrastructure,
    infrastructure.object("parametersRef", ["group", "kind", "name"]),
    ...fields.objects("addresses", ["type", "value"]),
  );
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    generation,
    listeners: fields.list("listeners").map((listener, i) => readListener(listener, `listeners[${i}]`, namespace)),
    hostnames: addresses.filter((one) => type(one) === "Hostname").map(({ value }) => textOf(value)).filter((one) =>
      one !== ""
    ),
    notes,
    broken: fields.bad,
    clients,
    unsupportedAddress: addresses.map(type).find((one) => one !== "IPAddress" && one !== "Hostname"),
    without,
  };
}

const MUTUAL_OPTION = "gateway.istio.io/tls-terminate-mode";

function readListener(value: unknown, place: string, namespace: string): ParsedListener {
  const notes = new Notes();
  const fields = new Fields(value ?? 0, place, notes, ["name", "hostname", "port", "protocol", "tls", "allowedRoutes"]);
  const hostname = fields.has("hostname") ? readHostname(fields.raw("hostname")) : "*";
  if (hostname === undefined) fields.wrong("hostname", fields.raw("hostname"));
  const port = portOf(fields.raw("port"));
  if (port === undefined) fields.wrong("port", fields.raw("port"));
  const tls = fields.object("tls", ["mode", "certificateRefs", "options"]);
  const options = Object.fromEntries(tls.pairs("options"));
  for (const option of Object.keys(options)) {
    if (option !== MUTUAL_OPTION) tls.unsupported(`options["${option}"]`);
  }
  const mode = tls.text("mode", "Terminate"), terminate = options[MUTUAL_OPTION];
  if (mode !== "Terminate" && fields.text("protocol") !== "TLS") tls.unsupported(`mode ${mode}`);
  if (terminate !== undefined && terminate !== "MUTUAL" && terminate !== "SIMPLE") tls.wrong(MUTUAL_OPTION, terminate);
  const allowed = fields.object("allowedRoutes", ["namespaces", "kinds"]);
  const namespaces = allowed.object("namespaces", ["from", "selector"]);
  const certificates = tls.objects("certificateRefs", ["group", "kind", "namespace", "name"]).map((one) => {
    tls.take(one);
    return {
      group: one.text("group"),
      kind: one.text("kind", "Secret") || "Secret",
      namespace: one.text("namespace") || namespace,
      name: one.text("name"),
    };
  });
  const kinds = allowed.objects("kinds", ["group", "kind"]).map((one) => {
    allowed.take(one);
    return { group: one.text("group", GATEWAY_GROUP), kind: one.text("kind") };
  });
  const selector = namespaces.object("selector", ["matchLabels", "matchExpressions"]);
  fields.take(
    tls,
    allowed,
    namespaces,
    selector,
    ...selector.objects("matchExpressions", ["key", "operator", "values"]),
  );
  return {
    name: fields.text("name"),
    port: port ?? 0,
    protocol: fields.text("protocol"),
    hostname: hostname ?? "*",
    kinds: kinds.length > 0 ? kinds : undefined,
    from: namespaces.text("from", "Same"),
    selector: namespaces.raw("selector"),
    certificates,
    mutual: terminate === "MUTUAL",
    notes,
    broken: fields.bad,
    routed: [
      ...["hostname", "tls"].filter((field) => fields.has(field)),
      ...allowed.has("kinds") ? ["allowedRoutes.kinds"] : [],
    ].map((field) => fields.at(field)),
  };
}

/** A reason and what to tell about it. */
export interface Fault {
  readonly reason: string;
  readonly message: string;
}

/** A listener with what was found about it. */
export interface ListenerState {
  readonly listener: ParsedListener;
  /** Kinds of routes that it takes. */
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
  /** Why it is not accepted. */
  readonly refused?: Fault;
  /** It is in the way of another listener. */
  readonly conflict?: Fault;
  /** What has no effect, though it serves. */
  readonly without?: string;
  /** What it refers to and cannot use. */
  readonly unresolved?: Fault;
  /** Certificates, in order. */
  readonly secrets: readonly TlsSecret[];
  /** Roots for clients' certificates. */
  readonly roots?: TlsSecret;
}

/** Whether the listener can serve. */
export function isUsable({ refused, conflict, unresolved, secrets, listener }: ListenerState): boolean {
  if (refused || conflict) return false;
  // With some certificates missing the others serve; with an unknown kind of route the known ones do.
  return !unresolved || listener.protocol !== "HTTPS" || secrets.length > 0;
}

export interface GatewayState {
  readonly gateway: ParsedGateway;
  readonly controller: string;
  readonly className: string;
  readonly listeners: readonly ListenerState[];
}

const HTTP_KINDS = ["HTTPRoute", "GRPCRoute"].map((kind) => ({ group: GATEWAY_GROUP, kind }));

/** Judges a Gateway; undefined when its class is not ours. */
export function judgeGateway(object: KubeObject, world: World): GatewayState | undefined {
  const className = textOf(object.spec?.gatewayClassName);
  const controller = controllerOf(object, world.inputs.gatewayClasses.get(className));
  if (!controller?.startsWith("istio.io/")) return undefined;
  const gateway = readGateway(object), waypoint = controller !== "istio.io/gateway-controller";
  const listeners = gateway.listeners.map((listener) => {
    const state = waypoint ? judgeWaypointListener(gateway, listener) : judgeListener(gateway, listener, world);
    return gateway.broken && !state.refused
      ? { ...state, refused: { reason: "UnsupportedValue", message: `${gateway.notes}` } }
      : state;
  });
  return { gateway, controller, className, listeners: waypoint ? listeners : withConflicts(listeners) };
}

function judgeWaypointListener({ clients }: ParsedGateway, listener: ParsedListener): ListenerState {
  const good = listener.protocol === "HBONE" && listener.port === 15008;
  const message =
    `Expected a listener with port 15008 and protocol HBONE, found ${listener.protocol} on ${listener.port}`;
  return {
    listener,
    kinds: [],
    secrets: [],
    without: [
      ...[...listener.routed, ...clients ? ["tls.frontend"] : []].map((field) =>
        `${field} is not supported at a waypoint`
      ),
      ...listener.notes.texts,
    ].join("; "),
    refused: good ? undefined : { reason: "UnsupportedProtocol", message },
  };
}

function judgeListener(gateway: ParsedGateway, listener: ParsedListener, world: World): ListenerState {
  const { protocol, kinds } = listener, known = protocol === "HTTP" || protocol === "HTTPS";
  const state = { listener, kinds: [], secrets: [] };
  if (!known) {
    return { ...state, refused: { reason: "UnsupportedProtocol", message: `protocol "${protocol}" is not supported` } };
  }
  const allowed = HTTP_KINDS.filter(({ kind, group }) =>
    !kinds || kinds.some((one) => one.kind === kind && one.group === group)
  );
  const foreign = kinds?.filter(({ kind, group }) =>
    !HTTP_KINDS.some((one) => one.kind === kind && one.group === group)
  );
  const badKinds = foreign && foreign.length > 0
    ? {
      reason: "InvalidRouteKinds",
      message: `protocol ${protocol} does not take ${foreign.map(({ group, kind }) => `${group}/${kind}`).join(", ")}`,
    }
    : undefined;
  const refused = listener.broken ? { reason: "UnsupportedValue", message: `${listener.notes}` } : undefined;
  if (protocol === "HTTP") return { ...state, kinds: allowed, refused, unresolved: badKinds };
  const tls = certificatesOf(gateway, listener, world), clients = clientRootsOf(gateway, listener.port, world);
  return {
    listener,
    kinds: allowed,
    refused: refused ?? clients?.refused,
    unresolved: tls.fault ?? clients?.unresolved ?? badKinds,
    secrets: tls.secrets,
    roots: clients?.roots ?? tls.roots,
  };
}

function certificatesOf(
  gateway: ParsedGateway,
  { certificates, mutual }: ParsedListener,
  world: World,
): { secrets: TlsSecret[]; roots?: TlsSecret; fault?: Fault } {
  const secrets: TlsSecret[] = [];
  let roots: TlsSecret | undefined, fault: Fault | undefined;
  const bad = (reason: string, message: string) => fault ??= { reason, message };
  if (certificates.length === 0) {
    bad("InvalidCertificateRef", "exactly 1 certificateRefs should be present for TLS termination");
  }
  for (const { group, kind, namespace, name } of certificates) {
    if (group !== "" || kind !== "Secret") {
      bad(
        "InvalidCertificateRef",
        `invalid certificate reference ${group}/${kind} ${namespace}/${name}, only Secret is allowed`,
      );
      continue;
    }
    const from = { group: GATEWAY_GROUP, kind: "Gateway", namespace: gateway.namespace };
    if (!world.grants.permits(from, { group, kind, namespace, name })) {
      bad(
        "RefNotPermitted",
        `certificateRef ${namespace}/${name} not accessible to a Gateway in namespace "${gateway.namespace}" (missing a ReferenceGrant?)`,
      );
      continue;
    }
    const object = world.inputs.secrets.get(`${namespace}/${name}`), secret = object && serverSecret(object);
    if (!secret) {
      bad(
        "InvalidCertificateRef",
        `invalid certificate reference ${namespace}/${name}, ${
          object ? "it holds no certificate and key" : "secret not found"
        }`,
      );
      continue;
    }
    secrets.push(secret);
    if (!mutual || roots) continue;
    const extra = world.inputs.secrets.get(`${namespace}/${name}-cacert`);
    const rootsName = `${secretName(namespace, name)}-cacert`;
    roots = (extra && rootsSecret(extra, rootsName)) ?? (object && rootsSecret(object, rootsName));
  }
  if (mutual && !roots) {
    bad("InvalidCertificateRef", "mutual TLS needs ca.crt in the Secret, or a Secret of its name with -cacert");
    return { secrets: [], fault };
  }
  return { secrets, roots, fault };
}

/** Listeners that cannot share a port. */
function withConflicts(states: readonly ListenerState[]): ListenerState[] {
  const byPort = new Map<number, ListenerState[]>();
  for (const state of states) {
    if (state.refused) continue;
    const { port } = state.listener, same = byPort.get(port);
    if (same) same.push(state);
    else byPort.set(port, [state]);
  }
  return states.map((state) => {
    const { port, protocol, hostname, name } = state.listener;
    const others = (byPort.get(port) ?? []).filter((one) => one !== state);
    if (state.refused) return state;
    if (others.some(({ listener }) => listener.protocol !== protocol)) {
      return {
        ...state,
        conflict: { reason: "ProtocolConflict", message: `port ${port} has listeners of several protocols` },
      };
    }
    if (others.some(({ listener }) => listener.hostname === hostname || listener.name === name)) {
      return {
        ...state,
        conflict: {
          reason: "HostnameConflict",
          message: `port ${port} has several listeners for host name "${hostname}"`,
        },
      };
    }
    return state;
  });
}
