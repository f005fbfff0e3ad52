// `ambientd ctl`: istioctl's commands, flags and habits.

import { CommandError, EXIT_USAGE } from "../core/usage.ts";
import { processStreams, type Streams } from "./ctl/context.ts";

/** Runs one command line; resolves to its exit code. Failures are thrown, to be printed by the caller. */
export async function run(args: string[], streams: Streams = processStreams()): Promise<number> {
  const { buildProgram } = await import("./ctl/program.ts");
  const { normalizeArgs } = await import("./ctl/command_line.ts");
  const { flagDefaults } = await import("./ctl/defaults.ts");
  const { CommanderError } = await import("commander");
  let code = 0;
  const program = buildProgram(streams, await flagDefaults(streams.env), (result) => code = result);
  try {
    await program.parseAsync(normalizeArgs(program, args), { from: "user" });
  } catch (error) {
    // Commander has printed what is wrong, or the help or version that was asked for.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 || error.code === "commander.help" ? 0 : EXIT_USAGE;
    }
    const { explain, KubeApiError } = await import("./ctl/kube.ts");
    if (error instanceof KubeApiError) throw new CommandError(explain(error), 1, undefined);
    throw error;
  }
  return code;
}
