// What was installed, kept in the cluster as an IstioOperator object, as Istio did: `kubectl get iop -n istio-system`.

import { commonLabels, type ComponentName } from "../../../manifests/mod.ts";
import { ISTIO_OPERATOR, istioOperatorDefinition } from "../../../manifests/crds/istio_operator.ts";
import { Backoff, sleep } from "../../core/backoff.ts";
import { describeError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import { KubeApiError, type KubeClient, type KubeJson } from "./kube.ts";
import { REDACTED } from "./operator_spec.ts";
import type { Installation } from "./resolve.ts";
import { waitReady } from "./wait.ts";

/** How long the API gets to serve a new kind. */
const SERVED_MS = 30_000;

/** Names of settings whose values are for their owner only, unless they say where the secret is or how it is used. */
const SECRET = /passw(or)?d|passphrase|secret|token|credential|authorization|(private|api|access)[-_]?key/i;
const NOT_SECRET =
  /(names?|refs?|path|file|dir|url|host|address|port|ttl|audiences?|issuers?|duration|seconds|policy|provider|enabled|pullsecrets)$/i;
/** What is secret wherever it stands: a password within a URL, a private key. */
const SECRET_TEXT = /:\/\/[^/\s:@]*:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----/;

const SINGLE: readonly ComponentName[] = ["base", "pilot", "cni", "ztunnel"];
const LISTS: readonly ComponentName[] = ["ingressGateways", "egressGateways"];

/** The record's name: `installed-state`, with the revision behind it when there is one. */
export function recordName(revision: string): string {
  return revision === "" || revision === "default" ? "installed-state" : `installed-state-${revision}`;
}

/** The object that records an installation: what was asked for, and what the profile made of it. */
export function installedState(installation: Installation): KubeJson {
  const { spec, values, components } = installation;
  return {
    apiVersion: ISTIO_OPERATOR.apiVersion,
    kind: ISTIO_OPERATOR.kind,
    metadata: {
      name: recordName(values.revision),
      namespace: values.namespace,
      labels: commonLabels("Pilot", "istiod", values),
      // An operator of an older Istio that still runs in the cluster leaves the object alone.
      annotations: { "install.istio.io/ignoreReconcile": "true" },
    },
    spec: redacted({
      ...spec,
      profile: values.profile,
      hub: values.hub,
      tag: values.tag,
      ...(values.revision === "" ? { revision: undefined } : { revision: values.revision }),
      components: {
        ...Object.fromEntries(
          SINGLE.map((name) => [name, { ...spec.components?.[name], enabled: components.includes(name) }]),
        ),
        ...Object.fromEntries(
          LISTS.map((name): [string, any[]] => [name, spec.components?.[name] ?? []]).filter(([, list]) =>
            list.length > 0
          ).map(([name, list]) => [
            name,
            list.map((gateway: any) => ({
              ...gateway,
              enabled: gateway?.enabled ?? false,
              name: gateway?.name ?? `istio-${name.slice(0, name.indexOf("G"))}gateway`,
            })),
          ]),
        ),
      },
    }),
  };
}

/** A copy without values that may be secret; `install -f` refuses what is left in their place. */
function redacted(value: any, name = ""): any {
  if (Array.isArray(value)) return value.map((item) => redacted(item, name));
  if (typeof value === "string") {
    return SECRET.test(name) && !NOT_SECRET.test(name) || SECRET_TEXT.test(value) ? REDACTED : value;
  }
  if (typeof value !== "object" || value === null) return value;
  // An entry of a container's environment.
  if (typeof value.name === "string" && typeof value.value === "string") {
    return { ...value, value: redacted(value.value, value.name) };
  }
  return Object.fromEntries(
    Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => [key, redacted(item, key)]),
  );
}

/** Puts in the definition that {@linkcode record} needs. */
export async function applyRecordDefinition(
  client: KubeClient,
  options: { dryRun?: boolean; signal?: AbortSignal },
): Promise<void> {
  await client.apply(istioOperatorDefinition(), options);
}

/**
 * Stores the record, in place of an earlier one.
 *
 * @param definition resolves when the definition has been applied
 * @throws CommandError
 */
export async function record(
  client: KubeClient,
  object: KubeJson,
  definition: Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const { namespace, name } = object.metadata;
  try {
    await definition;
    await waitReady(client, [istioOperatorDefinition()], { onReady: () => {}, timeoutMs: SERVED_MS, signal });
    const deadline = Date.now() + SERVED_MS, backoff = new Backoff({ initialMs: 50, maxMs: 1000 });
    for (;;) {
      try {
        await client.apply(object, { signal });
        return;
      } catch (error) {
        // An API server with several instances may say that a kind is established before each of them serves it.
        if (!(error instanceof KubeApiError && error.status === 404) || Date.now() > deadline) throw error;
        await sleep(backoff.next(), signal);
      }
    }
  } catch (cause) {
    throw new CommandError(
      `cannot record what was installed as IstioOperator "${namespace}/${name}": ${describeError(cause)}; ` +
        "the mesh itself is installed: mend this and run the same command again",
      1,
      cause,
    );
  }
}

/**
 * The record of an installation; without a revision that of the default revision or, where there is none, the only one.
 *
 * @returns undefined where nothing is recorded
 * @throws CommandError when several revisions are recorded and none was named
 */
export async function readRecord(
  client: KubeClient,
  namespace: string,
  revision?: string,
): Promise<KubeJson | undefined> {
  const { apiVersion, kind } = ISTIO_OPERATOR;
  const named = await client.get(apiVersion, kind, namespace, recordName(revision ?? ""));
  if (named || revision !== undefined) return named;
  const others = (await client.list(apiVersion, kind, { namespace }))
    .filter(({ metadata }) => metadata.name.startsWith("installed-state"));
  if (others.length > 1) {
    const revisions = others.map(({ spec, metadata }) => spec?.revision ?? metadata.name).sort().join(", ");
    throw new CommandError(
      `several revisions are installed in namespace "${namespace}": ${revisions}; choose one with --revision`,
    );
  }
  return others[0];
}
