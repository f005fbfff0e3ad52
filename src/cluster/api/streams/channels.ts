import type { WebSocket } from "ws";

/** Names of the protocols that number their channels by the first byte of each message, best first. */
export const CHANNEL_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

const CLOSE_CHANNEL = 255;
const HIGH_WATER_BYTES = 1024 * 1024;

/** Channels over one WebSocket. */
export class Channels {
  readonly #socket: WebSocket;
  readonly #handlers = new Map<number, { data(bytes: Uint8Array): void; close?(): void }>();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "nodebuffer";
    socket.on("message", (message: Uint8Array, isBinary: boolean) => {
      const bytes = isBinary ? new Uint8Array(message) : new TextEncoder().encode(String(message));
      if (bytes.length === 0) return;
      if (bytes[0] === CLOSE_CHANNEL && socket.protocol === "v5.channel.k8s.io") {
        this.#handlers.get(bytes[1])?.close?.();
      } else this.#handlers.get(bytes[0])?.data(bytes.subarray(1));
    });
  }

  on(channel: number, data: (bytes: Uint8Array) => void, close?: () => void): void {
    this.#handlers.set(channel, { data, close });
  }

  /** Resolves when the client can take more. */
  send(channel: number, bytes: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return Promise.resolve();
    const message = new Uint8Array(bytes.length + 1);
    message[0] = channel;
    message.set(bytes, 1);
    return new Promise((resolve) => {
      if (socket.bufferedAmount < HIGH_WATER_BYTES) {
        socket.send(message, () => {});
        resolve();
      } else socket.send(message, () => resolve());
    });
  }
}
