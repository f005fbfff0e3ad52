import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MeshError } from "../core/errors.ts";
import {
  AddWorkloadSchema,
  DelWorkloadSchema,
  KeepWorkloadSchema,
  SnapshotSentSchema,
  Version,
  WorkloadRequestSchema,
  WorkloadResponseSchema,
  ZdsHelloSchema,
} from "../gen/istio/zds/zds_pb.ts";

/** One message per packet and no longer than this, either way. */
export const MAX_PACKET_BYTES = 1024;

export type ZdsErrorCode =
  /** A packet that cannot be read, or has the wrong descriptors: answered, then the connection is closed. */
  | "zds_bad_packet"
  /** The other side broke the protocol's order: ztunnel gives up. */
  | "zds_protocol"
  /** ztunnel answered with an error. */
  | "zds_refused"
  /** No ztunnel is connected, or it went away. */
  | "zds_disconnected";

/** Who a pod is, as the agent knows it from the Kubernetes API. */
export interface PodInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A request of the agent. `uid` is the Kubernetes pod UID. */
export type ZdsRequest =
  | { readonly kind: "add"; readonly uid: string; readonly info: PodInfo | undefined }
  | { readonly kind: "keep"; readonly uid: string }
  | { readonly kind: "del"; readonly uid: string }
  | { readonly kind: "snapshotSent" };

export function encodeHello(): Uint8Array {
  return toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version: Version.V1 }));
}

/** @throws MeshError `zds_bad_packet` when it is not a hello of version 1 */
export function decodeHello(bytes: Uint8Array): void {
  const hello = read(() => fromBinary(ZdsHelloSchema, bytes), "hello");
  if (hello.version !== Version.V1) {
    throw new MeshError("zds_bad_packet", `cannot speak ZDS version "${hello.version}"; want 1`);
  }
}

export function encodeRequest(request: ZdsRequest): Uint8Array {
  const message = create(WorkloadRequestSchema);
  if (request.kind === "add") {
    const value = create(AddWorkloadSchema, { uid: request.uid, workloadInfo: request.info });
    message.payload = { case: "add", value };
  } else if (request.kind === "keep") {
    message.payload = { case: "keep", value: create(KeepWorkloadSchema, { uid: request.uid }) };
  } else if (request.kind === "del") {
    message.payload = { case: "del", value: create(DelWorkloadSchema, { uid: request.uid }) };
  } else {
    message.payload = { case: "snapshotSent", value: create(SnapshotSentSchema) };
  }
  const bytes = toBinary(WorkloadRequestSchema, message);
  if (bytes.length > MAX_PACKET_BYTES) {
    throw new MeshError("zds_bad_packet", `cannot send a ZDS request of ${bytes.length} bytes (at most 1024)`);
  }
  return bytes;
}

/** @throws MeshError `zds_bad_packet` */
export function decodeRequest(bytes: Uint8Array): ZdsRequest {
  tooLong(bytes);
  const { payload } = read(() => fromBinary(WorkloadRequestSchema, bytes), "request");
  switch (payload.case) {
    case "add": {
      const { uid, workloadInfo } = payload.value;
      const info = workloadInfo && {
        name: workloadInfo.name,
        namespace: workloadInfo.namespace,
        serviceAccount: workloadInfo.serviceAccount,
      };
      return { kind: "add", uid: wantUid(uid), info };
    }
    case "keep":
    case "del":
      return { kind: payload.case, uid: wantUid(payload.value.uid) };
    case "snapshotSent":
      return { kind: "snapshotSent" };
    default:
      throw new MeshError("zds_bad_packet", "cannot act on a ZDS request without a payload");
  }
}

const encoder = new TextEncoder();

/** @param error what went wrong; "" for success; cut so that the packet stays within its bound */
export function encodeAck(error: string): Uint8Array {
  // Tag, length and nesting take under 16 bytes; a character at most 4.
  let text = error.slice(0, MAX_PACKET_BYTES - 16);
  while (encoder.encode(text).length > MAX_PACKET_BYTES - 16) text = text.slice(0, -16);
  return toBinary(
    WorkloadResponseSchema,
    create(WorkloadResponseSchema, { payload: { case: "ack", value: { error: text } } }),
  );
}

/**
 * @returns the error of the answer, "" when it is a success
 * @throws MeshError `zds_bad_packet`
 */
export function decodeAck(bytes: Uint8Array): string {
  tooLong(bytes);
  const { payload } = read(() => fromBinary(WorkloadResponseSchema, bytes), "response");
  if (payload.case !== "ack") throw new MeshError("zds_bad_packet", "cannot act on a ZDS response without an ack");
  return payload.value.error;
}

function read<T>(decode: () => T, what: string): T {
  try {
    return decode();
  } catch (cause) {
    throw new MeshError("zds_bad_packet", `cannot decode a ZDS ${what}`, { cause });
  }
}

function tooLong(bytes: Uint8Array): void {
  if (bytes.length > MAX_PACKET_BYTES) {
    throw new MeshError("zds_bad_packet", `cannot take a ZDS packet of ${bytes.length} bytes (at most 1024)`);
  }
}

function wantUid(uid: string): string {
  if (uid === "") throw new MeshError("zds_bad_packet", "cannot act on a ZDS request without a uid");
  return uid;
}
