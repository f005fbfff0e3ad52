import { type Command, CommanderError } from "commander";
import { UsageError } from "../../core/usage.ts";

/**
 * Reads the flags of a command that takes no other arguments.
 *
 * @returns the options, or undefined when help was asked for (and printed)
 * @throws UsageError naming what was typed wrongly
 */
export function parseFlags(command: Command, args: string[]): Record<string, any> | undefined {
  const help = `run \`${command.name()} --help\` for the flags`;
  try {
    command.exitOverride().configureOutput({ writeErr: () => {} }).parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new UsageError(`${error.message.replace(/^error: /, "")}; ${help}`);
  }
  if (command.args.length > 0) throw new UsageError(`unexpected argument "${command.args[0]}"; ${help}`);
  return command.opts();
}
