// Injected faults.

import type { Fault } from "../../model/mod.ts";

/** A whole, in the unit of shares. */
export const MILLION = 1_000_000;

/** Whether a share of all requests, in millionths, takes this one. */
export function drawShare(millionths: number, random: () => number): boolean {
  return millionths >= MILLION || (millionths > 0 && random() * MILLION < millionths);
}

/** Milliseconds to hold the request back; 0 for none. */
export function drawDelay(fault: Fault, random: () => number): number {
  return fault.delay && drawShare(fault.delay.millionths, random) ? fault.delay.delayMs : 0;
}

/** How to answer instead of forwarding; null: forward. */
export function drawAbort(fault: Fault, random: () => number): NonNullable<Fault["abort"]> | null {
  return fault.abort && drawShare(fault.abort.millionths, random) ? fault.abort : null;
}
