import { MeshError } from "../core/errors.ts";
import { BOOT } from "./boot.ts";

/**
 * The arena: one mapping that holds every buffer and struct passed to native code, viewed by one ArrayBuffer.
 *
 * Why: a JS number passed to a parameter declared `u64`, `usize` or `pointer` makes V8 optimize, fail with "not a BigInt"
 * and deoptimize for ever (100 ns a call and long pauses, against 5 ns). So the arena lies below 4 GiB, and addresses and
 * sizes are declared `u32`. The ABI does not promise that such an argument is zero-extended to the 64-bit register, so that
 * is tested at start; where it fails, or no low memory is free, the same call sites run with `u64` (slow but right).
 *
 * Pages are only taken from the system when touched.
 */
const ARENA_BYTES = 256 * 1024 * 1024;
const PAGE = 4096;

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x2 | 0x20 | 0x4000;
const MAP_32BIT = 0x40; // x86-64 only; ignored elsewhere
const MAP_FIXED_NOREPLACE = 0x100000;
const LOW_LIMIT = 2n ** 31n;
const MADV_DONTNEED = 4;
const MADV_NOHUGEPAGE = 15;

function tryMap(hint: bigint, flags: number): bigint {
  const at = BOOT.mmap(hint, BigInt(ARENA_BYTES), PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE | flags, -1, 0n);
  return BigInt.asIntN(64, at) === -1n ? 0n : at;
}

/** Below 2 GiB, so that sign and zero extension agree; 0n when nothing is free there. */
function mapLow(): bigint {
  const fits = (at: bigint) => at !== 0n && at + BigInt(ARENA_BYTES) <= LOW_LIMIT;
  if (Deno.build.arch === "x86_64") {
    const at = tryMap(0n, MAP_32BIT);
    if (fits(at)) return at;
    if (at !== 0n) BOOT.munmap(at, BigInt(ARENA_BYTES));
  }
  for (let hint = 0x2000_0000n; hint + BigInt(ARENA_BYTES) <= LOW_LIMIT; hint += BigInt(ARENA_BYTES)) {
    const at = tryMap(hint, MAP_FIXED_NOREPLACE);
    if (fits(at)) return at;
    if (at !== 0n) BOOT.munmap(at, BigInt(ARENA_BYTES)); // an old kernel took the hint as a mere hint
  }
  return 0n;
}

/** Whether a `u32` argument reaches native code zero-extended, both interpreted and once the call is compiled. */
function zeroExtends(): boolean {
  const { labs } = BOOT;
  let wrong = 0;
  for (let i = 0; i < 12_000; i++) {
    const value = ((i * 2654435761) >>> 1) + 1;
    if (labs(value) !== BigInt(value)) wrong++;
  }
  return wrong === 0;
}

function mapArena(): { base: bigint; narrow: boolean } {
  if (Deno.env.get("AMBIENTD_FFI_WIDE") !== "1" && zeroExtends()) {
    const low = mapLow();
    if (low !== 0n) return { base: low, narrow: true };
  }
  const anywhere = tryMap(0n, 0);
  if (anywhere === 0n) {
    throw new MeshError("out_of_memory", `cannot map ${ARENA_BYTES} bytes for the data plane's buffers`);
  }
  return { base: anywhere, narrow: false };
}

const { base, narrow } = mapArena();
BOOT.madvise(base, BigInt(ARENA_BYTES), MADV_NOHUGEPAGE);

/** Whether addresses travel as `u32` (the fast way). */
export const NARROW: boolean = narrow;

/** FFI type of an arena address and of a size. Call sites pass numbers either way. */
export const ADDR = (narrow ? "u32" : "u64") as "u32";

/**
 * Address of the arena's first byte. Everywhere in this project memory is named by its *offset* in the arena (`at`), which
 * indexes the views directly; only a native call adds `BASE`.
 */
export const BASE: number = Number(base);

const buffer = new Deno.UnsafePointerView(Deno.UnsafePointer.create(base)!).getArrayBuffer(ARENA_BYTES) as ArrayBuffer;

/** Views of the whole arena. */
export const U8: Uint8Array<ArrayBuffer> = new Uint8Array(buffer);
export const I32: Int32Array<ArrayBuffer> = new Int32Array(buffer);
export const VIEW: DataView<ArrayBuffer> = new DataView(buffer);

let top = PAGE; // the first page stays unused, so that offset 0 can mean "none"

/**
 * Takes memory for good, 64-byte aligned and zeroed.
 *
 * @throws MeshError `out_of_memory`
 */
export function allocate(bytes: number): number {
  const at = tryAllocate(bytes);
  if (at === 0) throw new MeshError("out_of_memory", `cannot take ${bytes} bytes: the data plane's arena is full`);
  return at;
}

/** As {@linkcode allocate}, but returns 0 when the arena is full. */
export function tryAllocate(bytes: number): number {
  const at = top;
  const next = (at + bytes + 63) & ~63;
  if (next > ARENA_BYTES) return 0;
  top = next;
  return at;
}

/** Gives the pages of a range back to the system; it reads as zeroes afterwards. Both ends must lie on page borders. */
export function releasePages(at: number, bytes: number): void {
  BOOT.madvise(base + BigInt(at), BigInt(bytes), MADV_DONTNEED);
}

/** Writes, at `at`, the 64-bit pointer to arena offset `target` (both supported architectures are little-endian). */
export function writePointer(at: number, target: number): void {
  const address = BASE + target;
  I32[at >> 2] = address | 0;
  I32[(at >> 2) + 1] = NARROW ? 0 : Math.floor(address / 4294967296);
}

/** Writes a 64-bit size below 2 GiB. */
export function writeSize(at: number, value: number): void {
  I32[at >> 2] = value;
  I32[(at >> 2) + 1] = 0;
}

/** Bytes of a range, as a view of the arena: valid only until the memory is used for something else. */
export function view(at: number, bytes: number): Uint8Array<ArrayBuffer> {
  return U8.subarray(at, at + bytes);
}
