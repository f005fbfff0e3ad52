import { allocate, tryAllocate } from "../sys/memory.ts";

/**
 * Buffers that every connection of the thread shares. A buffer is only in use from the call that fills it to the return of
 * the callback that reads it; whoever needs bytes for longer copies them.
 */

/** Bytes moved from a source to a sink in one go. */
export const BATCH = 128 * 1024;

/** Between two plain sockets. */
export const PLAIN = allocate(BATCH);

/** Plaintext from TLS on its way to a codec: the carry of the last read, then a batch and one record more. */
export const INPUT_BYTES = 256 * 1024;
export const INPUT = allocate(INPUT_BYTES);

/** The same for TLS inside a stream of another connection, whose own input is in use at that time. */
export const INNER_INPUT = allocate(INPUT_BYTES);

/**
 * Where the carry of a transport and bytes pushed to it come together, when those bytes lie in a buffer that others are in the middle of
 * reading. One for each level of nesting, taken for the time of a callback.
 */
const JOINED_BYTES = INPUT_BYTES + 96 * 1024;
const joined: number[] = [];

/** Arena offset of a buffer for {@linkcode INPUT_BYTES} behind the longest carry; 0 when the arena is full. */
export function takeJoined(): number {
  return joined.pop() ?? tryAllocate(JOINED_BYTES);
}

export function giveJoined(at: number): void {
  joined.push(at);
}
