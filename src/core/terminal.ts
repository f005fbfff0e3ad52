/** Colour helpers that are the identity unless `enabled`: colour only on a terminal, and never when NO_COLOR is set. */
export interface Palette {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

export function palette(enabled: boolean): Palette {
  const paint = ([on, off]: readonly [number, number]) => (text: string) =>
    enabled ? `\x1b[${on}m${text}\x1b[${off}m` : text;
  return Object.fromEntries(Object.entries(CODES).map(([name, code]) => [name, paint(code)])) as unknown as Palette;
}

/** Whether a stream wants colour, by the NO_COLOR and TERM conventions. */
export function wantsColor(stream: { isTerminal(): boolean }): boolean {
  return stream.isTerminal() && !Deno.env.get("NO_COLOR") && Deno.env.get("TERM") !== "dumb";
}

/** Lines of a left-aligned table, columns apart by `padding` spaces, the last column unpadded (as tabwriter does). */
export function formatTable(rows: readonly (readonly string[])[], padding = 3): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  return rows.map((row) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i] + padding)).join("").trimEnd()
  ).join("\n");
}

/** Columns of the terminal that standard output is; undefined where it is not a terminal, or does not say. */
export function terminalColumns(): number | undefined {
  if (!Deno.stdout.isTerminal()) return undefined;
  try {
    const { columns } = Deno.consoleSize();
    return columns > 0 ? columns : undefined;
  } catch {
    return undefined;
  }
}

/** Breaks a text that is longer than `columns` at its spaces; lines after the first hang by two. A word is never broken. */
export function hanging(text: string, columns: number): string[] {
  if (text.length <= columns) return [text.replaceAll("\t", " ")];
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(last === undefined ? word : `  ${word}`);
  }
  return lines;
}
