import type { KubeObject } from "../../contracts.ts";
import type { WriteContext } from "../context.ts";
import { inVersion } from "../patching.ts";
import type { ResourceType, TypeVersion } from "../types.ts";
import { admissionOf, callWebhooks, concernsWebhooks } from "../webhooks/call.ts";
import type { Operation } from "../webhooks/match.ts";
import type { Call } from "./gateway.ts";

const MUTATING = "admissionregistration.k8s.io/mutatingwebhookconfigurations";
const VALIDATING = "admissionregistration.k8s.io/validatingwebhookconfigurations";

/**
 * Performs a write that webhooks may change or refuse: they see its outcome, which is computed without writing. What they
 * return is written in its place, unless the object moved on meanwhile.
 */
export async function admitted(
  call: Call,
  type: ResourceType,
  version: TypeVersion,
  operation: Operation,
  old: KubeObject | undefined,
  context: WriteContext,
  perform: (context: WriteContext) => KubeObject,
  writeChanged: (object: KubeObject) => KubeObject,
): Promise<KubeObject> {
  const { gateway, info } = call;
  const { store } = gateway.core;
  if (store.count(MUTATING) === 0 && store.count(VALIDATING) === 0) return perform(context);
  const outcome = inVersion(type, version, perform({ ...context, dryRun: true, warnings: [] }));
  const before = old && inVersion(type, version, old);
  const { namespace, name } = outcome.metadata;
  const admission = admissionOf(gateway, {
    type,
    version,
    operation,
    namespace,
    name,
    subresource: info.resource!.subresource,
    object: outcome,
    old: before,
  });
  if (!concernsWebhooks(gateway, admission)) return perform(context);
  const changed = (await callWebhooks(gateway, admission, context))!;
  if (changed === outcome) return perform(context);
  const metadata = { ...changed.metadata };
  if (old) metadata.resourceVersion = old.metadata.resourceVersion;
  else delete metadata.resourceVersion;
  delete metadata.managedFields;
  return writeChanged({ ...changed, metadata });
}
