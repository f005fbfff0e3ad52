// `spec.tls.frontend` of a Gateway: which clients' certificates its HTTPS listeners take, for all ports or for some.

import type { TlsSecret } from "../../../model/l7.ts";
import type { Fields } from "../notes.ts";
import { rootsSecret } from "../secrets.ts";
import type { World } from "../world.ts";
import type { Fault } from "./gateway.ts";
import { GATEWAY_GROUP } from "./references.ts";

interface Validation {
  readonly refs: readonly {
    readonly group: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
  }[];
  /** Clients whose certificates do not verify are to be served, too. */
  readonly insecure: boolean;
}

export interface ClientValidations {
  readonly initial: Validation | undefined;
  /** In place of `initial`; undefined: clients are not asked for certificates there. */
  readonly perPort: ReadonlyMap<number, Validation | undefined>;
}

/** Reads `frontend` of a Gateway's `tls`; its faults are the whole Gateway's. */
export function readClientValidations(tls: Fields, namespace: string): ClientValidations | undefined {
  if (!tls.has("frontend")) return undefined;
  const frontend = tls.object("frontend", ["default", "perPort"]), initial = frontend.object("default", ["validation"]);
  const perPort = new Map<number, Validation | undefined>();
  for (const one of frontend.objects("perPort", ["port", "tls"])) {
    const port = one.count("port", 1, 65535), own = one.object("tls", ["validation"]);
    if (port === undefined) one.wrong("port", one.raw("port"));
    else perPort.set(port, readValidation(own, namespace));
    one.take(own);
    frontend.take(one);
  }
  const validations = { initial: readValidation(initial, namespace), perPort };
  frontend.take(initial);
  tls.take(frontend);
  return validations;
}

function readValidation(owner: Fields, namespace: string): Validation | undefined {
  if (!owner.has("validation")) return undefined;
  const fields = owner.object("validation", ["caCertificateRefs", "mode"]);
  const refs = fields.objects("caCertificateRefs", ["group", "kind", "name", "namespace"]).map((one) => {
    const ref = {
      group: one.text("group"),
      kind: one.text("kind"),
      namespace: one.text("namespace") || namespace,
      name: one.text("name"),
    };
    fields.take(one);
    return ref;
  });
  const mode = fields.text("mode", "AllowValidOnly");
  if (mode !== "AllowValidOnly" && mode !== "AllowInsecureFallback") fields.wrong("mode", mode);
  owner.take(fields);
  return { refs, insecure: mode === "AllowInsecureFallback" };
}

/** What an HTTPS listener of a port asks of its clients. Without a single root nobody can be let in. */
export interface ClientRoots {
  readonly roots?: TlsSecret;
  readonly refused?: Fault;
  readonly unresolved?: Fault;
}

/** undefined: clients are not asked. */
export function clientRootsOf(
  gateway: { readonly key: string; readonly namespace: string; readonly clients: ClientValidations | undefined },
  port: number,
  world: World,
): ClientRoots | undefined {
  const { clients, namespace } = gateway;
  if (!clients) return undefined;
  const own = clients.perPort.has(port), validation = own ? clients.perPort.get(port) : clients.initial;
  if (!validation) return undefined;
  if (validation.insecure) {
    const message =
      "mode AllowInsecureFallback of tls.frontend is not supported: clients would be served without a valid certificate";
    return { refused: { reason: "UnsupportedValue", message } };
  }
  let unresolved: Fault | undefined;
  const texts: string[] = [];
  const bad = (reason: string, message: string) => unresolved ??= { reason, message };
  for (const ref of validation.refs) {
    const name = `${ref.namespace}/${ref.name}`;
    if (ref.group !== "" || ref.kind !== "ConfigMap") {
      bad(
        "InvalidCACertificateKind",
        `invalid CA certificate reference ${ref.group}/${ref.kind} ${name}, only ConfigMap is allowed`,
      );
      continue;
    }
    if (!world.grants.permits({ group: GATEWAY_GROUP, kind: "Gateway", namespace }, ref)) {
      const why = `not accessible to a Gateway in namespace "${namespace}" (missing a ReferenceGrant?)`;
      bad("RefNotPermitted", `caCertificateRef ${name} ${why}`);
      continue;
    }
    const object = world.inputs.configMaps.get(name), roots = object && rootsSecret(object, name);
    if (roots?.ca) texts.push(roots.ca.endsWith("\n") ? roots.ca : `${roots.ca}\n`);
    else {bad(
        "InvalidCACertificateRef",
        `invalid CA certificate reference ${name}, ${object ? "it has no ca.crt" : "ConfigMap not found"}`,
      );}
  }
  if (texts.length === 0) {
    const message = unresolved?.message ?? "no CA certificate to check clients' certificates by";
    return { refused: { reason: "NoValidCACertificate", message }, unresolved };
  }
  const name = `frontend://${gateway.key}/${own ? port : "default"}`;
  return { roots: { kind: "secret", name, certificateChain: "", privateKey: "", ca: texts.join("") }, unresolved };
}
