import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { fieldName, type Fields } from "../fields.ts";
import type { RequestHead } from "../message.ts";

const WEBSOCKET_KEY = fieldName("sec-websocket-key"), WEBSOCKET_ACCEPT = fieldName("sec-websocket-accept");

/** A key for a handshake that we begin on behalf of a client that has none (RFC 6455, 4.1). */
export function websocketKey(): string {
  return randomBytes(16).toString("base64");
}

/** What the server must answer to a key (RFC 6455, 4.2.2). */
export function websocketAccept(key: string): string {
  return createHash("sha1").update(Buffer.from(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, "latin1")).digest(
    "base64",
  );
}

/** What a client of HTTP/1.1 expects in the answer to its handshake, when the upstream spoke HTTP/2, which has no such thing. */
export function acceptWebsocket(request: RequestHead, fields: Fields): void {
  const key = request.fields.get(WEBSOCKET_KEY);
  if (key !== undefined && !fields.has(WEBSOCKET_ACCEPT)) fields.append(WEBSOCKET_ACCEPT, websocketAccept(key));
}
