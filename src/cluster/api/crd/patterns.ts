import { RE2JS } from "re2js";

const compiled = new Map<string, RE2JS | undefined>();

/** Whether a text contains a match of an RE2 pattern; a pattern that is not RE2 matches everything. */
export function matchesPattern(pattern: string, text: string): boolean {
  if (!compiled.has(pattern)) compiled.set(pattern, compilePattern(pattern));
  const expression = compiled.get(pattern);
  return expression === undefined || expression.matcher(text).find();
}

/** Whether a text is an RE2 pattern: definitions with others are refused, before objects meet them. */
export function isPattern(pattern: string): boolean {
  return isPlainPattern(pattern) || compilePattern(pattern) !== undefined;
}

/**
 * Whether a pattern keeps to what JavaScript's strict expressions and RE2 surely have in common, which is seen without
 * compiling it for RE2: that takes a millisecond, and definitions come with dozens.
 */
function isPlainPattern(pattern: string): boolean {
  // Groups with `(?`, classes that RE2 reads otherwise, and escapes other than of punctuation and \d \s \w.
  if (/\(\?|\[\]|\[\^\]|\[:|\\[^dswDSW.*+?^$()[\]{}|/]/.test(pattern)) return false;
  // RE2 limits counts, and their product where they nest.
  const counts = pattern.match(/(?<=[{,])\d+(?=,?\d*\})/g) ?? [];
  if (counts.reduce((product, count) => product * Math.max(1, Number(count)), 1) > 1000) return false;
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

/** The compiled pattern, or undefined where it is not one. */
function compilePattern(pattern: string): RE2JS | undefined {
  try {
    return RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
}
