import { type Command, CommanderError, type Option } from "commander";
import { asTyped } from "../../core/self.ts";
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
    command.exitOverride().configureOutput({
      writeErr: () => {},
      writeOut: (text) => console.log(asTyped(text.trimEnd())),
    })
      .configureHelp({ optionDescription }).helpOption("-h, --help", "print this")
      .parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new UsageError(`${error.message.replace(/^error: /, "").replaceAll("\n", " ")}; ${help}`);
  }
  if (command.args.length > 0) throw new UsageError(`unexpected argument "${command.args[0]}"; ${help}`);
  return command.opts();
}

/** What a flag does, what it takes, and what it is when it is not given. */
function optionDescription({ description, argChoices, defaultValue, defaultValueDescription }: Option): string {
  const notes = argChoices ? [argChoices.join(" or ")] : [];
  const standard = defaultValueDescription ?? (typeof defaultValue === "string" ? defaultValue : undefined);
  if (standard !== undefined) notes.push(`default: ${standard}`);
  return notes.length > 0 ? `${description} (${notes.join("; ")})` : description;
}
