import { MeshError } from "../core/errors.ts";

/**
 * The few calls needed before the arena exists. Addresses are BigInts here, which is slow and always right.
 */
function open() {
  if (Deno.build.os !== "linux") {
    throw new MeshError("unsupported_platform", `cannot run the data plane on "${Deno.build.os}": it needs Linux`);
  }
  const symbols = {
    mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "i64"], result: "u64" },
    munmap: { parameters: ["u64", "u64"], result: "i32" },
    madvise: { parameters: ["u64", "u64", "i32"], result: "i32" },
    labs: { parameters: ["u32"], result: "u64" },
    __errno_location: { parameters: [], result: "pointer" },
  } as const;
  let problem: unknown;
  for (const name of ["libc.so.6", `libc.musl-${Deno.build.arch}.so.1`]) {
    try {
      return { ...Deno.dlopen(name, symbols).symbols, library: name };
    } catch (thrown) {
      problem ??= thrown;
    }
  }
  throw new MeshError("library_missing", "cannot open the C library", { cause: problem });
}

export const BOOT = open();
