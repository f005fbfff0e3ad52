// What gRPC makes of HTTP's answers.

import { fieldName, type Fields } from "../fields.ts";

export const CONTENT_TYPE = fieldName("content-type");
export const GRPC_STATUS = fieldName("grpc-status");
export const GRPC_MESSAGE = fieldName("grpc-message");

/** Whether a request (or response) speaks gRPC: `application/grpc`, `application/grpc+proto`, not grpc-web. */
export function isGrpc(fields: Fields): boolean {
  const type = fields.get(CONTENT_TYPE);
  if (type === undefined || !type.startsWith("application/grpc")) return false;
  return type.length === 16 || type.charCodeAt(16) === 0x2b || type.charCodeAt(16) === 0x3b;
}

/** gRPC's status for an HTTP status (grpc/doc/http-grpc-status-mapping.md). */
export function grpcStatusOf(httpStatus: number): number {
  switch (httpStatus) {
    case 200:
      return 0;
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** HTTP's status for a gRPC status, for clients that do not speak gRPC. */
export function httpStatusOf(grpcStatus: number): number {
  switch (grpcStatus) {
    case 0:
      return 200;
    case 3:
    case 9:
    case 11:
      return 400;
    case 16:
      return 401;
    case 7:
      return 403;
    case 5:
      return 404;
    case 6:
    case 10:
      return 409;
    case 8:
      return 429;
    case 1:
      return 499;
    case 12:
      return 501;
    case 14:
      return 503;
    case 4:
      return 504;
    default:
      return 500;
  }
}

/** `grpc-message` is percent-encoded (gRPC over HTTP/2, "Status-Message"). */
export function encodeGrpcMessage(text: string): string {
  let out = "";
  for (const byte of new TextEncoder().encode(text)) {
    out += byte < 0x20 || byte > 0x7e || byte === 0x25
      ? "%" + byte.toString(16).toUpperCase().padStart(2, "0")
      : String.fromCharCode(byte);
  }
  return out;
}
