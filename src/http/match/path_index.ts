// Which routes a path may lead to, without looking at every route: a hash of exact paths and a radix tree of prefixes.

import type { PathMatch } from "../../model/mod.ts";
import { compileRegex, type WholeTextMatcher } from "./regex.ts";

/** Decides by order: `accept(index)` says whether route `index` matches otherwise; the lowest such index wins. */
export type Accept = (index: number) => boolean;

class TrieNode {
  readonly children = new Map<number, TrieNode>();
  /** Routes whose prefix ends here, ascending: any continuation, and only at a segment's border. */
  readonly anywhere: number[] = [];
  readonly atBorder: number[] = [];
  constructor(public label: string) {}
}

/** Paths of one set of routes, either as written or folded to lower case. */
class PathTree {
  readonly #exact = new Map<string, number[]>();
  readonly #root = new TrieNode("");

  addExact(path: string, index: number): void {
    const list = this.#exact.get(path);
    if (list) list.push(index);
    else this.#exact.set(path, [index]);
  }

  addPrefix(prefix: string, segments: boolean, index: number): void {
    // `/foo/` and `/foo` are the same to whole segments; "/" is before everything.
    const text = segments ? prefix.replace(/\/+$/, "") : prefix;
    const node = this.#insert(text);
    (segments ? node.atBorder : node.anywhere).push(index);
  }

  #insert(text: string): TrieNode {
    let node = this.#root, at = 0;
    while (at < text.length) {
      const child = node.children.get(text.charCodeAt(at));
      if (!child) {
        const leaf = new TrieNode(text.slice(at));
        node.children.set(text.charCodeAt(at), leaf);
        return leaf;
      }
      let same = 1;
      while (same < child.label.length && child.label.charCodeAt(same) === text.charCodeAt(at + same)) same++;
      if (same < child.label.length) {
        const middle = new TrieNode(child.label.slice(0, same));
        child.label = child.label.slice(same);
        middle.children.set(child.label.charCodeAt(0), child);
        node.children.set(text.charCodeAt(at), middle);
        node = middle;
      } else node = child;
      at += same;
    }
    return node;
  }

  /** The lowest acceptable index below `best`, or `best`. */
  find(path: string, best: number, accept: Accept): number {
    const exact = this.#exact.get(path);
    if (exact !== undefined) best = lowest(exact, best, accept);
    let node = this.#root, at = 0;
    for (;;) {
      if (node.anywhere.length > 0) best = lowest(node.anywhere, best, accept);
      if (node.atBorder.length > 0 && (at === path.length || path.charCodeAt(at) === 0x2f)) {
        best = lowest(node.atBorder, best, accept);
      }
      if (at === path.length) return best;
      const child = node.children.get(path.charCodeAt(at));
      if (child === undefined || !path.startsWith(child.label, at)) return best;
      at += child.label.length;
      node = child;
    }
  }
}

function lowest(indices: readonly number[], best: number, accept: Accept): number {
  for (let i = 0; i < indices.length && indices[i] < best; i++) if (accept(indices[i])) return indices[i];
  return best;
}

/** The paths of a list of routes, by their order. */
export class PathIndex {
  readonly #asWritten = new PathTree();
  #folded: PathTree | null = null;
  /** Expressions, and routes that do not ask for a path. */
  readonly #others: number[] = [];
  readonly #regexes = new Map<number, WholeTextMatcher | null>();

  constructor(paths: readonly (PathMatch | undefined)[]) {
    paths.forEach((path, index) => {
      if (path === undefined) this.#others.push(index);
      else if (path.kind === "regex") {
        this.#others.push(index);
        this.#regexes.set(index, compileRegex(path.value) ?? null);
      } else {
        const tree = path.ignoreCase ? this.#folded ??= new PathTree() : this.#asWritten;
        const value = path.ignoreCase ? path.value.toLowerCase() : path.value;
        if (path.kind === "exact") tree.addExact(value, index);
        else tree.addPrefix(value, path.segments, index);
      }
    });
  }

  /** The first route in order whose path matches and that `accept` takes; -1 for none. */
  find(path: string, accept: Accept): number {
    let best = this.#asWritten.find(path, Infinity, accept);
    if (this.#folded !== null) best = this.#folded.find(path.toLowerCase(), best, accept);
    for (let i = 0; i < this.#others.length; i++) {
      const index = this.#others[i];
      if (index >= best) break;
      const regex = this.#regexes.size === 0 ? undefined : this.#regexes.get(index);
      if (regex === null || (regex !== undefined && !regex.matches(path))) continue;
      if (accept(index)) best = index;
    }
    return best === Infinity ? -1 : best;
  }
}

/** Whether one path condition holds, for explanations. */
export function pathMatches(match: PathMatch | undefined, path: string): boolean {
  return new PathIndex([match]).find(path, () => true) === 0;
}
