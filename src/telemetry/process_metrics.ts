import type { Registry } from "./metrics.ts";

/** Ticks a second in /proc; 100 on every Linux that Deno runs on. */
const TICKS = 100;
const PAGE_BYTES = 4096;

/**
 * `process_*` with Prometheus' usual names, and of Go's series those that dashboards draw, by their nearest equivalents here.
 * What /proc does not tell (on other systems) is left at zero.
 */
export function addProcessMetrics(registry: Registry): void {
  const gauge = (name: string, help: string) => registry.gauge(name, help).with();
  const cpu = registry.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.").with();
  const resident = gauge("process_resident_memory_bytes", "Resident memory size in bytes.");
  const virtual = gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.");
  const descriptors = gauge("process_open_fds", "Number of open file descriptors.");
  gauge("process_max_fds", "Maximum number of open file descriptors.").set(maxDescriptors());
  gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.").set(
    Math.round(performance.timeOrigin) / 1000,
  );
  const heapUsed = gauge("go_memstats_heap_inuse_bytes", "Bytes of the JavaScript heap in use.");
  const allocated = gauge("go_memstats_alloc_bytes", "Bytes of the JavaScript heap in use.");
  const heapAllocated = gauge("go_memstats_heap_alloc_bytes", "Bytes of the JavaScript heap in use.");
  const heap = gauge("go_memstats_heap_sys_bytes", "Bytes of the JavaScript heap.");
  const stack = gauge("go_memstats_stack_inuse_bytes", "Bytes of the main thread's stack.");
  const threads = gauge("go_threads", "Number of threads of the operating system.");
  const goroutines = gauge("go_goroutines", "Number of threads of the operating system: there are no goroutines here.");
  registry.onCollect(() => {
    const memory = Deno.memoryUsage();
    resident.set(memory.rss);
    heapUsed.set(memory.heapUsed);
    allocated.set(memory.heapUsed);
    heapAllocated.set(memory.heapUsed);
    heap.set(memory.heapTotal);
    try {
      // The second field, a command in parentheses, may hold spaces.
      const stat = Deno.readTextFileSync("/proc/self/stat").split(") ")[1].split(" ");
      cpu.set((Number(stat[11]) + Number(stat[12])) / TICKS);
      threads.set(Number(stat[17]));
      goroutines.set(Number(stat[17]));
      virtual.set(Number(Deno.readTextFileSync("/proc/self/statm").split(" ")[0]) * PAGE_BYTES);
      stack.set(1024 * Number(/^VmStk:\s+(\d+) kB/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? 0));
      descriptors.set([...Deno.readDirSync("/proc/self/fd")].length);
    } catch {
      // No /proc here.
    }
  });
}

function maxDescriptors(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(Deno.readTextFileSync("/proc/self/limits"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
