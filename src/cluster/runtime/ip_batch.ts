import { MeshError } from "../../core/errors.ts";
import { lines } from "./host.ts";

/** Printed by `ip -o link show lo`: commands before it are done. */
const MARK = /^\d+: lo: /;

interface Pending {
  what: string;
  problems: string[];
  resolve(): void;
  reject(error: Error): void;
}

/**
 * One `ip -o -force -batch -` process that lives as long as its network namespace and carries out commands without a fork
 * for each. Its errors must arrive on the same pipe as its output (`2>&1`), so that their order tells whose they are.
 */
export class IpBatch {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #encoder = new TextEncoder();
  readonly #queue: Pending[] = [];
  #closed = false;
  readonly ended: Promise<void>;

  constructor(stdin: WritableStream<Uint8Array>, output: AsyncIterable<string>) {
    this.#writer = stdin.getWriter();
    this.ended = this.#read(output);
  }

  static spawn(argv: string[]): { batch: IpBatch; process: Deno.ChildProcess } {
    const process = new Deno.Command(argv[0], {
      args: argv.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    })
      .spawn();
    return { batch: new IpBatch(process.stdin, lines(process.stdout)), process };
  }

  async #read(output: AsyncIterable<string>): Promise<void> {
    for await (const line of output) {
      const current = this.#queue[0];
      if (!current) continue;
      if (!MARK.test(line)) {
        if (!line.startsWith("Command failed")) current.problems.push(line);
        continue;
      }
      this.#queue.shift();
      if (current.problems.length === 0) current.resolve();
      else {
        current.reject(new MeshError("network_setup", `cannot ${current.what}: ${current.problems.join("; ")}`));
      }
    }
    this.#closed = true;
    for (const left of this.#queue.splice(0)) {
      left.reject(new MeshError("network_setup", `cannot ${left.what}: the network namespace is gone`));
    }
  }

  /** Runs `ip` commands (without the word `ip`) in order, all of them even when one fails; rejects with what failed. */
  run(what: string, commands: readonly string[]): Promise<void> {
    if (this.#closed) {
      return Promise.reject(new MeshError("network_setup", `cannot ${what}: the network namespace is gone`));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ what, problems: [], resolve, reject });
      this.#writer.write(this.#encoder.encode([...commands, "link show lo", ""].join("\n"))).catch(() => {});
    });
  }

  /** Ends the process, and with it a namespace that nothing else holds. */
  async close(): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.ended;
  }
}
