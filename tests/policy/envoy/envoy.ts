// Envoy's answers to the same questions.

import { type Answer, askAll, EchoBackend } from "./ask.ts";
import type { Group, Mode } from "./cases.ts";
import { envoyConfig } from "./rbac.ts";

/** A running Envoy with a listener for each group and mode. */
export class Envoy {
  readonly #backend = new EchoBackend();
  readonly #ports = new Map<string, number>();
  readonly #folder = Deno.makeTempDirSync({ prefix: "ambientd-envoy-" });
  readonly #child: Deno.ChildProcess;

  constructor(binary: string, groups: readonly Group[]) {
    const listeners = groups.flatMap(({ modes }) => modes).map(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
    const free = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
    for (const listener of listeners) listener.close();
    for (const group of groups) for (const mode of group.modes) this.#ports.set(`${group.name} ${mode}`, free.pop()!);
    const file = `${this.#folder}/envoy.json`;
    Deno.writeTextFileSync(
      file,
      JSON.stringify(envoyConfig(groups, (group, mode) => this.#port(group, mode), this.#backend.port)),
    );
    this.#child = new Deno.Command(binary, {
      args: [
        "-c",
        file,
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "error",
        "--log-path",
        `${file}.log`,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  #port(group: Group, mode: Mode): number {
    return this.#ports.get(`${group.name} ${mode}`)!;
  }

  /** Waits until it listens. @throws Error with what it wrote when it does not */
  async ready(): Promise<void> {
    const [port] = this.#ports.values(), end = performance.now() + 30_000;
    for (;;) {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return;
      } catch {
        if (performance.now() > end) {
          throw new Error(`Envoy does not listen: ${Deno.readTextFileSync(`${this.#folder}/envoy.json.log`)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async answers(group: Group, mode: Mode): Promise<Answer[]> {
    return (await askAll(this.#port(group, mode), group.requests)).map(({ seen, decisions }) => ({
      seen,
      decisions: decisions.split(",").map((one) => one.slice(0, 1).toUpperCase()).join(""),
    }));
  }

  async close(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#backend.close();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
