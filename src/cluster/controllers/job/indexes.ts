import type { KubeObject } from "../../contracts.ts";
import { isTerminated } from "../kit/pods.ts";

/** Annotation and label of a pod of an Indexed Job. */
export const INDEX = "batch.kubernetes.io/job-completion-index";

export function isIndexed(job: KubeObject): boolean {
  return job.spec.completionMode === "Indexed";
}

/** The completion index of a pod of an Indexed Job. */
export function indexOf(pod: KubeObject): number | undefined {
  const text = pod.metadata.annotations?.[INDEX];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Indexes that neither succeeded nor have a pod at work, lowest first. */
export function freeIndexes(job: KubeObject, status: any, mine: KubeObject[], most: number): number[] {
  const taken = parseIndexes(status.completedIndexes);
  for (const pod of mine) if (!isTerminated(pod)) taken.add(indexOf(pod) ?? -1);
  const free: number[] = [];
  for (let i = 0; i < job.spec.completions && free.length < most; i++) if (!taken.has(i)) free.push(i);
  return free;
}

/** `0,2-5` as a set of numbers. */
export function parseIndexes(text: string | undefined): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? "").split(",").filter((part) => part !== "")) {
    const [from, to = from] = part.split("-").map(Number);
    for (let i = from; i <= to; i++) indexes.add(i);
  }
  return indexes;
}

/** Numbers as `0,2-5`, as `status.completedIndexes` has them. */
export function formatIndexes(indexes: Set<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length;) {
    let end = i;
    while (end + 1 < sorted.length && sorted[end + 1] === sorted[end] + 1) end++;
    parts.push(
      end === i ? `${sorted[i]}` : end === i + 1 ? `${sorted[i]},${sorted[end]}` : `${sorted[i]}-${sorted[end]}`,
    );
    i = end + 1;
  }
  return parts.join(",");
}
