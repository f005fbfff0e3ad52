import { getHeapStatistics } from "node:v8";
import type { Registry } from "./metrics.ts";

/** What the heap has taken since the start, under the name of Go's series. For roles that load Node's modules anyway. */
export function addHeapMetrics(registry: Registry): void {
  const allocated = registry.counter("go_memstats_alloc_bytes_total", "Bytes allocated on the JavaScript heap so far.");
  const cell = allocated.with();
  // Newer than the type definitions.
  const read = getHeapStatistics as () => { total_allocated_bytes?: number };
  registry.onCollect(() => cell.set(read().total_allocated_bytes ?? 0));
}
