import type { JsonObject } from "@bufbuild/protobuf";
import type { Node } from "../../gen/envoy/config/core/v3/base_pb.ts";
import type { Caller } from "../../identity/types.ts";
import { parseSpiffeId } from "../../model/identity.ts";
import type { XdsClientInfo } from "../resource.ts";

/**
 * Who a client says it is, from the node of its first request.
 *
 * @returns a refusal text when the node id is missing or is not `type~ip~name~domain`
 */
export function readNode(
  node: Node | undefined,
  caller: Caller | undefined,
  peerAddress: string,
): XdsClientInfo | string {
  if (!node || node.id === "") return "missing node information";
  const parts = node.id.split("~");
  if (parts.length !== 4) return `missing parts in the service node "${node.id.slice(0, 256)}"`;
  const metadata: JsonObject = node.metadata ?? {};
  const dot = parts[2].lastIndexOf(".");
  return {
    nodeId: node.id,
    proxyType: parts[0],
    podName: parts[2],
    namespace: text(metadata.NAMESPACE) || (dot < 0 ? "" : parts[2].slice(dot + 1)),
    metadata,
    caller,
    peerAddress,
  };
}

/**
 * Whether an authenticated client may claim this node (`PILOT_ENABLE_XDS_IDENTITY_CHECK`): one of its identities has the
 * node's namespace, and its service account where the metadata names one.
 *
 * @returns a refusal text, or undefined when the claim holds
 */
export function checkIdentity(client: XdsClientInfo): string | undefined {
  if (!client.caller) return undefined;
  const account = text(client.metadata.SERVICE_ACCOUNT);
  for (const id of client.caller.identities) {
    const identity = parseSpiffeId(id);
    if (!identity) continue;
    if (client.namespace !== "" && identity.namespace !== client.namespace) continue;
    if (account !== "" && identity.serviceAccount !== account) continue;
    return undefined;
  }
  return `no identities (${client.caller.identities.join(", ")}) matched ${client.namespace}/${account}`;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
