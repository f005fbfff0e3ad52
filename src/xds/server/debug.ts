// The connections of a discovery server in the shapes of istiod's debug pages.

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ClientConfigSchema, ConfigStatus } from "../../gen/envoy/service/status/v3/csds_pb.ts";
import type { XdsConnection } from "./connection.ts";
import type { DebugResource } from "./server.ts";

/** An element of `/debug/syncz`. */
export interface SyncStatus {
  readonly cluster_id: string;
  readonly proxy: string;
  readonly proxy_type: string;
  readonly istio_version: string;
  /** By type URL: SYNCED, NOT_SENT, STALE or ERROR, with the nonces and the last refusal. */
  readonly types: Readonly<Record<string, { status: string; sent: string; acked: string; error?: string }>>;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** `/debug/syncz`: who is in step. */
export function syncz(connections: readonly XdsConnection[]): SyncStatus[] {
  return connections.map(({ client, subscriptions }) => ({
    cluster_id: text(client!.metadata.CLUSTER_ID),
    proxy: client!.podName,
    proxy_type: client!.proxyType,
    istio_version: text(client!.metadata.ISTIO_VERSION),
    types: Object.fromEntries([...subscriptions].map(([type, s]) => [type, {
      status: s.status,
      sent: s.nonceSent,
      acked: s.nonceAcked,
      ...(s.nackMessage === "" ? {} : { error: s.nackMessage }),
    }])),
  }));
}

/** `/debug/adsz`: who is connected. */
export function adsz(connections: readonly XdsConnection[]): unknown {
  return {
    totalClients: connections.length,
    clients: connections.map(({ id, connectedAt, peerAddress, client, subscriptions }) => ({
      connectionId: `${client!.podName}-${id}`,
      connectedAt: connectedAt.toISOString(),
      address: peerAddress,
      identities: client!.caller?.identities ?? [],
      metadata: client!.metadata,
      watches: Object.fromEntries([...subscriptions].map(([type, s]) => [type, s.wildcard ? ["*"] : [...s.names]])),
    })),
  };
}

/** The answer to `istio.io/debug/syncz`: one `envoy.service.status.v3.ClientConfig` a client. */
export function synczResources(connections: readonly XdsConnection[]): DebugResource[] {
  return connections.map(({ client, subscriptions }) => {
    const config = create(ClientConfigSchema, {
      node: { id: client!.nodeId, metadata: client!.metadata as Record<string, string> },
      genericXdsConfigs: [...subscriptions].map(([typeUrl, s]) => ({
        typeUrl,
        configStatus: ConfigStatus[s.status],
        lastUpdated: s.sentAt === 0 ? undefined : timestampFromMs(s.sentAt),
      })),
    });
    return {
      name: client!.nodeId,
      aliases: [],
      version: "",
      bytes: toBinary(ClientConfigSchema, config),
      typeUrl: "type.googleapis.com/envoy.service.status.v3.ClientConfig",
    };
  });
}
