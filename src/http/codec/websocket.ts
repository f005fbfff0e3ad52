import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";

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
