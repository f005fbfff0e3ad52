import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";
import { selfOf, type TestHome } from "./cluster.ts";

/** Why nobody can type kubectl's commands here, for a test's name; undefined where they can. */
export const NO_KUBECTL: string | undefined = (() => {
  const found = (Deno.env.get("PATH") ?? "").split(":").some((dir) => {
    try {
      return Deno.statSync(`${dir}/kubectl`).isFile;
    } catch {
      return false;
    }
  });
  return found ? undefined : "there is no kubectl on PATH";
})();

const COMMAND_TIMEOUT_MS = 90_000, UNTIL_MS = 60_000;

/** What was typed did. */
export interface Typed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A user's shell: bash with the cluster's kubeconfig, kubectl as installed here, and `istioctl` and `ambientd` being this
 * checkout's. The working directory is the checkout, where the samples are.
 */
export class UserShell {
  readonly #env: Record<string, string>;

  constructor(home: TestHome) {
    const bin = `${home.dir}/bin`;
    Deno.mkdirSync(bin, { recursive: true });
    const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
    for (const [name, args] of [["istioctl", ["ctl"]], ["ambientd", []]] as const) {
      Deno.writeTextFileSync(`${bin}/${name}`, `#!/bin/sh\nexec ${selfOf([...args]).map(quote).join(" ")} "$@"\n`);
      Deno.chmodSync(`${bin}/${name}`, 0o755);
    }
    this.#env = { ...home.env, PATH: `${bin}:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}` };
  }

  /** Sets a variable for later commands, as `export` does. */
  export(name: string, value: string): void {
    this.#env[name] = value;
  }

  /** Puts a file into the user's home; returns its path. */
  file(name: string, text: string): string {
    Deno.writeTextFileSync(`${this.#env.HOME}/${name}`, text);
    return `${this.#env.HOME}/${name}`;
  }

  /** Types a command (or several lines) and waits for its end, whatever its exit code. */
  async run(script: string, options: { timeoutMs?: number; cwd?: string } = {}): Promise<Typed> {
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-c", script],
      env: this.#env,
      cwd: options.cwd ?? new URL("../..", import.meta.url).pathname,
      stdin: "null",
      signal: AbortSignal.timeout(options.timeoutMs ?? COMMAND_TIMEOUT_MS),
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  }

  /** Types a command into a terminal of its own, where it goes on until it is killed. */
  start(script: string): Deno.ChildProcess {
    return new Deno.Command("bash", {
      args: ["-c", script],
      env: this.#env,
      cwd: new URL("../..", import.meta.url).pathname,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  /** Types a command that has to succeed, and to print what matches; returns what it printed. */
  async type(script: string, ...expected: RegExp[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(script);
    assert.equal(code, 0, `$ ${script}\n${stdout}${stderr}`);
    for (const pattern of expected) assert.match(stdout, pattern, `$ ${script}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Types a command again and again until it prints what matches. */
  until(script: string, expected: RegExp, deadlineMs = UNTIL_MS): Promise<string> {
    return eventually(async () => {
      const { stdout, stderr } = await this.run(script);
      assert.match(stdout, expected, `$ ${script}\n${stdout}${stderr}`);
      return stdout;
    }, deadlineMs);
  }
}
