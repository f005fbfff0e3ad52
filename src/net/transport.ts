import type { MeshError } from "../core/errors.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import type { FlowErrorCode } from "./endpoint.ts";

/** Who reads a {@linkcode Transport}: an HTTP codec. */
export interface TransportConsumer {
  /**
   * Plaintext at arena offset `at`, in a buffer that others use after the call. Returns how many bytes were consumed; the
   * rest (an incomplete frame) comes again in front of the next bytes, so it must stay under {@linkcode MAX_CARRY}.
   */
  onInput(at: number, bytes: number): number;
  /** The peer will send no more. */
  onInputEnd(): void;
  /** What was queued has gone out. */
  onWritable(): void;
  /** The transport is gone, in order (null) or not. Called once. */
  onTransportClosed(error: MeshError<FlowErrorCode> | null): void;
}

/** Longest incomplete unit that a consumer may leave for the next read. */
export const MAX_CARRY = 96 * 1024;

/** A byte stream under an HTTP codec: TLS or plain, over a socket or within another stream. */
export abstract class Transport {
  consumer: TransportConsumer | null = null;
  abstract readonly remote: SocketAddress;
  abstract readonly local: SocketAddress;

  /** Takes all bytes at arena offset `at`. What the kernel does not take is queued, up to a bound past which the transport dies. */
  abstract write(at: number, bytes: number): void;
  /** False while something is queued: write nothing but short control messages then. */
  abstract get writable(): boolean;
  abstract get open(): boolean;
  /**
   * Takes no more input until {@linkcode resumeInput}: for consumers without flow control of their own (HTTP/1.1). What the consumer has left
   * over is handed to it again on resuming, even if nothing new has come.
   */
  abstract pauseInput(): void;
  abstract resumeInput(): void;
  /** Half-closes after what is queued: nothing more is written, and input goes on. */
  abstract endOutput(): void;
  /** Orderly end in both directions, after what is queued. */
  abstract finish(): void;
  /** RST, at once. */
  abstract abort(): void;
}
