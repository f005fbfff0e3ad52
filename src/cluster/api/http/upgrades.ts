import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ApiError } from "../../api_error.ts";
import { admitRequest, asApiError, type Gateway } from "./gateway.ts";

/** Answers a request that wants to turn into another protocol. */
export async function handleUpgrade(
  gateway: Gateway,
  request: IncomingMessage,
  socket: Duplex,
  _head: Uint8Array,
): Promise<void> {
  try {
    admitRequest(gateway, request);
    throw ApiError.badRequest("unable to upgrade: this resource has no streams");
  } catch (error) {
    refuseUpgrade(socket, asApiError(gateway, error));
  }
}

/** Sends a `Status` instead of the upgrade. */
export function refuseUpgrade(socket: Duplex, error: ApiError): void {
  const body = JSON.stringify(error.toStatus());
  socket.end(
    `HTTP/1.1 ${error.code} ${error.reason}\r\nContent-Type: application/json\r\nContent-Length: ${
      new TextEncoder().encode(body).length
    }\r\nConnection: close\r\n\r\n${body}`,
  );
}
