import { BATCH } from "../net/buffers.ts";
import { tryAllocate } from "../sys/memory.ts";

/**
 * Output of a connection is gathered in a block that it holds only while something is in it, so a thousand quiet connections
 * hold none. The last block given back is the next one taken: it is still in the cache.
 */
export const STAGE_BYTES = BATCH + 48 * 1024;
/** Once this much is gathered it goes out without waiting for the end of the batch of events. */
export const STAGE_FULL = 64 * 1024;

const free: number[] = [];

/** Arena offset of a block, or 0 when the arena is full. */
export function takeStage(): number {
  return free.pop() ?? tryAllocate(STAGE_BYTES);
}

export function giveStage(at: number): void {
  free.push(at);
}
