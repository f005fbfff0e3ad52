import { allocate } from "../sys/memory.ts";

/**
 * Buffers that every connection of the thread shares. A buffer is only in use from the call that fills it to the return of
 * the callback that reads it; whoever needs bytes for longer copies them.
 */

/** Bytes moved from a source to a sink in one go. */
export const BATCH = 128 * 1024;

/** Between two plain sockets. */
export const PLAIN = allocate(BATCH);
