/** Who sends a request. */
export interface UserInfo {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** What a write knows of its request, and where it leaves warnings. */
export interface WriteContext {
  user: UserInfo;
  fieldManager?: string;
  fieldValidation: FieldValidation;
  dryRun: boolean;
  force: boolean;
  warnings: string[];
  /** Paths that the body named twice; found while parsing it. */
  duplicateFields?: string[];
}

/** The cluster's own parts act as this user. */
export const SYSTEM_USER: UserInfo = Object.freeze({
  name: "system:apiserver",
  groups: ["system:masters", "system:authenticated"],
});

export function systemContext(
  options: { fieldManager?: string; dryRun?: boolean; force?: boolean } = {},
): WriteContext {
  return {
    user: SYSTEM_USER,
    fieldManager: options.fieldManager,
    fieldValidation: "Ignore",
    dryRun: options.dryRun ?? false,
    force: options.force ?? false,
    warnings: [],
  };
}
