import type { IncomingMessage } from "node:http";
import { ApiError } from "../../api_error.ts";
import type { UserInfo } from "../context.ts";
import { type Gateway, requireAccess } from "./gateway.ts";

function values(header: string | string[] | undefined): string[] {
  return header === undefined ? [] : Array.isArray(header) ? header : header.split(",").map((part) => part.trim());
}

/** The user that `Impersonate-…` headers ask to act as, where the real one may. */
export function impersonate(gateway: Gateway, request: IncomingMessage, user: UserInfo): UserInfo {
  const { headers } = request;
  const name = headers["impersonate-user"];
  const groups = values(headers["impersonate-group"]);
  const uid = headers["impersonate-uid"];
  if (name === undefined) {
    if (groups.length > 0 || uid !== undefined) {
      throw new ApiError(500, "InternalError", "requested impersonation of groups without impersonating a user");
    }
    return user;
  }
  if (typeof name !== "string") throw ApiError.badRequest("only one user can be impersonated");
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  requireAccess(
    gateway,
    account
      ? { user, verb: "impersonate", group: "", resource: "serviceaccounts", namespace: account[1], name: account[2] }
      : { user, verb: "impersonate", group: "", resource: "users", name },
  );
  for (const group of groups) {
    requireAccess(gateway, { user, verb: "impersonate", group: "", resource: "groups", name: group });
  }
  const extra: Record<string, string[]> = {};
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith("impersonate-extra-")) continue;
    const key = decodeURIComponent(header.slice("impersonate-extra-".length));
    extra[key] = values(value);
    for (const item of extra[key]) {
      requireAccess(gateway, {
        user,
        verb: "impersonate",
        group: "authentication.k8s.io",
        resource: "userextras",
        subresource: key,
        name: item,
      });
    }
  }
  const ownGroups = groups.length > 0 || !account
    ? groups
    : ["system:serviceaccounts", `system:serviceaccounts:${account[1]}`];
  const authenticated = name === "system:anonymous" ? "system:unauthenticated" : "system:authenticated";
  return {
    name,
    groups: ownGroups.includes(authenticated) ? ownGroups : [...ownGroups, authenticated],
    ...(typeof uid === "string" ? { uid } : {}),
    extra,
  };
}
