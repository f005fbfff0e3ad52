import { BOOT } from "./boot.ts";

const MADV_DONTNEED = 4;
const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ \S+ (\d+)/;

/** One line of addresses in /proc/self/smaps with what follows it. */
interface Mapping {
  readonly start: bigint;
  readonly bytes: bigint;
  readonly permissions: string;
  readonly file: boolean;
  anonymousKiB: number;
}

/** Mappings of files that hold nothing but what is in the file: their pages may be dropped and come back from the page cache. */
export function cleanFileMappings(smaps: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of smaps.split("\n")) {
    const header = HEADER.exec(line);
    if (header) {
      const start = BigInt(`0x${header[1]}`), bytes = BigInt(`0x${header[2]}`) - start;
      const file = header[4] !== "0";
      mappings.push({ start, bytes, permissions: header[3], file, anonymousKiB: 0 });
      continue;
    }
    const last = mappings.at(-1);
    if (!last) continue;
    // Relocated data is made read-only after start, and would come back as it was before: it counts as anonymous.
    if (line.startsWith("Anonymous:")) last.anonymousKiB = parseInt(line.slice(10));
  }
  return mappings.filter(({ permissions, file, anonymousKiB }) =>
    file && anonymousKiB === 0 && permissions.startsWith("r") && permissions[1] === "-" && permissions[3] === "p"
  );
}

let text: readonly Mapping[] | undefined;

/** Looked at once: reading smaps walks every page, and what the executable maps does not change. */
function textMappings(): readonly Mapping[] {
  try {
    return cleanFileMappings(Deno.readTextFileSync("/proc/self/smaps"));
  } catch {
    return []; // hidden in this container, or an old kernel
  }
}

/**
 * Lets go of the pages of the executable and its libraries. Starting touches 40 MB of them (the compiler, the runtime's set-up),
 * of which a proxy needs a fraction afterwards; what it does need is mapped again from the page cache as it is touched.
 *
 * @returns bytes of the mappings; 0 where /proc does not say
 */
export function releaseText(): number {
  let released = 0;
  for (const { start, bytes } of text ??= textMappings()) {
    if (BOOT.madvise(start, bytes, MADV_DONTNEED) === 0) released += Number(bytes);
  }
  return released;
}
