import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import { jsonEqual } from "../../store/freeze.ts";
import type { WriteContext } from "../context.ts";
import type { Gateway } from "../http/gateway.ts";
import { jsonPatch } from "../patch/json_patch.ts";
import { postReview } from "./client.ts";
import { type Admission, describeType, webhookMatches } from "./match.ts";

const MUTATING = "admissionregistration.k8s.io/mutatingwebhookconfigurations";
const VALIDATING = "admissionregistration.k8s.io/validatingwebhookconfigurations";

/** The webhooks that a write concerns, by configuration and order in it; configurations themselves are never theirs. */
function matching(gateway: Gateway, key: string, admission: Admission): any[] {
  if (admission.type.group === "admissionregistration.k8s.io") return [];
  const configurations = [...gateway.core.store.values(key)].sort((a, b) => a.metadata.name < b.metadata.name ? -1 : 1);
  return configurations.flatMap((configuration) => configuration.webhooks ?? []).filter((hook) =>
    webhookMatches(hook, admission)
  );
}

/** Completes what is known of a write with the labels of its namespace. */
export function admissionOf(gateway: Gateway, write: Omit<Admission, "namespaceLabels">): Admission {
  const { store } = gateway.core;
  const labels = write.type.key === "/namespaces"
    ? (write.object ?? write.old)?.metadata.labels
    : store.get("/namespaces", "", write.namespace ?? "")?.metadata.labels;
  return { ...write, namespaceLabels: labels };
}

/** Whether any webhook wants to see the write: most writes concern none, and are spared the rest. */
export function concernsWebhooks(gateway: Gateway, admission: Admission): boolean {
  return matching(gateway, MUTATING, admission).length > 0 || matching(gateway, VALIDATING, admission).length > 0;
}

/**
 * Lets webhooks change the object, then judge it. Returns the object to write.
 *
 * @throws {ApiError} with a webhook's refusal, or 500 where one that must answer does not
 */
export async function callWebhooks(
  gateway: Gateway,
  admission: Admission,
  context: WriteContext,
): Promise<KubeObject | undefined> {
  let { object } = admission;
  for (const hook of matching(gateway, MUTATING, admission)) {
    const response = await ask(gateway, hook, { ...admission, object }, context);
    if (!response?.patch || !object) continue;
    if (response.patchType !== "JSONPatch") {
      throw callFailed(hook, new Error(`patch type "${response.patchType}" is not known`));
    }
    let patched: KubeObject;
    try {
      patched = jsonPatch(
        object,
        JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(response.patch))),
      ) as KubeObject;
    } catch (error) {
      throw callFailed(hook, error);
    }
    if (!jsonEqual(patched, object)) object = patched;
  }
  const judged = { ...admission, object };
  const refusals = await Promise.allSettled(
    matching(gateway, VALIDATING, judged).map((hook) => ask(gateway, hook, judged, context)),
  );
  for (const refusal of refusals) if (refusal.status === "rejected") throw refusal.reason;
  return object;
}

function callFailed(hook: any, error: unknown): ApiError {
  const why = error instanceof Error ? error.message : String(error);
  return new ApiError(
    500,
    "InternalError",
    `Internal error occurred: failed calling webhook ${JSON.stringify(hook.name)}: ${why}`,
    {
      causes: [{ message: `failed calling webhook ${JSON.stringify(hook.name)}: ${why}` }],
    },
  );
}

/** One webhook's answer; undefined where it fails and may. */
async function ask(gateway: Gateway, hook: any, admission: Admission, context: WriteContext): Promise<any> {
  // A webhook with side effects that cannot be told of a dry run must not see one.
  if (context.dryRun && !["None", "NoneOnDryRun"].includes(hook.sideEffects)) {
    throw ApiError.badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
  }
  const { kind, resource } = describeType(admission);
  const { name: username, ...user } = context.user;
  const version =
    (hook.admissionReviewVersions ?? ["v1"]).find((candidate: string) => ["v1", "v1beta1"].includes(candidate)) ?? "v1";
  const review = {
    kind: "AdmissionReview",
    apiVersion: `admission.k8s.io/${version}`,
    request: {
      uid: crypto.randomUUID(),
      kind,
      resource,
      ...(admission.subresource ? { subResource: admission.subresource } : {}),
      requestKind: kind,
      requestResource: resource,
      name: admission.name,
      ...(admission.namespace ? { namespace: admission.namespace } : {}),
      operation: admission.operation,
      userInfo: { username, ...user },
      object: admission.object ?? null,
      oldObject: admission.old ?? null,
      dryRun: context.dryRun,
      options: null,
    },
  };
  let response: any;
  try {
    response = await postReview(gateway.core.store, hook, review);
  } catch (error) {
    if ((hook.failurePolicy ?? "Fail") === "Ignore") {
      gateway.log.warn("a webhook failed and is ignored", {
        webhook: hook.name,
        error: error instanceof Error ? error.message : String(error),
      });
      return undefined;
    }
    throw callFailed(
      hook,
      new Error(`failed to call webhook: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
  for (const warning of response.warnings ?? []) context.warnings.push(String(warning));
  if (response.allowed) return response;
  const { code = 0, reason, message } = response.status ?? {};
  const denied = `admission webhook ${JSON.stringify(hook.name)} denied the request`;
  throw new ApiError(
    code < 400 ? 400 : code,
    reason || "BadRequest",
    message ? `${denied}: ${message}` : reason ? `${denied}: ${reason}` : `${denied} without explanation`,
  );
}
