import { MeshError } from "../../core/errors.ts";

/** What a finished command left behind. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const SEARCH = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
const PACKAGE: Record<string, string> = { ip: "iproute2", nft: "nftables" };
const found = new Map<string, string>();

/**
 * The absolute path of a tool of the host. Absolute because it is often started inside a mount namespace whose PATH is
 * somebody else's.
 *
 * @throws MeshError `tool_missing` naming the package
 */
export function tool(name: string): string {
  const known = found.get(name);
  if (known) return known;
  const path = findProgram(name);
  if (!path) {
    throw new MeshError(
      "tool_missing",
      `cannot find "${name}"; install the package "${PACKAGE[name] ?? "util-linux"}"`,
    );
  }
  found.set(name, path);
  return path;
}

/** The path of a program on the host, or undefined when it has none. */
export function findProgram(name: string): string | undefined {
  for (const directory of SEARCH) {
    try {
      if (Deno.statSync(`${directory}/${name}`).isFile) return `${directory}/${name}`;
    } catch {
      // Not there.
    }
  }
  return undefined;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Runs a command of the host to its end. Its environment is bare, so that nothing of the caller's leaks into it. */
export async function run(argv: readonly string[], stdin?: string): Promise<Finished> {
  const child = new Deno.Command(argv[0], {
    args: argv.slice(1),
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    clearEnv: true,
    env: { PATH: SEARCH.join(":"), LC_ALL: "C" },
  }).spawn();
  const fed = stdin === undefined ? undefined : feed(child.stdin, stdin);
  const output = await child.output();
  await fed;
  return { code: output.code, stdout: decoder.decode(output.stdout), stderr: decoder.decode(output.stderr) };
}

async function feed(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(encoder.encode(text));
    await writer.close();
  } catch {
    // The command ended without reading all of it; its exit code tells.
  }
}

/**
 * Like {@linkcode run}, for commands that have to succeed. `what` completes "cannot …".
 *
 * @throws MeshError `command_failed`
 */
export async function mustRun(what: string, argv: readonly string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await run(argv, stdin);
  if (code !== 0) {
    throw new MeshError("command_failed", `cannot ${what}: ${(stderr.trim() || stdout.trim() || `exit code ${code}`)}`);
  }
  return stdout;
}

/** Writes a kernel setting of the caller's network namespace; what the kernel lacks is left out. */
export function sysctl(name: string, value: string | number): void {
  try {
    Deno.writeTextFileSync(`/proc/sys/${name}`, String(value));
  } catch {
    // A kernel without it, or a container host that forbids it: the default has to do.
  }
}

/** A field for fstab(5): white space and backslashes in octal. */
export function fstabField(text: string): string {
  return text.replace(/[\s\\#]/g, (c) => "\\" + c.charCodeAt(0).toString(8).padStart(3, "0"));
}

/** One line of a file that `mount -a` reads. */
export function fstabLine(source: string, target: string, type: string, options: string): string {
  return `${fstabField(source)} ${fstabField(target)} ${type} ${options} 0 0\n`;
}

/** Splits a stream of bytes into lines without their newline; the last one may lack it. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const text = new TextDecoder();
  for await (const chunk of stream) {
    rest += text.decode(chunk, { stream: true });
    for (let end; (end = rest.indexOf("\n")) >= 0; rest = rest.slice(end + 1)) yield rest.slice(0, end);
  }
  if (rest !== "") yield rest;
}

/**
 * Reads what a helper says until a line of its standard output matches, then lets go of both streams: helpers live on, and
 * some of their processes keep the pipes open.
 *
 * @returns the match, or none when the helper ended before, and everything else it said
 */
export async function firstReport(
  process: Deno.ChildProcess,
  pattern: RegExp,
): Promise<{ line: RegExpExecArray | undefined; said: string }> {
  let said = "";
  let line: RegExpExecArray | undefined;
  const errors = process.stderr.getReader();
  const complaints = (async () => {
    for (let part; !(part = await errors.read()).done;) said += decoder.decode(part.value);
  })().catch(() => {});
  for await (const text of lines(process.stdout)) {
    if ((line = pattern.exec(text) ?? undefined)) break;
    said += text + "\n";
  }
  // A helper that ended closed both; one that lives on is done complaining.
  if (line) await errors.cancel().catch(() => {});
  await complaints;
  return { line, said: said.trim() };
}
