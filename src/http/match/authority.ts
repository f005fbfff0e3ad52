// The host within an authority: what virtual hosts are chosen by.

/** Lower-case host of `authority` without port, user info or brackets' contents changed; "" for none. */
export function hostOf(authority: string): string {
  const end = hostEnd(authority);
  const host = end === authority.length ? authority : authority.slice(0, end);
  return isLowerCase(host) ? host : host.toLowerCase();
}

/** The authority's port, or -1. */
export function portOf(authority: string): number {
  const end = hostEnd(authority);
  if (end === authority.length) return -1;
  let port = 0;
  for (let i = end + 1; i < authority.length; i++) port = port * 10 + authority.charCodeAt(i) - 0x30;
  return port;
}

/** Where `:port` begins; the length when there is no port. */
function hostEnd(authority: string): number {
  let i = authority.length - 1;
  while (i >= 0) {
    const code = authority.charCodeAt(i);
    if (code < 0x30 || code > 0x39) break;
    i--;
  }
  // Digits only after a colon are a port; the colons of a bare IPv6 address are not, which Host never carries without brackets.
  if (i < 0 || i === authority.length - 1 || authority.charCodeAt(i) !== 0x3a || authority.length - i > 6) {
    return authority.length;
  }
  return i;
}

function isLowerCase(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x41 && code <= 0x5a) return false;
  }
  return true;
}
