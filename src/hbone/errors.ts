import { MeshError } from "../core/errors.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { HboneError, HboneErrorCode } from "./types.ts";

/** The values of the `response_flags` label that HBONE failures map to. */
export type HboneResponseFlag = "CONNECT" | "TLS_FAILURE" | "H2_HANDSHAKE_FAILURE" | "IDENTITY_ERROR";

/** What metrics say about a failure. */
export function responseFlag(error: HboneError): HboneResponseFlag {
  switch (error.code) {
    case "tls_failure":
      return "TLS_FAILURE";
    case "identity_mismatch":
      return "IDENTITY_ERROR";
    case "h2_handshake_failure":
      return "H2_HANDSHAKE_FAILURE";
    default:
      return "CONNECT";
  }
}

export function hboneError(
  code: HboneErrorCode,
  message: string,
  options: { status?: number; cause?: unknown; peerIds?: readonly SpiffeId[] } = {},
): HboneError {
  return new MeshError(code, message, {
    source: "upstream",
    retryable: code !== "http_status" && code !== "identity_mismatch",
    details: { status: options.status, peerIds: options.peerIds },
    cause: options.cause,
  });
}
