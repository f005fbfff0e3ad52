import { palette } from "../../src/core/terminal.ts";
import { describeError } from "../../src/core/errors.ts";
import { CommandError, EXIT_USAGE, UsageError } from "../../src/core/usage.ts";
import { run } from "../../src/roles/ctl.ts";

export interface CtlResult {
  code: number;
  out: string;
  err: string;
  /** Questions that were asked. */
  asked: string[];
}

export interface CtlOptions {
  /** Text of a kubeconfig; without it there is none. */
  kubeconfig?: string;
  answer?: boolean;
  /** Whether standard error is a terminal. */
  terminal?: boolean;
  stdin?: string;
  env?: Record<string, string>;
  /** Text of ~/.istioctl/config.yaml. */
  config?: string;
}

/** Runs `ctl` in this process as main.ts would, and keeps what it prints. */
export async function ctl(args: string[], options: CtlOptions = {}): Promise<CtlResult> {
  const result: CtlResult = { code: 0, out: "", err: "", asked: [] };
  const dir = await Deno.makeTempDir({ prefix: "ambientd-ctl-" });
  const path = `${dir}/config`;
  if (options.kubeconfig) await Deno.writeTextFile(path, options.kubeconfig);
  const env: Record<string, string> = { HOME: dir, KUBECONFIG: path, ...options.env };
  if (options.config) {
    await Deno.mkdir(`${dir}/.istioctl`);
    await Deno.writeTextFile(`${dir}/.istioctl/config.yaml`, options.config);
  }
  try {
    result.code = await run(args, {
      out: (text) => result.out += text,
      err: (text) => result.err += text,
      outIsTerminal: false,
      errIsTerminal: options.terminal ?? false,
      palette: palette(false),
      confirm: (question) => {
        result.asked.push(question);
        return options.answer ?? false;
      },
      readStdin: async () => options.stdin ?? "",
      env: (name) => env[name],
    });
  } catch (error) {
    result.err += `Error: ${describeError(error)}\n`;
    result.code = error instanceof UsageError ? EXIT_USAGE : error instanceof CommandError ? error.exitCode : 1;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  return result;
}
