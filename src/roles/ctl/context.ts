import { describeError } from "../../core/errors.ts";
import { asTyped } from "../../core/self.ts";
import { CommandError } from "../../core/usage.ts";
import { type Palette, palette, wantsColor } from "../../core/terminal.ts";
import type { EnvLookup } from "../../core/config.ts";
import { targetFromEnvironment } from "../../kube/kubeconfig.ts";
import type { KubeTarget } from "../../kube/target.ts";
import { KubeClient } from "./kube.ts";

/** Flags that every command takes. */
export interface GlobalFlags {
  kubeconfig?: string;
  context?: string;
  namespace?: string;
  istioNamespace: string;
  as?: string;
  asGroup?: string[];
  asUid?: string;
  /** Milliseconds. */
  kubeclientTimeout: number;
}

/** Where a command writes and what it reads; a test gives its own. */
export interface Streams {
  out(text: string): void;
  err(text: string): void;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly palette: Palette;
  /** Asks a yes-or-no question; true for yes. */
  confirm(question: string): boolean;
  readStdin(): Promise<string>;
  readonly env: EnvLookup;
}

/** The process's own streams. */
export function processStreams(): Streams {
  const encoder = new TextEncoder();
  const write = (stream: { writeSync(bytes: Uint8Array): number }) => (text: string) => {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  };
  return {
    out: write(Deno.stdout),
    err: write(Deno.stderr),
    outIsTerminal: Deno.stdout.isTerminal(),
    errIsTerminal: Deno.stderr.isTerminal(),
    palette: palette(wantsColor(Deno.stdout)),
    confirm: (question) => {
      write(Deno.stdout)(`${question} `);
      const answer = readLine();
      if (answer === undefined) write(Deno.stdout)("\n");
      return /^y(es)?$/i.test(answer?.trim() ?? "");
    },
    readStdin: () => new Response(Deno.stdin.readable).text(),
    env: (name) => Deno.env.get(name),
  };
}

/** A line of standard input, which may be a pipe (`yes | ctl install`); undefined at its end. */
function readLine(): string | undefined {
  const bytes: number[] = [], next = new Uint8Array(1);
  while (bytes.length < 1000) {
    if (Deno.stdin.readSync(next) === null) return bytes.length > 0 ? decode(bytes) : undefined;
    if (next[0] === 10) break;
    bytes.push(next[0]);
  }
  return decode(bytes);
}

function decode(bytes: readonly number[]): string {
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** What one run of `ctl` works with. */
export class CtlContext {
  readonly flags: GlobalFlags;
  readonly streams: Streams;

  constructor(flags: GlobalFlags, streams: Streams) {
    this.flags = flags;
    this.streams = streams;
  }

  /** @throws MeshError `invalid_kubeconfig` */
  async target(): Promise<KubeTarget> {
    const { flags, streams } = this;
    const target = await targetFromEnvironment({
      kubeconfig: flags.kubeconfig,
      context: flags.context,
      env: streams.env,
    });
    const impersonate = flags.as || flags.asGroup || flags.asUid
      ? { user: flags.as, groups: flags.asGroup, uid: flags.asUid }
      : undefined;
    return { ...target, ...(impersonate ? { impersonate } : {}) };
  }

  async client(): Promise<KubeClient> {
    return new KubeClient(await this.target(), { timeoutMs: this.flags.kubeclientTimeout });
  }

  /** The text of a file; "-" is standard input. @throws CommandError */
  async readInput(name: string): Promise<string> {
    try {
      return name === "-" ? await this.streams.readStdin() : await Deno.readTextFile(name);
    } catch (cause) {
      throw new CommandError(`cannot read "${name}": ${describeError(cause)}`);
    }
  }

  print(text: string): void {
    this.streams.out(text + "\n");
  }

  warn(text: string): void {
    this.streams.err(asTyped(text) + "\n");
  }

  /** Namespace of the command: `-n`, else the context's, else `default`. */
  namespace(client: KubeClient): string {
    return this.flags.namespace ?? client.target.namespace ?? "default";
  }
}
